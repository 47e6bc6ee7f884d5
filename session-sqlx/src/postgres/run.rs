//! One statement on a connection.

use session_core::Result;
use session_sql::postgres::settings;
use session_sql::value::Column;
use session_sql::{Bound, Fault, Link, Run};
use sqlx::postgres::PgRow;

use super::client::{execute, rows, script};
use super::pool::Connections;
use super::value;

impl Run for Connections {
    type Row = PgRow;

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
        row: impl Fn(&PgRow) -> T + Send + Sync,
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

    /// Several statements in one message are one transaction.
    async fn script(&self, sql: &str) -> Result<()> {
        let mut connection = self.checkout().await?;
        let unlimited = if self.pool.is_own() { settings::UNLIMITED } else { "" };
        let outcome = script(connection.connection(), &format!("{unlimited}{sql}")).await;
        self.settle(connection, outcome).map_err(Fault::into_error)
    }
}
