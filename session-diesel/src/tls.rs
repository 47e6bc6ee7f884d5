//! Whether and how a connection is encrypted.

use std::fs;
use std::path::PathBuf;

use session_core::{Error, Result};

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

impl Authority {
    /// The certificates.
    pub(crate) fn pem(self) -> Result<Vec<u8>> {
        match self {
            Authority::Pem(pem) => Ok(pem),
            Authority::File(path) => fs::read(path).map_err(|error| {
                Error::invalid_input(
                    "the CA's certificate cannot be read; name a file with certificates in PEM",
                )
                .with_source(error)
            }),
        }
    }
}

/// Takes a parameter out of a URL's query, and decodes it.
pub(crate) fn take_parameter(url: &mut String, name: &str) -> Option<String> {
    let (base, query) = url.split_once('?')?;
    let is_it = |parameter: &&str| parameter.split_once('=').is_some_and(|(key, _)| key == name);
    let value = query.split('&').find(is_it)?.split_once('=')?.1;
    let value = percent_decoded(value);
    let rest: Vec<&str> = query.split('&').filter(|parameter| !is_it(parameter)).collect();
    *url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Some(value)
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
    fn a_parameter_is_taken_out_and_the_rest_stays() {
        let mut url =
            "postgresql://u:p@a,b/d?ca=%2Fetc%2Fca%20x.pem&target_session_attrs=read-write".to_owned();
        assert_eq!(take_parameter(&mut url, "ca").as_deref(), Some("/etc/ca x.pem"));
        assert_eq!(url, "postgresql://u:p@a,b/d?target_session_attrs=read-write");
        assert_eq!(take_parameter(&mut url, "session"), None);
        assert_eq!(take_parameter(&mut url, "target_session_attrs").as_deref(), Some("read-write"));
        assert_eq!(url, "postgresql://u:p@a,b/d");
    }

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
