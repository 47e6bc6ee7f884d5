//! What the layouts have in common: parts of their statements, and what does not depend on a table's shape.

use std::num::NonZeroU32;
use std::sync::LazyLock;

use session_core::{ErrorKind, Result, TableName, Timestamp};
use session_sql::{Dialect, Named, Statement, Value};

use crate::error;
use crate::run::{Connections, count};

/// A byte-exact collation that every SQL Server and Babelfish has. `=` still ignores trailing blanks, so lengths are
/// compared as well.
pub(crate) const EXACT_COLLATION: &str = "Latin1_General_BIN2";

/// The same behind a text.
pub(crate) const EXACT: &str = "COLLATE Latin1_General_BIN2";

/// Before a listing that gives texts as their bytes. Babelfish has texts in UTF-8, of which none is broken, and gives
/// their bytes in a code page.
pub(crate) const IF_TEXTS_ARE_UTF16: &str = "IF CAST(N'\u{20ac}' AS varbinary(8)) <> 0xAC20 \
    THROW 50000, N'the bytes of a text are not UTF-16 here', 1; ";

/// What is thrown on where a statement made a row, or moved one: all but that its key is taken, which is an answer. The
/// report would quote the key. A unique index that somebody added gives the same numbers, and is none.
pub(crate) fn unless_taken(t: &str, is_key: &str) -> String {
    format!("IF ERROR_NUMBER() NOT IN (2601, 2627) OR NOT EXISTS (SELECT 1 FROM {t} WHERE {is_key}) THROW")
}

/// The end of a statement that makes a row, or moves one.
pub(crate) fn key_taken(t: &str, is_key: &str) -> String {
    format!("BEGIN CATCH {}; SELECT 0 AS [done]; END CATCH", unless_taken(t, is_key))
}

pub(crate) fn statement(template: impl AsRef<str>) -> Statement {
    Statement::new(Dialect::Mssql, template)
}

/// A name in brackets, which holds for checked names alone.
pub(crate) fn quoted(name: &str) -> String {
    Dialect::Mssql.quoted(name)
}

/// The table's name in brackets, with its schema.
pub(crate) fn quoted_table(table: &TableName) -> String {
    let (open, close) = Dialect::Mssql.quotes();
    table.quoted(open, close)
}

/// Runs the statements that make a table, unless there is one of this name. They are one transaction, and a lock on a
/// name of our own has the calls of many run one behind the other, however long that takes: a limit for locks is the
/// caller's, and is back after the statement.
pub(crate) fn create_once(table: &TableName, schema: &str) -> Statement {
    let t = quoted_table(table);
    statement(format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT -1; \
         BEGIN TRANSACTION; \
         DECLARE @lock int; \
         EXEC @lock = sp_getapplock @Resource = N'session-store {t}', @LockMode = 'Exclusive', \
         @LockOwner = 'Transaction'; \
         IF @lock < 0 THROW 50000, N'the lock for creating the table was not granted', 1; \
         IF OBJECT_ID(N'{t}', N'U') IS NULL BEGIN\n{schema}END; \
         COMMIT TRANSACTION"
    ))
}

/// Removes up to `:limit` rows whose expiry, in this column, is not after `:now`.
///
/// READPAST needs READCOMMITTEDLOCK where the database has READ_COMMITTED_SNAPSHOT on. The statement that deletes a row
/// has looked at its expiry under the lock that it deletes it with.
pub(crate) fn purge_statement(table: &str, expiry: &str) -> Statement {
    statement(format!(
        "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; \
         DELETE TOP (:limit) FROM {table} WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE {expiry} <= :now; \
         SELECT ROWCOUNT_BIG() AS [rows]; \
         SET DEADLOCK_PRIORITY NORMAL"
    ))
}

/// Removes every row. DELETE and not TRUNCATE, which needs the right to alter the table.
pub(crate) fn clear_statement(table: &str) -> Statement {
    statement(format!("SET NOCOUNT ON; DELETE FROM {table}; SELECT ROWCOUNT_BIG() AS [rows]"))
}

/// The database's clock. A round trip that touches no table.
static SERVER_TIME: LazyLock<Statement> = LazyLock::new(|| {
    statement("SELECT DATEDIFF_BIG(millisecond, CAST('19700101' AS datetime2), SYSUTCDATETIME()) AS [now]")
});

pub(crate) async fn server_time(run: &Connections) -> Result<Timestamp> {
    let row = run.read_for_row(SERVER_TIME.bind(&[])).await?;
    row.and_then(|row| row.number("now").ok())
        .map(Timestamp::from_millis)
        .ok_or_else(|| error::unexpected("the server did not tell its time").with_in_doubt(false))
}

/// The most rows that one DELETE of a purge removes. A statement with 5,000 locks on one index escalates to a lock on
/// the table; a row takes one in each index, and some are for pages.
pub(crate) const PURGE_BATCH: u32 = 2_000;

/// How often what lost against others is run again before it is the caller's turn to.
pub(crate) const AGAIN: usize = 8;

/// Deletes expired rows in batches that stay under the limit of lock escalation.
pub(crate) async fn purge(
    run: &Connections,
    statement: &Statement,
    now: Value<'static>,
    limit: NonZeroU32,
) -> Result<u64> {
    let (mut left, mut removed) = (limit.get(), 0);
    let mut conflicts = 0;
    while left > 0 {
        let batch = left.min(PURGE_BATCH);
        let values: [Named<'_>; 2] = [("now", now), ("limit", batch.into())];
        let rows = match run.run(statement.bind(&values)).await.and_then(count) {
            Ok(rows) => rows,
            // Nothing is counted yet: the caller can begin anew.
            Err(error) if removed == 0 => return Err(error),
            // This batch lost against others, and the earlier ones are to be counted.
            Err(error) if error.kind() == ErrorKind::Conflict && conflicts < AGAIN => {
                conflicts += 1;
                continue;
            }
            // What an earlier batch removed stays removed.
            Err(error) => return Err(error.with_in_doubt(true)),
        };
        removed += rows;
        if rows < u64::from(batch) {
            break;
        }
        left -= batch;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_under_a_lock_and_in_one_transaction() {
        let table = TableName::new("web.sessions").unwrap();
        let create = create_once(&table, "CREATE TABLE …;\n");
        let place =
            |part: &str| create.sql().find(part).unwrap_or_else(|| panic!("no {part} in {}", create.sql()));
        let order = [
            "SET XACT_ABORT ON",
            "BEGIN TRANSACTION",
            "EXEC @lock = sp_getapplock",
            "IF OBJECT_ID(N'[web].[sessions]', N'U') IS NULL",
            "CREATE TABLE",
            "COMMIT TRANSACTION",
        ]
        .map(place);
        assert!(order.is_sorted(), "{}", create.sql());
    }

    #[test]
    fn clear_needs_no_right_but_that_to_delete() {
        let clear = clear_statement("[sessions]");
        assert!(clear.sql().contains("DELETE FROM [sessions]") && !clear.sql().contains("TRUNCATE"));
    }

    #[test]
    fn a_purge_skips_locked_rows_and_stays_below_lock_escalation() {
        let purge = purge_statement("[sessions]", "[expires_at]");
        assert!(purge.sql().contains("READPAST, READCOMMITTEDLOCK"), "{}", purge.sql());
        const { assert!(PURGE_BATCH < 5_000) };
    }
}
