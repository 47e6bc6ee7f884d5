//! Every error of Postgres, of its client and of the pool, classified once.

use deadpool::managed::PoolError;
use diesel::ConnectionError;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::PoolError as DieselPoolError;
use session_core::{Error, ErrorKind};

use super::store::BACKEND;
use crate::fault::{self, Connection, Fault};

/// A division by zero: how a statement of ours says that it is to be sent again.
pub(super) const LOOK_AGAIN: &str = "22012";

/// Classifies what an operation came back with. `ddl` is what would make the table.
pub(super) fn of_query(error: DieselError, ddl: &str) -> Fault {
    let fault = match error {
        DieselError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, information) => {
            of_transport(information.message())
        }
        DieselError::DatabaseError(kind, information) => of_server(kind, information.as_ref(), ddl),
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

fn of_connecting(error: ConnectionError) -> Error {
    match error {
        ConnectionError::InvalidConnectionUrl(why) => {
            Error::invalid_input(format!("the database URL cannot be read: {why}"))
        }
        // Made by `connect`, with the SQLSTATE in front where the server gave one.
        ConnectionError::BadConnection(message) => {
            let (code, message) = split_code(&message);
            match code {
                Some(code) => connecting_by_code(code, message),
                None => {
                    Error::unavailable(format!("the server cannot be reached: {message}")).with_unreachable()
                }
            }
        }
        ConnectionError::CouldntSetupConfiguration(error) => {
            let error = of_query(error, "").error;
            let unreachable = error.kind() == ErrorKind::Unavailable;
            if unreachable { error.with_unreachable() } else { error }
        }
        other => Error::unavailable("the server cannot be reached").with_unreachable().with_source(other),
    }
}

/// A refused connection as text that carries the SQLSTATE through diesel's types: `28P01: password authentication …`.
pub(super) fn connecting(error: &tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(match error.as_db_error() {
        Some(server) => format!("{}: {}", server.code().code(), server.message()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    })
}

fn split_code(message: &str) -> (Option<&str>, &str) {
    match message.split_once(": ") {
        Some((code, rest))
            if code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) =>
        {
            (Some(code), rest)
        }
        _ => (None, message),
    }
}

fn connecting_by_code(code: &str, message: &str) -> Error {
    let error = match code {
        "28P01" | "28000" => Error::new(
            ErrorKind::Backend,
            format!("the server refuses this user ({message}); check name, password and pg_hba.conf"),
        ),
        "3D000" => Error::new(ErrorKind::Backend, format!("{message}; create it, or correct the URL")),
        "53300" => Error::unavailable(format!(
            "{message}; raise max_connections, or make the pools of all processes smaller"
        )),
        "57P01" | "57P02" | "57P03" => Error::unavailable(message).with_unreachable(),
        _ => Error::new(ErrorKind::Backend, format!("the server refuses the connection: {message}")),
    };
    error.with_code(code)
}

/// The connection broke, or the client could not send. tokio-postgres gives such errors no code.
fn of_transport(message: &str) -> Fault {
    if message.starts_with("error encoding message") || message.starts_with("error serializing parameter") {
        // The length of a message is 31 bits.
        return Fault {
            error: Error::new(ErrorKind::TooLarge, "the payload is over what Postgres' protocol can carry"),
            connection: Connection::Unfit,
        };
    }
    Fault {
        error: Error::unavailable(format!("the connection broke: {message}")).with_unreachable(),
        connection: Connection::Lost,
    }
}

/// What the server answered. diesel-async keeps the SQLSTATE as diesel's kind where diesel has one, and else the
/// message alone. Connections of our own ask for messages in English.
fn of_server(kind: DatabaseErrorKind, information: &dyn DatabaseErrorInformation, ddl: &str) -> Fault {
    use Connection::{Lost, Sound, Unfit};

    let message = information.message();
    let code = sqlstate(&kind, message);
    let says = |what: &str| format!("{what} ({message})");
    let (error, connection) = match code {
        // Of our own making: whoever sent the statement sends it again.
        Some(LOOK_AGAIN) => (Error::new(ErrorKind::Conflict, "the sessions changed meanwhile"), Sound),
        Some("40P01" | "40001") => {
            (Error::new(ErrorKind::Conflict, "the server gave up this operation in favour of another"), Sound)
        }
        // The table's columns changed under a prepared statement; a new connection prepares anew.
        Some("0A000") => (Error::new(ErrorKind::Conflict, "the table was altered meanwhile"), Lost),
        Some("42P01") => (Error::new(ErrorKind::Backend, says(&missing_table(ddl))), Sound),
        Some("42703") => {
            (Error::new(ErrorKind::Backend, says("the table lacks a column; run the doctor on it")), Sound)
        }
        Some("42501") => (
            Error::new(
                ErrorKind::Backend,
                says("the user may not do that; grant SELECT, INSERT, UPDATE and DELETE on the table"),
            ),
            Sound,
        ),
        Some("55P03" | "57014") => {
            (Error::unavailable(says("the server gave up waiting")).with_indeterminate(false), Sound)
        }
        Some("25006") => (
            Error::unavailable(
                "this server only reads: a standby; connect with target_session_attrs=read-write",
            )
            .with_indeterminate(false)
            .with_unreachable(),
            Lost,
        ),
        Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03") => {
            (Error::unavailable(says("the server ended the connection")).with_unreachable(), Lost)
        }
        Some("26000" | "42P05") => (
            Error::new(
                ErrorKind::Backend,
                says(
                    "a pooler between here and the server mixes prepared statements; build the store with `pgbouncer(true)`",
                ),
            ),
            Unfit,
        ),
        Some("54000") => {
            (Error::new(ErrorKind::TooLarge, "the payload is over what Postgres can hold"), Sound)
        }
        Some("22001") => (
            Error::new(ErrorKind::TooLarge, "a value is longer than its column; run the doctor on the table"),
            Sound,
        ),
        Some("22003") => (Error::new(ErrorKind::Backend, "a number is out of its column's range"), Sound),
        Some("22021") => (
            Error::invalid_input(
                "Postgres cannot hold a U+0000 in text; encode the payload without it, as JSON does",
            ),
            Sound,
        ),
        Some("53100") => {
            (Error::new(ErrorKind::Backend, "the server's disk is full; free or add space"), Sound)
        }
        Some("53200" | "53300") => (Error::unavailable(says("the server lacks resources")), Unfit),
        // Nothing of ours violates a constraint: there is one more on the table. Its message names it and no value.
        Some("23505" | "23502" | "23503" | "23514") => (
            Error::new(ErrorKind::Backend, says("the table has a constraint that is not ours; drop it")),
            Sound,
        ),
        _ => (Error::new(ErrorKind::Backend, format!("the server answered: {message}")), Unfit),
    };
    // An answer of the server to a single statement means that it was rolled back. What ends a connection may have
    // come after the commit.
    let error = match error.kind() {
        ErrorKind::Backend => error.with_indeterminate(false),
        _ => error,
    };
    let error = match code {
        Some(code) => error.with_code(code),
        None => error,
    };
    Fault { error, connection }
}

