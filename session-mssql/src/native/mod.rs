//! The native layout: everything that the contract knows.

mod answers;
mod batch;
mod bind;
mod key;
mod many;
mod operations;
mod parts;
mod plan;
mod rotate;
mod schema;
mod statements;
#[cfg(test)]
mod tests;

use session_core::{Capabilities, Gathering, KeyFormat, Severity, TableName};
use session_sql::{Dialect, Expectation, ExpectedColumn, ExpectedIndex, Statement};

use crate::shared::{EXACT_COLLATION, create_once};
use many::Many;
use statements::Statements;

/// A table of the native layout.
#[derive(Debug)]
pub(crate) struct Native {
    table: TableName,
    format: KeyFormat,
    schema: String,
    create_table: Statement,
    sql: Statements,
    many: Many,
}

impl Native {
    pub(crate) fn new(table: TableName, format: KeyFormat) -> Native {
        let schema = schema::schema(&table, format);
        Native {
            create_table: create_once(&table, &schema),
            sql: Statements::new(&table, format),
            many: Many::new(&table, format),
            schema,
            format,
            table,
        }
    }

    pub(crate) fn table(&self) -> &TableName {
        &self.table
    }

    pub(crate) fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// Makes the table where it is missing, safe when called at once by many.
    pub(crate) fn create_table(&self) -> &Statement {
        &self.create_table
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    pub(crate) fn key_format(&self) -> KeyFormat {
        self.format
    }

    /// Measured on Babelfish at 64 callers with two lanes of each kind and 32 in a batch: 5 to 8 times the calls one by
    /// one. One lane of writes halves that, and larger batches gain nothing. The statements for many keys cut their
    /// values from one long text, which Babelfish does in time that grows with its square, so batches are small.
    pub(crate) fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 2, max_batch: 32, max_bytes: 64 * 1024 }
    }

    /// The column with the key's length, if there is one: it says nothing that the key does not.
    pub(crate) fn length_column(&self) -> Option<&'static str> {
        match self.format {
            KeyFormat::Hashed => None,
            KeyFormat::Plain => Some("key_bytes"),
        }
    }

    pub(crate) fn expectation(&self) -> Expectation<'_> {
        let mut columns = match self.format {
            KeyFormat::Hashed => vec![ExpectedColumn::new("key", "binary(32)")],
            KeyFormat::Plain => vec![
                ExpectedColumn::new("key", "nvarchar(255)").collated(EXACT_COLLATION, Severity::Fault),
                ExpectedColumn::new("key_bytes", "smallint"),
            ],
        };
        columns.extend([
            ExpectedColumn::new("payload", "nvarchar(max)"),
            ExpectedColumn::new("expires_at", "bigint"),
            ExpectedColumn::new("created_at", "bigint"),
            ExpectedColumn::new("version", "bigint"),
            ExpectedColumn::new("principal", "nvarchar(255)")
                .nullable()
                .collated(EXACT_COLLATION, Severity::Fault),
            ExpectedColumn::new("destroyed_at", "bigint").nullable(),
            ExpectedColumn::new("rotated", "bit"),
        ]);
        let index =
            |column, without| ExpectedIndex { column, without, remedy: schema::index(&self.table, column) };
        Expectation {
            dialect: Dialect::Mssql,
            table: &self.table,
            key: "key",
            columns,
            indexes: vec![
                index("expires_at", "a purge reads and locks the whole table"),
                index("principal", "listing or ending a user's sessions reads and locks the whole table"),
            ],
        }
    }
}
