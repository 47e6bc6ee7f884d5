//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod operations;
mod statements;

use crate::{ConnectTypeorm, Dialect, Expectation, ExpectedColumn, ExpectedIndex, FoundColumn};
use session_core::{Severity, TableName};
use statements::Statements;

/// A table of connect-typeorm.
///
/// # Errors
/// Every operation fails with those of [`Step`](super::Step), and with [`Corrupt`](session_core::ErrorKind::Corrupt), naming
/// the column, for a row that cannot be read.
///
/// # Cancel safety
/// That of [`Step`](super::Step).
#[derive(Debug)]
pub struct Typeorm {
    table: TableName,
    names: ConnectTypeorm,
    schema: String,
    sql: Statements,
}

impl Typeorm {
    /// Writes the statements for a table.
    pub fn new(table: TableName, names: ConnectTypeorm) -> Typeorm {
        let (schema, sql) = (statements::schema(&table, &names), Statements::new(&table, &names));
        Typeorm { table, names, schema, sql }
    }

    pub(super) fn expected(&self) -> Expectation<'_> {
        let [id, expired_at, json] = [self.names.id(), self.names.expired_at(), self.names.json()];
        Expectation {
            dialect: Dialect::Sqlite,
            table: &self.table,
            key: id,
            columns: vec![
                ExpectedColumn::new(id, "TEXT").collated("BINARY", Severity::Fault),
                ExpectedColumn::new(expired_at, "INTEGER"),
                ExpectedColumn::new(json, "TEXT"),
            ],
            indexes: vec![ExpectedIndex {
                column: expired_at,
                without: "each purge reads the whole table",
                remedy: statements::index(&self.table, &self.names),
            }],
        }
    }

    /// True if the table has the column that marks a destroyed session.
    fn has_destroyed_at(&self, columns: &[FoundColumn]) -> bool {
        self.expected().find(columns, self.names.destroyed_at()).is_some()
    }
}