fn missing_table(ddl: &str) -> String {
    format!("the table is missing; call `create_table`, or run this: {ddl}")
}

/// The SQLSTATE again, from diesel's kind or the beginning or end of the server's message.
fn sqlstate(kind: &DatabaseErrorKind, message: &str) -> Option<&'static str> {
    match kind {
        DatabaseErrorKind::UniqueViolation => return Some("23505"),
        DatabaseErrorKind::ForeignKeyViolation => return Some("23503"),
        DatabaseErrorKind::NotNullViolation => return Some("23502"),
        DatabaseErrorKind::CheckViolation => return Some("23514"),
        DatabaseErrorKind::SerializationFailure => return Some("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => return Some("25006"),
        _ => {}
    }
    const BEGINNINGS: &[(&str, &str)] = &[
        ("deadlock detected", "40P01"),
        ("division by zero", LOOK_AGAIN),
        ("could not serialize access", "40001"),
        ("canceling statement due to lock timeout", "55P03"),
        ("canceling statement due to conflict with recovery", "40001"),
        ("canceling statement", "57014"),
        ("terminating connection due to conflict with recovery", "40001"),
        ("terminating connection due to idle-session timeout", "57P05"),
        ("terminating connection due to idle-in-transaction timeout", "25P03"),
        ("terminating connection because of crash", "57P02"),
        ("terminating", "57P01"),
        ("the database system is", "57P03"),
        ("cached plan must not change result type", "0A000"),
        ("permission denied", "42501"),
        ("must be owner", "42501"),
        ("prepared statement", "26000"),
        ("bind message supplies", "26000"),
        ("invalid byte sequence for encoding", "22021"),
        ("invalid memory alloc request size", "54000"),
        ("row is too big", "54000"),
        ("string too long", "54000"),
        ("value too long for type", "22001"),
        ("bigint out of range", "22003"),
        ("array size exceeds", "54000"),
        ("out of memory", "53200"),
        ("sorry, too many clients already", "53300"),
        ("remaining connection slots are reserved", "53300"),
        ("cannot execute", "25006"),
    ];
    const ENDS: &[(&str, &str, &str)] = &[
        ("relation ", " does not exist", "42P01"),
        ("column ", " does not exist", "42703"),
        ("schema ", " does not exist", "42P01"),
        ("could not ", "No space left on device", "53100"),
    ];
    let beginning = BEGINNINGS.iter().find(|(beginning, _)| message.starts_with(beginning));
    let end = || ENDS.iter().find(|(start, end, _)| message.starts_with(start) && message.ends_with(end));
    beginning.map(|(_, code)| *code).or_else(|| end().map(|(_, _, code)| *code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(message: &str) -> Fault {
        let error = DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()));
        of_query(error, "CREATE TABLE …")
    }

    #[test]
    fn a_message_is_classified_with_its_sqlstate() {
        use Connection::{Lost, Sound, Unfit};
        let table = [
            ("deadlock detected", ErrorKind::Conflict, "40P01", Sound),
            ("could not serialize access due to concurrent update", ErrorKind::Conflict, "40001", Sound),
            ("division by zero", ErrorKind::Conflict, LOOK_AGAIN, Sound),
            ("relation \"sessions\" does not exist", ErrorKind::Backend, "42P01", Sound),
            ("column \"version\" does not exist", ErrorKind::Backend, "42703", Sound),
            ("column t.version of relation \"x\" does not exist", ErrorKind::Backend, "42703", Sound),
            ("permission denied for table sessions", ErrorKind::Backend, "42501", Sound),
            ("canceling statement due to statement timeout", ErrorKind::Unavailable, "57014", Sound),
            ("canceling statement due to lock timeout", ErrorKind::Unavailable, "55P03", Sound),
            ("terminating connection due to administrator command", ErrorKind::Unavailable, "57P01", Lost),
            ("the database system is shutting down", ErrorKind::Unavailable, "57P03", Lost),
            ("cannot execute UPDATE in a read-only transaction", ErrorKind::Unavailable, "25006", Lost),
            ("prepared statement \"s1\" does not exist", ErrorKind::Backend, "26000", Unfit),
            ("invalid memory alloc request size 1073741824", ErrorKind::TooLarge, "54000", Sound),
            ("cached plan must not change result type", ErrorKind::Conflict, "0A000", Lost),
        ];
        for (message, kind, code, connection) in table {
            let fault = server(message);
            assert_eq!(fault.error.kind(), kind, "{message}");
            assert_eq!(fault.error.code(), Some(code), "{message}");
            assert_eq!(fault.connection, connection, "{message}");
        }
    }

    #[test]
    fn an_answer_of_the_server_leaves_no_doubt_and_a_broken_connection_does() {
        assert!(!server("deadlock detected").error.is_indeterminate());
        assert!(!server("permission denied for table sessions").error.is_indeterminate());
        assert!(server("terminating connection due to administrator command").error.is_indeterminate());
        let broken = of_transport("connection closed");
        assert!(broken.error.is_indeterminate() && broken.error.is_unreachable());
    }

    #[test]
    fn a_missing_table_says_how_to_make_it() {
        assert!(server("relation \"sessions\" does not exist").error.to_string().contains("CREATE TABLE …"));
    }

    #[test]
    fn a_refused_connection_keeps_its_sqlstate_and_is_never_in_doubt() {
        let refused = |message: &str| {
            of_pool(PoolError::Backend(DieselPoolError::ConnectionError(ConnectionError::BadConnection(
                message.to_owned(),
            ))))
        };
        let password = refused("28P01: password authentication failed for user \"x\"");
        assert_eq!((password.kind(), password.code()), (ErrorKind::Backend, Some("28P01")));
        let starting = refused("57P03: the database system is starting up");
        assert!(starting.is_unreachable() && !starting.is_indeterminate());
        let gone = refused("error connecting to server: Connection refused (os error 111)");
        assert!(gone.is_unreachable() && gone.code().is_none() && !gone.is_indeterminate());
    }
}
