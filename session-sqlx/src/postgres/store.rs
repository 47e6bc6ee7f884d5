//! The store: a layout and the connections that its statements run on.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey, Severity, TableName,
    Timestamp, Updated,
};
use session_sql::connect_typeorm::no_principals;
use session_sql::postgres::{Native, Typeorm};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use super::doctor;
use super::pool::Connections;
use crate::transaction::Transaction;

pub(super) const BACKEND: &str = "postgres";

/// Sessions in a table of a PostgreSQL database, from version 12 on: one of the native layout, or one that a Node
/// application shares through [connect-typeorm](crate::PostgresBuilder::connect_typeorm). A clone is the same store.
///
/// Each operation is one statement and one round trip, prepared once for each connection. It is atomic by itself, so
/// that no transaction is open between two messages, and dropping a future leaves the operation done wholly or
/// not at all; its connection is then closed. The exceptions: without
/// [`limit_subquery`](crate::PostgresBuilder::limit_subquery) a purge is two statements, and a statement that finds its
/// rows changed meanwhile is sent again.
///
/// The server's and the session's time zones have no influence: times are whole numbers of milliseconds.
#[derive(Clone)]
pub struct PostgresStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) layout: Arc<Layout>,
    pub(super) connections: Connections,
}

/// The table's shape.
#[expect(clippy::large_enum_variant, reason = "a store has one, behind its Arc")]
pub(super) enum Layout {
    Native(Native),
    Typeorm(Typeorm),
}

impl Layout {
    pub(super) fn table(&self) -> &TableName {
        match self {
            Layout::Native(native) => native.table(),
            Layout::Typeorm(typeorm) => typeorm.table(),
        }
    }

    pub(super) fn schema_sql(&self) -> &str {
        match self {
            Layout::Native(native) => native.schema_sql(),
            Layout::Typeorm(typeorm) => typeorm.schema_sql(),
        }
    }
}

impl PostgresStore {
    /// The table.
    pub fn table(&self) -> &TableName {
        self.0.layout.table()
    }

    /// The statements that make the table and its indexes, for a migration.
    pub fn schema_sql(&self) -> &str {
        self.0.layout.schema_sql()
    }

    /// Makes the table and its indexes where they are missing; in the layout of connect-typeorm, where there is no table
    /// of this name. Any number of processes may call it at once, and a user without the right to make tables may where
    /// the table is complete.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if the table has to be made and the user may not.
    ///
    /// # Cancel safety
    /// One transaction: the table and its indexes are made, or nothing is.
    pub async fn create_table(&self) -> Result<()> {
        let (layout, run) = self.parts();
        let made = match layout {
            Layout::Native(native) => native.create_table(run).await,
            Layout::Typeorm(typeorm) => typeorm.create_table(run).await,
        };
        made.map_err(|error| error.with_backend(BACKEND))
    }

    /// Begins a transaction on a connection of the application's pool, for its own statements and this store's.
    ///
    /// # Errors
    /// Those of the database.
    ///
    /// # Cancel safety
    /// The connection is closed.
    pub async fn begin(
        &self,
        connection: PoolConnection<Postgres>,
    ) -> Result<Transaction<PostgresStore, Postgres>> {
        let within = |lent| {
            let connections = self.0.connections.within(lent);
            PostgresStore(Arc::new(Inner { layout: Arc::clone(&self.0.layout), connections }))
        };
        let begun = Transaction::begin(connection, "BEGIN", within).await;
        begun.map_err(|error| error.with_backend(BACKEND))
    }

    fn parts(&self) -> (&Layout, &Connections) {
        (&self.0.layout, &self.0.connections)
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        match &*self.0.layout {
            Layout::Native(native) => native.capabilities(),
            Layout::Typeorm(typeorm) => typeorm.capabilities(),
        }
    }

    fn key_format(&self) -> KeyFormat {
        match &*self.0.layout {
            Layout::Native(native) => native.key_format(),
            Layout::Typeorm(typeorm) => typeorm.key_format(),
        }
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        match self.parts() {
            (Layout::Native(native), run) => native.create(run, create, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.create(run, create).await,
        }
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        match self.parts() {
            (Layout::Native(native), run) => native.load(run, load, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.load(run, load, now).await,
        }
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        match self.parts() {
            (Layout::Native(native), run) => native.update(run, update, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.update(run, update, now).await,
        }
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        match self.parts() {
            (Layout::Native(native), run) => native.touch(run, touch, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.touch(run, touch, now).await,
        }
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        match self.parts() {
            (Layout::Native(native), run) => native.destroy(run, destroy, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.destroy(run, destroy, now).await,
        }
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        match self.parts() {
            (Layout::Native(native), run) => native.rotate(run, rotate, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.rotate(run, rotate, now).await,
        }
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        match self.parts() {
            (Layout::Native(native), run) => native.fate(run, key, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.fate(run, key, now).await,
        }
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.destroy_principal(run, destroy, now).await,
            (Layout::Typeorm(_), _) => Err(no_principals()),
        }
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.forget_principal(run, principal, now).await,
            (Layout::Typeorm(_), _) => Err(no_principals()),
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.purge_expired(run, now, limit).await,
            (Layout::Typeorm(typeorm), run) => typeorm.purge_expired(run, now, limit).await,
        }
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        match self.parts() {
            (Layout::Native(native), run) => native.list(run, filter, after, limit, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.list(run, after, limit, now).await,
        }
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.count(run, filter, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.count(run, now).await,
        }
    }

    async fn clear(&self) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.clear(run).await,
            (Layout::Typeorm(typeorm), run) => typeorm.clear(run).await,
        }
    }

    async fn server_time(&self) -> Result<Timestamp> {
        match self.parts() {
            (Layout::Native(native), run) => native.server_time(run).await,
            (Layout::Typeorm(typeorm), run) => typeorm.server_time(run).await,
        }
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let (layout, run) = self.parts();
        let pooler = doctor::pooler(run).await?;
        if pooler.as_ref().is_some_and(|finding| finding.severity == Severity::Fault) {
            // No other answer can be relied on.
            return Ok(pooler.into_iter().collect());
        }
        let findings = match layout {
            Layout::Native(native) => native.diagnose(run).await?,
            Layout::Typeorm(typeorm) => typeorm.diagnose(run).await?,
        };
        Ok(findings.into_iter().chain(pooler).collect())
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        match self.parts() {
            (Layout::Native(native), run) => native.load_many(run, loads, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.load_many(run, loads, now).await,
        }
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        match self.parts() {
            (Layout::Native(native), run) if writes.len() > 1 && !run.pool.is_within() => {
                native.write_many(run, writes, now).await
            }
            // A lone write takes its own statement, which is the shorter one. In the layout of connect-typeorm all do.
            _ => {
                let mut outcomes = Vec::with_capacity(writes.len());
                for write in writes {
                    outcomes.push(write.apply(self, now).await);
                }
                Ok(outcomes)
            }
        }
    }

    fn gathering(&self) -> Gathering {
        if self.0.connections.pool.is_within() {
            return Gathering::OFF;
        }
        match &*self.0.layout {
            Layout::Native(native) => native.gathering(),
            Layout::Typeorm(typeorm) => typeorm.gathering(),
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = match &*self.0.layout {
            Layout::Native(_) => "native",
            Layout::Typeorm(_) => "connect-typeorm",
        };
        f.debug_struct("PostgresStore")
            .field("table", self.table())
            .field("layout", &layout)
            .field("connections", &self.0.connections)
            .finish_non_exhaustive()
    }
}
