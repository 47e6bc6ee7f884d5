//! What the handle gives back.

use crate::{Principal, Record, Result, SessionId, SessionKey, Timestamp, Version};

/// A session as it was loaded.
///
/// Change its `data` and hand it to [`SessionStore::save`](crate::SessionStore::save), which tells if somebody else
/// was faster.
#[derive(Clone, Debug)]
pub struct Session<T> {
    id: SessionId,
    /// What the application keeps in it.
    pub data: T,
    pub(crate) meta: Meta,
}

impl<T> Session<T> {
    pub(crate) fn new(id: SessionId, data: T, meta: Meta) -> Session<T> {
        Session { id, data, meta }
    }

    /// Its id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// How often it was updated.
    pub fn version(&self) -> Version {
        self.meta.version
    }

    /// When it was created, where the table holds that.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.meta.created_at
    }

    /// When it dies, if nothing moves that.
    pub fn expires_at(&self) -> Timestamp {
        self.meta.expires_at
    }

    /// Whom it belongs to.
    pub fn principal(&self) -> Option<&Principal> {
        self.meta.principal.as_ref()
    }
}

/// What a store knows of a session beside its data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// How often it was updated.
    pub version: Version,
    /// When it was created, where the table holds that.
    pub created_at: Option<Timestamp>,
    /// When it dies, if nothing moves that.
    pub expires_at: Timestamp,
    /// Whom it belongs to.
    pub principal: Option<Principal>,
}

impl From<Record> for Meta {
    fn from(record: Record) -> Meta {
        Meta {
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
    /// Its key, to go on from and to [destroy](crate::SessionStore::destroy_key) it by.
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
    pub meta: Meta,
}

/// A session that was just created or rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewSession {
    /// Its id, for the cookie.
    pub id: SessionId,
    /// How often it was updated; [`Version::NONE`] after a [`rotate_with`](crate::SessionStore::rotate_with) that expected
    /// no version, where the backend leaves it open.
    pub version: Version,
    /// When it dies, if nothing moves that.
    pub expires_at: Timestamp,
}

/// What [`SessionStore::modify`](crate::SessionStore::modify) did.
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

/// The outcome of [`SessionStore::set`](crate::SessionStore::set). Exhaustive, as each one asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOutcome {
    /// There was no such id; there is now.
    Created(Version),
    /// The session was live and has the new data. [`Version::NONE`] where the backend leaves the version open.
    Updated(Version),
    /// The id is dead. Nothing was changed; draw a new one.
    Gone,
}

/// The outcome of [`SessionStore::touch`](crate::SessionStore::touch). Exhaustive, as each one asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// It was written, and the session dies then, if nothing moves that again. At the end of its
    /// [maximum lifetime](crate::SessionStoreBuilder::max_lifetime) that may be now or in the past: then it is dead.
    Moved(Timestamp),
    /// The expiry would have moved by less than the throttle asks for; it stays, and nothing was written.
    Throttled(Timestamp),
    /// The session is absent or dead.
    Gone,
}

/// The outcome of [`SessionStore::rotate_with`](crate::SessionStore::rotate_with). Exhaustive, as each one asks for an
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
