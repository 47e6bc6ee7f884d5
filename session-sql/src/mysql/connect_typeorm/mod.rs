//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod look;
mod operations;
mod schema;
mod statements;

use std::sync::OnceLock;

use session_core::{
    Capabilities, Error, ErrorKind, Finding, Gathering, KeyFormat, Result, TableName, Timestamp,
};

use super::catalogue::Catalogue;
use super::diagnose::{self, Patient};
use super::server::{Known, Server};
use super::sizes::MAX_ROWS;
use crate::{ConnectTypeorm, Run};
use look::Look;

/// A table of the Node package connect-typeorm, shared with a Node application.
///
/// Ids stand in it in clear and are compared byte for byte, whatever the column's collation. Where that takes two ids
/// for the same (in the table that TypeORM makes if they differ in case, accents or trailing blanks), the second one
/// cannot be created: [`Created::KeyTaken`](session_core::contract::Created::KeyTaken).
///
/// The column that TypeORM makes for the data holds 64 KiB. More is [`TooLarge`](ErrorKind::TooLarge), and a character that
/// a column's character set does not have is [`InvalidInput`](ErrorKind::InvalidInput): nothing is ever cut or replaced,
/// whatever the `sql_mode`. What the columns hold is looked up once, before the first operation: after an ALTER TABLE build
/// the store anew.
///
/// Each operation is one statement and one round trip, as in [`Native`](super::Native); a create, an update or a rotation in
/// a column that is in none of UTF-8, latin1 and ASCII asks the server once more, before, what that column can hold.
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
    known: Known,
    /// From the first look at a table that is there.
    look: OnceLock<Look>,
}

impl Typeorm {
    /// A table. Without `limit_subquery` a purge is two statements, and not one.
    pub fn new(table: TableName, names: ConnectTypeorm, limit_subquery: bool) -> Typeorm {
        Typeorm {
            schema: schema::schema(&table, &names),
            catalogue: Catalogue::new(),
            known: Known::new(),
            look: OnceLock::new(),
            table,
            names,
            limit_subquery,
        }
    }

    /// The same, also on an [engine](crate::Engine) that nothing was proven on.
    #[must_use]
    pub fn with_unproven(mut self, unproven: bool) -> Typeorm {
        self.known.takes_unproven(unproven);
        self
    }

    /// The same for the table as it is: whether it has the column that marks destroyed sessions. One that is not there
    /// yet will have it. Asks what the server is, too, so that no operation has to.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn looking<R: Run>(mut self, run: &R) -> Result<Typeorm> {
        self.server(run).await?;
        let columns = diagnose::columns(run, &self.catalogue, &self.table).await?;
        if columns.is_empty() {
            return Ok(self);
        }
        let has = diagnose::find(&columns, self.names.destroyed_at()).is_some();
        if has != self.names.has_destroyed_at() {
            let known = self.known;
            self = Typeorm::new(self.table, self.names.with_destroyed_at(has), self.limit_subquery);
            self.known = known;
        }
        let look = Look::at(&columns, &self.table, &self.names)?;
        Ok(Typeorm { look: OnceLock::from(look), ..self })
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Its columns.
    pub fn names(&self) -> &ConnectTypeorm {
        &self.names
    }

    /// The statement that makes the table and its index as TypeORM does.
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
        Gathering { read_lanes: 2, write_lanes: 0, max_batch: MAX_ROWS, max_bytes: 4 << 20 }
    }

    /// Makes the table, with its index, if there is none of this name.
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

    /// As [`Store::diagnose`](session_core::contract::Store::diagnose). Looks at the table anew.
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
        diagnose::connect_typeorm(run, &patient, &self.names).await
    }

    async fn server<R: Run>(&self, run: &R) -> Result<Server> {
        self.known.server(run).await
    }

    /// The table as it was at the first look.
    async fn look<R: Run>(&self, run: &R) -> Result<&Look> {
        if let Some(look) = self.look.get() {
            return Ok(look);
        }
        let columns = diagnose::columns(run, &self.catalogue, &self.table).await?;
        if columns.is_empty() {
            let what = format!("the table is missing; call `create_table`, or run this: {}", self.schema);
            return Err(Error::new(ErrorKind::Backend, what).with_code("1146").with_in_doubt(false));
        }
        let look = Look::at(&columns, &self.table, &self.names)?;
        Ok(self.look.get_or_init(|| look))
    }
}
