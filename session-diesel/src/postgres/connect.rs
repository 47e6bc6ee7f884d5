//! A connection from a URL: which host, with which encryption, in which state.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use session_core::{Error, ErrorKind, Result};
use session_sql::postgres::url::Words;
use session_sql::postgres::{Engines, greeting, settings};
use session_sql::{Limits, Login, Tls, is_loopback, read_pem};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslNegotiation};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::client::Client;
use super::error;
use super::hosts::{Hosts, Refused};
use super::way::Way;

/// How long one address may take to answer, where the URL has no `connect_timeout`: short enough that a call gets to
/// the second host of a URL within its deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said where a pooler does not let settings through.
const POOLER: &str = "a pooler stands before the server that lends its connections for one transaction, or passes no \
    settings on; build the store with `pgbouncer(true)`";

/// How a connection is made, beside its URL, in whose stead each of these stands.
#[derive(Default)]
pub(super) struct Options {
    pub(super) tls: Option<Tls>,
    /// Certificates of the authorities that are trusted, in PEM.
    pub(super) roots: Option<Vec<u8>>,
    pub(super) login: Login,
    pub(super) pgbouncer: bool,
}

/// Makes connections to what a URL names.
#[derive(Clone)]
pub(super) struct Connector {
    hosts: Arc<Hosts>,
    way: Way,
    login: Login,
    pgbouncer: bool,
    engines: Arc<Engines>,
}

impl Connector {
    pub(super) fn new(url: &str, options: Options, limits: &Limits, engines: Engines) -> Result<Connector> {
        let mut address = Address::parse(url)?;
        let connect_timeout = address.rest.take_connect_timeout()?;
        let tcp_user_timeout = address.rest.take_tcp_user_timeout()?;
        let mut config = address.config()?;
        let own_timeout = connect_timeout.is_some();
        config.connect_timeout(match connect_timeout {
            None => CONNECT_TIMEOUT,
            Some(own) => own.unwrap_or(limits.login),
        });
        if let Some(limit) = tcp_user_timeout {
            config.tcp_user_timeout(limit);
        }
        // What the builder is told counts before the URL, and the URL before what nobody said.
        let said = |word| !limits.told.keepalive && address.rest.has(word);
        if !said("keepalives") {
            config.keepalives(limits.keepalive.is_some());
        }
        if let Some(silence) = limits.keepalive
            && !said("keepalives_idle")
        {
            config.keepalives_idle(silence);
        }
        let mode = match options.tls {
            Some(mode) => mode,
            None => address.tls_mode(&config)?,
        };
        let roots = match (options.roots, address.root_certificate) {
            (Some(pem), _) => Some(pem),
            (None, Some(path)) if mode == Tls::Verified && path != "system" => Some(read_pem(path)?),
            (None, _) => None,
        };
        if !options.pgbouncer {
            let settings = settings::options(config.get_options(), limits);
            config.options(settings);
        }
        let tls = match mode {
            Tls::Disabled => None,
            _ => Some(MakeRustlsConnect::new(client_config(mode, roots.as_deref())?)),
        };
        let way = Way::new(tls, config.get_ssl_negotiation() == SslNegotiation::Direct);
        let hosts = Arc::new(Hosts::of(&config, own_timeout, limits.login));
        let (login, pgbouncer) = (options.login, options.pgbouncer);
        Ok(Connector { hosts, way, login, pgbouncer, engines: Arc::new(engines) })
    }

    pub(super) fn way(&self) -> Way {
        self.way.clone()
    }

    pub(super) async fn connect(&self) -> Result<Client> {
        let credentials = self.login.credentials().await?;
        let adapt = |config: &mut Config| {
            if let Some(credentials) = &credentials {
                config.user(credentials.user()).password(credentials.password());
            }
        };
        let connected = self.hosts.connect(&self.way, adapt).await;
        let (client, connection) = connected.map_err(|refused| match refused {
            Refused::Client(error) => self.refused(&error),
            Refused::Words(words) => Error::unavailable(format!("the server cannot be reached: {words}"))
                .with_unreachable()
                .with_in_doubt(false),
        })?;
        let client = Client::new(client, connection, !self.pgbouncer);
        let asked = client.texts(&greeting()).await;
        let [proof, _, version, sharded] = asked.map_err(|error| error::connecting(&error))?;
        self.engines.check_version(version.as_deref().unwrap_or_default())?;
        if sharded.as_deref() == Some("true") {
            let asked = client.texts(&self.engines.distribution()).await;
            let [method] = asked.map_err(|error| error::connecting(&error))?;
            self.engines.check_distribution(method.as_deref())?;
        }
        // A pooler may be told to drop settings, and a batch relies on them for the order of its locks.
        if !self.pgbouncer && proof.as_deref() != Some("off") {
            return Err(Error::invalid_input(POOLER));
        }
        Ok(client)
    }

