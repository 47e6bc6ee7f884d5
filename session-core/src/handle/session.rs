//! What the handle gives back.

use std::sync::Arc;

use crate::contract::Record;
use crate::{Principal, Result, SessionId, SessionKey, Timestamp, Version};

/// A session as it was loaded.
///
/// Change its `data` and hand it to [`Sessions::save`](crate::Sessions::save), which tells if somebody else
/// was faster.
#[derive(Clone, Debug)]
pub struct Session<T> {
    id: SessionId,
    /// What the application keeps in it.
    pub data: T,
    pub(crate) info: SessionInfo,
}

impl<T> Session<T> {
    pub(crate) fn new(id: SessionId, data: T, info: SessionInfo) -> Session<T> {
        Session { id, data, info }
    }

    /// It lives under another id now.
    pub(super) fn rotated(&mut self, new: NewSession, principal: Option<Principal>) {
        self.id = new.id;
        self.info.version = new.version;
        self.info.expires_at = new.expires_at;
        self.info.principal = principal;
    }

    /// The same session with its data in another form.
    pub(super) fn map<D>(self, form: impl FnOnce(T) -> D) -> Session<D> {
        Session { id: self.id, data: form(self.data), info: self.info }
    }

    /// The same session with data that can be shared.
    pub fn into_shared(self) -> Session<Arc<T>> {
        self.map(Arc::new)
    }

    /// Its id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// What the store knows of it.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Which state of the session this is: every update and rotation adds one.
    pub fn version(&self) -> Version {
        self.info.version
    }

    /// When it was created, where the table holds that.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.info.created_at
    }

    /// When it dies, if nothing moves that.
    pub fn expires_at(&self) -> Timestamp {
        self.info.expires_at
    }

    /// Whom it belongs to.
    pub fn principal(&self) -> Option<&Principal> {
        self.info.principal.as_ref()
    }
}

impl<T: Clone> Session<Arc<T>> {
    /// The same session with data of its own, to be changed and [saved](crate::Sessions::save). Copies them if somebody else
    /// has them, too.
    pub fn into_owned(self) -> Session<T> {
        self.map(Arc::unwrap_or_clone)
    }
}

/// What a store knows of a session beside its data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Which state of the session this is: every update and rotation adds one.
    pub version: Version,
    /// When it was created, where the table holds that.
    pub created_at: Option<Timestamp>,
    /// When it dies, if nothing moves that.
    pub expires_at: Timestamp,
    /// Whom it belongs to.
    pub principal: Option<Principal>,
}

impl From<Record> for SessionInfo {
    fn from(record: Record) -> SessionInfo {
        SessionInfo {
            version: record.version,
            created_at: record.created_at,
            expires_at: record.expires_at,
            principal: record.principal,
        }
    }
}

/// A session in a listing: without its id, which the database does not hold.
#[derive(Debug)]
pub struct ListedSession<T> {
    /// Its key, to go on from and to [destroy](crate::Sessions::destroy_key) it by.
    pub key: SessionKey,
    /// The session, or why this one cannot be read. The others are listed all the same.
    pub session: Result<StoredSession<T>>,
}

/// A session without its id.
#[derive(Clone, Debug)]
pub struct StoredSession<T> {
    /// What the application keeps in it.
    pub data: T,
    /// What the store knows of it.
    pub info: SessionInfo,
}

/// A session that was just created or rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewSession {
    /// Its id, for the cookie.
    pub id: SessionId,
    /// Which state of the session this is; [`Version::NONE`] after a [`rotate_with`](crate::Sessions::rotate_with) that expected
    /// no version, where the backend leaves it open.
    pub version: Version,
    /// When it dies, if nothing moves that.
    pub expires_at: Timestamp,
}

/// What [`Sessions::modify`](crate::Sessions::modify) did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Modified<R> {
    /// What the closure returned in the round that was saved.
    pub value: R,
    /// The session's version now.
    pub version: Version,
    /// When it dies, if nothing moves that.
    pub expires_at: Timestamp,
}

/// The outcome of [`Sessions::set`](crate::Sessions::set). Exhaustive, as each one asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// There was no such id; there is now.
    Created(Version),
    /// The session was live and has the new data. [`Version::NONE`] where the backend leaves the version open.
    Updated(Version),
    /// The id is dead. Nothing was changed; draw a new one.
    Gone,
}

/// The outcome of [`Sessions::touch`](crate::Sessions::touch). Exhaustive, as each one asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TouchOutcome {
    /// It was written, and the session dies then, if nothing moves that again. At the end of its
    /// [maximum lifetime](crate::SessionsBuilder::max_lifetime) that may be now or in the past: then it is dead.
    Moved(Timestamp),
    /// The expiry stays, and nothing was written: it would have moved by less than the throttle asks for, or it is
    /// [somebody else's](crate::TimeToLive::external) to move.
    Throttled(Timestamp),
    /// The session is absent or dead.
    Gone,
}

/// The outcome of [`Sessions::rotate_with`](crate::Sessions::rotate_with). Exhaustive, as each one asks for an
/// answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotateOutcome {
    /// The session lives under this id alone.
    Rotated(NewSession),
    /// The session is live, and its version is not the expected one. Nothing was changed.
    Stale,
    /// The session is absent or dead.
    Gone,
}

/// The outcome of [`Sessions::reload`](crate::Sessions::reload). Exhaustive, as each one asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Nobody changed it: data, version and principal are what they were. Its expiry is up to date.
    Unchanged,
    /// It was changed, and has the new data, version, principal and expiry.
    Changed,
    /// It is absent or dead. The session in hand is as it was.
    Gone,
}
