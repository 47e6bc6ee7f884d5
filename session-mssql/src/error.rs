//! The one map from what tiberius, the pool and the server report to [`session_core::Error`].

use std::time::Duration;

use deadpool::managed::{PoolError, TimeoutType};
use session_core::{Error, ErrorKind};
use tiberius::error::{Error as Tiberius, IoErrorKind, TokenError};

/// The database of a login cannot be opened: it is not there, or not yet.
const CANNOT_OPEN: u32 = 4060;

/// The number of our own error for a text that a table's columns cannot hold. Nothing was done.
pub(crate) const NOT_IN_CODE_PAGE: u32 = 50_001;

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
    known.with_in_doubt(false).with_source(error)
}

/// The same where an earlier login succeeded: a database that cannot be opened now is recovered, restored or moved, as its
/// name was right before.
pub(crate) fn connecting_again(error: Tiberius) -> Error {
    if error.code() != Some(CANNOT_OPEN) {
        return connecting(error);
    }
    Error::unavailable(
        "the database cannot be opened now, and could be before: it is started, restored or moved; try again later",
    )
    .with_unreachable()
    .with_code(CANNOT_OPEN.to_string())
    .with_in_doubt(false)
    .with_source(error)
}

/// An error of a statement that was sent, at least in part. If it is in doubt, this one connection broke under it: that the
/// server is not there is for the next login to say, and no reason to refuse work.
pub(crate) fn running(error: Tiberius) -> Error {
    let error = of_running(error);
    if error.is_in_doubt() { error.of_one_connection() } else { error }
}

fn of_running(error: Tiberius) -> Error {
    let known = match &error {
        Tiberius::Server(token) => return server(token),
        Tiberius::Io { kind: IoErrorKind::TimedOut, .. } => Error::unavailable(
            "the server did not answer within the connection's command time-out; try again later",
        ),
        Tiberius::Io { .. } => {
            Error::unavailable("the connection to the server broke during the operation; try again")
        }
        // The rest of the answer cannot be read after this. tiberius's words tell the two apart, nothing else does.
        Tiberius::Utf16 => undecodable(),
        Tiberius::Protocol(what) if what.contains("UTF-16") => undecodable(),
        _ => Error::new(
            ErrorKind::Backend,
            "the server's answer could not be read; check that the table has the columns of `schema_sql`",
        ),
    };
    known.with_source(error)
}

/// No connection came from the pool.
pub(crate) fn pool(error: PoolError<Error>) -> Error {
    match error {
        PoolError::Backend(error) => error.with_in_doubt(false),
        PoolError::Timeout(TimeoutType::Wait) => Error::unavailable(
            "all connections of the pool are in use; raise its size or send fewer calls at once",
        )
        .with_in_doubt(false),
        PoolError::Timeout(_) => Error::unavailable("the server did not answer a new connection in time")
            .with_in_doubt(false)
            .with_unreachable(),
        error => {
            Error::unavailable("the pool gives no connections; check whether it was closed and its hooks")
                .with_in_doubt(false)
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
    .with_in_doubt(false)
}

/// The time limit passed while the server worked. The connection is closed.
pub(crate) fn no_answer_within(limit: Duration) -> Error {
    Error::unavailable(format!("the server did not answer within {limit:?}; try again later"))
}

/// What the server answered is not what the statement asks for.
pub(crate) fn unexpected(what: &'static str) -> Error {
    Error::new(ErrorKind::Backend, what)
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
        .with_code("33557097"),
        33_557_097 if token.message().starts_with("canceling statement") => {
            numbered(1222, token.class()).with_code("33557097")
        }
        number => numbered(number, token.class()),
    };
    match token.code() {
        code if may_quote(code) => error,
        _ => error.with_source(Tiberius::Server(token.clone())),
    }
}

/// Numbers whose texts quote keys and values: of a duplicate key, of a text that is cut, of what cannot be converted.
const QUOTES: &[u32] = &[220, 232, 244, 245, 248, 1505, 2601, 2627, 2628, 8114, 13609];

/// True if the server's own words may quote a value. From 50000 on they are a trigger's or a procedure's (THROW,
/// RAISERROR), or Babelfish's, which has a number of its own for all that PostgreSQL says.
fn may_quote(number: u32) -> bool {
    QUOTES.contains(&number) || (number >= 50_000 && number != NOT_IN_CODE_PAGE)
}

/// What is known of some numbers.
struct Known {
    numbers: &'static [u32],
    kind: ErrorKind,
    done: Done,
    says: &'static str,
}

/// Whether anything was changed by the statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    /// Nothing was.
    Nothing,
    /// Nothing was, and the database as a whole is out of reach.
    NothingHere,
    /// Nobody knows, and the database or what stands before it went away.
    Gone,
}

