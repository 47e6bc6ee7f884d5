//! The store: a layout, and what runs its statements.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use rusqlite::Connection;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Operation, Principal, Result, SessionKey, TableName,
    Timestamp, Updated,
};
use session_sql::sqlite::place;
use tokio::task::coop::consume_budget;

use crate::connect::Connector;
use crate::diagnose;
use crate::error::{Answer, Failure};
use crate::layout::{self, Layout};
use crate::run::{Run, in_one_snapshot};

pub(crate) const BACKEND: &str = "sqlite";

/// Sessions in a table of a SQLite database: one of the native layout, or one that a Node application shares through
/// [connect-typeorm](crate::SqliteBuilder::connect_typeorm). Cheap to clone; all clones share one writing thread, the
/// connections and the other threads, which end, with the database closed, when the last clone is dropped. That drop
/// waits for them, some milliseconds where the log is to be moved into the database.
///
/// Any number of processes may use one file. They share SQLite's lock for writing, which goes to whoever finds it
/// free, so within one process clone the store instead of building it twice.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// use session_sqlite::SqliteStore;
///
/// let store = SqliteStore::in_memory()?;
/// assert_eq!(store.table().table(), "sessions");
/// assert!(store.schema_sql().contains("CREATE TABLE")); // for a migration
/// store.create_table().await?;              // or this
/// # Ok(()) }
/// ```
///
/// # Cancel safety
/// An operation whose future is dropped before its turn in the queue of writes is not done; afterwards it is done
/// wholly.
#[derive(Clone)]
pub struct SqliteStore(Arc<Parts>);

/// What a store consists of.
pub(crate) struct Parts {
    pub(crate) layout: Arc<Layout>,
    pub(crate) run: Run,
    pub(crate) connector: Connector,
    /// A purge is one statement, and not two.
    pub(crate) limit_subquery: bool,
}

impl Parts {
    pub(crate) fn into_store(self) -> SqliteStore {
        SqliteStore(Arc::new(self))
    }
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
        let made = self.write(0, |layout, db| Ok(db.execute_batch(layout.schema_sql())?)).await;
        made.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }
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
        let create = create.clone();
        let payload = create.payload.len();
        self.write(payload, move |layout, db| layout.create(db, &create, now)).await
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        // A load that never waits would otherwise let its task keep the runtime's worker for ever.
        for _ in 0..LOAD_COST {
            consume_budget().await;
        }
        let inline = self.0.run.read_inline(1, |db, _| self.0.layout.load(db, load, now));
        if let Some(answer) = inline {
            return answer;
        }
        let load = load.clone();
        self.read(move |layout, db| layout.load(db, &load, now)).await
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let update = update.clone();
        let payload = update.payload.len();
        self.write(payload, move |layout, db| layout.update(db, &update, now)).await
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let touch = touch.clone();
        self.write(0, move |layout, db| layout.touch(db, &touch, now)).await
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let destroy = destroy.clone();
        self.write(0, move |layout, db| layout.destroy(db, &destroy, now)).await
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let rotate = rotate.clone();
        let payload = rotate.payload.as_ref().map_or(0, |payload| payload.len());
        self.write(payload, move |layout, db| layout.rotate(db, &rotate, now)).await
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let key = key.clone();
        self.read(move |layout, db| layout.fate(db, &key, now)).await
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        let destroy = destroy.clone();
        self.write(0, move |layout, db| layout.destroy_principal(db, &destroy, now)).await
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        let principal = principal.clone();
        self.write(0, move |layout, db| layout.forget_principal(db, &principal, now)).await
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        if self.0.limit_subquery {
            return self.write(0, move |layout, db| layout.purge_expired(db, now, limit)).await;
        }
        let found = self.read(move |layout, db| layout.find_expired(db, now, limit)).await?;
        self.write(0, move |layout, db| layout.purge_found(db, &found, now)).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.read(move |layout, db| layout.list(db, &filter, after.as_ref(), limit, now)).await
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let filter = filter.clone();
        self.read(move |layout, db| layout.count(db, &filter, now)).await
    }

    async fn clear(&self) -> Result<u64> {
        self.write(0, |layout, db| layout.clear(db)).await
    }

    async fn server_time(&self) -> Result<Timestamp> {
        // The database has no clock of its own; reading the file's header shows that it is there.
        self.read(|_, db| layout::look(db)).await?;
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let connector = self.0.connector.clone();
        // Before a connection is opened: that would make the file anew.
        if let Some(missing) = connector.path().and_then(place::missing_file) {
            return Ok(vec![missing]);
        }
        self.read(move |layout, db| diagnose::diagnose(db, layout, &connector)).await
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        // As many on the caller as it may do, the others on a thread.
        let inline = self.0.run.read_inline(loads.len(), |db, allowance| {
            in_one_snapshot(db, || load_in_turn(&self.0.layout, db, loads, now, allowance))
        });
        let mut outcomes = inline.unwrap_or_else(|| Ok(Vec::new()))?;
        if outcomes.len() < loads.len() {
            let rest = loads[outcomes.len()..].to_vec();
            let read = move |layout: &Layout, db: &Connection| {
                in_one_snapshot(db, || load_in_turn(layout, db, &rest, now, None))
            };
            outcomes.extend(self.read(read).await?);
        }
        Ok(outcomes)
    }

    /// Loads alone are gathered: writes wait for each other at the writing thread anyway, and travel together from there.
    fn gathering(&self) -> Gathering {
        match self.0.run.readers() {
            0 => Gathering::OFF,
            readers => Gathering { read_lanes: readers, max_batch: READ_BATCH, ..Gathering::OFF },
        }
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let works = writes.iter().map(|write| {
            let (layout, payload, write) = (Arc::clone(&self.0.layout), write.payload_len(), write.clone());
            (payload, move |db: &Connection| layout.write(db, &write, now))
        });
        Ok(self.0.run.write_all(works).await)
    }
}

impl SqliteStore {
    async fn write<T, F>(&self, payload: usize, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Layout, &Connection) -> Answer<T> + Send + 'static,
    {
        let layout = Arc::clone(&self.0.layout);
        self.0.run.write(payload, move |db| work(&layout, db)).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Layout, &Connection) -> Answer<T> + Send + 'static,
    {
        let layout = Arc::clone(&self.0.layout);
        self.0.run.read(move |db| read(&layout, db)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.connector.path())
            .field("table", &self.0.layout.table().table())
            .finish_non_exhaustive()
    }
}

/// A task may do 128 short things before the runtime gives others a turn. As one of them a load is long: 64 callers that
/// load without pause waited up to 0.3 s for each other.
const LOAD_COST: u32 = 32;

/// So many loads of cached pages take a fifth of a millisecond.
const READ_BATCH: usize = 32;

/// Loads one after another, and stops behind the one at which the time allowed has passed. SQLite's own errors are
/// the whole batch's.
fn load_in_turn(
    layout: &Layout,
    db: &Connection,
    loads: &[Load],
    now: Timestamp,
    allowed: Option<Duration>,
) -> Answer<Vec<Result<Loaded>>> {
    let began = Instant::now();
    let mut outcomes = Vec::with_capacity(loads.len());
    for load in loads {
        let loaded = layout.load(db, load, now);
        outcomes.push(match loaded {
            Ok(loaded) => Ok(loaded),
            Err(Failure::Store(error)) => Err(error),
            Err(failure) => return Err(failure),
        });
        if allowed.is_some_and(|allowed| began.elapsed() > allowed) {
            break;
        }
    }
    Ok(outcomes)
}
