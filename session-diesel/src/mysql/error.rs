//! Every error of MySQL and MariaDB, of their client and of the pool, classified once.

use deadpool::managed::PoolError;
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::PoolError as DieselPoolError;
use session_core::{Error, ErrorKind};

use super::store::BACKEND;
use crate::fault::{self, Connection, Fault};

/// The row's key is taken.
pub(super) const DUPLICATE: &str = "1062";

/// A number is out of range: what ending a principal's sessions provokes if one of them moved meanwhile.
pub(super) const OUT_OF_RANGE: &str = "1690";

/// Classifies what an operation came back with. `ddl` is what would make the table.
pub(super) fn of_query(error: DieselError, ddl: &str) -> Fault {
    let fault = match error {
        DieselError::DatabaseError(kind, information) => {
            let message = information.message();
            of_answer(number(&kind, message), message, ddl)
        }
        // Only a value that diesel cannot encode ends here, before anything is sent; none of ours can fail so.
        other => Fault {
            error: Error::new(ErrorKind::Backend, "the driver failed; see the source").with_source(other),
            connection: Connection::Unfit,
        },
    };
    fault.with_backend(BACKEND)
}

/// Classifies why there is no connection.
pub(super) fn of_pool(error: PoolError<DieselPoolError>) -> Error {
    fault::of_pool(error, of_connecting, |error| of_query(error, "")).with_backend(BACKEND)
}

/// A refused connection as text that carries the number through diesel's types: `1045: Access denied …`.
pub(super) fn connecting(error: &mysql_async::Error) -> ConnectionError {
    ConnectionError::BadConnection(match error {
        mysql_async::Error::Server(server) => format!("{}: {}", server.code, server.message),
        other => other.to_string(),
    })
}

fn of_connecting(error: ConnectionError) -> Error {
    match error {
        ConnectionError::InvalidConnectionUrl(why) => {
            Error::invalid_input(format!("the database URL cannot be read: {why}"))
        }
        ConnectionError::BadConnection(message) => {
            let code = message.split_once(": ").filter(|(code, _)| code.parse::<u16>().is_ok());
            match code {
                // The client's own words. The server would say so with this number.
                None if message.contains("Unknown authentication plugin") => {
                    connecting_by_code("1251", &message)
                }
                Some((code, message)) => connecting_by_code(code, message),
                None => {
                    Error::unavailable(format!("the server cannot be reached: {message}")).with_unreachable()
                }
            }
        }
        ConnectionError::CouldntSetupConfiguration(error) => of_query(error, "").error,
        other => Error::unavailable("the server cannot be reached").with_unreachable().with_source(other),
    }
}

fn connecting_by_code(code: &str, message: &str) -> Error {
    let error = match code {
        "1044" | "1045" | "1698" => Error::new(
            ErrorKind::Backend,
            format!("the server refuses this user ({message}); check name, password and grants"),
        ),
        "1251" => Error::new(
            ErrorKind::Backend,
            format!(
                "the server asks for a login method that is not known here ({message}); check the user's name, or \
                 give the user caching_sha2_password"
            ),
        ),
        "1049" => Error::new(ErrorKind::Backend, format!("{message}; create it, or correct the URL")),
        "1040" | "1203" | "1226" => Error::unavailable(format!(
            "{message}; raise max_connections, or make the pools of all processes smaller"
        )),
        "1053" | "1047" => Error::unavailable(message).with_unreachable(),
        _ => Error::new(ErrorKind::Backend, format!("the server refuses the connection: {message}")),
    };
    error.with_code(code)
}

