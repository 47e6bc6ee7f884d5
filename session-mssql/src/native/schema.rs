//! The table.

use session_core::{KeyFormat, TableName};

use super::key::Key;
use crate::shared::{EXACT, quoted_table};

pub(super) fn schema(table: &TableName, format: KeyFormat) -> String {
    let (t, name, key) = (quoted_table(table), table.table(), Key(format));
    format!(
        "CREATE TABLE {t} (\n    \
         {},\n    \
         [payload] nvarchar(max) NOT NULL,\n    \
         [expires_at] bigint NOT NULL,\n    \
         [created_at] bigint NOT NULL,\n    \
         [version] bigint NOT NULL,\n    \
         [principal] nvarchar(255) {EXACT} NULL,\n    \
         [destroyed_at] bigint NULL,\n    \
         [rotated] bit NOT NULL CONSTRAINT [{name}_rotated] DEFAULT 0,\n    \
         CONSTRAINT [{name}_pk] PRIMARY KEY CLUSTERED ({})\n\
         );\n\
         {};\n\
         {};\n",
        key.definition(),
        key.columns(),
        index(table, "expires_at"),
        index(table, "principal"),
    )
}

/// The statement that makes the index on a column.
pub(super) fn index(table: &TableName, column: &str) -> String {
    format!("CREATE INDEX [{}_{column}] ON {} ([{column}])", table.table(), quoted_table(table))
}
