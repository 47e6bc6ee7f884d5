//! One statement on a connection.

use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::TryStreamExt;
use session_core::Result;
use session_sql::postgres::settings;
use session_sql::value::Column;
use session_sql::{Bound, Fault, Link, Run};

use super::error::Failed;
use super::pool::{Connections, PgCheckout};
use super::value::{self, PgRow};
use crate::checkout::Checkout;
use crate::sendable::Sendable;

impl Run for Connections {
    type Row = PgRow;

    fn gives_codes(&self) -> bool {
        self.pool.is_own()
    }

    fn columns<const N: usize, T>(row: &PgRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
        value::columns(row, read)
    }

    async fn read<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&PgRow) -> T + Copy + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let reused = connection.is_reused();
        let outcome = rows(&mut connection, self.pgbouncer, statement, row).await;
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
        row: impl Fn(&PgRow) -> T + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut connection = self.checkout().await?;
        let outcome = rows(&mut connection, self.pgbouncer, statement, row).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    async fn execute(&self, statement: Bound<'_>) -> Result<u64> {
        let mut connection = self.checkout().await?;
        let outcome = execute(&mut connection, self.pgbouncer, statement).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }

    /// Several statements in one message are one transaction.
    async fn script(&self, sql: &str) -> Result<()> {
        let mut connection = self.checkout().await?;
        let outcome = match &mut connection {
            Checkout::Own(client) => {
                client.script(&format!("{}{sql}", settings::UNLIMITED)).await.map_err(Failed::from)
            }
            Checkout::Given(given) => given.batch_execute(sql).await.map_err(Failed::from),
        };
        self.settle(connection, outcome).map_err(Fault::into_error)
    }
}

/// On a connection of diesel-async, `transaction` puts one around the statement, which is prepared by a name there.
pub(super) async fn rows<T: Send>(
    connection: &mut PgCheckout<'_>,
    transaction: bool,
    statement: Bound<'_>,
    row: impl Fn(&PgRow) -> T + Send + Sync,
) -> Result<Vec<T>, Failed> {
    let given: &mut AsyncPgConnection = match connection {
        Checkout::Own(client) => return Ok(client.rows(statement, row).await?),
        Checkout::Given(given) => given,
    };
    if transaction {
        given.batch_execute("BEGIN").await?;
    }
    // A row holds its statement: each is read and dropped at once, so that the statement is closed before the commit.
    let rows = given
        .load(Sendable::new(statement))
        .await?
        .map_ok(|found| row(&PgRow::Given(found)))
        .try_collect::<Vec<T>>()
        .await?;
    if transaction {
        given.batch_execute("COMMIT").await?;
    }
    Ok(rows)
}

async fn execute(
    connection: &mut PgCheckout<'_>,
    transaction: bool,
    statement: Bound<'_>,
) -> Result<u64, Failed> {
    let given: &mut AsyncPgConnection = match connection {
        Checkout::Own(client) => return Ok(client.execute(statement).await?),
        Checkout::Given(given) => given,
    };
    if transaction {
        given.batch_execute("BEGIN").await?;
    }
    let count = given.execute_returning_count(Sendable::new(statement)).await?;
    if transaction {
        given.batch_execute("COMMIT").await?;
    }
    // No server changes more rows than an address space has bytes.
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
