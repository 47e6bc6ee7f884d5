//! The store: a layout and the connections that its statements run on.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Operation, Principal, Result, SessionKey, TableName,
    Timestamp, Updated,
};
use session_sql::sqlite::{BEGIN, Layout, diagnose, place};
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;

use super::error::Failure;
use super::pool::Connections;
use crate::transaction::Transaction;

pub(super) const BACKEND: &str = "sqlite";

/// Sessions in a table of a SQLite file: one of the native layout, or one that a Node application shares through
/// [connect-typeorm](crate::SqliteBuilder::connect_typeorm). A clone is the same store.
///
/// Each operation that writes is a transaction, which takes SQLite's lock for writing as it begins; gathered operations are
/// one together. Within one process clone the store instead of building it twice: its clones take turns.
///
/// sqlx hands each statement to a thread, and back. So an operation alone is one statement where that can decide it.
/// Many callers at once are quicker with session-sqlite.
///
/// # Cancel safety
/// An operation whose future is dropped is done wholly or not at all. Its connection is closed.
#[derive(Clone)]
pub struct SqliteStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) layout: Arc<Layout>,
    pub(super) connections: Connections,
    /// A purge is one statement, and not two.
    pub(super) limit_subquery: bool,
}

impl SqliteStore {
    /// The table.
    pub fn table(&self) -> &TableName {
        self.0.layout.table()
    }

    /// The statements that make the table and its indexes, for a migration.
    pub fn schema_sql(&self) -> &str {
        self.0.layout.schema_sql()
    }

    /// Makes the table and its indexes where they are missing. Any number of processes may do so at once. An existing
    /// table is left as it is; [`diagnose`](Store::diagnose) says what is wrong with it.
    ///
    /// # Errors
    /// [`Unavailable`](session_core::ErrorKind::Unavailable) if another process holds the lock for longer than the
    /// busy time-out, [`Backend`](session_core::ErrorKind::Backend) for a read-only database, a full disk, or a table of
    /// this name that lacks a column to be indexed.
    ///
    /// # Cancel safety
    /// One transaction: dropping the future leaves the table wholly made or not at all.
    pub async fn create_table(&self) -> Result<()> {
        let made = async {
            let mut writing = self.0.connections.writing().await?;
            let made = writing.db().script(self.schema_sql()).await;
            writing.end(made).await
        };
        made.await.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
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
        connection: PoolConnection<Sqlite>,
    ) -> Result<Transaction<SqliteStore, Sqlite>> {
        let within = |lent| {
            let connections = self.0.connections.within(lent);
            SqliteStore(Arc::new(Inner {
                layout: Arc::clone(&self.0.layout),
                connections,
                limit_subquery: self.0.limit_subquery,
            }))
        };
        let begun = Transaction::begin(connection, BEGIN, within).await;
        begun.map_err(|error| error.with_backend(BACKEND))
    }

    fn parts(&self) -> (&Layout, &Connections) {
        (&self.0.layout, &self.0.connections)
    }
}

/// An operation on a connection that is read with, by one statement that writes, or in a transaction that writes.
macro_rules! run {
    ($store:ident.$operation:ident($($argument:expr),*) reading) => {{
        let (layout, connections) = $store.parts();
        let mut reading = connections.reading().await?;
        let outcome = layout.$operation(&mut reading.db(), $($argument),*).await;
        reading.end(outcome)
    }};
    ($store:ident.$operation:ident($($argument:expr),*) alone) => {{
        let (layout, connections) = $store.parts();
        let mut alone = connections.alone().await?;
        let outcome = layout.$operation(&mut alone.db(), $($argument),*).await;
        alone.end(outcome)
    }};
    ($store:ident.$operation:ident($($argument:expr),*) writing) => {{
        let (layout, connections) = $store.parts();
        let mut writing = connections.writing().await?;
        let outcome = layout.$operation(&mut writing.db(), $($argument),*).await;
        writing.end(outcome).await
    }};
}

#[async_trait]
impl Store for SqliteStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        self.0.layout.capabilities()
    }

    fn key_format(&self) -> KeyFormat {
        self.0.layout.key_format()
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        run!(self.create(create, now) alone)
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        run!(self.load(load, now) reading)
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        match run!(self.update_at_once(update, now) alone)? {
            Some(updated) => Ok(updated),
            None => run!(self.update(update, now) writing),
        }
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        match run!(self.touch_at_once(touch, now) alone)? {
            Some(touched) => Ok(touched),
            None => run!(self.touch(touch, now) writing),
        }
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        run!(self.destroy(destroy, now) alone)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        run!(self.rotate(rotate, now) writing)
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        run!(self.fate(key, now) reading)
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        run!(self.destroy_principal(destroy, now) alone)
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        run!(self.forget_principal(principal, now) alone)
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        if self.0.limit_subquery {
            return run!(self.purge_expired(now, limit) alone);
        }
        let found = run!(self.find_expired(now, limit) reading)?;
        run!(self.purge_found(&found, now) writing)
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        run!(self.list(filter, after, limit, now) reading)
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        run!(self.count(filter, now) reading)
    }

    async fn clear(&self) -> Result<u64> {
        run!(self.clear() alone)
    }

    async fn server_time(&self) -> Result<Timestamp> {
        // The database has no clock of its own; reading the file's header shows that it is there.
        let mut reading = self.0.connections.reading().await?;
        let looked = diagnose::look(&mut reading.db()).await;
        reading.end(looked)?;
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let (layout, connections) = self.parts();
        let file = connections.file.as_deref();
        // Before a connection is opened: that would make the file anew.
        if let Some(missing) = file.and_then(place::missing_file) {
            return Ok(vec![missing]);
        }
        let mut findings = file.map(|file| place::diagnose(file, Some(0))).unwrap_or_default();
        let mut reading = connections.reading().await?;
        let found = async {
            let mut found = diagnose::settings(&mut reading.db()).await?;
            found.extend(diagnose::diagnose(&mut reading.db(), layout).await?);
            Ok(found)
        }
        .await;
        findings.extend(reading.end(found)?);
        Ok(findings)
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let (layout, connections) = self.parts();
        let mut reading = connections.reading().await?;
        let mut outcomes = Vec::with_capacity(loads.len());
        for load in loads {
            match layout.load(&mut reading.db(), load, now).await {
                Ok(loaded) => outcomes.push(Ok(loaded)),
                Err(Failure::Store(error)) => outcomes.push(Err(error)),
                Err(failure) => return reading.end(Err(failure)),
            }
        }
        reading.end(Ok(outcomes))
    }

    /// One transaction. If anything in it fails it is undone, and each is done in one of its own, so that none harms
    /// another.
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let (layout, connections) = self.parts();
        if writes.len() > 1 && !connections.pool.is_within() {
            let mut writing = connections.writing().await?;
            let mut outcomes = Vec::with_capacity(writes.len());
            let mut failed = None;
            for write in writes {
                match layout.write(&mut writing.db(), write, now).await {
                    Ok(written) => outcomes.push(Ok(written)),
                    Err(failure) => {
                        failed = Some(failure);
                        break;
                    }
                }
            }
            let Some(failure) = failed else { return writing.end(Ok(outcomes)).await };
            // The one that failed meets it again, and tells its own caller.
            drop(writing.end::<()>(Err(failure)).await);
        }
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(write.apply(self, now).await);
        }
        Ok(outcomes)
    }

    /// Writes wait for each other in any case; loads go beside them.
    fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 1, max_batch: 128, max_bytes: 4 << 20 }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("table", &self.table().table())
            .field("connections", &self.0.connections)
            .finish_non_exhaustive()
    }
}
