//! What a store holds for a session, and the changes that can be asked for.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Principal, SessionKey, Timestamp};

/// A session's data as the database holds it: UTF-8 text, by default JSON. Cheap to clone. Its `Debug` shows the
/// length only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Arc<str>);

impl Payload {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length in bytes of UTF-8.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        Payload(text.into())
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Payload {
        Payload(text.into())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// How often a session was updated: 1 when it is created, one more with each update and each rotation. A touch does
/// not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(i64);

impl Version {
    /// No version is known: of every session in a backend without [`Capabilities::versions`], where expecting it is
    /// [`Unsupported`](crate::ErrorKind::Unsupported); and of one that was updated or rotated without an expected
    /// version by a backend that would have to ask for the new one. No session has it.
    pub const NONE: Version = Version(0);
    /// The version of a session that was created and never updated.
    pub const FIRST: Version = Version(1);

    /// The version with this number, as a driver reads it from the table.
    pub const fn new(number: i64) -> Version {
        Version(number)
    }

    /// The number to bind.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Version {
        // At a million updates a second the end is 292,000 years away.
        Version(self.0.saturating_add(1))
    }
}

/// A live session as [`Store::load`](crate::Store::load) finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The data, byte for byte as it was saved.
    pub payload: Payload,
    /// The session is dead from here on.
    pub expires_at: Timestamp,
    /// When it was created; a rotation keeps it. `None` in layouts that do not hold it.
    pub created_at: Option<Timestamp>,
    /// How often it was updated; [`Version::NONE`] without [`Capabilities::versions`].
    pub version: Version,
    /// Whom it belongs to; `None` without [`Capabilities::principals`].
    pub principal: Option<Principal>,
}

/// A new session. Its `created_at` is the `now` of the call, its version [`Version::FIRST`].
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
}

/// Replaces data, expiry and principal of a live session.
#[derive(Clone, Debug)]
pub struct Update {
    /// The key.
    pub key: SessionKey,
    /// The new data.
    pub payload: Payload,
    /// The new expiry. It may be in the past: then the session is dead after the update.
    pub expires_at: Timestamp,
    /// The new principal; `None` leaves the session without one.
    pub principal: Option<Principal>,
    /// The version that the session must have; `None` for any.
    pub expected: Option<Version>,
}

/// Moves the expiry of a live session.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The key.
    pub key: SessionKey,
    /// The new expiry, earlier or later than the present one.
    pub expires_at: Timestamp,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestroyMode {
    /// It stays, marked with the time of death, until its expiry has passed and a purge removes it: for analysis,
    /// and so that its key stays taken.
    Soft,
    /// It goes at once, and its key can be created again. After
    /// [`destroy_principal`](crate::Store::destroy_principal) an empty row may stay for the next purge.
    Hard,
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
    /// The new expiry.
    pub expires_at: Timestamp,
    /// The new principal; `None` leaves the session without one.
    pub principal: Option<Principal>,
    /// The version that the session must have; `None` for any.
    pub expected: Option<Version>,
    /// What becomes of the row of the present key.
    pub mode: DestroyMode,
}

/// One operation of [`Store::write_many`](crate::Store::write_many).
#[derive(Clone, Debug)]
pub enum Write {
    /// As [`Store::create`](crate::Store::create).
    Create(Create),
    /// As [`Store::update`](crate::Store::update).
    Update(Update),
    /// As [`Store::touch`](crate::Store::touch).
    Touch(Touch),
    /// As [`Store::destroy`](crate::Store::destroy).
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
}

/// The outcome of one [`Write`]: the variant of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// What [`Store::create`](crate::Store::create) would have returned.
    Created(Created),
    /// What [`Store::update`](crate::Store::update) would have returned.
    Updated(Updated),
    /// What [`Store::touch`](crate::Store::touch) would have returned.
    Touched(bool),
    /// What [`Store::destroy`](crate::Store::destroy) would have returned.
    Destroyed(bool),
}

/// The outcome of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The session is there, at [`Version::FIRST`].
    Created,
    /// A row has the key, live or dead. Nothing was changed.
    KeyTaken,
}

/// The outcome of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It was done, and this is the session's version now; [`Version::NONE`] if none was expected and the backend leaves
    /// it open.
    Saved(Version),
    /// The session is live, and its version is not the expected one. Nothing was changed.
    Stale,
    /// The session is absent or dead. Nothing was changed.
    Gone,
}

/// The outcome of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The session lives under the new key alone, and this is its version; [`Version::NONE`] if none was expected and the
    /// backend leaves it open.
    Rotated(Version),
    /// The session is live, and its version is not the expected one. Nothing was changed.
    Stale,
    /// The session is absent or dead. Nothing was changed.
    Gone,
    /// A row has the new key, live or dead. Nothing was changed.
    KeyTaken,
}

/// Which live sessions to list or count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this principal; `None` for all.
    pub principal: Option<Principal>,
}

/// One entry of a listing.
#[derive(Debug)]
pub struct Listed {
    /// The key, to go on from and to destroy by.
    pub key: SessionKey,
    /// The session, or why this one cannot be read. The others are listed all the same.
    pub record: Result<Record, Error>,
}

/// What a backend, or a table's layout, can do. A call for anything else returns
/// [`Unsupported`](crate::ErrorKind::Unsupported) and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Counts updates, so that an update can expect a version.
    pub versions: bool,
    /// Holds whom a session belongs to, so that listing, counting and destroying by principal work.
    pub principals: bool,
    /// Moves a session to another key in one atomic step.
    pub rotation: bool,
    /// Keeps destroyed sessions' rows ([`DestroyMode::Soft`]).
    pub tombstones: bool,
    /// Holds when a session was created.
    pub created_at: bool,
    /// Holds every expiry exactly, to the millisecond and over the whole range of [`Timestamp`]. Otherwise a
    /// session never dies earlier than asked, and at most 4 ms later.
    pub exact_expiry: bool,
    /// Tells the new version of an update or rotation that expected none. Otherwise it may leave it open
    /// ([`Version::NONE`]).
    pub told_versions: bool,
    /// Removes rows at an end by principal with [`DestroyMode::Hard`]. Otherwise they may stay, empty, for the next
    /// purge.
    pub hard_ends: bool,
}

impl Capabilities {
    /// Everything that the contract knows.
    pub const ALL: Capabilities = Capabilities {
        versions: true,
        principals: true,
        rotation: true,
        tombstones: true,
        created_at: true,
        exact_expiry: true,
        told_versions: true,
        hard_ends: true,
    };
}

/// What [`Store::diagnose`](crate::Store::diagnose) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is so, in one sentence.
    pub what: String,
    /// How to mend it, in one sentence or one statement; empty for [`Severity::Note`].
    pub remedy: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A fact worth knowing, such as the server's version.
    Note,
    /// It works, but slowly, or not for long.
    Warning,
    /// A guarantee is broken.
    Fault,
}

impl Finding {
    /// A fact worth knowing.
    pub fn note(what: impl Into<String>) -> Finding {
        Finding { severity: Severity::Note, what: what.into(), remedy: String::new() }
    }

    /// Something that works, but slowly, or not for long.
    pub fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, what: what.into(), remedy: remedy.into() }
    }

    /// Something that breaks a guarantee.
    pub fn fault(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { severity: Severity::Fault, what: what.into(), remedy: remedy.into() }
    }
}
