//! The one map from SQLite's errors to ours.

use std::sync::Arc;

use rusqlite::ErrorCode;
use rusqlite::ffi;
use session_core::{Error, ErrorKind};

pub(crate) const BACKEND: &str = "sqlite";

/// What went wrong on a connection, before it is put into words.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite's own error.
    Sqlite(rusqlite::Error),
    /// An error of ours: a value that cannot be read.
    Store(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    /// What SQLite says when another connection holds a lock.
    pub(crate) fn busy() -> Failure {
        Failure::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None))
    }

    /// True if another connection holds a lock that this one needs.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// True if the connection may be at fault, and a new one may do better: the file was moved, mended, or came back.
    pub(crate) fn spoils_connection(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::OutOfMemory
            )
        )
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Failure::Sqlite(error) => sqlite_error(error).map(|sqlite| sqlite.code),
            Failure::Store(_) => None,
        }
    }

    /// The error that a caller gets. Nothing was changed, unless the caller of this says otherwise.
    pub(crate) fn into_error(self, table: &str) -> Error {
        match self {
            Failure::Sqlite(error) => classify(Arc::new(error), table),
            Failure::Store(error) => error.with_backend(BACKEND),
        }
    }
}

/// True if a commit that failed so may yet be found in the log after a crash: the log's last bytes may have reached
/// the disk although the system reported an error.
pub(crate) fn leaves_commit_in_doubt(error: &rusqlite::Error) -> bool {
    matches!(
        sqlite_error(error).map(|sqlite| sqlite.code),
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory)
    )
}

/// SQLite's error as ours. Nothing was changed, unless the caller says otherwise.
pub(crate) fn classify(source: Arc<rusqlite::Error>, table: &str) -> Error {
    let Some(sqlite) = sqlite_error(&source) else {
        return Error::new(
            ErrorKind::Backend,
            "rusqlite refused a statement of this driver; report this as a fault",
        )
        .with_backend(BACKEND)
        .with_indeterminate(false)
        .with_source(source);
    };
    let (kind, message) = describe(&sqlite, &source, table);
    let error = Error::new(kind, message)
        .with_backend(BACKEND)
        .with_indeterminate(false)
        .with_code(sqlite.extended_code.to_string())
        .with_source(source);
    // The whole file is out of reach, not one session in it.
    if sqlite.code == ErrorCode::CannotOpen { error.with_unreachable() } else { error }
}

/// SQLite's codes: rusqlite keeps those of a statement that could not be prepared in a variant of their own.
fn sqlite_error(error: &rusqlite::Error) -> Option<ffi::Error> {
    match error {
        rusqlite::Error::SqliteFailure(sqlite, _) | rusqlite::Error::SqlInputError { error: sqlite, .. } => {
            Some(*sqlite)
        }
        _ => None,
    }
}

/// Kind and message by SQLite's primary code; <https://sqlite.org/rescode.html> says what each means.
fn describe(sqlite: &ffi::Error, source: &rusqlite::Error, table: &str) -> (ErrorKind, String) {
    let backend = |message: &str| (ErrorKind::Backend, message.to_owned());
    match sqlite.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => (
            ErrorKind::Unavailable,
            "another connection holds the database's lock; find the long transaction, or raise `busy_timeout`".to_owned(),
        ),
        ErrorCode::CannotOpen => (
            ErrorKind::Unavailable,
            "the database file cannot be opened; check that its folder exists and that this user may write the \
             folder and the file"
                .to_owned(),
        ),
        ErrorCode::TooBig => (
            ErrorKind::TooLarge,
            "the payload is over SQLite's limit for one row, 1 GB unless it was lowered; store less".to_owned(),
        ),
        ErrorCode::DatabaseCorrupt => backend(
            "the database file is damaged; stop the application, then restore a backup or use sqlite3's `.recover`",
        ),
        ErrorCode::NotADatabase => {
            backend("the file is not a database, or an encrypted one; check the path, and move the file away if it is not yours")
        }
        ErrorCode::ReadOnly => backend(
            "the database is read-only; let this user write the file and its folder, and check that the file system \
             is not mounted read-only",
        ),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            backend("access to the database was denied; let this user read and write the file and its folder")
        }
        ErrorCode::DiskFull => backend(
            "the disk is full, or the database reached its `max_page_count`; free space, purge expired sessions, or move \
             the file",
        ),
        ErrorCode::SystemIoFailure => {
            backend("the operating system could not read or write the database file; check the disk and its log")
        }
        ErrorCode::OutOfMemory => backend("SQLite got no memory; check the machine's or the container's limit"),
        ErrorCode::ConstraintViolation => backend(&format!(
            "the table \"{table}\" refuses a row of this store; compare its columns and constraints with `schema_sql()`"
        )),
        ErrorCode::Unknown if missing(source, "no such table") => backend(&format!(
            "the table \"{table}\" is missing; call `create_table()`, or run the statements of `schema_sql()`"
        )),
        ErrorCode::Unknown if missing(source, "no such column") || missing(source, "has no column named") => {
            backend(&format!(
                "the table \"{table}\" lacks a column; compare it with `schema_sql()`, or give another table name"
            ))
        }
        _ => backend("SQLite refused the statement; `doctor()` checks the table"),
    }
}

/// SQLite tells a missing table or column by its message alone.
fn missing(source: &rusqlite::Error, what: &str) -> bool {
    match source {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.contains(what),
        rusqlite::Error::SqlInputError { msg, .. } => msg.contains(what),
        _ => false,
    }
}
