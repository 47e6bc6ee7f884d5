//! The native layout: everything that the contract knows.

mod all_or_none;
mod answers;
mod batch;
mod conditions;
mod counted;
mod many;
mod operations;
mod plan;
mod schema;
mod statements;
mod value;

use session_core::{Capabilities, Finding, Gathering, KeyFormat, Result, TableName, Timestamp};

use super::catalogue::Catalogue;
use super::diagnose::{self, Patient};
use super::server::{Known, Server};
use super::sizes::MAX_ROWS;
use crate::Run;
pub use batch::alone;
use statements::Statements;

/// A table of the native layout.
///
/// Each operation is one statement and one round trip. So are gathered operations of one kind; on MySQL, which has no
/// RETURNING, only if all of their sessions are live and none is stale: otherwise a transaction tells them apart. The
/// exceptions: the first call asks once what the server is, without [`limit_subquery`](NativeOptions::limit_subquery) a
/// purge is two statements, and a statement on a principal's sessions that finds one rotated away meanwhile is sent again.
///
/// An update or rotation without an expected version tells the new one on MariaDB, and leaves it open on MySQL. Destroying
/// a principal's sessions with [`DestroyMode::Remove`](session_core::DestroyMode::Remove) leaves rows for the next purge,
/// empty.
///
/// # Errors
/// Every operation fails with those of [`Run`], and with [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column,
/// for a row that cannot be read.
///
/// # Cancel safety
/// That of [`Run`].
#[derive(Debug)]
pub struct Native {
    table: TableName,
    format: KeyFormat,
    limit_subquery: bool,
    schema: String,
    catalogue: Catalogue,
    statements: Statements,
    known: Known,
}

/// The options of a table of the native layout.
#[derive(Clone, Debug)]
pub struct NativeOptions {
    /// The table.
    pub table: TableName,
    /// How it holds ids.
    pub key_format: KeyFormat,
    /// A purge is one statement with a LIMIT in a derived table, and not two.
    pub limit_subquery: bool,
}

impl Native {
    /// Writes the statements for a table.
    pub fn new(options: NativeOptions) -> Native {
        let NativeOptions { table, key_format, limit_subquery } = options;
        Native {
            schema: schema::schema(&table, key_format),
            catalogue: Catalogue::new(),
            statements: Statements::new(&table),
            known: Known::new(),
            format: key_format,
            limit_subquery,
            table,
        }
    }

    /// The same, also on an [engine](crate::Engine) that nothing was proven on.
    #[must_use]
    pub fn with_unproven(mut self, unproven: bool) -> Native {
        self.known.takes_unproven(unproven);
        self
    }

    /// Asks what the server is, so that no operation has to.
    ///
    /// # Errors
    /// Those of the server, and the refusal of an [engine](crate::Engine) that nothing was proven on.
    pub async fn look<R: Run>(&self, run: &R) -> Result<()> {
        self.server(run).await.map(drop)
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The statement that makes the table and its indexes.
    pub fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        // MariaDB tells versions; which of the two answers is not known before the first call.
        capabilities.returns_new_version = false;
        capabilities.removes_principal_rows = false;
        capabilities
    }

    /// How it holds ids.
    pub fn key_format(&self) -> KeyFormat {
        self.format
    }

    /// Two lanes each way keep the server busy while a third batch forms.
    pub fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 2, max_batch: MAX_ROWS, max_bytes: 4 << 20 }
    }

    /// Makes the table, with its indexes, if there is none of this name.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create_table<R: Run>(&self, run: &R) -> Result<()> {
        self.catalogue.create_table(run, &self.table, &self.schema).await
    }

    /// As [`Store::server_time`](session_core::contract::Store::server_time).
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn server_time<R: Run>(&self, run: &R) -> Result<Timestamp> {
        self.catalogue.server_time(run).await
    }

    /// As [`Store::diagnose`](session_core::contract::Store::diagnose).
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn diagnose<R: Run>(&self, run: &R) -> Result<Vec<Finding>> {
        let server = self.known.ask(run).await?;
        let patient = Patient {
            catalogue: &self.catalogue,
            flavor: server.flavor,
            engine: server.engine,
            table: &self.table,
            schema: &self.schema,
        };
        diagnose::native(run, &patient, self.format).await
    }

    async fn server<R: Run>(&self, run: &R) -> Result<Server> {
        self.known.server(run).await
    }
}
