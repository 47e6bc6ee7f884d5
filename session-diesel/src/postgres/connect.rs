//! A connection from a URL: which host, with which encryption, in which state.

use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use session_core::{Error, Result};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{error, statements};
use crate::TlsMode;
use crate::tls::{Authority, is_loopback, take_parameter};

/// How long one address may take to answer, where the URL has no `connect_timeout`: short enough that a call gets to
/// the second host of a URL within its deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes connections to what a URL names.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    pgbouncer: bool,
}

impl Connector {
    pub(super) fn new(
        url: &str,
        tls: Option<TlsMode>,
        authority: Option<Authority>,
        pgbouncer: bool,
    ) -> Result<Connector> {
        let address = Address::parse(url);
        let mut config: Config = address.rest.parse().map_err(|error: tokio_postgres::Error| {
            // Its text names the parameter that is wrong, and shows no value.
            Error::invalid_input(format!(
                "the Postgres URL cannot be read ({error}); use postgres://user:password@host:port/database"
            ))
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let mode = match tls {
            Some(mode) => mode,
            None => address.tls_mode(&config)?,
        };
        config.ssl_mode(if mode == TlsMode::Disabled { SslMode::Disable } else { SslMode::Require });
        let authority = authority.or_else(|| address.authority.map(|path| Authority::File(path.into())));
        Ok(Connector { config, tls: MakeRustlsConnect::new(client_config(mode, authority)?), pgbouncer })
    }

    pub(super) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let (client, connection) =
            self.config.connect(self.tls.clone()).await.map_err(|error| error::connecting(&error))?;
        if !self.pgbouncer {
            let mut connection =
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
            connection
                .batch_execute(statements::SET_UP)
                .await
                .map_err(ConnectionError::CouldntSetupConfiguration)?;
            return Ok(connection);
        }
        // diesel-async prepares two statements of its own. A transaction keeps them on one connection of the server.
        tokio::spawn(connection);
        client.batch_execute("BEGIN").await.map_err(|error| error::connecting(&error))?;
        let mut connection = AsyncPgConnection::try_from(client).await?;
        connection.batch_execute("COMMIT").await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        // What is prepared on one connection of the server is not there on the next.
        diesel_async::AsyncConnection::set_prepared_statement_cache_size(
            &mut connection,
            diesel::connection::CacheSize::Disabled,
        );
        Ok(connection)
    }
}

/// A URL without the parameters that libpq knows and tokio-postgres does not.
struct Address {
    rest: String,
    sslmode: Option<String>,
    authority: Option<String>,
}

impl Address {
    fn parse(url: &str) -> Address {
        let mut rest = url.to_owned();
        if url.contains("://") {
            let sslmode = take_parameter(&mut rest, "sslmode");
            let authority = take_parameter(&mut rest, "sslrootcert");
            return Address { rest, sslmode, authority };
        }
        let mut take = |name: &str| {
            let value = rest.split_ascii_whitespace().find_map(|word| word.strip_prefix(name))?.to_owned();
            rest = rest.replacen(&format!("{name}{value}"), "", 1);
            Some(value)
        };
        let sslmode = take("sslmode=");
        let authority = take("sslrootcert=");
        Address { rest, sslmode, authority }
    }

    /// Without a mode, a remote server must be encrypted and verified, and one on this machine need not be encrypted.
    fn tls_mode(&self, config: &Config) -> Result<TlsMode> {
        let local = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => is_loopback(name),
            #[cfg(unix)]
            Host::Unix(_) => true,
        }) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
        match self.sslmode.as_deref() {
            None | Some("prefer" | "allow") if local => Ok(TlsMode::Disabled),
            None | Some("prefer" | "allow" | "require" | "verify-ca" | "verify-full") => {
                Ok(TlsMode::Verified)
            }
            Some("disable") => Ok(TlsMode::Disabled),
            Some(_) => Err(Error::invalid_input(
                "the URL's sslmode is unknown; use disable, require or verify-full, or leave it out",
            )),
        }
    }
}

fn client_config(mode: TlsMode, authority: Option<Authority>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid_input("TLS cannot be set up").with_source(error))?;
    Ok(match mode {
        TlsMode::Verified => builder.with_root_certificates(roots(authority)?).with_no_client_auth(),
        TlsMode::Unverified => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth(),
        TlsMode::Disabled => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    })
}

/// The authorities that are trusted: the given ones alone, or else the operating system's.
fn roots(authority: Option<Authority>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(authority) = authority else {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        return match roots.is_empty() {
            false => Ok(roots),
            true => Err(Error::invalid_input(
                "the operating system has no trusted certificates; install ca-certificates, or name a CA",
            )),
        };
    };
    let unreadable = "the CA's certificate cannot be read; name a file with certificates in PEM";
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&authority.pem()?)
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
    use super::*;

    fn mode(url: &str) -> Result<TlsMode> {
        let address = Address::parse(url);
        address.tls_mode(&address.rest.parse().unwrap())
    }

    #[test]
    fn a_remote_server_is_verified_unless_told_otherwise() {
        let table = [
            ("postgres://u@db.example.org/d", TlsMode::Verified),
            ("postgres://u@db.example.org/d?sslmode=require", TlsMode::Verified),
            ("postgres://u@db.example.org/d?sslmode=prefer", TlsMode::Verified),
            ("postgres://u@db.example.org/d?sslmode=disable", TlsMode::Disabled),
            ("postgres://u@localhost,db2/d", TlsMode::Verified),
            ("postgres://u@localhost:5433/d", TlsMode::Disabled),
            ("postgres://u@127.0.0.1/d?sslmode=verify-full&application_name=x", TlsMode::Verified),
            ("postgres://u@[::1]/d", TlsMode::Disabled),
            ("host=db user=u", TlsMode::Verified),
            ("host=/run/postgresql user=u", TlsMode::Disabled),
            ("host=localhost sslmode=verify-ca user=u", TlsMode::Verified),
        ];
        for (url, expected) in table {
            assert_eq!(mode(url).unwrap(), expected, "{url}");
        }
        assert!(mode("postgres://u@db/d?sslmode=on").is_err());
    }

    #[test]
    fn words_of_libpq_are_taken_out_and_the_rest_stays() {
        let address = Address::parse("host=a sslmode=require password='x  y' sslrootcert=/ca.pem");
        assert_eq!(address.authority.as_deref(), Some("/ca.pem"));
        assert_eq!(address.rest, "host=a  password='x  y' ");
    }

    #[test]
    fn no_password_stands_in_an_error() {
        for url in ["postgres://u:hunter2@h:port/d", "postgres://u:hunter2@h/d?hunter2=1", "hunter2"] {
            let Err(error) = Connector::new(url, None, None, false) else { continue };
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("u:hunter2"), "{shown}");
        }
    }
}
