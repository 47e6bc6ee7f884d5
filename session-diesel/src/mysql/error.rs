//! What diesel, its MySQL client and the pool report, as errors of the contract.

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use mysql_async::{DriverError, Error as Client};
use session_core::{Error, ErrorKind};
use session_sql::mysql::number;
use session_sql::{Fault, Link};

use crate::certificates::is_about_certificates;

/// Classifies what an operation came back with. `schema` is what would make the table.
pub(super) fn of_query(error: DieselError, schema: &str) -> Fault {
    match error {
        DieselError::DatabaseError(kind, information) => of_database(&kind, information.message(), schema),
        // Only a value that diesel cannot encode ends here, before anything is sent; none of ours can fail so.
        other => Fault::new(
            Error::new(ErrorKind::Backend, "the driver failed; see the source").with_source(other),
            Link::Unfit,
        ),
    }
}

/// Classifies why a connection of our own was not made.
pub(super) fn connecting(error: &mysql_async::Error) -> Error {
    let backend = |what: &str| Error::new(ErrorKind::Backend, format!("{what} ({error})"));
    let refused = match error {
        Client::Server(server) => return number::refused(&server.code.to_string(), &server.message),
        Client::Url(_) => Error::invalid_input(format!("the MySQL URL cannot be used ({error})")),
        Client::Driver(DriverError::NoClientSslFlagFromServer) => backend(
            "the server has no encryption; give it a certificate, or write ssl-mode=DISABLED where the network is safe",
        ),
        Client::Driver(DriverError::UnknownAuthPlugin { .. } | DriverError::MysqlOldPasswordDisabled) => {
            return number::refused("1251", &error.to_string());
        }
        Client::Driver(DriverError::CleartextPluginDisabled) => backend(number::ASKS_IN_CLEAR),
        Client::Driver(DriverError::ConnectionClosed) => {
            Error::unavailable(format!("the server cannot be reached: {error}")).with_unreachable()
        }
        Client::Driver(_) => {
            backend("what listens there does not speak MySQL's protocol; check host and port")
        }
        _ if is_about_certificates(error) => backend(
            "the server's certificate is not trusted, or is another host's; name its authority with `ssl-ca` or \
             `root_certificates`, and the host as the certificate has it",
        ),
        _ => Error::unavailable(format!("the server cannot be reached: {error}")).with_unreachable(),
    };
    refused.with_in_doubt(false)
}

/// Classifies why there is no connection in a pool of diesel-async.
pub(super) fn of_connecting(error: ConnectionError) -> Error {
    match error {
        ConnectionError::InvalidConnectionUrl(why) => {
            Error::invalid_input(format!("the database URL cannot be read: {why}"))
        }
        // The client's own words. The server would say so with this number.
        ConnectionError::BadConnection(message) if message.contains("Unknown authentication plugin") => {
            number::refused("1251", &message)
        }
        ConnectionError::BadConnection(message) => {
            Error::unavailable(format!("the server cannot be reached: {message}")).with_unreachable()
        }
        ConnectionError::CouldntSetupConfiguration(error) => of_query(error, "").error,
        other => Error::unavailable("the server cannot be reached").with_unreachable().with_source(other),
    }
}

