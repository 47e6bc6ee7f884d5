//! One statement on a connection of the pool.

use diesel::result::QueryResult;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnectionCore, AsyncMysqlConnection, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use session_core::{ErrorKind, Result};

use super::error;
use super::query::{Bind, MysqlRow, Statement};
use super::store::in_doubt;
use crate::checkout::{Checkout, forget_idle};
use crate::fault::{Connection, Fault};

pub(super) struct Connections {
    pub(super) pool: Pool<AsyncMysqlConnection>,
    /// What would make the table, for the error that says that it is missing.
    pub(super) ddl: String,
}

impl Connections {
    /// Runs a statement that only reads. If its connection turns out to be closed, it is sent over a new one.
    pub(super) async fn read<T: Send>(
        &self,
        sql: &str,
        values: &[Bind<'_>],
        row: impl Fn(&MysqlRow) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let reused = connection.is_reused();
        let outcome = rows(&mut connection, sql, values, row).await;
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
        row: impl Fn(&MysqlRow) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let outcome = rows(&mut connection, sql, values, row).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    /// Runs a statement once, and counts the rows that it changed.
    pub(super) async fn execute(&self, sql: &str, values: &[Bind<'_>]) -> Result<u64> {
        let mut connection = self.checkout().await?;
        let outcome = execute(&mut connection, sql, values).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    /// Runs a part of a work of several statements, of which the ones before changed so many rows. Once there are any,
    /// it tries again a few times where the server gave it up, and any other error leaves in doubt what was done in all.
    pub(super) async fn execute_part(&self, sql: &str, values: &[Bind<'_>], before: u64) -> Result<u64> {
        let mut tries = 4;
        loop {
            tries -= 1;
            match self.execute(sql, values).await {
                Err(error) if before > 0 && tries > 0 && error.kind() == ErrorKind::Conflict => {}
                Err(error) if before > 0 => return Err(in_doubt(error)),
                outcome => return outcome,
            }
        }
    }

    /// Locks rows, decides by them on a change, and makes it, in one transaction: nobody sees anything of it before it
    /// is whole. Only an error of its COMMIT leaves doubt.
    pub(super) async fn lock_then_change<'v, T: Send, O: Send>(
        &self,
        lock: &str,
        values: &[Bind<'_>],
        row: impl Fn(&MysqlRow) -> T + Send + Sync,
        decide: impl FnOnce(Vec<T>) -> (Option<(&'v str, Vec<Bind<'v>>)>, O) + Send,
    ) -> Result<O> {
        let mut connection = self.checkout().await?;
        let outcome = async {
            connection.batch_execute("BEGIN").await?;
            let found = rows(&mut connection, lock, values, row).await?;
            let (change, outcome) = decide(found);
            let changes = change.is_some();
            if let Some((sql, values)) = change {
                execute(&mut connection, sql, &values).await?;
            }
            Ok((changes, outcome))
        }
        .await;
        let (changes, outcome) = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let fault = self.fault(error);
                // Where this is not possible, closing the connection ends the transaction.
                if fault.connection == Connection::Sound && connection.batch_execute("ROLLBACK").await.is_ok()
                {
                    connection.give_back();
                }
                return Err(fault.into_error().with_indeterminate(false));
            }
        };
        match connection.batch_execute("COMMIT").await {
            Ok(()) => {
                connection.give_back();
                Ok(outcome)
            }
            Err(error) => {
                drop(connection);
                Err(self.fault(error).into_error().with_indeterminate(changes))
            }
        }
    }

    /// Runs a statement without values that is not to be prepared.
    pub(super) async fn script(&self, sql: &str) -> Result<()> {
        let mut connection = self.checkout().await?;
        let outcome = connection.batch_execute(sql).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn checkout(&self) -> Result<Checkout<AsyncMysqlConnection>> {
        Checkout::from(&self.pool).await.map_err(error::of_pool)
    }

    /// Decides what becomes of the connection.
    fn settle<T>(
        &self,
        connection: Checkout<AsyncMysqlConnection>,
        outcome: QueryResult<T>,
    ) -> Result<T, Fault> {
        let fault = match outcome {
            Ok(value) => {
                connection.give_back();
                return Ok(value);
            }
            Err(error) => self.fault(error),
        };
        match fault.connection {
            Connection::Sound => connection.give_back(),
            Connection::Unfit | Connection::Lost => drop(connection),
        }
        Err(fault)
    }

    fn fault(&self, error: diesel::result::Error) -> Fault {
        let fault = error::of_query(error, &self.ddl);
        if fault.connection == Connection::Lost {
            forget_idle(&self.pool);
        }
        fault
    }
}

async fn rows<T: Send>(
    connection: &mut AsyncMysqlConnection,
    sql: &str,
    values: &[Bind<'_>],
    row: impl Fn(&MysqlRow) -> T + Send + Sync,
) -> QueryResult<Vec<T>> {
    connection
        .load(Statement { sql, values })
        .await?
        .map_ok(|found| row(&found))
        .try_collect::<Vec<T>>()
        .await
}

async fn execute(connection: &mut AsyncMysqlConnection, sql: &str, values: &[Bind<'_>]) -> QueryResult<u64> {
    let count = connection.execute_returning_count(Statement { sql, values }).await?;
    // No server changes more rows than an address space has bytes.
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
