//! Statements on a connection, and a connection of our own.

use std::fmt;

use futures_util::TryStreamExt;
use session_core::Error;
use session_sql::Bound;
use session_sql::checkout::{Alive, Own};
use session_sql::postgres::settings;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either, Executor, Postgres};

use super::error::of_query;
use super::value::arguments;
use crate::cancel::Cancels;
use crate::transaction::Speaks;

/// The rows that a statement gives. sqlx prepares it once for each connection, by its text.
pub(super) async fn rows<T>(
    connection: &mut PgConnection,
    bound: Bound<'_>,
    row: impl Fn(&PgRow) -> T,
) -> sqlx::Result<Vec<T>> {
    let query = sqlx::query_with(AssertSqlSafe(bound.sql()), arguments(&bound).map_err(sqlx::Error::Encode)?);
    let mut answer = connection.fetch_many(query);
    let mut found = Vec::new();
    while let Some(next) = answer.try_next().await? {
        if let Either::Right(next) = next {
            found.push(row(&next));
        }
    }
    Ok(found)
}

/// How many rows a statement changed.
pub(super) async fn execute(connection: &mut PgConnection, bound: Bound<'_>) -> sqlx::Result<u64> {
    let query = sqlx::query_with(AssertSqlSafe(bound.sql()), arguments(&bound).map_err(sqlx::Error::Encode)?);
    Ok(connection.execute(query).await?.rows_affected())
}

/// Runs statements without values.
pub(super) async fn script(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

impl Speaks for Postgres {
    async fn script(connection: &mut Self::Connection, sql: &'static str) -> sqlx::Result<()> {
        script(connection, sql).await
    }

    fn classified(error: sqlx::Error) -> Error {
        of_query(&error, "").into_error()
    }
}

/// A connection of our own.
pub(super) struct Client {
    pub(super) connection: PgConnection,
    /// The server's number of it.
    pub(super) number: i32,
}

impl Own for Client {
    fn is_closed(&self) -> bool {
        // sqlx hears of it when the connection is used.
        false
    }
}

impl Alive for Client {
    async fn sign_of_life(&mut self) -> bool {
        script(&mut self.connection, settings::SIGN_OF_LIFE).await.is_ok()
    }
}

impl Cancels for Client {
    type Number = i32;

    fn number(&self) -> i32 {
        self.number
    }

    async fn cancel(&mut self, number: i32) -> bool {
        script(&mut self.connection, &settings::cancel(number)).await.is_ok()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
