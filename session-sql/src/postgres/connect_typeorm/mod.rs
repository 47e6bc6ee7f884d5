//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod expectation;
mod operations;
mod statements;

use session_core::{Capabilities, Finding, Gathering, KeyFormat, Result, TableName, Timestamp};

use super::catalogue::Catalogue;
use super::diagnose::{self, Found, diagnose};
use super::engine::Engines;
use crate::{ConnectTypeorm, Engine, Run};
use statements::Statements;

/// A table of the Node package connect-typeorm, shared with a Node application.
///
/// Ids stand in it in clear and are compared byte for byte, whatever the column's collation. Where that takes two ids
/// for the same, the second one cannot be created: [`Created::KeyTaken`](session_core::contract::Created::KeyTaken).
///
/// Each operation is one statement and one round trip, as in [`Native`](super::Native).
///
/// # Errors
/// Every operation fails with those of [`Run`], and with [`Corrupt`](session_core::ErrorKind::Corrupt), naming the column,
/// for a row that cannot be read.
///
/// # Cancel safety
/// That of [`Run`].
#[derive(Debug)]
pub struct Typeorm {
    table: TableName,
    names: ConnectTypeorm,
    limit_subquery: bool,
    schema: String,
    catalogue: Catalogue,
    statements: Statements,
    engines: Engines,
}

impl Typeorm {
    /// Writes the statements for a table. Without `limit_subquery` a purge is two statements, and not one.
    pub fn new(table: TableName, names: ConnectTypeorm, limit_subquery: bool) -> Typeorm {
        Typeorm {
            schema: statements::schema(&table, &names),
            catalogue: Catalogue::new(),
            statements: Statements::new(&table, &names),
            engines: Engines::new(&table, false),
            table,
            names,
            limit_subquery,
        }
    }

    /// The same, also on an [engine](crate::Engine) that nothing was proven on.
    #[must_use]
    pub fn with_unproven(mut self, unproven: bool) -> Typeorm {
        self.engines = Engines::new(&self.table, unproven);
        self
    }

    /// The same for the table as it is: whether it has the column that marks destroyed sessions. One that is not there
    /// yet will have it.
    ///
    /// # Errors
    /// Those of the server, and the refusal of an [engine](crate::Engine) that nothing was proven on.
    pub async fn looking<R: Run>(self, run: &R) -> Result<Typeorm> {
        self.engines.look(run).await?;
        let has = match diagnose::columns(run, &self.catalogue, &self.table).await? {
            columns if columns.is_empty() => return Ok(self),
            columns => columns.iter().any(|column| column.found.name == self.names.destroyed_at()),
        };
        if has == self.names.has_destroyed_at() {
            return Ok(self);
        }
        let engines = self.engines;
        let looked = Typeorm::new(self.table, self.names.with_destroyed_at(has), self.limit_subquery);
        Ok(Typeorm { engines, ..looked })
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Its columns.
    pub fn names(&self) -> &ConnectTypeorm {
        &self.names
    }

    /// The statements that make the table and its index as TypeORM does.
    pub fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.names.capabilities()
    }

    /// It holds ids as they are.
    pub fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    /// Loads as in the native layout. Writes go one by one.
    pub fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 0, max_batch: 128, max_bytes: 4 << 20 }
    }

    /// Makes the table, with its index, if there is none of this name.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create_table<R: Run>(&self, run: &R) -> Result<()> {
        let name = self.table.quoted('"', '"');
        // An index may have any name in a table that is there.
        self.catalogue.create_table(run, [&name, &name, &name], &self.schema).await
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
        let expectation = expectation::expectation(&self.table, &self.names);
        let besides = |found: &Found| {
            let mark = self.names.destroyed_at();
            let has = found.columns.iter().any(|column| column.found.name == mark);
            self.names.judge_destroyed_at(has).into_iter().collect()
        };
        let engine = self.engines.find(run).await?.map(Engine::finding);
        let others = diagnose(run, &self.catalogue, &expectation, &self.schema, besides).await?;
        Ok(engine.into_iter().chain(others).collect())
    }
}
