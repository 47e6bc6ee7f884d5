//! What sqlx itself reports of a server, whichever it is.

use std::fmt;
use std::io;

use session_core::{Error, ErrorKind};
use session_sql::{Fault, Link};

/// The connection broke.
pub(crate) fn lost(error: &sqlx::Error) -> Fault {
    let error = Error::unavailable(format!("the connection broke: {error}")).with_unreachable();
    Fault::new(error, Link::Lost)
}

/// The client could not send, or not read what came.
pub(crate) fn unfit(error: &sqlx::Error) -> Fault {
    Fault::new(Error::new(ErrorKind::Backend, format!("the driver failed: {error}")), Link::Unfit)
}

/// sqlx's own words, as nothing else tells it.
fn is_about_the_way_to_log_in(what: &str) -> bool {
    ["authentication method", "authentication mechanisms", "authentication plugin"]
        .iter()
        .any(|part| what.contains(part))
}

fn not_encrypted(cause: &dyn fmt::Display) -> Error {
    Error::new(
        ErrorKind::Backend,
        format!(
            "there is no encrypted connection ({cause}); enable one of sqlx's features for TLS, name the authority of the \
             server's certificate in the URL, and the host as the certificate has it, or ask for clear text there, where \
             the network is safe"
        ),
    )
}

/// Why there is no connection, where the server did not say it.
pub(crate) fn refused(error: &sqlx::Error) -> Error {
    let refused = match error {
        sqlx::Error::Tls(cause) => not_encrypted(cause),
        // What rustls has against the other side: a certificate that is not trusted, is another host's, or has expired.
        sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => not_encrypted(cause),
        sqlx::Error::Configuration(cause) => Error::invalid_input(format!(
            "sqlx cannot log in with what it was given ({cause}); mend the URL, `credentials`, or the features of sqlx"
        )),
        sqlx::Error::Protocol(what) if is_about_the_way_to_log_in(what) => Error::new(
            ErrorKind::Backend,
            format!(
                "the server asks for a login that sqlx does not know ({what}); give the user a password (Postgres: \
                 scram-sha-256, MySQL: caching_sha2_password)"
            ),
        ),
        sqlx::Error::Protocol(what) => Error::new(
            ErrorKind::Backend,
            format!(
                "what listens there does not speak the database's protocol ({what}); check host and port"
            ),
        ),
        other => Error::unavailable(format!("the server cannot be reached: {other}")).with_unreachable(),
    };
    refused.with_in_doubt(false)
}