/// Why a call failed, in the words of the connection's client.
pub(super) enum Failed {
    Own(mysql_async::Error),
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

impl From<mysql_async::Error> for Failed {
    fn from(error: mysql_async::Error) -> Failed {
        Failed::Own(error)
    }
}

impl From<DieselError> for Failed {
    fn from(error: DieselError) -> Failed {
        Failed::Given(error)
    }
}

/// Classifies what an operation on a connection of our own came back with. Of the client's own errors only the words
/// are passed on: their `Debug` shows what was received.
pub(super) fn of_client(error: &mysql_async::Error, schema: &str) -> Fault {
    match error {
        Client::Server(server) => {
            let message = number::words(&server.state, &server.message);
            number::fault(Some(&server.code.to_string()), message, schema)
        }
        Client::Driver(DriverError::PacketTooLarge) => number::fault(Some("1153"), "", schema),
        Client::Io(_) | Client::Driver(DriverError::ConnectionClosed) => {
            let error = Error::unavailable(format!("the connection broke: {error}")).with_unreachable();
            Fault::new(error, Link::Lost)
        }
        other => {
            Fault::new(Error::new(ErrorKind::Backend, format!("the driver failed: {other}")), Link::Unfit)
        }
    }
}

/// What the server answered over a connection of diesel-async, or its client in its stead. diesel-async keeps the number as
/// diesel's kind where diesel has one, and else the message alone: its English beginning is the last resort. What is not
/// known so leaves doubt.
fn of_database(kind: &DatabaseErrorKind, message: &str, schema: &str) -> Fault {
    let number = match kind {
        DatabaseErrorKind::UniqueViolation => Some(number::DUPLICATE),
        DatabaseErrorKind::ForeignKeyViolation => Some("1452"),
        DatabaseErrorKind::NotNullViolation => Some("1048"),
        DatabaseErrorKind::CheckViolation => Some("3819"),
        DatabaseErrorKind::ReadOnlyTransaction => Some("1792"),
        _ if message.starts_with("Driver error: `Packet too large") => Some("1153"),
        _ => number::of_message(message),
    };
    if number.is_none() {
        if message.starts_with("Input/output error") || message.contains("Connection to the server is closed")
        {
            let error = Error::unavailable(format!("the connection broke: {message}")).with_unreachable();
            return Fault::new(error, Link::Lost);
        }
        if message.starts_with("Driver error") {
            let error = Error::new(ErrorKind::Backend, format!("the driver failed: {message}"));
            return Fault::new(error, Link::Unfit);
        }
    }
    number::fault(number, message, schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DatabaseErrorKind, message: &str) -> Fault {
        of_query(DieselError::DatabaseError(kind, Box::new(message.to_owned())), "CREATE TABLE …")
    }

    #[test]
    fn the_number_comes_from_diesel_s_kind_or_from_the_message() {
        let duplicate = of(DatabaseErrorKind::UniqueViolation, "Doppelter Eintrag 'secret'").error;
        assert_eq!(duplicate.code(), Some(number::DUPLICATE));
        assert!(!format!("{duplicate} {duplicate:?}").contains("secret"), "{duplicate:?}");
        let missing = of(DatabaseErrorKind::Unknown, "Table 'app.sessions' doesn't exist").error;
        assert_eq!(missing.code(), Some("1146"));
        assert!(missing.to_string().contains("CREATE TABLE …"), "{missing}");
        let large = of(DatabaseErrorKind::Unknown, "Driver error: `Packet too large.'");
        assert_eq!((large.error.kind(), large.link), (ErrorKind::TooLarge, Link::Unfit));
    }

    #[test]
    fn a_broken_connection_leaves_doubt() {
        for message in
            ["Input/output error: Broken pipe", "Driver error: `Connection to the server is closed.'"]
        {
            let fault = of(DatabaseErrorKind::Unknown, message);
            assert!(fault.error.is_in_doubt() && fault.error.is_unreachable(), "{message}");
            assert_eq!(fault.link, Link::Lost);
        }
    }

    #[test]
    fn a_pool_of_diesel_s_that_makes_no_connection_says_why() {
        let of = |message: &str| of_connecting(ConnectionError::BadConnection(message.to_owned()));
        let method = of("Driver error: `Unknown authentication plugin `sha256_password'.'");
        assert_eq!((method.kind(), method.code()), (ErrorKind::Backend, Some("1251")));
        assert!(!method.is_in_doubt());
        assert!(of("Input/output error: Connection refused (os error 111)").is_unreachable());
    }

    #[test]
    fn an_error_of_our_own_connections_is_told_by_its_number_whatever_its_words() {
        let server = |code, message: &str| {
            let server = mysql_async::ServerError { code, message: message.to_owned(), state: String::new() };
            of_client(&Client::Server(server), "")
        };
        let deadlock = server(1213, "Beim Warten auf eine Sperre …");
        assert_eq!((deadlock.error.kind(), deadlock.error.code()), (ErrorKind::Conflict, Some("1213")));
        let proxy = server(2013, "Lost connection to server during query");
        assert!(proxy.error.is_in_doubt() && proxy.error.is_unreachable() && proxy.link == Link::Lost);
        let driver =
            of_client(&Client::Driver(DriverError::UnexpectedPacket { payload: b"secret".to_vec() }), "");
        assert!(driver.error.is_in_doubt());
        let shown = format!("{} {:?}", driver.error, driver.error);
        assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
    }
}
