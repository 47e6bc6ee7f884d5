//! What can be asked of a store, and what it answers.

use std::fmt;

use crate::contract::{Payload, Record, Store};
use crate::{Principal, Result, SessionKey, Timestamp, Version};

/// A new session. Its `created_at` is the `now` of the call, its version the one that is given.
#[derive(Clone, Debug)]
pub struct Create {
    /// The key, which no row may have.
    pub key: SessionKey,
    /// The data.
    pub payload: Payload,
    /// When it dies, if nothing moves that. It may be in the past: then it is dead from the start.
    pub expires_at: Timestamp,
    /// Whom it belongs to.
    pub principal: Option<Principal>,
    /// Its first version, [`Version::FIRST`] or higher. The handle draws [one by lot](Version::random) for each session.
    /// A backend without [`versions`](crate::Capabilities::versions) does not look at it.
    pub version: Version,
}

/// The outcome of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The session is there, at the version that was given.
    Created,
    /// A row has the key, live or dead. Nothing was changed.
    KeyTaken,
}

/// Reads a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The key.
    pub key: SessionKey,
    /// The version that the caller has already; `None` for none. If the session still has it, the payload is not
    /// sent.
    pub known: Option<Version>,
}

impl Load {
    /// A load that sends the payload in any case.
    pub fn new(key: SessionKey) -> Load {
        Load { key, known: None }
    }
}

/// The outcome of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The session.
    Record(Record),
    /// The session is live and has the version that the caller [knows](Load::known): payload, principal and time of
    /// creation are what they were.
    Unchanged {
        /// The session is dead from here on. A touch may have moved it.
        expires_at: Timestamp,
    },
    /// The session is absent or dead.
    Gone,
}

impl Loaded {
    /// The answer to a load that knows a version, made of the whole session: for a backend that has it at hand.
    pub fn of(record: Record, known: Option<Version>) -> Loaded {
        if known == Some(record.version) {
            return Loaded::Unchanged { expires_at: record.expires_at };
        }
        Loaded::Record(record)
    }

    /// The session, if the load knew no version.
    pub fn record(self) -> Option<Record> {
        match self {
            Loaded::Record(record) => Some(record),
            Loaded::Unchanged { .. } | Loaded::Gone => None,
        }
    }
}

/// Replaces data and principal of a live session, and moves its expiry.
#[derive(Clone, Debug)]
pub struct Update {
    /// The key.
    pub key: SessionKey,
    /// The new data.
    pub payload: Payload,
    /// The new expiry; `None` leaves it as it is. It may be in the past: then the session is dead after the update.
    pub expires_at: Option<Timestamp>,
    /// The new principal; `None` leaves the session without one.
    pub principal: Option<Principal>,
    /// The version that the session must have; `None` for any.
    pub expected: Option<Version>,
}

/// The outcome of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It was done, and this is the session's version now; [`Version::NONE`] if none was expected and the backend
    /// leaves it open.
    Saved(Version),
    /// The session is live, and its version is not the expected one. Nothing was changed.
    Stale,
    /// The session is absent or dead. Nothing was changed.
    Gone,
}

/// Moves the expiry of a live session.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The key.
    pub key: SessionKey,
    /// The new expiry, earlier or later than the present one.
    pub expires_at: Timestamp,
    /// The version that the session must have; `None` for any.
    pub expected: Option<Version>,
}

/// The outcome of a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The session has the new expiry, be it the one that it had before.
    Moved,
    /// The session is live, and its version is not the expected one. Nothing was changed.
    Stale,
    /// The session is absent or dead. Nothing was changed.
    Gone,
}

/// Ends a live session.
#[derive(Clone, Debug)]
pub struct Destroy {
    /// The key.
    pub key: SessionKey,
    /// What becomes of the row.
    pub mode: DestroyMode,
}

/// What becomes of the row of a session that is destroyed or rotated away.
///
/// Exhaustive: each mode asks for code of its own in every backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestroyMode {
    /// It stays until its expiry has passed and a purge removes it, so that its key stays taken. Payload and principal
    /// go at once.
    Forget,
    /// It stays as it is, marked with the time of death, until its expiry has passed and a purge removes it: for
    /// analysis, and so that its key stays taken.
    Keep,
    /// It goes at once, and its key can be created again. After
    /// [`destroy_principal`](Store::destroy_principal) an empty row may stay for the next purge.
    Remove,
}

/// Ends the live sessions of a principal.
#[derive(Clone, Debug)]
pub struct DestroyPrincipal {
    /// Whose sessions.
    pub principal: Principal,
    /// The one that stays; `None` for none.
    pub except: Option<SessionKey>,
    /// Only sessions that were created before this time (`created_at < created_before`); `None` for all.
    pub created_before: Option<Timestamp>,
    /// What becomes of their rows.
    pub mode: DestroyMode,
}

