//! The one map from what tiberius, the pool and the server report to [`session_core::Error`].

use std::time::Duration;

use deadpool::managed::{PoolError, TimeoutType};
use session_core::{Error, ErrorKind};
use tiberius::error::{Error as Tiberius, IoErrorKind, TokenError};

use crate::BACKEND;
use crate::connect_typeorm::NOT_IN_CODE_PAGE;

/// An error of opening a connection: nothing was sent that could change anything.
pub(crate) fn connecting(error: Tiberius) -> Error {
    let known = match &error {
        Tiberius::Server(token) => return server(token),
        Tiberius::Io { kind: IoErrorKind::TimedOut, .. } => {
            Error::unavailable("the server did not finish the login in time; check that it is SQL Server that listens there")
                .with_unreachable()
        }
        Tiberius::Io { kind: IoErrorKind::InvalidData, .. } | Tiberius::Protocol(_) => Error::new(
            ErrorKind::Backend,
            "the server and this driver do not agree on how to connect; check `Encrypt` and that it is SQL Server \
             that listens there",
        ),
        Tiberius::Io { .. } => Error::unavailable(
            "the server cannot be reached; check the host, the port and that SQL Server accepts TCP connections",
        )
        .with_unreachable(),
        Tiberius::Tls(_) => Error::new(
            ErrorKind::Backend,
            "the TLS handshake failed; add the authority that signed the server's certificate, or name the host that \
             stands in it with `HostNameInCertificate`",
        ),
        Tiberius::Conversion(_) => Error::unavailable(
            "the named instance was not found; check its name and that the SQL Server Browser runs on UDP port 1434, \
             or give the instance's port instead",
        )
        .with_unreachable(),
        _ => Error::new(ErrorKind::Backend, "the connection could not be opened"),
    };
    known.with_backend(BACKEND).with_indeterminate(false).with_source(error)
}

/// An error of a statement that was sent, at least in part.
pub(crate) fn running(error: Tiberius) -> Error {
    let known = match &error {
        Tiberius::Server(token) => return server(token),
        Tiberius::Io { kind: IoErrorKind::TimedOut, .. } => Error::unavailable(
            "the server did not answer within the connection's command time-out; try again later",
        ),
        Tiberius::Io { .. } => {
            Error::unavailable("the connection to the server broke during the operation; try again")
                .with_unreachable()
        }
        // The rest of the answer cannot be read after this. tiberius's words tell the two apart, nothing else does.
        Tiberius::Utf16 => undecodable(),
        Tiberius::Protocol(what) if what.contains("UTF-16") => undecodable(),
        _ => Error::new(
            ErrorKind::Backend,
            "the server's answer could not be read; check that the table has the columns of `schema_sql`",
        ),
    };
    known.with_backend(BACKEND).with_source(error)
}

/// No connection came from the pool.
pub(crate) fn pool(error: PoolError<Tiberius>) -> Error {
    match error {
        PoolError::Backend(error) => connecting(error),
        PoolError::Timeout(TimeoutType::Wait) => Error::unavailable(
            "all connections of the pool are in use; raise its size or send fewer calls at once",
        )
        .with_backend(BACKEND)
        .with_indeterminate(false),
        PoolError::Timeout(_) => Error::unavailable("the server did not answer a new connection in time")
            .with_backend(BACKEND)
            .with_indeterminate(false)
            .with_unreachable(),
        error => {
            Error::unavailable("the pool gives no connections; check whether it was closed and its hooks")
                .with_backend(BACKEND)
                .with_indeterminate(false)
                .with_source(error.to_string())
        }
    }
}

/// The time limit passed before there was a connection.
pub(crate) fn no_connection_within(limit: Duration) -> Error {
    Error::unavailable(format!(
        "no connection was free or could be opened within {limit:?}; check that the server answers, or raise the \
         pool's size"
    ))
    .with_backend(BACKEND)
    .with_indeterminate(false)
}

/// The time limit passed while the server worked. The connection is closed.
pub(crate) fn no_answer_within(limit: Duration) -> Error {
    Error::unavailable(format!("the server did not answer within {limit:?}; try again later"))
        .with_backend(BACKEND)
}

