//! What a failed TLS handshake was about.

use std::error::Error as StdError;

/// True if a TLS handshake ended by what either side said, and not by the network.
pub(crate) fn is_about_certificates(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        next = error.source();
    }
    false
}
