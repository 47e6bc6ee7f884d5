//! A connection from a URL: which host, with which encryption, in which state.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use rustls::crypto::CryptoProvider;
use session_core::{Error, Result};
use session_sql::mysql::{number, settings};
use session_sql::{Limits, Login, Tls, has_parameter, is_loopback, read_pem, take_parameter};

use super::client::Client;
use super::{error, url};

/// How a connection is made, beside its URL, in whose stead each of these stands.
#[derive(Default)]
pub(super) struct Options {
    pub(super) tls: Option<Tls>,
    /// Certificates of the authorities that are trusted, in PEM.
    pub(super) roots: Option<Vec<u8>>,
    pub(super) login: Login,
}

/// Makes connections to what a URL names.
#[derive(Clone)]
pub(super) struct Connector {
    opts: Opts,
    login: Login,
}

impl Connector {
    pub(super) fn new(url: &str, options: Options, limits: &Limits) -> Result<Connector> {
        let mut url = url::read(url)?;
        let ssl_mode = take_parameter(&mut url, "ssl-mode");
        let named = take_parameter(&mut url, "ssl-ca");
        let opts = url::opts(&url)?;
        let mode = match options.tls {
            Some(mode) => Some(mode),
            None => tls_mode(ssl_mode.as_deref(), &opts)?,
        };
        if opts.enable_cleartext_plugin() && mode == Some(Tls::Disabled) && opts.socket().is_none() {
            return Err(Error::invalid_input(number::IN_CLEAR));
        }
        let mut builder = OptsBuilder::from_opts(opts.clone())
            // Statements are kept beside the connection.
            .stmt_cache_size(0)
            // Without it an update that changes nothing counts as none.
            .client_found_rows(true)
            .init(settings::set_up(limits));
        if !has_parameter(&url, "prefer_socket") {
            // The default looks for a socket file behind every connection to this machine, even through a proxy.
            builder = builder.prefer_socket(false);
        }
        // What the builder is told counts before the URL, and the URL before what nobody said.
        if limits.told.keepalive || !has_parameter(&url, "tcp_keepalive") {
            // In milliseconds.
            let silence = limits.keepalive.map(|silence| Limits::millis(Some(silence)));
            builder = builder.tcp_keepalive(silence);
        }
        // A file that is not used is not read.
        let roots = match (options.roots, named) {
            (Some(pem), _) => Some(pem),
            (None, Some(path)) if matches!(mode, None | Some(Tls::Verified)) => Some(read_pem(path)?),
            (None, _) => None,
        };
        let in_its_own_words = opts.ssl_opts().cloned();
        builder = builder.ssl_opts(match (mode, roots) {
            (Some(Tls::Disabled), _) => None,
            (Some(Tls::Unverified), _) => Some(SslOpts::default().with_danger_accept_invalid_certs(true)),
            (Some(Tls::Verified), None) => Some(SslOpts::default()),
            (Some(Tls::Verified), Some(pem)) => Some(trusting(SslOpts::default(), pem)),
            (None, None) => in_its_own_words,
            (None, Some(pem)) => in_its_own_words.map(|options| trusting(options, pem)),
        });
        // mysql_async takes the process's provider of cryptography, and panics where two are linked and none is chosen.
        if CryptoProvider::get_default().is_none() {
            // An error says that another thread was faster.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Connector { opts: builder.into(), login: options.login })
    }

    pub(super) async fn connect(&self) -> Result<Client> {
        let opts = match self.login.credentials().await? {
            Some(credentials) => OptsBuilder::from_opts(self.opts.clone())
                .user(Some(credentials.user()))
                .pass(Some(credentials.password()))
                .into(),
            None => self.opts.clone(),
        };
        // In a box: the handshake's state is large, and this is rare.
        let connecting = Box::pin(async {
            let mut connection = Conn::new(opts).await?;
            let wsrep: Option<(String, String)> = connection.query_first(settings::ASK_GALERA).await?;
            if wsrep.is_some_and(|(_, value)| value.eq_ignore_ascii_case("on")) {
                connection.query_drop(settings::SET_UP_GALERA).await?;
            }
            Ok(connection)
        });
        let connection = connecting.await.map_err(|error| error::connecting(&error))?;
        Ok(Client::new(connection))
    }
}

/// Without a mode, a remote server must be encrypted and verified, and one on this machine need not be encrypted.
/// `None` leaves what the URL says in mysql_async's own words (`require_ssl`, `verify_ca`, …).
fn tls_mode(ssl_mode: Option<&str>, opts: &Opts) -> Result<Option<Tls>> {
    let local = opts.socket().is_some() || is_loopback(opts.ip_or_hostname());
    Ok(match ssl_mode.map(|mode| mode.to_ascii_uppercase().replace('-', "_")).as_deref() {
        None if opts.ssl_opts().is_some() => None,
        None | Some("PREFERRED") if local => Some(Tls::Disabled),
        None | Some("PREFERRED" | "REQUIRED" | "VERIFY_CA" | "VERIFY_IDENTITY") => Some(Tls::Verified),
        Some("DISABLED") => Some(Tls::Disabled),
        Some(_) => {
            return Err(Error::invalid_input(
                "the URL's ssl-mode is unknown; use DISABLED, REQUIRED or VERIFY_IDENTITY, or leave it out",
            ));
        }
    })
}

/// Trusts these authorities and no other.
fn trusting(options: SslOpts, pem: Vec<u8>) -> SslOpts {
    options.with_root_certs(vec![pem.into()]).with_disable_built_in_roots(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Result<Option<Tls>> {
        let mut url = url.to_owned();
        let ssl_mode = take_parameter(&mut url, "ssl-mode");
        tls_mode(ssl_mode.as_deref(), &Opts::from_url(&url).unwrap())
    }

    #[test]
    fn a_remote_server_is_verified_unless_told_otherwise() {
        let table = [
            ("mysql://u@db.example.org/d", Some(Tls::Verified)),
            ("mysql://u@db.example.org/d?ssl-mode=REQUIRED", Some(Tls::Verified)),
            ("mysql://u@db.example.org/d?ssl-mode=preferred", Some(Tls::Verified)),
            ("mysql://u@db.example.org/d?ssl-mode=DISABLED", Some(Tls::Disabled)),
            ("mysql://u@db.example.org/d?ssl-mode=verify-ca", Some(Tls::Verified)),
            ("mysql://u@db.example.org/d?require_ssl=true&verify_ca=false", None),
            ("mysql://u@localhost:3307/d", Some(Tls::Disabled)),
            ("mysql://u@127.0.0.1/d?ssl-mode=VERIFY_IDENTITY&tcp_nodelay=true", Some(Tls::Verified)),
        ];
        for (url, expected) in table {
            assert_eq!(mode(url).unwrap(), expected, "{url}");
        }
        assert!(mode("mysql://u@db/d?ssl-mode=on").is_err());
    }

    #[test]
    fn the_authority_of_the_code_is_the_only_one_whatever_the_url_says() {
        let ours = || Options { roots: Some(b"ours".to_vec()), ..Options::default() };
        for url in [
            "mysql://u@db/d",
            "mysql://u@db/d?ssl-ca=/no/such/file",
            "mysql://u@db/d?require_ssl=true",
            "mysql://u@db/d?require_ssl=true&verify_ca=true",
        ] {
            let connector = Connector::new(url, ours(), &Limits::default()).unwrap();
            let options = connector.opts.ssl_opts().unwrap();
            assert!(options.disable_built_in_roots(), "{url}");
            assert_eq!(options.root_certs(), [b"ours".to_vec().into()], "{url}");
        }
        let connector =
            Connector::new("mysql://u@db/d?require_ssl=true", Options::default(), &Limits::default())
                .unwrap();
        assert!(!connector.opts.ssl_opts().unwrap().disable_built_in_roots());
    }

    #[test]
    fn a_password_is_sent_as_it_is_over_an_encrypted_connection_alone() {
        let connector = |url: &str| Connector::new(url, Options::default(), &Limits::default());
        for url in [
            "mysql://u@db/d?enable_cleartext_plugin=true",
            "mysql://u@127.0.0.1/d?enable-cleartext-plugin=true&ssl-mode=REQUIRED",
            "mysql://u@localhost/d?allowCleartextPasswords=true&socket=/run/m.sock",
        ] {
            assert!(connector(url).unwrap().opts.enable_cleartext_plugin(), "{url}");
        }
        for url in [
            "mysql://u@db/d?enable_cleartext_plugin=true&ssl-mode=DISABLED",
            "mysql://u@127.0.0.1/d?enable_cleartext_plugin=true",
        ] {
            let Err(error) = connector(url) else { panic!("{url} is taken") };
            assert!(error.to_string().contains("VERIFY_IDENTITY"), "{url}: {error}");
        }
    }

    #[test]
    fn no_password_stands_in_an_error() {
        for url in ["mysql://u:hunter2@h:port/d", "mysql://u:hunter2@h/d?unknown=1", "pg://u:hunter2@h"] {
            let Err(error) = Connector::new(url, Options::default(), &Limits::default()) else { continue };
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