/// A message that may quote a value is not passed on.
fn of_answer(code: Option<&'static str>, message: &str, ddl: &str) -> Fault {
    use Connection::{Lost, Sound, Unfit};

    let says = |what: &str| format!("{what} ({message})");
    let backend = |what: String| Error::new(ErrorKind::Backend, what).with_indeterminate(false);
    let too_large =
        "the payload does not fit into one packet; raise max_allowed_packet on the server, or store less";
    let (error, connection) = match code {
        Some("1213" | "1020") => {
            (Error::new(ErrorKind::Conflict, "the server gave up this operation in favour of another"), Sound)
        }
        Some("1205" | "3572" | "1317" | "3024" | "1969") => {
            (Error::unavailable(says("the server gave up waiting")).with_indeterminate(false), Sound)
        }
        Some("1146") => {
            (backend(says(&format!("the table is missing; call `create_table`, or run this: {ddl}"))), Sound)
        }
        Some("1048" | "1364" | "1452" | "3819" | "4025") => {
            (backend("the table has a constraint that is not ours; drop it".to_owned()), Sound)
        }
        Some("1054") => (backend(says("the table lacks a column; run the doctor on it")), Sound),
        Some("1142" | "1143" | "1044") => (
            backend(says("the user may not do that; grant SELECT, INSERT, UPDATE and DELETE on the table")),
            Sound,
        ),
        Some(DUPLICATE) => (backend("a unique index on the table is not ours; drop it".to_owned()), Sound),
        Some(OUT_OF_RANGE | "1264") => (backend("a number is out of its column's range".to_owned()), Sound),
        Some("1153" | "1105") => (Error::new(ErrorKind::TooLarge, too_large), Unfit),
        Some("1406") => (
            Error::new(ErrorKind::TooLarge, "a value is longer than its column; run the doctor on the table"),
            Sound,
        ),
        Some("1366" | "3988") => {
            (backend("a column cannot hold every character; run the doctor on the table".to_owned()), Sound)
        }
        Some("1290" | "1792" | "1836") => (
            Error::unavailable("this server only reads: connect to the one that writes")
                .with_indeterminate(false)
                .with_unreachable(),
            Lost,
        ),
        Some("1053" | "1047" | "1927") => {
            (Error::unavailable(says("the server ended the connection")).with_unreachable(), Lost)
        }
        Some("1114") => {
            (backend("the server's disk or tablespace is full; free or add space".to_owned()), Sound)
        }
        Some("1461") => (
            backend(says(
                "too many prepared statements; raise max_prepared_stmt_count, or make the pools smaller",
            )),
            Unfit,
        ),
        _ if message.starts_with("Input/output error")
            || message.contains("Connection to the server is closed") =>
        {
            (Error::unavailable(format!("the connection broke: {message}")).with_unreachable(), Lost)
        }
        _ if message.starts_with("Driver error") => {
            (Error::new(ErrorKind::Backend, format!("the driver failed: {message}")), Unfit)
        }
        _ => (backend(format!("the server answered: {message}")), Unfit),
    };
    let error = match code {
        Some(code) => error.with_code(code),
        None => error,
    };
    Fault { error, connection }
}