    /// A server takes every setting of ours; what refuses them is a pooler.
    fn refused(&self, error: &tokio_postgres::Error) -> Error {
        let message = error.as_db_error().map(|server| server.message().to_ascii_lowercase());
        let about_settings = |message: String| {
            message.contains("startup parameter")
                || message.contains("command-line options")
                || message.contains("startup option")
        };
        let refused = error::connecting(error);
        if !self.pgbouncer && refused.kind() == ErrorKind::Backend && message.is_some_and(about_settings) {
            let code = refused.code().unwrap_or_default().to_owned();
            return Error::invalid_input(POOLER).with_code(code);
        }
        refused
    }
}

/// A URL without the parameters that libpq knows and tokio-postgres does not.
struct Address {
    rest: Words,
    sslmode: Option<String>,
    /// The file's path.
    root_certificate: Option<String>,
}

impl Address {
    fn parse(url: &str) -> Result<Address> {
        let mut rest = Words::parse(url, &[])?;
        let sslmode = rest.take("sslmode");
        let root_certificate = rest.take("sslrootcert");
        Ok(Address { rest, sslmode, root_certificate })
    }

    fn config(&self) -> Result<Config> {
        self.rest.joined().parse().map_err(|error: tokio_postgres::Error| {
            // Its text names the parameter that is wrong, and shows no value.
            Error::invalid_input(format!(
                "the Postgres URL cannot be read ({error}{}); use postgres://user:password@host:port/database",
                std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default()
            ))
        })
    }

    /// Without a mode, a remote server must be encrypted and verified, and one on this machine need not be encrypted.
    fn tls_mode(&self, config: &Config) -> Result<Tls> {
        let local = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_loopback(name),
            #[cfg(unix)]
            Host::Unix(_) => true,
        }) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
        // No certificate has a name for a socket, which nobody else can listen to; libpq passes over its sslmode, too.
        #[cfg(unix)]
        if !config.get_hosts().is_empty()
            && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
        {
            return Ok(Tls::Disabled);
        }
        match self.sslmode.as_deref() {
            None | Some("prefer" | "allow") if local => Ok(Tls::Disabled),
            None | Some("prefer" | "allow" | "require" | "verify-ca" | "verify-full") => Ok(Tls::Verified),
            Some("disable") => Ok(Tls::Disabled),
            Some(_) => Err(Error::invalid_input(
                "the URL's sslmode is unknown; use disable, require or verify-full, or leave it out",
            )),
        }
    }
}

fn client_config(mode: Tls, roots: Option<&[u8]>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid_input("TLS cannot be set up").with_source(error))?;
    Ok(match mode {
        Tls::Verified => builder.with_root_certificates(trusted(roots)?).with_no_client_auth(),
        Tls::Unverified => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth(),
        Tls::Disabled => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    })
}

/// The authorities that are trusted: the given ones alone, or else the operating system's.
fn trusted(pem: Option<&[u8]>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = pem else {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        return match roots.is_empty() {
            false => Ok(roots),
            true => Err(Error::invalid_input(
                "the operating system has no trusted certificates; install ca-certificates, or name a CA",
            )),
        };
    };
    let unreadable = "the CA's certificate cannot be read; give certificates in PEM";
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::invalid_input(unreadable).with_source(error))?;
    if certificates.is_empty() {
        return Err(Error::invalid_input(unreadable));
    }
    for certificate in certificates {
        roots.add(certificate).map_err(|error| Error::invalid_input(unreadable).with_source(error))?;
    }
    Ok(roots)
}