/// What the server answered is not what the statement asks for.
pub(crate) fn unexpected(what: &'static str) -> Error {
    Error::new(ErrorKind::Backend, what).with_backend(BACKEND)
}

/// True for an error that a connection which was idle for long may show, and a new one need not.
pub(crate) fn is_broken_connection(error: &Tiberius) -> bool {
    match error {
        Tiberius::Io { kind, .. } => *kind != IoErrorKind::TimedOut,
        Tiberius::Server(token) => token.class() >= CLOSES_THE_CONNECTION,
        _ => false,
    }
}

/// From this severity on the server closes the connection.
const CLOSES_THE_CONNECTION: u8 = 20;

fn undecodable() -> Error {
    Error::corrupt(
        "a text of the row is not valid UTF-16; it was not written by this store, destroy the session",
    )
}

fn server(token: &TokenError) -> Error {
    let error = match token.code() {
        // Babelfish's number for what it maps to none of SQL Server's, which takes a U+0000 in a text.
        33_557_097 if token.message().contains("code point 0") => Error::invalid_input(
            "a text has a U+0000, which Babelfish cannot hold; encode the payload without it",
        )
        .with_backend(BACKEND)
        .with_code("33557097"),
        number => numbered(number, token.class()),
    };
    match token.code() {
        // Their texts quote keys and values.
        2601 | 2627 | 2628 | 245 | 8114 => error,
        _ => error.with_source(Tiberius::Server(token.clone())),
    }
}

/// What an error number of SQL Server means. `class` is its severity.
pub(crate) fn numbered(number: u32, class: u8) -> Error {
    let closed = class >= CLOSES_THE_CONNECTION;
    let error = match number {
        // Deadlock victim; lock request time-out; locks used up; snapshot isolation conflicts.
        1205 | 1222 | 1204 | 3960 | 3961 => Error::new(
            ErrorKind::Conflict,
            "the server gave the operation up in favour of another; try again",
        ),
        // A duplicate key where a statement did not expect one: another call made it just now.
        2601 | 2627 => Error::new(ErrorKind::Conflict, "another call made the same key just now; try again"),
        // Refused before anything was done: the limits of an Azure database, memory, a server that is starting.
        10928 | 10929 | 40501 | 49918 | 49919 | 49920 | 701 | 8645 | 8651 | 17142 | 18401 => {
            Error::unavailable("the server is too busy or not ready; try again later")
        }
        // The database moves, starts or is offline.
        40613 | 40197 | 40143 | 40166 | 40540 | 615 | 926 | 942 | 945 | 4221 | 6005 | 9001 | 3906 | 983 => {
            Error::unavailable("the database is moving or offline; try again later").with_unreachable()
        }
        4060 | 4064 | 911 => {
            Error::unavailable("the database cannot be opened; check its name and that the login may use it")
                .with_unreachable()
        }
        // The gateway between client and server.
        20 | 64 | 121 | 233 | 10053 | 10054 | 10060 | 11001 => {
            Error::unavailable("the connection to the server broke; try again").with_unreachable()
        }
        18456 | 18452 | 18470 | 18486 | 18487 | 18488 => Error::new(
            ErrorKind::Backend,
            "the login was refused; check the user, the password and how to log in",
        ),
        208 => Error::new(
            ErrorKind::Backend,
            "the table is not there; call `create_table`, run the statements of `schema_sql`, or check the schema",
        ),
        207 | 206 | 257 | 245 | 8114 | 529 => Error::new(
            ErrorKind::Backend,
            "the table's columns are not this store's; compare it with `schema_sql`",
        ),
        229 | 230 | 262 | 916 | 300 => Error::new(
            ErrorKind::Backend,
            "a right is missing; grant SELECT, INSERT, UPDATE and DELETE on the table, and CREATE TABLE for \
             `create_table`",
        ),
        2760 => Error::new(ErrorKind::Backend, "the schema is not there; create it first"),
        NOT_IN_CODE_PAGE => Error::invalid_input(
            "an id or a session has a character that the table's column cannot hold; make the column nvarchar, as in \
             `schema_sql`",
        ),
        334 => Error::new(
            ErrorKind::Backend,
            "the table has a trigger, with which the OUTPUT clause does not work; drop it",
        ),
        1101 | 1105 | 9002 => Error::new(ErrorKind::Backend, "the database is full; give it room"),
        _ if closed => Error::unavailable("the server ended the connection; try again").with_unreachable(),
        // Among them Babelfish's 33557097, for everything that it maps to no number of SQL Server's.
        _ => Error::new(ErrorKind::Backend, "the server refused the statement"),
    };
    error
        .with_backend(BACKEND)
        .with_code(number.to_string())
        // A failed statement is rolled back, and with it the transaction around it. Where the server went away with
        // the connection it may have done so after the commit.
        .with_indeterminate(closed || ENDS_IN_DOUBT.contains(&number))
}

