//! What sqlx reports, as errors of the contract.

use session_core::{Error, ErrorKind};
use session_sql::sqlite::code;

/// What went wrong on a connection, before it is put into words.
#[derive(Debug)]
pub(super) enum Failure {
    /// sqlx's, mostly SQLite's own.
    Sqlx(sqlx::Error),
    /// An error of ours: a value that cannot be read.
    Store(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::Sqlx(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    /// True if the connection may be at fault, and a new one may do better.
    pub(super) fn spoils_connection(&self) -> bool {
        match self {
            Failure::Sqlx(error) => code_of(error).is_none_or(code::spoils_connection),
            Failure::Store(_) => false,
        }
    }

    /// True if a commit that failed so may yet be found in the log after a crash.
    pub(super) fn leaves_commit_in_doubt(&self) -> bool {
        match self {
            Failure::Sqlx(error) => code_of(error).is_none_or(code::leaves_commit_in_doubt),
            Failure::Store(_) => false,
        }
    }

    /// The error that a caller gets. Nothing was changed, unless the caller of this says otherwise.
    pub(super) fn into_error(self, table: &str) -> Error {
        match self {
            Failure::Sqlx(error) => classify(error, table),
            Failure::Store(error) => error,
        }
    }
}

/// Classifies why a connection was not made.
pub(super) fn connecting(error: sqlx::Error) -> Error {
    classify(error, "").with_in_doubt(false)
}

fn classify(error: sqlx::Error, table: &str) -> Error {
    let (classified, may_quote) = match (&error, code_of(&error)) {
        (sqlx::Error::Database(sqlite), Some(code)) => {
            let said = sqlite.message();
            (code::classify(code, said, table), code::may_quote(code, said))
        }
        _ => (Error::new(ErrorKind::Backend, "sqlx failed; see the source").with_in_doubt(false), false),
    };
    if may_quote { classified } else { classified.with_source(error) }
}

/// SQLite's extended code.
fn code_of(error: &sqlx::Error) -> Option<i32> {
    match error {
        sqlx::Error::Database(sqlite) => sqlite.code()?.parse().ok(),
        _ => None,
    }
}
