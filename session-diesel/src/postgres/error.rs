//! What diesel and the pool report, as errors of the contract.

use std::error::Error as StdError;
use std::sync::Arc;

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use session_core::{Error, ErrorKind};
use session_sql::postgres::sqlstate;
use session_sql::{Fault, Link};
use tokio_postgres::error::Severity;

use super::way::STRANGER;
use crate::certificates::is_about_certificates;

/// Classifies what an operation came back with. `schema` is what would make the table.
pub(super) fn of_query(error: DieselError, schema: &str) -> Fault {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, information) => {
            of_transport(information.message())
        }
        DieselError::DatabaseError(kind, information) => of_server(kind, information.as_ref(), schema),
        // Only a value that diesel cannot encode ends here, before anything is sent; none of ours can fail so.
        other => Fault::new(
            Error::new(ErrorKind::Backend, "the driver failed; see the source").with_source(other),
            Link::Unfit,
        ),
    }
}

/// Classifies why there is no connection in a pool of diesel-async.
pub(super) fn of_connecting(error: ConnectionError) -> Error {
    match error {
        ConnectionError::InvalidConnectionUrl(why) => {
            Error::invalid_input(format!("the database URL cannot be read: {why}"))
        }
        ConnectionError::BadConnection(message) => {
            Error::unavailable(format!("the server cannot be reached: {message}")).with_unreachable()
        }
        ConnectionError::CouldntSetupConfiguration(error) => {
            let error = of_query(error, "").error;
            let unreachable = error.kind() == ErrorKind::Unavailable;
            if unreachable { error.with_unreachable() } else { error }
        }
        other => Error::unavailable("the server cannot be reached").with_unreachable().with_source(other),
    }
}

/// Classifies why a connection of our own was not made.
pub(super) fn connecting(error: &tokio_postgres::Error) -> Error {
    if let Some(server) = error.as_db_error() {
        return sqlstate::refused(server.code().code(), server.message());
    }
    let words = error.to_string();
    let cause = StdError::source(error).map(ToString::to_string).unwrap_or_default();
    let backend = |what: &str| Error::new(ErrorKind::Backend, format!("{what} ({words}: {cause})"));
    let refused = if is_about_certificates(error) {
        backend(
            "the server's certificate is not trusted, or is another host's; name its authority with `sslrootcert` or \
             `root_certificates`, and the host as the certificate has it",
        )
    } else if cause.starts_with("server does not support TLS") {
        backend(
            "the server has no encryption; set `ssl = on` there, or write sslmode=disable where the network is safe",
        )
    } else if words.starts_with("invalid configuration") {
        Error::invalid_input(format!(
            "the login lacks something ({cause}); put it into the URL or `credentials`"
        ))
    } else if words.starts_with("authentication error") {
        backend(
            "the login failed; check the password, and that pg_hba.conf asks for scram-sha-256, md5 or password",
        )
    } else if cause.starts_with(STRANGER) {
        Error::new(ErrorKind::Backend, cause)
    } else if words.starts_with("unexpected message") || words.starts_with("error parsing response") {
        backend("what listens there does not speak Postgres' protocol; check host and port")
    } else {
        Error::unavailable(format!("the server cannot be reached: {words}: {cause}")).with_unreachable()
    };
    refused.with_in_doubt(false)
}

/// Why a call failed, in the words of the connection's client.
pub(super) enum Failed {
    Own(Arc<tokio_postgres::Error>),
    Given(DieselError),
}

impl Failed {
    /// Classifies it. `schema` is what would make the table.
    pub(super) fn into_fault(self, schema: &str) -> Fault {
        match self {
            Failed::Own(error) => of_client(&error, schema),
            Failed::Given(error) => of_query(error, schema),
        }
    }
}

impl From<Arc<tokio_postgres::Error>> for Failed {
    fn from(error: Arc<tokio_postgres::Error>) -> Failed {
        Failed::Own(error)
    }
}

