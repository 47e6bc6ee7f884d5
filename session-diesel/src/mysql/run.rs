//! One statement on a connection, or the few of a transaction.

use std::pin::Pin;

use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use session_core::Result;
use session_sql::mysql::settings;
use session_sql::value::Column;
use session_sql::{Bound, Fault, Link, Run, Transact};

use super::error::Failed;
use super::pool::{Connections, MysqlCheckout};
use super::value::{self, MysqlRow};
use crate::checkout::Checkout;
use crate::sendable::Sendable;

impl Run for Connections {
    type Row = MysqlRow;

    fn gives_codes(&self) -> bool {
        self.pool.is_own()
    }

    fn columns<const N: usize, T>(row: &MysqlRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
        value::columns(row, read)
    }

    async fn read<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&MysqlRow) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let reused = connection.is_reused();
        let outcome = rows(&mut connection, statement, row).await;
        match self.settle(connection, outcome) {
            // One connection that broke says nothing of the next, whether it was idle before or new.
            Err(fault) if fault.link == Link::Lost && (reused || !fault.error.is_unreachable()) => {
                // In a box, as it is rare: every load would carry its state otherwise.
                Box::pin(self.write(statement, row)).await
            }
            outcome => outcome.map_err(Fault::into_error),
        }
    }

    async fn write<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&MysqlRow) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let outcome = rows(&mut connection, statement, row).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn execute(&self, statement: Bound<'_>) -> Result<u64> {
        let mut connection = self.checkout().await?;
        let outcome = execute(&mut connection, statement).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn script(&self, sql: &str) -> Result<()> {
        let mut connection = self.checkout().await?;
        if !self.pool.is_own() {
            let outcome = script(&mut connection, sql).await;
            return self.settle(connection, outcome).map_err(Fault::into_error);
        }
        let outcome = async {
            script(&mut connection, settings::UNLIMITED).await?;
            script(&mut connection, sql).await
        }
        .await;
        // Without limits it is good for nothing else.
        connection.close();
        outcome.map_err(|failed| self.fault(failed).into_error())
    }
}

impl Transact for Connections {
    fn lock_then_change<'f, T: Send + 'f, O: Send + 'f>(
        &'f self,
        lock: Bound<'f>,
        row: impl Fn(&MysqlRow) -> T + Send + Sync + 'f,
        decide: impl FnOnce(Vec<T>) -> (Option<Bound<'f>>, O) + Send + 'f,
    ) -> Pin<Box<dyn Future<Output = Result<O>> + Send + 'f>> {
        Box::pin(async move {
            let mut connection = self.checkout().await?;
            let outcome = async {
                script(&mut connection, "BEGIN").await?;
                let found = rows(&mut connection, lock, row).await?;
                let (change, outcome) = decide(found);
                let changes = change.is_some();
                if let Some(change) = change {
                    execute(&mut connection, change).await?;
                }
                Ok::<_, Failed>((changes, outcome))
            }
            .await;
            let (changes, outcome) = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    let fault = self.fault(error);
                    // Where this is not possible, closing the connection ends the transaction.
                    if fault.link == Link::Sound && script(&mut connection, "ROLLBACK").await.is_ok() {
                        connection.give_back();
                    } else {
                        connection.close();
                    }
                    return Err(fault.into_error().with_in_doubt(false));
                }
            };
            match script(&mut connection, "COMMIT").await {
                Ok(()) => {
                    connection.give_back();
                    Ok(outcome)
                }
                Err(error) => {
                    connection.close();
                    Err(self.fault(error).into_error().with_in_doubt(changes))
                }
            }
        })
    }
}

async fn script(connection: &mut MysqlCheckout<'_>, sql: &str) -> Result<(), Failed> {
    match connection {
        Checkout::Own(client) => client.script(sql).await?,
        Checkout::Given(given) => given.batch_execute(sql).await?,
    }
    Ok(())
}

async fn rows<T: Send>(
    connection: &mut MysqlCheckout<'_>,
    statement: Bound<'_>,
    row: impl Fn(&MysqlRow) -> T + Send + Sync,
) -> Result<Vec<T>, Failed> {
    Ok(match connection {
        Checkout::Own(client) => client.rows(statement, row).await?,
        Checkout::Given(given) => {
            let rows = given.load(Sendable::new(statement)).await?;
            rows.map_ok(|found| row(&MysqlRow::Given(found))).try_collect::<Vec<T>>().await?
        }
    })
}

async fn execute(connection: &mut MysqlCheckout<'_>, statement: Bound<'_>) -> Result<u64, Failed> {
    match connection {
        Checkout::Own(client) => Ok(client.execute(statement).await?),
        Checkout::Given(given) => {
            let count = given.execute_returning_count(Sendable::new(statement)).await?;
            // No server changes more rows than an address space has bytes.
            Ok(u64::try_from(count).unwrap_or(u64::MAX))
        }
    }
}