/// All that is decided on. Where nothing else is named, the source is "Database Engine events and errors" of SQL Server's
/// documentation, with `XACT_ABORT` and one statement, or one transaction, for each operation: what fails is rolled back.
/// What is not here leaves doubt.
const TABLE: &[Known] = &[
    // A lock that was not given in time (`lock_timeout`): asked again, the call would wait as long again.
    known(
        &[1222],
        ErrorKind::Unavailable,
        Done::Nothing,
        "the server gave up waiting for a lock; somebody holds a row or the table, see `lock_timeout`",
    ),
    // Deadlock victim; locks used up; snapshot isolation conflicts, and those of memory-optimized tables ("Transactions
    // with memory-optimized tables": the transaction is rolled back).
    known(
        &[1205, 1204, 3960, 3961, 3966, 41301, 41302, 41305, 41325, 41839],
        ErrorKind::Conflict,
        Done::Nothing,
        "the server gave the operation up in favour of another; try again",
    ),
    // A duplicate key where a statement did not expect one: another call made it just now.
    known(
        &[2601, 2627],
        ErrorKind::Conflict,
        Done::Nothing,
        "another call made the same key just now, or a unique index on the table is not ours; try again, or drop it",
    ),
    // Refused before anything was done: the limits of an Azure database and of its elastic pool ("Resource governance
    // errors"), memory, the most connections, a server that is starting, a login that took too long. 40549 to 40553: the
    // service ended the session over its resources, and rolled back.
    known(
        &[
            10928, 10929, 10936, 40501, 40549, 40550, 40551, 40552, 40553, 49918, 49919, 49920, 701, 8628,
            8645, 8651, 17142, 17197, 17809, 17889, 18401,
        ],
        ErrorKind::Unavailable,
        Done::Nothing,
        "the server is too busy or not ready; try again later",
    ),
    // The database moves, starts or is offline: not one statement is taken. Azure's "Transient fault error codes", with
    // those of a pool that is paused or wakes up; after a restart 921 and 922 (it is recovered), 927 (restored), 952 (in
    // transition); of availability groups 976, 983 and 988 (no quorum); of mirrors 954, 955 and 956.
    known(
        &[
            40613, 42108, 42109, 615, 921, 922, 926, 927, 942, 945, 952, 954, 955, 956, 976, 983, 988, 4221,
            6005,
        ],
        ErrorKind::Unavailable,
        Done::NothingHere,
        "the database is moving or offline; try again later",
    ),
    // It only reads: a replica (978, for those alone that say they only read), or a database that is set so. 979: the one
    // that writes takes nobody who says so.
    known(
        &[3906, 978, 979],
        ErrorKind::Unavailable,
        Done::NothingHere,
        "the database only reads; connect to the primary replica, without ApplicationIntent=ReadOnly",
    ),
    // "The service has encountered an error processing your request", by which a failover ends what is under way
    // (Azure's list), and a log that is not available any more.
    known(
        &[40197, 40143, 40166, 40540, 9001],
        ErrorKind::Unavailable,
        Done::Gone,
        "the database is moving or offline; try again later",
    ),
    // The gateway between client and server, and Windows' own numbers of a connection that broke.
    known(
        &[20, 64, 121, 233, 10053, 10054, 10060, 11001],
        ErrorKind::Unavailable,
        Done::Gone,
        "the connection to the server broke; try again",
    ),
    // An unknown database: 4060 and 911 say so of a name that is wrong. 4060 also comes while one starts or moves, for which
    // `connecting_again` looks.
    known(
        &[CANNOT_OPEN, 4064, 911],
        ErrorKind::Backend,
        Done::Nothing,
        "the database cannot be opened; check its name, that it exists, and that the login may use it",
    ),
    known(
        &[18456, 18452, 18470, 18486, 18487, 18488],
        ErrorKind::Backend,
        Done::Nothing,
        "the login was refused; check the user, the password and how to log in",
    ),
    // Azure: the firewall, a rule for virtual networks, no public access, no such server.
    known(
        &[40615, 40914, 47073, 40532],
        ErrorKind::Backend,
        Done::Nothing,
        "the server lets nobody in from this address, or is not the one that is meant; add a rule to its firewall, or \
         correct its name",
    ),
    known(
        &[208],
        ErrorKind::Backend,
        Done::Nothing,
        "the table is not there; call `create_table`, run the statements of `schema_sql`, or check the schema",
    ),
    known(
        &[207, 206, 257, 245, 8114, 529],
        ErrorKind::Backend,
        Done::Nothing,
        "the table's columns are not this store's; compare it with `schema_sql`",
    ),
    known(
        &[2628, 8152],
        ErrorKind::Backend,
        Done::Nothing,
        "a value is longer than its column; run the doctor on the table",
    ),
    known(
        &[229, 230, 262, 916, 300],
        ErrorKind::Backend,
        Done::Nothing,
        "a right is missing; grant SELECT, INSERT, UPDATE and DELETE on the table, and, for `create_table`, CREATE TABLE \
         in the database and ALTER on the schema",
    ),
    known(
        &[2760],
        ErrorKind::Backend,
        Done::Nothing,
        "the schema is not there, or the login may make nothing in it; create it, or grant ALTER on the schema",
    ),
    known(
        &[NOT_IN_CODE_PAGE],
        ErrorKind::InvalidInput,
        Done::Nothing,
        "an id or a session has a character that the table's column cannot hold; make the column nvarchar, as in \
         `schema_sql`",
    ),
    known(
        &[334],
        ErrorKind::Backend,
        Done::Nothing,
        "the table has a trigger, with which the OUTPUT clause does not work; drop it",
    ),
    known(
        &[1101, 1105, 9002, 40544],
        ErrorKind::Backend,
        Done::Nothing,
        "the database is full; give it room",
    ),
    // Constraints of others, NULL where none may be, an overflow, a division by zero; syntax and names; a trigger's or a
    // procedure's end of the batch. 33557097 is Babelfish's number for what it maps to none of SQL Server's.
    known(
        &[
            547, 515, 8115, 220, 232, 8134, 102, 137, 156, 201, 209, 213, 1088, 2812, 3609, 3616, 4104, 8180,
            50000, 33557097,
        ],
        ErrorKind::Backend,
        Done::Nothing,
        "the server refused the statement",
    ),
];