/// Takes every server for the right one; it must still own the key of the certificate that it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use session_sql::Told;

    use session_core::TableName;

    use super::*;

    fn engines() -> Engines {
        Engines::new(&TableName::default(), false)
    }

    fn mode(url: &str) -> Result<Tls> {
        let address = Address::parse(url)?;
        address.tls_mode(&address.config()?)
    }

    #[test]
    fn a_remote_server_is_verified_unless_told_otherwise() {
        let table = [
            ("postgres://u@db.example.org/d", Tls::Verified),
            ("postgres://u@db.example.org/d?sslmode=require", Tls::Verified),
            ("postgres://u@db.example.org/d?sslmode=prefer", Tls::Verified),
            ("postgres://u@db.example.org/d?sslmode=disable", Tls::Disabled),
            ("postgres://u@localhost,db2/d", Tls::Verified),
            ("postgres://u@localhost:5433/d", Tls::Disabled),
            ("postgres://u@127.0.0.1/d?sslmode=verify-full&application_name=x", Tls::Verified),
            ("postgres://u@[::1]/d", Tls::Disabled),
            ("host=db user=u", Tls::Verified),
            ("host=/run/postgresql user=u", Tls::Disabled),
            ("host=localhost sslmode=verify-ca user=u", Tls::Verified),
            ("host=/run/postgresql sslmode=require user=u", Tls::Disabled),
            ("host=localhost sslmode='verify-full' user=u", Tls::Verified),
        ];
        for (url, expected) in table {
            assert_eq!(mode(url).unwrap(), expected, "{url}");
        }
        assert!(mode("postgres://u@db/d?sslmode=on").is_err());
    }

    #[test]
    fn a_login_asks_for_settings_unless_a_pooler_lends_the_connection() {
        let options = |pgbouncer| {
            let options = Options { pgbouncer, ..Options::default() };
            let url = "host=localhost options='-c geqo=off'";
            let connector = Connector::new(url, options, &Limits::default(), engines()).unwrap();
            connector.hosts.first().get_options().map(str::to_owned).unwrap()
        };
        let ours = options(false);
        assert!(ours.starts_with("-c geqo=off -c plan_cache_mode=force_generic_plan "), "{ours}");
        assert!(ours.contains(r" -c default_transaction_isolation=read\ committed "), "{ours}");
        assert!(ours.ends_with(" -c statement_timeout=4500 -c lock_timeout=4000"), "{ours}");
        assert_eq!(options(true), "-c geqo=off");
    }

    #[test]
    fn the_builder_counts_before_the_url_and_the_url_before_the_defaults() {
        let config = |url: &str, limits: &Limits| {
            Connector::new(url, Options::default(), limits, engines()).unwrap().hosts.first().clone()
        };
        let told = Limits {
            statement: Some(Duration::from_secs(3)),
            keepalive: Some(Duration::from_secs(20)),
            told: Told { statement: true, keepalive: true, ..Told::default() },
            ..Limits::default()
        };
        let url = "host=localhost options='-c statement_timeout=700 --lock-timeout=600' keepalives_idle=7";
        let of_url = config(url, &Limits::default());
        let options = of_url.get_options().unwrap();
        assert!(!options.contains("=4500") && !options.contains("=4000"), "{options}");
        assert_eq!(of_url.get_keepalives_idle(), Duration::from_secs(7));
        let of_builder = config(url, &told);
        let options = of_builder.get_options().unwrap();
        assert!(options.ends_with(" -c statement_timeout=3000"), "{options}");
        assert_eq!(of_builder.get_keepalives_idle(), Duration::from_secs(20));
        // The other time-out is nobody's.
        let one = config("host=localhost options='-c statement_timeout=700'", &Limits::default());
        assert!(one.get_options().unwrap().ends_with(" -c lock_timeout=4000"));
    }

    #[test]
    fn a_word_comes_through_whatever_is_in_it() {
        let text = r"host='a,/run/a b' port=1,2 password='it\'s \\ x' dbname='a\'b'";
        let config = Address::parse(text).unwrap().config().unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("a".to_owned()), Host::Unix("/run/a b".into())]);
        assert_eq!(config.get_ports(), [1, 2]);
        assert_eq!(config.get_password(), Some(&br"it's \ x"[..]));
        assert_eq!(config.get_dbname(), Some("a'b"));
    }

    #[test]
    fn times_are_counted_as_libpq_counts_them() {
        let config = |query: &str| {
            let url = format!("host=localhost {query}");
            let connector = Connector::new(&url, Options::default(), &Limits::default(), engines());
            connector.map(|connector| connector.hosts.first().clone())
        };
        assert_eq!(
            config("tcp_user_timeout=1500").unwrap().get_tcp_user_timeout(),
            Some(&Duration::from_millis(1500))
        );
        assert_eq!(config("tcp_user_timeout=0").unwrap().get_tcp_user_timeout(), None);
        let connect = |query| config(query).unwrap().get_connect_timeout().copied();
        assert_eq!(connect("connect_timeout=7"), Some(Duration::from_secs(7)));
        assert_eq!(connect("connect_timeout=0"), Some(Limits::default().login));
        assert_eq!(connect(""), Some(CONNECT_TIMEOUT));
        let keepalives = config("keepalives=0").unwrap();
        assert!(!keepalives.get_keepalives());
        let count = config("keepalives_count=3 keepalives_interval=5").unwrap();
        assert_eq!(
            (count.get_keepalives_retries(), count.get_keepalives_interval()),
            (Some(3), Some(Duration::from_secs(5)))
        );
        assert_eq!(count.get_keepalives_idle(), Duration::from_secs(30));
        let error = config("connect_timeout=soon").unwrap_err();
        assert!(error.to_string().contains("`connect_timeout`"), "{error}");
    }

    #[test]
    fn no_password_stands_in_an_error() {
        for url in ["postgres://u:hunter2@h:port/d", "postgres://u:hunter2@h/d?hunter2=1", "hunter2"] {
            let Err(error) = Connector::new(url, Options::default(), &Limits::default(), engines()) else {
                continue;
            };
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("u:hunter2"), "{shown}");
        }
    }
}
