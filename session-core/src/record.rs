//! A session as a store holds it, and as a listing shows it.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Principal, Result, SessionKey, Timestamp, random};

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

/// Which state of which session a record is.
///
/// A session is created at a version drawn by lot, and each update and each rotation adds one. A touch does not change it.
/// So a version belongs to one session. If an id is used again after its session was removed, a version of the old
/// session is not one of the new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(i64);

impl Version {
    /// No version is known. A backend without [`versions`](crate::Capabilities::versions) returns it for every session, and
    /// expecting a version there is [`Unsupported`](crate::ErrorKind::Unsupported). An update or a rotation without an
    /// expected version returns it if the backend would have to ask for the new version. No row holds it.
    pub const NONE: Version = Version(0);
    /// The lowest version that a session may be created at.
    pub const FIRST: Version = Version(1);
    /// The highest version that [`random`](Version::random) gives. Every JSON parser reads it, and what follows it, exactly.
    const LAST_RANDOM: u64 = 1 << 48;

    /// The version of a new session: any number from 1 to 2^48, each as likely.
    ///
    /// # Errors
    /// [`Backend`](crate::ErrorKind::Backend) if the operating system has no random numbers to give.
    pub fn random() -> Result<Version> {
        let bits = random::bytes("a session's version")?;
        let number = u64::from_ne_bytes(bits) % Version::LAST_RANDOM;
        Ok(Version(number.cast_signed() + 1))
    }

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

/// A live session as [`Store::load`](crate::contract::Store::load) finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The data, byte for byte as it was saved.
    pub payload: Payload,
    /// The session is dead from here on.
    pub expires_at: Timestamp,
    /// When it was created; a rotation keeps it. `None` in layouts that do not hold it.
    pub created_at: Option<Timestamp>,
    /// Which state of the session this is; [`Version::NONE`] without [`versions`](crate::Capabilities::versions).
    pub version: Version,
    /// Whom it belongs to; `None` without [`principals`](crate::Capabilities::principals).
    pub principal: Option<Principal>,
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
