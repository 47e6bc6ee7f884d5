//! Whether and how a connection is encrypted.

use std::path::PathBuf;

/// Whether a connection is encrypted, and whether the server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Encrypted, and the server's certificate is verified: signed by an authority that is trusted, and made out to
    /// the host's name.
    Verified,
    /// Encrypted, with whomever answers. Protects against a listener, not against a forged server.
    Unverified,
    /// In clear.
    Disabled,
}

/// Where the certificates of trusted authorities come from, in PEM.
#[derive(Clone, Debug)]
pub(crate) enum Authority {
    File(PathBuf),
    Pem(Vec<u8>),
}

/// True for a host that a packet reaches without leaving this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
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
