//! A connection from a URL: which host, with which encryption, in which state.

use diesel::ConnectionResult;
use diesel_async::AsyncMysqlConnection;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use rustls::crypto::CryptoProvider;
use session_core::{Error, Result};

use super::{error, statements};
use crate::TlsMode;
use crate::tls::{Authority, is_loopback, take_parameter};

/// Makes connections to what a URL names.
#[derive(Clone)]
pub(super) struct Connector(Opts);

impl Connector {
    pub(super) fn new(url: &str, tls: Option<TlsMode>, authority: Option<Authority>) -> Result<Connector> {
        let mut url = url.to_owned();
        let ssl_mode = take_parameter(&mut url, "ssl-mode");
        let named = take_parameter(&mut url, "ssl-ca").map(|path| Authority::File(path.into()));
        let authority = authority.or(named);
        let opts = Opts::from_url(&url).map_err(|error| {
            // Its text names the parameter that is wrong; the password is in none.
            Error::invalid_input(format!(
                "the MySQL URL cannot be read ({error}); use mysql://user:password@host:port/database"
            ))
        })?;
        let chosen = match tls {
            Some(mode) => Some(mode),
            None => tls_mode(ssl_mode.as_deref(), &opts)?,
        };
        let mut builder = OptsBuilder::from_opts(opts.clone())
            // diesel-async has a cache of its own.
            .stmt_cache_size(0)
            // Without it an update that changes nothing counts as none.
            .client_found_rows(true)
            .init(statements::SET_UP.to_vec());
        if !url.contains("prefer_socket=") {
            // The default looks for a socket file behind every connection to this machine, even through a proxy.
            builder = builder.prefer_socket(false);
        }
        let in_its_own_words = opts.ssl_opts().cloned();
        builder = builder.ssl_opts(match (chosen, authority) {
            (Some(mode), authority) => ssl_opts(mode, authority)?,
            (None, Some(authority)) => {
                in_its_own_words.map(|options| trusting(options, authority)).transpose()?
            }
            (None, None) => in_its_own_words,
        });
        // mysql_async takes the process's provider of cryptography, and panics where two are linked and none is chosen.
        if CryptoProvider::get_default().is_none() {
            // An error says that another thread was faster.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Connector(builder.into()))
    }

    pub(super) async fn connect(&self) -> ConnectionResult<AsyncMysqlConnection> {
        let connection = Conn::new(self.0.clone()).await.map_err(|error| error::connecting(&error))?;
        AsyncMysqlConnection::try_from(connection).await
    }
}

/// Without a mode, a remote server must be encrypted and verified, and one on this machine need not be encrypted.
/// `None` leaves what the URL says in mysql_async's own words (`require_ssl`, `verify_ca`, …).
fn tls_mode(ssl_mode: Option<&str>, opts: &Opts) -> Result<Option<TlsMode>> {
    let local = opts.socket().is_some() || is_loopback(opts.ip_or_hostname());
    Ok(match ssl_mode.map(str::to_ascii_uppercase).as_deref() {
        None if opts.ssl_opts().is_some() => None,
        None | Some("PREFERRED") if local => Some(TlsMode::Disabled),
        None | Some("PREFERRED" | "REQUIRED" | "VERIFY_CA" | "VERIFY_IDENTITY") => Some(TlsMode::Verified),
        Some("DISABLED") => Some(TlsMode::Disabled),
        Some(_) => {
            return Err(Error::invalid_input(
                "the URL's ssl-mode is unknown; use DISABLED, REQUIRED or VERIFY_IDENTITY, or leave it out",
            ));
        }
    })
}

fn ssl_opts(mode: TlsMode, authority: Option<Authority>) -> Result<Option<SslOpts>> {
    let options = SslOpts::default();
    Ok(match (mode, authority) {
        (TlsMode::Disabled, _) => None,
        (TlsMode::Unverified, _) => Some(options.with_danger_accept_invalid_certs(true)),
        (TlsMode::Verified, None) => Some(options),
        (TlsMode::Verified, Some(authority)) => Some(trusting(options, authority)?),
    })
}

/// Trusts this authority and no other.
fn trusting(options: SslOpts, authority: Authority) -> Result<SslOpts> {
    Ok(options.with_root_certs(vec![authority.pem()?.into()]).with_disable_built_in_roots(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<Option<TlsMode>> {
        let mut url = url.to_owned();
        let ssl_mode = take_parameter(&mut url, "ssl-mode");
        tls_mode(ssl_mode.as_deref(), &Opts::from_url(&url).unwrap())
    }

    #[test]
    fn a_remote_server_is_verified_unless_told_otherwise() {
        let table = [
            ("mysql://u@db.example.org/d", Some(TlsMode::Verified)),
            ("mysql://u@db.example.org/d?ssl-mode=REQUIRED", Some(TlsMode::Verified)),
            ("mysql://u@db.example.org/d?ssl-mode=preferred", Some(TlsMode::Verified)),
            ("mysql://u@db.example.org/d?ssl-mode=DISABLED", Some(TlsMode::Disabled)),
            ("mysql://u@db.example.org/d?require_ssl=true&verify_ca=false", None),
            ("mysql://u@localhost:3307/d", Some(TlsMode::Disabled)),
            ("mysql://u@127.0.0.1/d?ssl-mode=VERIFY_IDENTITY&tcp_nodelay=true", Some(TlsMode::Verified)),
        ];
        for (url, expected) in table {
            assert_eq!(mode(url).unwrap(), expected, "{url}");
        }
        assert!(mode("mysql://u@db/d?ssl-mode=on").is_err());
    }

    #[test]
    fn the_authority_of_the_code_is_the_only_one_whatever_the_url_says() {
        let ours = || Authority::Pem(b"ours".to_vec());
        for url in [
            "mysql://u@db/d",
            "mysql://u@db/d?ssl-ca=/no/such/file",
            "mysql://u@db/d?require_ssl=true",
            "mysql://u@db/d?require_ssl=true&verify_ca=true",
        ] {
            let connector = Connector::new(url, None, Some(ours())).unwrap();
            let options = connector.0.ssl_opts().unwrap();
            assert!(options.disable_built_in_roots(), "{url}");
            assert_eq!(options.root_certs(), [b"ours".to_vec().into()], "{url}");
        }
        let connector = Connector::new("mysql://u@db/d?require_ssl=true", None, None).unwrap();
        assert!(!connector.0.ssl_opts().unwrap().disable_built_in_roots());
    }

    #[test]
    fn no_password_stands_in_an_error() {
        for url in ["mysql://u:hunter2@h:port/d", "mysql://u:hunter2@h/d?unknown=1", "pg://u:hunter2@h"] {
            let Err(error) = Connector::new(url, None, None) else { continue };
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
