//! Whether and how a connection is encrypted, and what a URL says of it.

use std::fs;
use std::path::Path;

use session_core::{Error, Result};

/// Whether a connection is encrypted, and whether the server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Encrypted, and the server's certificate is verified: signed by an authority that is trusted, and made out to
    /// the host's name.
    Verified,
    /// Encrypted, with whomever answers. Protects against a listener, not against a forged server.
    Unverified,
    /// In clear.
    Disabled,
}

/// What is in a file of certificates, in PEM, that a URL names.
///
/// # Errors
/// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if it cannot be read.
pub fn read_pem(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        Error::invalid_input("a certificate's file that the URL names cannot be read; name one in PEM")
            .with_source(error)
    })
}

/// True for a host that a packet reaches without leaving this machine.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_remote() {
        for local in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in ["db", "localhost.example.org", "10.0.0.1", "0.0.0.0", "128.0.0.1", "::2"] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }
}
