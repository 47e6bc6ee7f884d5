//! A session's id, which is secret, and its key, which the database holds.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, random};

/// The secret in the cookie. Whoever has it is signed in. So it is never printed (its `Debug` shows nothing of it), and a
/// table with hashed ids never contains it.
///
/// Two ids are the same session if and only if their bytes are equal.
///
/// ```
/// use session_core::SessionId;
///
/// let id = SessionId::random()?;
/// assert_eq!(SessionId::new(id.expose())?, id); // into the cookie, and out of it
/// assert_eq!(format!("{id:?}"), "SessionId(..)");
/// # Ok::<_, session_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The longest id, in bytes of UTF-8.
    pub const MAX_LEN: usize = 255;

    /// A new id: 256 random bits of the operating system as 43 characters of base64url.
    ///
    /// # Errors
    /// [`Backend`](crate::ErrorKind::Backend) if the operating system has no random numbers to give.
    pub fn random() -> Result<SessionId> {
        let bits: [u8; 32] = random::bytes("a session id")?;
        Ok(SessionId(URL_SAFE_NO_PAD.encode(bits).into()))
    }

    /// An id that a framework or another program chose: any text of 1 to 255 bytes. The caller vouches that it
    /// cannot be guessed.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is empty or longer.
    pub fn new(id: impl Into<Arc<str>>) -> Result<SessionId> {
        let id = id.into();
        if id.is_empty() {
            return Err(Error::invalid_input(
                "the session id is empty; pass the value of the session cookie",
            ));
        }
        if id.len() > SessionId::MAX_LEN {
            return Err(Error::invalid_input(format!(
                "the session id has {} bytes and may have {}; this is not a cookie that this store issued",
                id.len(),
                SessionId::MAX_LEN
            )));
        }
        Ok(SessionId(id))
    }

    /// The id in clear, to put it into a cookie.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key under which a table of this format holds the session.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for [`KeyFormat::Plain`] if the id has a U+0000, which
    /// Postgres cannot hold.
    pub fn key(&self, format: KeyFormat) -> Result<SessionKey> {
        match format {
            KeyFormat::Hashed => Ok(SessionKey(Repr::Digest(Sha256::digest(self.0.as_bytes()).into()))),
            KeyFormat::Plain if self.0.contains('\0') => Err(Error::invalid_input(
                "the session id has a U+0000, which a table with plain ids cannot hold; use a table with hashed ids",
            )),
            KeyFormat::Plain => Ok(SessionKey(Repr::Text(Arc::clone(&self.0)))),
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// How a table holds the ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyFormat {
    /// The SHA-256 of the id, 32 bytes: who reads the table, a backup or a replica cannot take over a session. The
    /// default.
    #[default]
    Hashed,
    /// The id itself. For tables that another program shares.
    Plain,
}

/// What the database holds instead of the id.
///
/// A hashed key is safe to log, to list and to hand to an operator, and prints as hexadecimal digits. A plain key is
/// the id and so a secret; it prints as `SessionKey(..)`.
///
/// The order of keys is the order of their bytes. The order in which a backend lists them is its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Digest([u8; 32]),
    Text(Arc<str>),
}

impl SessionKey {
    /// The hashed key with these bytes, as a driver reads it from the table.
    pub fn from_digest(digest: [u8; 32]) -> SessionKey {
        SessionKey(Repr::Digest(digest))
    }

    /// The plain key with this text, as a driver reads it from the table.
    pub fn from_text(text: impl Into<Arc<str>>) -> SessionKey {
        SessionKey(Repr::Text(text.into()))
    }

    /// The format of this key.
    pub fn format(&self) -> KeyFormat {
        match self.0 {
            Repr::Digest(_) => KeyFormat::Hashed,
            Repr::Text(_) => KeyFormat::Plain,
        }
    }

