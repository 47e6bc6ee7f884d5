//! The table, as a migration has it.

use session_core::TableName;

use crate::shared::{EXACT, quoted_table};

/// It belongs to the primary key, as two ids that differ in trailing blanks are equal to `=`. It is computed, so that
/// Node, which knows nothing of it, can write the table.
pub(super) const LENGTH_COLUMN: &str = "sid_bytes";

pub(super) fn schema(table: &TableName) -> String {
    let (t, name) = (quoted_table(table), table.table());
    format!(
        "CREATE TABLE {t} (\n    \
         [sid] nvarchar(255) {EXACT} NOT NULL,\n    \
         [session] nvarchar(max) NOT NULL,\n    \
         [expires] datetime NOT NULL,\n    \
         [{LENGTH_COLUMN}] AS CAST(DATALENGTH([sid]) AS int) PERSISTED NOT NULL,\n    \
         CONSTRAINT [{name}_pk] PRIMARY KEY CLUSTERED ([sid], [{LENGTH_COLUMN}])\n\
         );\n\
         CREATE INDEX [{name}_expires] ON {t} ([expires]);\n"
    )
}
