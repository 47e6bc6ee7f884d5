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
    Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey, TableName, Timestamp,
    Updated,
};
use session_sql::Statement;
use session_sql::connect_typeorm::no_principals;

use crate::connect_mssql_v2::MssqlV2;
use crate::connect_typeorm::Typeorm;
use crate::diagnose::{Patient, diagnose};
use crate::native::Native;
use crate::run::Connections;
use crate::shared::server_time;

pub(crate) const BACKEND: &str = "mssql";

/// Sessions in a table of a SQL Server database: one of the native layout, or one that a Node application shares through
/// [connect-typeorm](crate::MssqlBuilder::connect_typeorm) or [connect-mssql-v2](crate::MssqlBuilder::connect_mssql_v2).
/// A clone is the same store.
///
/// It gives every guarantee of [`Store`] that the layout can hold, on SQL Server's default isolation and with
/// READ_COMMITTED_SNAPSHOT. Each operation is one statement and one round trip, except a purge, which works in batches.
#[derive(Clone)]
pub struct MssqlStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) layout: Layout,
    pub(crate) connections: Connections,
}

/// The table's shape.
#[expect(clippy::large_enum_variant, reason = "a store has one, behind its Arc")]
pub(crate) enum Layout {
    Native(Native),
    Typeorm(Typeorm),
    MssqlV2(MssqlV2),
}

impl Layout {
    fn table(&self) -> &TableName {
        match self {
            Layout::Native(native) => native.table(),
            Layout::Typeorm(typeorm) => typeorm.table(),
            Layout::MssqlV2(table) => table.table(),
        }
    }

    fn schema_sql(&self) -> &str {
        match self {
            Layout::Native(native) => native.schema_sql(),
            Layout::Typeorm(typeorm) => typeorm.schema_sql(),
            Layout::MssqlV2(table) => table.schema_sql(),
        }
    }

    fn create_table(&self) -> &Statement {
        match self {
            Layout::Native(native) => native.create_table(),
            Layout::Typeorm(typeorm) => typeorm.create_table(),
            Layout::MssqlV2(table) => table.create_table(),
        }
    }

    fn patient(&self) -> Patient<'_> {
        let (expectation, length_column) = match self {
            Layout::Native(native) => (native.expectation(), native.length_column()),
            Layout::Typeorm(typeorm) => (typeorm.expectation(), typeorm.length_column()),
            Layout::MssqlV2(table) => (table.expectation(), table.length_column()),
        };
        Patient { expectation, schema: self.schema_sql(), length_column }
    }
}

impl MssqlStore {
    /// The table.
    pub fn table(&self) -> &TableName {
        self.0.layout.table()
    }

    /// The statements that make the table and its indexes, for a migration.
    pub fn schema_sql(&self) -> &str {
        self.0.layout.schema_sql()
    }

    /// Makes the table and its indexes, if there is no table of this name. Any number of processes may call it at once.
    ///
    /// It needs the rights to make a table in the schema, which must be there. Nothing else here needs them: a
    /// program that may only read and write can leave this call out, if somebody else has run
    /// [`schema_sql`](MssqlStore::schema_sql).
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if a right or the schema is missing.
    ///
    /// # Cancel safety
    /// One transaction: dropping the future leaves the table with its indexes, or none.
    pub async fn create_table(&self) -> Result<()> {
        let (layout, run) = self.parts();
        let made = run.run_unhurried(layout.create_table().bind(&[])).await;
        made.map(drop).map_err(|error| error.with_backend(BACKEND))
    }

    fn parts(&self) -> (&Layout, &Connections) {
        (&self.0.layout, &self.0.connections)
    }
}

