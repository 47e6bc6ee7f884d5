//! What rusqlite reports, as errors of the contract.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::ffi;
use session_core::{Error, ErrorKind};
use session_sql::sqlite::code;

/// What was asked of a connection, or why it could not be had.
pub(crate) type Answer<T> = Result<T, Failure>;

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
        Failure::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code::BUSY), None))
    }

    /// True if another connection holds a lock that this one needs.
    pub(crate) fn is_busy(&self) -> bool {
        self.code().is_some_and(code::is_busy)
    }

    /// True if the connection may be at fault, and a new one may do better: the file was moved, mended, or came back.
    pub(crate) fn spoils_connection(&self) -> bool {
        self.code().is_some_and(code::spoils_connection)
    }

    fn code(&self) -> Option<i32> {
        match self {
            Failure::Sqlite(error) => sqlite_error(error).map(|sqlite| sqlite.extended_code),
            Failure::Store(_) => None,
        }
    }

    /// The error that a caller gets. Nothing was changed, unless the caller of this says otherwise.
    pub(crate) fn into_error(self, table: &str) -> Error {
        match self {
            Failure::Sqlite(error) => classify(Arc::new(error), table),
            Failure::Store(error) => error,
        }
    }
}

/// True if a commit that failed so may yet be found in the log after a crash.
pub(crate) fn leaves_commit_in_doubt(error: &rusqlite::Error) -> bool {
    sqlite_error(error).is_none_or(|sqlite| code::leaves_commit_in_doubt(sqlite.extended_code))
}

/// SQLite's error as ours. Nothing was changed, unless the caller says otherwise.
pub(crate) fn classify(source: Arc<rusqlite::Error>, table: &str) -> Error {
    let Some(sqlite) = sqlite_error(&source) else {
        return Error::new(
            ErrorKind::Backend,
            "rusqlite refused a statement of this driver; report this as a fault",
        )
        .with_in_doubt(false)
        .with_source(source);
    };
    let words = said(&source);
    let error = code::classify(sqlite.extended_code, &words, table);
    if code::may_quote(sqlite.extended_code, &words) { error } else { error.with_source(source) }
}

/// SQLite's codes. Those of a statement that could not be prepared are in a variant that rusqlite has with some versions of
/// SQLite alone; its source is the same.
fn sqlite_error(error: &rusqlite::Error) -> Option<ffi::Error> {
    std::error::Error::source(error)?.downcast_ref().copied()
}

/// SQLite's own words.
fn said(error: &rusqlite::Error) -> Cow<'_, str> {
    match error {
        rusqlite::Error::SqliteFailure(_, message) => message.as_deref().unwrap_or_default().into(),
        // They stand before the statement.
        other => other.to_string().split(" in ").next().unwrap_or_default().to_owned().into(),
    }
}