/// Whatever their severity: the service's "error processing your request", by which a failover ends what is under way,
/// and the numbers of a connection that broke.
const ENDS_IN_DOUBT: &[u32] = &[40197, 40143, 40166, 40540, 20, 64, 121, 233, 10053, 10054, 10060, 11001];

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: IoErrorKind) -> Tiberius {
        Tiberius::Io { kind, message: "x".to_owned() }
    }

    #[test]
    fn a_refused_connection_is_unreachable_and_changed_nothing() {
        let error = connecting(io(IoErrorKind::ConnectionRefused));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_unreachable() && !error.is_indeterminate());
    }

    #[test]
    fn a_connection_that_breaks_during_an_operation_leaves_the_outcome_open() {
        let error = running(io(IoErrorKind::UnexpectedEof));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_unreachable() && error.is_indeterminate());
    }

    #[test]
    fn a_command_time_out_concerns_one_call_only() {
        let error = running(io(IoErrorKind::TimedOut));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_unreachable() && error.is_indeterminate());
    }

    #[test]
    fn a_payload_with_half_a_character_is_corrupt() {
        let error = running(Tiberius::Protocol("nvarchar: invalid UTF-16 sequence".into()));
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!error.is_indeterminate());
    }

    #[test]
    fn a_character_that_a_column_cannot_hold_is_the_caller_s_matter() {
        let error = numbered(NOT_IN_CODE_PAGE, 16);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.is_indeterminate());
    }

    #[test]
    fn a_full_pool_is_not_an_unreachable_database() {
        let error = pool(PoolError::Timeout(TimeoutType::Wait));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_unreachable() && !error.is_indeterminate());
    }

    #[test]
    fn a_deadlock_and_a_snapshot_conflict_may_be_tried_again() {
        for number in [1205, 1222, 3960] {
            let error = numbered(number, 13);
            assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Conflict, false), "{number}");
            assert_eq!(error.code(), Some(number.to_string().as_str()));
        }
    }

    #[test]
    fn transient_numbers_of_azure_are_unavailable() {
        for number in [40197, 40501, 40613, 49918, 49919, 49920, 10928, 10929, 4060] {
            assert_eq!(numbered(number, 16).kind(), ErrorKind::Unavailable, "{number}");
        }
        // The service ended the operation; whether before or after the commit it does not say.
        for number in [40197, 40143, 40166, 40540, 64, 233, 10053, 10054, 10060] {
            let error = numbered(number, 17);
            assert!(error.is_indeterminate() && error.is_unreachable(), "{number}");
        }
        assert!(!numbered(40501, 17).is_indeterminate());
        assert!(numbered(40613, 17).is_unreachable());
        assert!(!numbered(10928, 16).is_unreachable());
    }

    #[test]
    fn an_error_that_ends_the_connection_leaves_the_outcome_open() {
        let error = numbered(596, 21);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_indeterminate() && error.is_unreachable());
    }

    #[test]
    fn a_failed_statement_changed_nothing_and_keeps_its_number() {
        let error = numbered(208, 16);
        assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false));
        assert!(error.to_string().contains("create_table"), "{error}");
        assert!(error.to_string().ends_with("[208]"), "{error}");
    }
}