/// The number of an error again, from diesel's kind or the beginning or end of its message, which is all that
/// diesel-async keeps. The outcomes hang on kinds, and on what is the same in every language; for the rest connections
/// of our own ask for messages in English.
fn number(kind: &DatabaseErrorKind, message: &str) -> Option<&'static str> {
    match kind {
        DatabaseErrorKind::UniqueViolation => return Some(DUPLICATE),
        DatabaseErrorKind::ForeignKeyViolation => return Some("1452"),
        DatabaseErrorKind::NotNullViolation => return Some("1048"),
        DatabaseErrorKind::CheckViolation => return Some("3819"),
        DatabaseErrorKind::ReadOnlyTransaction => return Some("1792"),
        _ => {}
    }
    const BEGINNINGS: &[(&str, &str)] = &[
        ("Deadlock found", "1213"),
        ("Record has changed since last read", "1020"),
        ("Lock wait timeout exceeded", "1205"),
        ("Statement aborted because lock(s) could not be acquired immediately", "3572"),
        ("Query execution was interrupted (max_statement_time exceeded)", "1969"),
        ("Query execution was interrupted, maximum statement execution time exceeded", "3024"),
        ("Query execution was interrupted", "1317"),
        ("Unknown column", "1054"),
        ("Access denied", "1044"),
        // Whatever the language.
        ("BIGINT", OUT_OF_RANGE),
        ("Out of range value for column", "1264"),
        ("Got a packet bigger than", "1153"),
        ("Driver error: `Packet too large", "1153"),
        ("Parameter of prepared statement which is set through mysql_send_long_data()", "1105"),
        ("Data too long for column", "1406"),
        ("Incorrect string value", "1366"),
        ("Conversion from collation", "3988"),
        ("Running in read-only mode", "1836"),
        ("Server shutdown in progress", "1053"),
        ("WSREP has not yet prepared node", "1047"),
        ("Connection was killed", "1927"),
        ("Can't create more than max_prepared_stmt_count", "1461"),
        ("CONSTRAINT ", "4025"),
    ];
    const PARTS: &[(&str, &str, &str)] = &[
        ("Table ", " doesn't exist", "1146"),
        ("", " command denied to user ", "1142"),
        ("The ", " option so it cannot execute this statement", "1290"),
        ("The table ", " is full", "1114"),
    ];
    let beginning = BEGINNINGS.iter().find(|(beginning, _)| message.starts_with(beginning));
    let part = || PARTS.iter().find(|(start, part, _)| message.starts_with(start) && message.contains(part));
    beginning.map(|(_, code)| *code).or_else(|| part().map(|(_, _, code)| *code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_message(message: &str, ddl: &str) -> Fault {
        let kind = DatabaseErrorKind::Unknown;
        of_query(DieselError::DatabaseError(kind, Box::new(message.to_owned())), ddl)
    }

    #[test]
    fn a_message_is_classified_with_its_number() {
        use Connection::{Lost, Sound, Unfit};
        let table = [
            (
                "Deadlock found when trying to get lock; try restarting transaction",
                ErrorKind::Conflict,
                "1213",
                Sound,
            ),
            ("Lock wait timeout exceeded; try restarting transaction", ErrorKind::Unavailable, "1205", Sound),
            ("Table 'app.sessions' doesn't exist", ErrorKind::Backend, "1146", Sound),
            ("Unknown column 'version' in 'field list'", ErrorKind::Backend, "1054", Sound),
            (
                "INSERT command denied to user 'x'@'localhost' for table `app`.`s`",
                ErrorKind::Backend,
                "1142",
                Sound,
            ),
            ("Got a packet bigger than 'max_allowed_packet' bytes", ErrorKind::TooLarge, "1153", Unfit),
            ("Driver error: `Packet too large.'", ErrorKind::TooLarge, "1153", Unfit),
            ("Data too long for column 'payload' at row 1", ErrorKind::TooLarge, "1406", Sound),
            (
                "The MariaDB server is running with the --read-only option so it cannot execute this statement",
                ErrorKind::Unavailable,
                "1290",
                Lost,
            ),
            ("Server shutdown in progress", ErrorKind::Unavailable, "1053", Lost),
            ("The table 'sessions' is full", ErrorKind::Backend, "1114", Sound),
        ];
        for (message, kind, code, connection) in table {
            let fault = of_message(message, "CREATE TABLE …");
            assert_eq!(fault.error.kind(), kind, "{message}");
            assert_eq!(fault.error.code(), Some(code), "{message}");
            assert_eq!(fault.connection, connection, "{message}");
        }
    }

    #[test]
    fn a_broken_connection_leaves_doubt() {
        for message in
            ["Input/output error: Broken pipe", "Driver error: `Connection to the server is closed.'"]
        {
            let fault = of_message(message, "");
            assert!(fault.error.is_indeterminate() && fault.error.is_unreachable(), "{message}");
            assert_eq!(fault.connection, Connection::Lost);
        }
        assert!(!of_message("Deadlock found", "").error.is_indeterminate());
    }

    #[test]
    fn a_message_that_quotes_a_value_is_not_passed_on() {
        let kind = DatabaseErrorKind::UniqueViolation;
        let message = "Duplicate entry 'secret' for key 'PRIMARY'".to_owned();
        let error = of_query(DieselError::DatabaseError(kind, Box::new(message)), "").error;
        assert_eq!(error.code(), Some(DUPLICATE));
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        for message in [
            "Incorrect string value: 'secret' for column 'payload'",
            "Data too long for column 'secret' at row 1",
        ] {
            let error = of_message(message, "").error;
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_refused_connection_keeps_its_number_and_is_never_in_doubt() {
        let refused = |message: &str| {
            of_pool(PoolError::Backend(DieselPoolError::ConnectionError(ConnectionError::BadConnection(
                message.to_owned(),
            ))))
        };
        let password = refused("1045: Access denied for user 'x'@'localhost' (using password: YES)");
        assert_eq!((password.kind(), password.code()), (ErrorKind::Backend, Some("1045")));
        let method = refused("Driver error: `Unknown authentication plugin `sha256_password'.'");
        assert_eq!((method.kind(), method.code()), (ErrorKind::Backend, Some("1251")));
        assert!(!method.is_indeterminate());
        let gone = refused("Input/output error: Connection refused (os error 111)");
        assert!(gone.is_unreachable() && !gone.is_indeterminate());
    }
}
