//! The native layout: everything that the contract knows.

mod batch;
mod batch_statements;
mod expectation;
mod operations;
mod schema;
mod statements;

use session_core::{Capabilities, Finding, Gathering, KeyFormat, Result, TableName, Timestamp};

use super::catalogue::{Catalogue, quoted_beside};
use super::diagnose::diagnose;
use super::engine::Engines;
use crate::{Engine, Run};
use batch_statements::Batches;
pub use schema::TableOptions;
use statements::Statements;

/// A table of the native layout.
///
/// Each operation is one statement and one round trip. A purge without
/// [`limit_subquery`](NativeOptions::limit_subquery) is two, and a statement that finds its rows changed meanwhile is sent
/// again.
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
    batches: Batches,
    engines: Engines,
}

/// The options of a table of the native layout.
#[derive(Clone, Debug)]
pub struct NativeOptions {
    /// The table.
    pub table: TableName,
    /// How it holds ids.
    pub key_format: KeyFormat,
    /// How it is made.
    pub table_options: TableOptions,
    /// A purge is one statement with a LIMIT in a subquery, and not two.
    pub limit_subquery: bool,
    /// Every connection has the settings of [`OPTIONS`](super::settings::OPTIONS), so that a batch locks its rows in the
    /// order of keys by its plan alone.
    pub ordered: bool,
}

impl Native {
    /// Writes the statements for a table.
    pub fn new(options: NativeOptions) -> Native {
        let NativeOptions { table, key_format, table_options, limit_subquery, ordered } = options;
        Native {
            schema: schema::schema(&table, key_format, &table_options),
            catalogue: Catalogue::new(),
            statements: Statements::new(&table, key_format),
            batches: Batches::new(&table, key_format, ordered),
            engines: Engines::new(&table, false),
            format: key_format,
            limit_subquery,
            table,
        }
    }

    /// The same, also on an [engine](crate::Engine) that nothing was proven on.
    #[must_use]
    pub fn with_unproven(mut self, unproven: bool) -> Native {
        self.engines = Engines::new(&self.table, unproven);
        self
    }

    /// Asks what the server is.
    ///
    /// # Errors
    /// Those of the server, and the refusal of an [engine](crate::Engine) that nothing was proven on.
    pub async fn look<R: Run>(&self, run: &R) -> Result<()> {
        self.engines.look(run).await
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The statements that make the table and its indexes.
    pub fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    /// How it holds ids.
    pub fn key_format(&self) -> KeyFormat {
        self.format
    }

    /// Two lanes each way keep both processes of the server busy while a third batch forms.
    pub fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 2, max_batch: 128, max_bytes: 4 << 20 }
    }

    /// Makes the table and its indexes where they are missing.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create_table<R: Run>(&self, run: &R) -> Result<()> {
        let quoted = |name: &str| quoted_beside(&self.table, name);
        let table = quoted(self.table.table());
        let expiry = quoted(&schema::expiry_index(&self.table));
        let principal = quoted(&schema::principal_index(&self.table));
        self.catalogue.create_table(run, [&table, &expiry, &principal], &self.schema).await
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
        let expectation = expectation::expectation(&self.table, self.format);
        let besides = |found: &_| expectation::judge_storage(found, &self.table);
        let engine = self.engines.find(run).await?.map(Engine::finding);
        let others = diagnose(run, &self.catalogue, &expectation, &self.schema, besides).await?;
        Ok(engine.into_iter().chain(others).collect())
    }
}