impl From<DieselError> for Failed {
    fn from(error: DieselError) -> Failed {
        Failed::Given(error)
    }
}

/// Classifies what an operation on a connection of our own came back with.
pub(super) fn of_client(error: &tokio_postgres::Error, schema: &str) -> Fault {
    let Some(server) = error.as_db_error() else {
        let cause = StdError::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        return of_transport(&format!("{error}{cause}"));
    };
    let code = server.code().code();
    let message = sqlstate::words(server.routine(), server.message());
    match server.parsed_severity() {
        Some(Severity::Fatal | Severity::Panic) => sqlstate::ended(code, message, schema),
        _ => sqlstate::fault(Some(code), message, schema),
    }
}

/// The connection broke, or the client could not send. tokio-postgres gives such errors no code.
fn of_transport(message: &str) -> Fault {
    if message.starts_with("error encoding message") || message.starts_with("error serializing parameter") {
        // The length of a message is 31 bits.
        let error = Error::new(ErrorKind::TooLarge, "the payload is over what Postgres' protocol can carry");
        return Fault::new(error, Link::Unfit);
    }
    if message.starts_with("error parsing response") || message.starts_with("unexpected message") {
        let error = Error::new(ErrorKind::Backend, format!("the server's answer cannot be read ({message})"));
        return Fault::new(error, Link::Unfit);
    }
    let error = Error::unavailable(format!("the connection broke: {message}")).with_unreachable();
    Fault::new(error, Link::Lost)
}

/// What the server answered over a connection of diesel-async, which keeps the SQLSTATE as diesel's kind where diesel has
/// one, and else the message alone: its English beginning is the last resort. What is not known so leaves doubt.
fn of_server(kind: DatabaseErrorKind, information: &dyn DatabaseErrorInformation, schema: &str) -> Fault {
    let code = match kind {
        DatabaseErrorKind::UniqueViolation => Some("23505"),
        DatabaseErrorKind::ForeignKeyViolation => Some("23503"),
        DatabaseErrorKind::NotNullViolation => Some("23502"),
        DatabaseErrorKind::CheckViolation => Some("23514"),
        DatabaseErrorKind::SerializationFailure => Some("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => Some("25006"),
        _ => sqlstate::of_message(information.message()),
    };
    sqlstate::fault(code, information.message(), schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(kind: DatabaseErrorKind, message: &str) -> Fault {
        of_query(DieselError::DatabaseError(kind, Box::new(message.to_owned())), "CREATE TABLE …")
    }

    #[test]
    fn the_sqlstate_comes_from_diesel_s_kind_or_from_the_message() {
        let serialization =
            server(DatabaseErrorKind::SerializationFailure, "der Zugriff kann nicht serialisiert werden");
        assert_eq!((serialization.error.code(), serialization.link), (Some("40001"), Link::Sound));
        let missing = server(DatabaseErrorKind::Unknown, "relation \"sessions\" does not exist");
        assert_eq!(missing.error.code(), Some("42P01"));
        assert!(missing.error.to_string().contains("CREATE TABLE …"));
    }

    #[test]
    fn a_broken_connection_leaves_doubt() {
        let broken = server(DatabaseErrorKind::UnableToSendCommand, "connection closed");
        assert!(broken.error.is_in_doubt() && broken.error.is_unreachable() && broken.link == Link::Lost);
        let large = server(DatabaseErrorKind::UnableToSendCommand, "error encoding message to server");
        assert!(large.error.kind() == ErrorKind::TooLarge && !large.error.is_in_doubt());
    }

    #[test]
    fn a_pool_of_diesel_s_that_makes_no_connection_is_unreachable() {
        let gone =
            of_connecting(ConnectionError::BadConnection("Connection refused (os error 111)".to_owned()));
        assert!(gone.is_unreachable() && gone.code().is_none());
    }
}
