//! One statement on a connection of the pool.

use diesel::result::QueryResult;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use session_core::Result;

use super::error;
use super::query::{Bind, PgRow, Statement};
use crate::checkout::{Checkout, forget_idle};
use crate::fault::{Connection, Fault};

pub(super) struct Connections {
    pub(super) pool: Pool<AsyncPgConnection>,
    pub(super) pgbouncer: bool,
    /// What would make the table, for the error that says that it is missing.
    pub(super) ddl: String,
}

impl Connections {
    /// Runs a statement that only reads. If its connection turns out to be closed, it is sent over a new one.
    pub(super) async fn read<T: Send>(
        &self,
        sql: &str,
        values: &[Bind<'_>],
        row: impl Fn(&PgRow) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let reused = connection.is_reused();
        let outcome = rows(&mut connection, self.pgbouncer, sql, values, row).await;
        match self.settle(connection, outcome) {
            Err(fault) if reused && fault.connection == Connection::Lost => {
                // In a box, as it is rare: every load would carry its state otherwise.
                Box::pin(self.write(sql, values, row)).await
            }
            outcome => outcome.map_err(Fault::into_error),
        }
    }

    /// Runs a statement that answers with rows, once.
    pub(super) async fn write<T: Send>(
        &self,
        sql: &str,
        values: &[Bind<'_>],
        row: impl Fn(&PgRow) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let outcome = rows(&mut connection, self.pgbouncer, sql, values, row).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    /// Runs a statement once, and counts the rows that it changed.
    pub(super) async fn execute(&self, sql: &str, values: &[Bind<'_>]) -> Result<u64> {
        let mut connection = self.checkout().await?;
        let outcome = execute(&mut connection, self.pgbouncer, sql, values).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    /// Runs statements without values, in one transaction.
    pub(super) async fn script(&self, sql: &str) -> Result<()> {
        let mut connection = self.checkout().await?;
        let outcome = connection.batch_execute(sql).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn checkout(&self) -> Result<Checkout<AsyncPgConnection>> {
        Checkout::from(&self.pool).await.map_err(error::of_pool)
    }

    /// Decides what becomes of the connection.
    fn settle<T>(
        &self,
        connection: Checkout<AsyncPgConnection>,
        outcome: QueryResult<T>,
    ) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => {
                connection.give_back();
                return Ok(value);
            }
            Err(error) => error::of_query(error, &self.ddl),
        };
        match fault.connection {
            // An error inside of a transaction leaves it open.
            Connection::Sound if !self.pgbouncer => connection.give_back(),
            Connection::Sound | Connection::Unfit => drop(connection),
            Connection::Lost => {
                drop(connection);
                forget_idle(&self.pool);
            }
        }
        Err(fault)
    }
}

async fn rows<T: Send>(
    connection: &mut AsyncPgConnection,
    transaction: bool,
    sql: &str,
    values: &[Bind<'_>],
    row: impl Fn(&PgRow) -> T + Send + Sync,
) -> QueryResult<Vec<T>> {
    if transaction {
        connection.batch_execute("BEGIN").await?;
    }
    // A row holds its statement: each is read and dropped at once, so that the statement is closed before the commit.
    let rows = connection
        .load(Statement { sql, values })
        .await?
        .map_ok(|found| row(&found))
        .try_collect::<Vec<T>>()
        .await?;
    if transaction {
        connection.batch_execute("COMMIT").await?;
    }
    Ok(rows)
}

async fn execute(
    connection: &mut AsyncPgConnection,
    transaction: bool,
    sql: &str,
    values: &[Bind<'_>],
) -> QueryResult<u64> {
    if transaction {
        connection.batch_execute("BEGIN").await?;
    }
    let count = connection.execute_returning_count(Statement { sql, values }).await?;
    if transaction {
        connection.batch_execute("COMMIT").await?;
    }
    // No server changes more rows than an address space has bytes.
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
