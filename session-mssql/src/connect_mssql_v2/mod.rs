//! The layout of connect-mssql-v2: a table that a Node application uses at the same time.

mod operations;
mod options;
mod schema;
mod statements;

use session_core::contract::{Payload, Record};
use session_core::{Capabilities, Gathering, KeyFormat, Result, TableName, Timestamp, Version};
use session_sql::value::{Column, text};
use session_sql::{Dialect, Expectation, ExpectedColumn, Statement, Value};

use crate::datetime;
use crate::shared::create_once;
pub use options::ConnectMssqlV2;
use statements::Statements;

/// A table of the Node package connect-mssql-v2, shared with a Node application.
#[derive(Debug)]
pub(crate) struct MssqlV2 {
    table: TableName,
    options: ConnectMssqlV2,
    schema: String,
    create_table: Statement,
    sql: Statements,
}

impl MssqlV2 {
    pub(crate) fn new(table: TableName, options: ConnectMssqlV2) -> MssqlV2 {
        let schema = schema::schema(&table);
        MssqlV2 {
            create_table: create_once(&table, &schema),
            sql: Statements::new(&table),
            schema,
            table,
            options,
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
        let mut capabilities = Capabilities::ALL;
        capabilities.versions = false;
        capabilities.principals = false;
        capabilities.tombstones = false;
        capabilities.created_at = false;
        capabilities.exact_expiry = false;
        capabilities.tells_rotation = false;
        capabilities
    }

    pub(crate) fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    pub(crate) fn gathering(&self) -> Gathering {
        Gathering::OFF
    }

    /// The column with the id's length in a table that we made: it says nothing that the id does not.
    pub(crate) fn length_column(&self) -> Option<&str> {
        Some(schema::LENGTH_COLUMN)
    }

    /// As Node's documentation has it: with no index on the expiry, and ids compared by the database's own collation.
    pub(crate) fn expectation(&self) -> Expectation<'_> {
        Expectation {
            dialect: Dialect::Mssql,
            table: &self.table,
            key: "sid",
            columns: vec![
                ExpectedColumn::new("sid", "nvarchar(255)"),
                ExpectedColumn::new("session", "nvarchar(max)"),
                ExpectedColumn::new("expires", "datetime"),
            ],
            indexes: Vec::new(),
        }
    }

    fn now(&self, now: Timestamp) -> Value<'static> {
        datetime::now(now, self.options.local_time.as_ref())
    }

    fn expiry(&self, expires_at: Timestamp) -> Value<'static> {
        datetime::expiry(expires_at, self.options.local_time.as_ref())
    }

    fn read_expiry(&self, expires: Column<'_>) -> Result<Timestamp> {
        datetime::read("expires", expires, self.options.local_time.as_ref())
    }

    fn record(&self, [session, expires]: [Column<'_>; 2]) -> Result<Record> {
        Ok(Record {
            payload: Payload::from(text("session", session)?),
            expires_at: self.read_expiry(expires)?,
            created_at: None,
            version: Version::NONE,
            principal: None,
        })
    }
}
