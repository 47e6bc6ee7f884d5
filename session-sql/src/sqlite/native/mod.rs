//! The native layout: everything that the contract knows.

mod operations;
mod schema;
mod statements;

use session_core::{KeyFormat, Severity, TableName};

use crate::{Dialect, Expectation, ExpectedColumn, ExpectedIndex};
use statements::Statements;

/// A table of the native layout.
///
/// # Errors
/// Every operation fails with those of [`Step`](super::Step), and with [`Corrupt`](session_core::ErrorKind::Corrupt), naming
/// the column, for a row that cannot be read.
///
/// # Cancel safety
/// That of [`Step`](super::Step).
#[derive(Debug)]
pub struct Native {
    table: TableName,
    format: KeyFormat,
    schema: String,
    sql: Statements,
}

impl Native {
    /// Writes the statements for a table.
    pub fn new(table: TableName, format: KeyFormat) -> Native {
        let (schema, sql) = (schema::schema(&table, format), Statements::new(&table, format));
        Native { table, format, schema, sql }
    }

    pub(super) fn expected(&self) -> Expectation<'_> {
        let key = match self.format {
            KeyFormat::Hashed => ExpectedColumn::new("key", "BLOB"),
            KeyFormat::Plain => ExpectedColumn::new("key", "TEXT"),
        };
        let index = |column, without| ExpectedIndex {
            column,
            without,
            remedy: "call `create_table`, which makes what is missing".to_owned(),
        };
        Expectation {
            dialect: Dialect::Sqlite,
            table: &self.table,
            key: "key",
            columns: vec![
                key.collated("BINARY", Severity::Fault),
                ExpectedColumn::new("expires_at", "INTEGER"),
                ExpectedColumn::new("expires_bucket", "INTEGER"),
                ExpectedColumn::new("created_at", "INTEGER"),
                ExpectedColumn::new("version", "INTEGER"),
                ExpectedColumn::new("destroyed_at", "INTEGER").nullable(),
                ExpectedColumn::new("rotated", "INTEGER"),
                ExpectedColumn::new("principal", "TEXT").nullable().collated("BINARY", Severity::Fault),
                ExpectedColumn::new("payload", "TEXT"),
            ],
            indexes: vec![
                index("expires_bucket", "each purge reads the whole table"),
                index("principal", "each listing by principal reads the whole table"),
            ],
        }
    }
}