#[async_trait]
impl Store for MssqlStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        match &self.0.layout {
            Layout::Native(native) => native.capabilities(),
            Layout::Typeorm(typeorm) => typeorm.capabilities(),
            Layout::MssqlV2(table) => table.capabilities(),
        }
    }

    fn key_format(&self) -> KeyFormat {
        match &self.0.layout {
            Layout::Native(native) => native.key_format(),
            Layout::Typeorm(typeorm) => typeorm.key_format(),
            Layout::MssqlV2(table) => table.key_format(),
        }
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        match self.parts() {
            (Layout::Native(native), run) => native.create(run, create, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.create(run, create).await,
            (Layout::MssqlV2(table), run) => table.create(run, create).await,
        }
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        match self.parts() {
            (Layout::Native(native), run) => native.load(run, load, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.load(run, load, now).await,
            (Layout::MssqlV2(table), run) => table.load(run, load, now).await,
        }
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        match self.parts() {
            (Layout::Native(native), run) => native.update(run, update, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.update(run, update, now).await,
            (Layout::MssqlV2(table), run) => table.update(run, update, now).await,
        }
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        match self.parts() {
            (Layout::Native(native), run) => native.touch(run, touch, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.touch(run, touch, now).await,
            (Layout::MssqlV2(table), run) => table.touch(run, touch, now).await,
        }
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        match self.parts() {
            (Layout::Native(native), run) => native.destroy(run, destroy, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.destroy(run, destroy, now).await,
            (Layout::MssqlV2(table), run) => table.destroy(run, destroy, now).await,
        }
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        match self.parts() {
            (Layout::Native(native), run) => native.rotate(run, rotate, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.rotate(run, rotate, now).await,
            (Layout::MssqlV2(table), run) => table.rotate(run, rotate, now).await,
        }
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        match self.parts() {
            (Layout::Native(native), run) => native.fate(run, key, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.fate(run, key, now).await,
            (Layout::MssqlV2(table), run) => table.fate(run, key, now).await,
        }
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.destroy_principal(run, destroy, now).await,
            (Layout::Typeorm(_), _) => Err(no_principals()),
            (Layout::MssqlV2(_), _) => Err(no_principals()),
        }
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.forget_principal(run, principal, now).await,
            (Layout::Typeorm(_), _) => Err(no_principals()),
            (Layout::MssqlV2(_), _) => Err(no_principals()),
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.purge_expired(run, now, limit).await,
            (Layout::Typeorm(typeorm), run) => typeorm.purge_expired(run, now, limit).await,
            (Layout::MssqlV2(table), run) => table.purge_expired(run, now, limit).await,
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
            (Layout::MssqlV2(table), run) => table.list(run, after, limit, now).await,
        }
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.count(run, filter, now).await,
            (Layout::Typeorm(typeorm), run) => typeorm.count(run, now).await,
            (Layout::MssqlV2(table), run) => table.count(run, now).await,
        }
    }

    async fn clear(&self) -> Result<u64> {
        match self.parts() {
            (Layout::Native(native), run) => native.clear(run).await,
            (Layout::Typeorm(typeorm), run) => typeorm.clear(run).await,
            (Layout::MssqlV2(table), run) => table.clear(run).await,
        }
    }

    async fn server_time(&self) -> Result<Timestamp> {
        server_time(&self.0.connections).await
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let (layout, run) = self.parts();
        let patient = layout.patient();
        match layout {
            Layout::Typeorm(typeorm) => diagnose(run, &patient, |columns| typeorm.judge(columns)).await,
            _ => diagnose(run, &patient, |_| Vec::new()).await,
        }
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        if let (Layout::Native(native), run) = self.parts() {
            return native.load_many(run, loads, now).await;
        }
        let mut outcomes = Vec::with_capacity(loads.len());
        for load in loads {
            outcomes.push(self.load(load, now).await);
        }
        Ok(outcomes)
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let together = match self.parts() {
            (Layout::Native(native), run) => native.write_many(run, writes, now).await,
            _ => writes.iter().map(|_| None).collect(),
        };
        let mut outcomes = Vec::with_capacity(writes.len());
        for (write, outcome) in writes.iter().zip(together) {
            outcomes.push(match outcome {
                Some(outcome) => outcome,
                None => write.apply(self, now).await,
            });
        }
        Ok(outcomes)
    }

    fn gathering(&self) -> Gathering {
        match &self.0.layout {
            Layout::Native(native) => native.gathering(),
            Layout::Typeorm(typeorm) => typeorm.gathering(),
            Layout::MssqlV2(table) => table.gathering(),
        }
    }
}

impl fmt::Debug for MssqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = match &self.0.layout {
            Layout::Native(_) => "native",
            Layout::Typeorm(_) => "connect-typeorm",
            Layout::MssqlV2(_) => "connect-mssql-v2",
        };
        f.debug_struct("MssqlStore")
            .field("table", self.table())
            .field("layout", &layout)
            .field("connections", &self.0.connections)
            .finish_non_exhaustive()
    }
}
