//! The table.

use session_core::TableName;

use super::EXACT;
use super::key::Key;

pub(super) fn schema(table: &TableName, key: &Key) -> String {
    let (t, name) = (table.quoted('[', ']'), table.table());
    format!(
        "CREATE TABLE {t} (\n    \
         {},\n    \
         [payload] nvarchar(max) NOT NULL,\n    \
         [expires_at] bigint NOT NULL,\n    \
         [created_at] bigint NOT NULL,\n    \
         [version] bigint NOT NULL,\n    \
         [principal] nvarchar(255) {EXACT} NULL,\n    \
         [destroyed_at] bigint NULL,\n    \
         CONSTRAINT [{name}_pk] PRIMARY KEY CLUSTERED ({})\n\
         );\n\
         CREATE INDEX [{name}_expires_at] ON {t} ([expires_at]);\n\
         CREATE INDEX [{name}_principal] ON {t} ([principal]);\n",
        key.definition(),
        key.columns(),
    )
}

/// Runs the statements that make a table, unless there is one of this name. They are one transaction, and a lock on a
/// name of our own has the calls of many run one behind the other.
pub(crate) fn create_once(table: &TableName, schema: &str) -> String {
    let t = table.quoted('[', ']');
    format!(
        "SET NOCOUNT ON; SET XACT_ABORT ON; \
         BEGIN TRANSACTION; \
         DECLARE @lock int; \
         EXEC @lock = sp_getapplock @Resource = N'session-store {t}', @LockMode = 'Exclusive', \
         @LockOwner = 'Transaction'; \
         IF @lock < 0 THROW 50000, N'the lock for creating the table was not granted', 1; \
         IF OBJECT_ID(N'{t}', N'U') IS NULL BEGIN\n{schema}END; \
         COMMIT TRANSACTION"
    )
}
