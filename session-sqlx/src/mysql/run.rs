//! One statement on a connection, or the few of a transaction.

use std::pin::Pin;

use session_core::{Error, Result};
use session_sql::mysql::settings;
use session_sql::value::Column;
use session_sql::{Bound, Fault, Link, Run, Transact};
use sqlx::mysql::MySqlRow;

use super::client::{execute, rows, script};
use super::pool::Connections;
use super::value;

impl Run for Connections {
    type Row = MySqlRow;

    fn columns<const N: usize, T>(row: &MySqlRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
        value::columns(row, read)
    }

    async fn read<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&MySqlRow) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let reused = connection.is_reused();
        let outcome = rows(connection.connection(), statement, row).await;
        match self.settle(connection, outcome) {
            // One connection that broke says nothing of the next, whether it was idle before or new.
            Err(fault)
                if fault.link == Link::Lost
                    && !self.pool.is_within()
                    && (reused || !fault.error.is_unreachable()) =>
            {
                // In a box, as it is rare: every load would carry its state otherwise.
                Box::pin(self.write(statement, row)).await
            }
            outcome => outcome.map_err(Fault::into_error),
        }
    }

    async fn write<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&MySqlRow) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let outcome = rows(connection.connection(), statement, row).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn execute(&self, statement: Bound<'_>) -> Result<u64> {
        let mut connection = self.checkout().await?;
        let outcome = execute(connection.connection(), statement).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn script(&self, sql: &str) -> Result<()> {
        if self.pool.is_within() {
            return Err(Error::unsupported(
                "a change of a schema ends a transaction; make the table outside of it",
            ));
        }
        let mut connection = self.checkout().await?;
        if !self.pool.is_own() {
            let outcome = script(connection.connection(), sql).await;
            return self.settle(connection, outcome).map_err(Fault::into_error);
        }
        let outcome = async {
            script(connection.connection(), settings::UNLIMITED).await?;
            script(connection.connection(), sql).await
        }
        .await;
        // Without limits it is good for nothing else.
        connection.close();
        outcome.map_err(|failed| self.fault(&failed).into_error())
    }
}

impl Transact for Connections {
    fn lock_then_change<'f, T: Send + 'f, O: Send + 'f>(
        &'f self,
        lock: Bound<'f>,
        row: impl Fn(&MySqlRow) -> T + Send + Sync + 'f,
        decide: impl FnOnce(Vec<T>) -> (Option<Bound<'f>>, O) + Send + 'f,
    ) -> Pin<Box<dyn Future<Output = Result<O>> + Send + 'f>> {
        Box::pin(async move {
            let mut connection = self.checkout().await?;
            let outcome = async {
                if !self.pool.is_within() {
                    script(connection.connection(), "BEGIN").await?;
                }
                let found = rows(connection.connection(), lock, row).await?;
                let (change, outcome) = decide(found);
                let changes = change.is_some();
                if let Some(change) = change {
                    execute(connection.connection(), change).await?;
                }
                Ok::<_, sqlx::Error>((changes, outcome))
            }
            .await;
            let (changes, outcome) = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    let fault = self.fault(&error);
                    // Where this is not possible, closing the connection ends the transaction.
                    if fault.link == Link::Sound
                        && !self.pool.is_within()
                        && script(connection.connection(), "ROLLBACK").await.is_ok()
                    {
                        connection.give_back();
                    } else {
                        connection.close();
                    }
                    return Err(fault.into_error().with_in_doubt(false));
                }
            };
            if self.pool.is_within() {
                connection.give_back();
                return Ok(outcome);
            }
            match script(connection.connection(), "COMMIT").await {
                Ok(()) => {
                    connection.give_back();
                    Ok(outcome)
                }
                Err(error) => {
                    connection.close();
                    Err(self.fault(&error).into_error().with_in_doubt(changes))
                }
            }
        })
    }
}