/// Moves a live session to another key, in one atomic step.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// The present key, dead afterwards.
    pub from: SessionKey,
    /// The new key, which no row may have.
    pub to: SessionKey,
    /// New data; `None` keeps what is there.
    pub payload: Option<Payload>,
    /// The new expiry; `None` leaves it as it is.
    pub expires_at: Option<Timestamp>,
    /// The new principal; `None` leaves the session without one.
    pub principal: Option<Principal>,
    /// The version that the session must have; `None` for any.
    pub expected: Option<Version>,
    /// What becomes of the row of the present key.
    pub mode: DestroyMode,
}

/// The outcome of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The session lives under the new key alone, and this is its version; [`Version::NONE`] if none was expected and
    /// the backend leaves it open.
    Rotated(Version),
    /// The session is live, and its version is not the expected one. Nothing was changed.
    Stale,
    /// The session is absent or dead. Nothing was changed.
    Gone,
    /// A row has the new key, live or dead. Nothing was changed.
    KeyTaken,
}

/// What became of a session, as far as its row tells.
///
/// Exhaustive: each one asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is live.
    Live,
    /// Its expiry has passed.
    Expired,
    /// It was destroyed; where the table does not tell the two apart, it may also have been rotated away.
    Destroyed,
    /// It lives on, or lived on, under another id.
    RotatedAway,
    /// There is no row: it never was, or what was left of it was removed.
    Unknown,
}

/// One operation of [`Store::write_many`].
#[derive(Clone, Debug)]
pub enum Write {
    /// As [`Store::create`].
    Create(Create),
    /// As [`Store::update`].
    Update(Update),
    /// As [`Store::touch`].
    Touch(Touch),
    /// As [`Store::destroy`].
    Destroy(Destroy),
}

impl Write {
    /// The key that the operation concerns.
    pub fn key(&self) -> &SessionKey {
        match self {
            Write::Create(create) => &create.key,
            Write::Update(update) => &update.key,
            Write::Touch(touch) => &touch.key,
            Write::Destroy(destroy) => &destroy.key,
        }
    }

    /// The length of the data that goes to the database with it, in bytes.
    pub fn payload_len(&self) -> usize {
        match self {
            Write::Create(create) => create.payload.len(),
            Write::Update(update) => update.payload.len(),
            Write::Touch(_) | Write::Destroy(_) => 0,
        }
    }

    /// Does this one operation by its single form.
    ///
    /// # Errors
    /// Those of the operation.
    ///
    /// # Cancel safety
    /// That of the operation.
    pub async fn apply<S: Store + ?Sized>(&self, store: &S, now: Timestamp) -> Result<Written> {
        match self {
            Write::Create(create) => store.create(create, now).await.map(Written::Created),
            Write::Update(update) => store.update(update, now).await.map(Written::Updated),
            Write::Touch(touch) => store.touch(touch, now).await.map(Written::Touched),
            Write::Destroy(destroy) => store.destroy(destroy, now).await.map(Written::Destroyed),
        }
    }
}

/// The outcome of one [`Write`]: the variant of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// What [`Store::create`] would have returned.
    Created(Created),
    /// What [`Store::update`] would have returned.
    Updated(Updated),
    /// What [`Store::touch`] would have returned.
    Touched(Touched),
    /// What [`Store::destroy`] would have returned.
    Destroyed(bool),
}

impl Written {
    /// True if this is an outcome of that operation, and not of another one.
    pub(crate) fn answers(&self, write: &Write) -> bool {
        matches!(
            (self, write),
            (Written::Created(_), Write::Create(_))
                | (Written::Updated(_), Write::Update(_))
                | (Written::Touched(_), Write::Touch(_))
                | (Written::Destroyed(_), Write::Destroy(_))
        )
    }
}

/// The operation that was asked for, as errors, events and spans name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening the store.
    Connect,
    /// A new session.
    Create,
    /// Reading a session.
    Load,
    /// Replacing a session's data.
    Update,
    /// A read-modify-write.
    Modify,
    /// Create or update, never reviving a dead id.
    Set,
    /// Moving the expiry.
    Touch,
    /// Moving a session to a new id.
    Rotate,
    /// Ending one session or several.
    Destroy,
    /// Asking what became of a session.
    Fate,
    /// Removing rows whose expiry has passed.
    Purge,
    /// Reading live sessions page by page.
    List,
    /// Counting live sessions.
    Count,
    /// Removing every row.
    Clear,
    /// Reading the database's clock.
    ServerTime,
    /// Checking the table and the server.
    Diagnose,
}

impl Operation {
    /// The operation as a word for logs and metrics, such as `touch`.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::Create => "create",
            Operation::Load => "load",
            Operation::Update => "update",
            Operation::Modify => "modify",
            Operation::Set => "set",
            Operation::Touch => "touch",
            Operation::Rotate => "rotate",
            Operation::Destroy => "destroy",
            Operation::Fate => "fate",
            Operation::Purge => "purge",
            Operation::List => "list",
            Operation::Count => "count",
            Operation::Clear => "clear",
            Operation::ServerTime => "server time",
            Operation::Diagnose => "diagnose",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