const fn known(numbers: &'static [u32], kind: ErrorKind, done: Done, says: &'static str) -> Known {
    Known { numbers, kind, done, says }
}

/// What an error number of SQL Server means. `class` is its severity: from 11 to 16 a fault of the statement, which the
/// server rolls back ("Database Engine error severities"), from 17 on one of the server, and from 20 on the end of the
/// connection. An error is in doubt unless it is known that nothing was changed.
pub(crate) fn numbered(number: u32, class: u8) -> Error {
    const OF_THE_STATEMENT: std::ops::RangeInclusive<u8> = 11..=16;

    let closed = class >= CLOSES_THE_CONNECTION;
    let entry = TABLE.iter().find(|known| known.numbers.contains(&number));
    let error = match entry {
        Some(known) => {
            let error = Error::new(known.kind, known.says).with_in_doubt(closed || known.done == Done::Gone);
            if known.done == Done::Nothing { error } else { error.with_unreachable() }
        }
        None if closed => Error::unavailable("the server ended the connection; try again")
            .with_in_doubt(true)
            .with_unreachable(),
        None => Error::new(ErrorKind::Backend, "the server refused the statement")
            .with_in_doubt(!OF_THE_STATEMENT.contains(&class)),
    };
    error.with_code(number.to_string())
}

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
        assert!(error.is_unreachable() && !error.is_in_doubt());
    }

    #[test]
    fn a_connection_that_breaks_during_an_operation_leaves_the_outcome_open() {
        let error = running(io(IoErrorKind::UnexpectedEof));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_in_doubt() && !error.is_unreachable());
    }

    #[test]
    fn a_command_time_out_concerns_one_call_only() {
        let error = running(io(IoErrorKind::TimedOut));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_unreachable() && error.is_in_doubt());
    }

    #[test]
    fn a_payload_with_half_a_character_is_corrupt() {
        let error = running(Tiberius::Protocol("nvarchar: invalid UTF-16 sequence".into()));
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!error.is_in_doubt());
    }

    #[test]
    fn a_character_that_a_column_cannot_hold_is_the_caller_s_matter() {
        let error = numbered(NOT_IN_CODE_PAGE, 16);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.is_in_doubt());
    }

    #[test]
    fn a_full_pool_is_not_an_unreachable_database() {
        let error = pool(PoolError::Timeout(TimeoutType::Wait));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_unreachable() && !error.is_in_doubt());
    }

    #[test]
    fn a_deadlock_and_a_snapshot_conflict_may_be_tried_again() {
        for number in [1205, 3960] {
            let error = numbered(number, 13);
            assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Conflict, false), "{number}");
            assert_eq!(error.code(), Some(number.to_string().as_str()));
        }
    }

    #[test]
    fn a_lock_that_is_not_given_changed_nothing_and_is_not_asked_for_again() {
        let error = numbered(1222, 16);
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, false));
        assert!(!error.is_unreachable());
    }

    #[test]
    fn transient_numbers_of_azure_are_unavailable() {
        for number in [40197, 40501, 40613, 49918, 49919, 49920, 10928, 10929] {
            assert_eq!(numbered(number, 16).kind(), ErrorKind::Unavailable, "{number}");
        }
        // The service ended the operation; whether before or after the commit it does not say.
        for number in [40197, 40143, 40166, 40540, 64, 233, 10053, 10054, 10060] {
            let error = numbered(number, 17);
            assert!(error.is_in_doubt() && error.is_unreachable(), "{number}");
        }
        assert!(!numbered(40501, 17).is_in_doubt());
        assert!(numbered(40613, 17).is_unreachable());
        assert!(!numbered(10928, 16).is_unreachable());
    }

    #[test]
    fn a_database_that_is_started_or_moved_may_be_asked_again() {
        for number in [921, 922, 927, 952, 954, 955, 956, 976, 978, 983, 988, 3906, 42108, 42109] {
            let error = numbered(number, 14);
            assert!(error.is_transient() && error.is_unreachable() && !error.is_in_doubt(), "{number}");
        }
        for number in [10936, 40549, 40553, 17809, 17197] {
            let error = numbered(number, 16);
            assert!(error.is_transient() && !error.is_unreachable() && !error.is_in_doubt(), "{number}");
        }
        for number in [40615, 40914, 47073] {
            let error = numbered(number, 14);
            assert!(!error.is_transient() && error.to_string().contains("firewall"), "{number}");
        }
    }

    #[test]
    fn an_error_that_ends_the_connection_leaves_the_outcome_open() {
        let error = numbered(596, 21);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_in_doubt() && error.is_unreachable());
    }

    #[test]
    fn what_is_not_known_to_have_changed_nothing_is_in_doubt() {
        // Of the server and not of the statement, and nobody has heard of it.
        for (number, class) in [(99_999, 17), (99_999, 19), (99_999, 21), (9001, 21), (64, 16)] {
            assert!(numbered(number, class).is_in_doubt(), "{number} {class}");
        }
        assert!(!numbered(99_999, 16).is_in_doubt());
        let mut seen = Vec::new();
        for number in TABLE.iter().flat_map(|known| known.numbers) {
            assert!(!seen.contains(number), "{number} stands twice");
            seen.push(*number);
        }
    }

    #[test]
    fn an_unknown_database_is_to_be_corrected_and_not_tried_again() {
        for number in [4060, 4064, 911, 18456] {
            let error = numbered(number, 14);
            assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Backend, false), "{number}");
            assert!(!error.is_unreachable() && !error.is_in_doubt(), "{number}");
        }
    }

    #[test]
    fn a_failed_statement_changed_nothing_and_keeps_its_number() {
        let error = numbered(208, 16);
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false));
        assert!(error.to_string().contains("create_table"), "{error}");
        assert!(error.to_string().ends_with("[208]"), "{error}");
    }
}