    /// The bytes to bind: 32 of them for a hashed key, the id's UTF-8 for a plain one.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Digest(digest) => digest,
            Repr::Text(text) => text.as_bytes(),
        }
    }

    /// The digest, if this is a hashed key.
    pub fn as_digest(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Repr::Digest(digest) => Some(digest),
            Repr::Text(_) => None,
        }
    }

    /// The text, if this is a plain key.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Digest(_) => None,
            Repr::Text(text) => Some(text),
        }
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Text(_) => f.write_str("SessionKey(..)"),
            Repr::Digest(digest) => {
                f.write_str("SessionKey(")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
        }
    }
}

/// Whom a session belongs to: any text of 1 to 255 bytes without U+0000, such as a user's id. Compared byte for
/// byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The longest principal, in bytes of UTF-8.
    pub const MAX_LEN: usize = 255;

    /// Checks the text.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is empty, longer, or has a U+0000.
    pub fn new(principal: impl Into<Arc<str>>) -> Result<Principal> {
        let principal = principal.into();
        if principal.is_empty() || principal.len() > Principal::MAX_LEN || principal.contains('\0') {
            return Err(Error::invalid_input(format!(
                "a principal has 1 to {} bytes and no U+0000; use a short stable name, such as the user's id",
                Principal::MAX_LEN
            )));
        }
        Ok(Principal(principal))
    }

    /// Makes a principal of any text, as [`Sessions`](crate::Sessions) does. An empty text is nobody: `None`. A text that
    /// is too long, has a U+0000 or looks like a digest is represented by its SHA-256: `sha256:` and 43 characters of
    /// base64url.
    ///
    /// ```
    /// use session_core::Principal;
    ///
    /// assert_eq!(Principal::of("ann").unwrap().as_str(), "ann");
    /// assert!(Principal::of("").is_none());
    /// assert!(Principal::of(&"long".repeat(100)).unwrap().as_str().starts_with("sha256:"));
    /// ```
    pub fn of(text: &str) -> Option<Principal> {
        const DIGEST: &str = "sha256:";
        if text.is_empty() {
            return None;
        }
        if text.len() > Principal::MAX_LEN || text.contains('\0') || text.starts_with(DIGEST) {
            let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()));
            return Some(Principal(format!("{DIGEST}{digest}").into()));
        }
        Some(Principal(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn random_ids_have_256_bits_and_differ() {
        let ids: HashSet<SessionId> = (0..100).map(|_| SessionId::random().unwrap()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.expose().len() == 43));
    }

    #[test]
    fn empty_and_overlong_ids_are_refused() {
        assert_eq!(SessionId::new("").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(SessionId::new("é".repeat(128)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(SessionId::new("x".repeat(255)).is_ok());
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let id = SessionId::new("top-secret").unwrap();
        let plain = id.key(KeyFormat::Plain).unwrap();
        let hashed = id.key(KeyFormat::Hashed).unwrap();
        assert_eq!(format!("{id:?} {plain:?}"), "SessionId(..) SessionKey(..)");
        assert!(!format!("{hashed:?}").contains("secret"), "{hashed:?}");
    }

    #[test]
    fn a_hashed_key_is_the_sha_256_of_the_id() {
        let key = SessionId::new("abc").unwrap().key(KeyFormat::Hashed).unwrap();
        // The first test vector of FIPS 180-4.
        assert!(
            format!("{key:?}").contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
    }

    #[test]
    fn a_plain_key_cannot_hold_nul() {
        let id = SessionId::new("a\0b").unwrap();
        assert_eq!(id.key(KeyFormat::Plain).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(id.key(KeyFormat::Hashed).is_ok());
    }

    #[test]
    fn every_text_but_the_empty_one_is_a_principal() {
        assert_eq!(Principal::of(""), None);
        assert_eq!(Principal::of("ann").unwrap().as_str(), "ann");
        assert_eq!(Principal::of(&"x".repeat(255)).unwrap().as_str(), "x".repeat(255));
        let long = Principal::of(&"x".repeat(256)).unwrap();
        assert_eq!(long.as_str().len(), 50);
        assert!(Principal::new(long.as_str()).is_ok());
        // Nobody can choose a name that is taken for the digest of another one.
        let others = [long.as_str().to_owned(), "x".repeat(257), "a\0".to_owned()];
        assert!(others.iter().all(|other| Principal::of(other) != Some(long.clone())));
    }
}
