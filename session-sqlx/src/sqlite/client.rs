//! Statements on a connection, and a connection of our own.

use std::fmt;

use futures_util::{FutureExt, TryStreamExt};
use session_core::{Error, Result};
use session_sql::Bound;
use session_sql::checkout::{Alive, Asking, Cancel, Maker, Own};
use session_sql::sqlite::Step;
use session_sql::value::Column;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Either, Executor, Sqlite};

use super::error::{Failure, connecting};
use super::value::{self, arguments};
use crate::transaction::Speaks;

/// An open connection. sqlx runs its statements on a thread of its own, and prepares each once, by its text.
pub(super) struct Open<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    pub(super) purpose: Purpose,
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing is changed: a statement of which one row is wanted is over once that row has come. To wait for its end
    /// would wait for sqlx's thread a second time.
    Reading,
    /// The end of each statement is waited for: a commit that fails is told there.
    Writing,
}

impl Open<'_> {
    /// Runs statements without values.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), Failure> {
        Ok(self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)?)
    }
}

impl Step for Open<'_> {
    type Row<'r> = SqliteRow;
    type Error = Failure;

    fn columns<const N: usize, T>(row: &SqliteRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
        value::columns(row, read)
    }

    async fn all<T: Send>(
        &mut self,
        statement: Bound<'_>,
        read: impl Fn(&SqliteRow) -> Result<T> + Send,
    ) -> Result<Vec<T>, Failure> {
        let arguments = arguments(&statement).map_err(sqlx::Error::Encode)?;
        let mut answer =
            self.connection.fetch_many(sqlx::query_with(AssertSqlSafe(statement.sql()), arguments));
        let mut all = Vec::new();
        while let Some(next) = answer.try_next().await? {
            if let Either::Right(row) = next {
                all.push(read(&row));
            }
        }
        // Read to the end first, so that the statement is done.
        Ok(all.into_iter().collect::<Result<_>>()?)
    }

    async fn first<T: Send>(
        &mut self,
        statement: Bound<'_>,
        read: impl Fn(&SqliteRow) -> Result<T> + Send,
    ) -> Result<Option<T>, Failure> {
        if self.purpose == Purpose::Writing {
            return Ok(self.all(statement, read).await?.into_iter().next());
        }
        let arguments = arguments(&statement).map_err(sqlx::Error::Encode)?;
        let query = sqlx::query_with(AssertSqlSafe(statement.sql()), arguments);
        let row = self.connection.fetch_optional(query).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn execute(&mut self, statement: Bound<'_>) -> Result<u64, Failure> {
        let arguments = arguments(&statement).map_err(sqlx::Error::Encode)?;
        let query = sqlx::query_with(AssertSqlSafe(statement.sql()), arguments);
        Ok(self.connection.execute(query).await?.rows_affected())
    }
}

impl Speaks for Sqlite {
    async fn script(connection: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
        connection.execute(sqlx::raw_sql(sql)).await.map(drop)
    }

    fn classified(error: sqlx::Error) -> Error {
        connecting(error)
    }
}

/// A connection of our own.
pub(super) struct Client(pub(super) SqliteConnection);

impl Own for Client {
    fn is_closed(&self) -> bool {
        false
    }
}

impl Alive for Client {
    async fn sign_of_life(&mut self) -> bool {
        self.0.ping().await.is_ok()
    }
}

/// Nothing works on for a caller who has gone: SQLite's statements are short, and its locks have a time-out.
pub(super) fn no_cancel() -> Box<Cancel<Maker<Client>>> {
    Box::new(|_, _| Asking { ask: Box::new(|| std::future::ready(false).boxed()), last: None })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
