//! The signature of the cookie's value, as the npm package `cookie-signature` makes it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, Mac as _};
use session_core::{Error, Result};
use sha2::Sha256;

/// What marks a value as signed.
const SIGNED: &str = "s:";

/// The secrets that sign session cookies: express-session's option `secret`.
///
/// The first one signs; every one verifies. To change the secret with nobody signed out, put the new one first and
/// leave the old one behind it until the last cookie that it signed has expired.
///
/// Its `Debug` shows how many there are, and nothing else.
///
/// ```
/// use session_store::express::Secrets;
///
/// let secrets = Secrets::new(["the new secret", "the old one"])?;
/// let value = secrets.sign("an id");
/// assert_eq!(secrets.verify(&value), Some("an id"));
/// # Ok::<_, session_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Secrets(Vec<Hmac<Sha256>>);

impl Secrets {
    /// The secrets, the signing one first. Text counts as its UTF-8, as it does in Node.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is none, or one is empty.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Secrets> {
        let keyed: Vec<_> =
            secrets.into_iter().map(|secret| keyed(secret.as_ref())).collect::<Result<_>>()?;
        if keyed.is_empty() {
            return Err(Error::invalid_input(
                "there is no cookie secret; give the one that the Node app uses",
            ));
        }
        Ok(Secrets(keyed))
    }

    /// The cookie's value for this session id: `s:`, the id, a dot, and the signature. Not percent-encoded;
    /// [`Cookie::render`](crate::express::Cookie::render) does that.
    pub fn sign(&self, id: &str) -> String {
        // There is a first one: `new` saw to that.
        let signature = self.0.first().map(|key| key.clone().chain_update(id).finalize().into_bytes());
        format!("{SIGNED}{id}.{}", STANDARD_NO_PAD.encode(signature.unwrap_or_default()))
    }

    /// The session id in a cookie's value, if one of the secrets signed it.
    ///
    /// The value is percent-decoded already, as [`find_cookie`](crate::express::find_cookie) returns it. The id may
    /// have dots: the last one ends it. The signatures are compared in constant time.
    pub fn verify<'v>(&self, value: &'v str) -> Option<&'v str> {
        let (id, signature) = value.strip_prefix(SIGNED)?.rsplit_once('.')?;
        // The strict alphabet makes this the comparison of texts that Node does: each digest has one form.
        let signature = STANDARD_NO_PAD.decode(signature).ok()?;
        let genuine = |key: &Hmac<Sha256>| key.clone().chain_update(id).verify_slice(&signature).is_ok();
        self.0.iter().any(genuine).then_some(id)
    }
}

fn keyed(secret: &[u8]) -> Result<Hmac<Sha256>> {
    if secret.is_empty() {
        return Err(Error::invalid_input("a cookie secret is empty; anybody could sign with it"));
    }
    Hmac::new_from_slice(secret).map_err(|_| Error::invalid_input("a cookie secret cannot be used as a key"))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}
