//! The store.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use rusqlite::Connection;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, Filter, Finding, Gathering, KeyFormat,
    Listed, Operation, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, Timestamp, Touch,
    Update, Updated, Write, Written,
};
use tokio::task::coop::consume_budget;

use crate::checkpointer::{Checkpointer, Log};
use crate::connection::{Connector, Role};
use crate::diagnose;
use crate::error::{BACKEND, Failure};
use crate::layout::{Answer, Layout};
use crate::options::{JournalMode, Place, SqliteStoreBuilder};
use crate::readers::{Readers, in_one_snapshot};
use crate::rules::Rules;
use crate::writer::{Writer, entry, receive};

/// Sessions in a table of a SQLite database. Cheap to clone; all clones share one writing thread, the connections
/// and the other threads, which end, with the database closed, when the last clone is dropped. That drop waits for
/// them, some milliseconds where the log is to be moved into the database.
///
/// Any number of processes may use one file. They share SQLite's lock for writing, which goes to whoever finds it
/// free, so within one process clone the store instead of opening the file twice.
///
/// # Cancel safety
/// An operation whose future is dropped before its turn in the queue of writes is not done; afterwards it is done
/// wholly.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

// In this order they are dropped: the writer's connection closes last and moves the rest of the log.
struct Inner {
    readers: Option<Readers>,
    _checkpointer: Option<Checkpointer>,
    writer: Writer,
    layout: Arc<dyn Layout>,
    rules: Rules,
    connector: Connector,
    limit_subquery: bool,
}

impl SqliteStore {
    /// Opens a database file with all defaults; a missing one is made. The table is not:
    /// [`create_table`](SqliteStore::create_table) makes it.
    ///
    /// This blocks for as long as the file system takes, and at most the busy time-out.
    ///
    /// # Errors
    /// As [`SqliteStoreBuilder::open`].
    pub fn open(path: impl Into<PathBuf>) -> Result<SqliteStore> {
        SqliteStore::builder(path).open()
    }

    /// Opens a new, empty database in memory, which ends with the store: for tests.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if the operating system gives no memory or thread.
    pub fn in_memory() -> Result<SqliteStore> {
        SqliteStore::builder(":memory:").open()
    }

    /// Options for the database in this file; `:memory:` for a new one in memory.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(Place::File(path.into()))
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
        let layout = Arc::clone(&self.0.layout);
        self.0.writer.write(Operation::Connect, 0, move |db| Ok(db.execute_batch(layout.schema_sql())?)).await
    }

    /// The statements that [`create_table`](SqliteStore::create_table) runs, for those who run migrations themselves.
    pub fn schema_sql(&self) -> &str {
        self.0.layout.schema_sql()
    }

    pub(crate) fn start(options: SqliteStoreBuilder) -> Result<SqliteStore> {
        let name = options.checked_table().map_err(at_open)?;
        let table = name.table().to_owned();
        let connector =
            Connector::new(options.place.clone(), options.connections.clone()).map_err(at_open)?;
        let failed = |failure: Failure| at_open(failure.into_error(&table));
        let db = connector.open(Role::Writer).map_err(failed)?;
        let layout = options.layout(&name, &db).map_err(failed)?;
        let log = Arc::new(Log::new(options.checkpoint_after.get()));
        // A database in memory has one connection, which reads and writes.
        let readers = connector
            .path()
            .map(|_| Readers::start(&connector, &table, options.reads, options.readers))
            .transpose()
            .map_err(at_open)?;
        let checkpointer = (connector.path().is_some()
            && connector.options().journal_mode == JournalMode::Wal)
            .then(|| Checkpointer::start(connector.clone(), Arc::clone(&log)))
            .transpose()
            .map_err(at_open)?;
        let writer =
            Writer::start(db, connector.clone(), &table, options.group_limit, log).map_err(at_open)?;
        Ok(SqliteStore(Arc::new(Inner {
            readers,
            _checkpointer: checkpointer,
            writer,
            rules: Rules { capabilities: layout.capabilities(), key_format: layout.key_format() },
            layout,
            connector,
            limit_subquery: options.limit_subquery,
        })))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        self.0.rules.capabilities
    }

    fn key_format(&self) -> KeyFormat {
        self.0.rules.key_format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.0.rules.create(create).map_err(during(Operation::Create))?;
        let create = create.clone();
        let bytes = create.payload.len();
        self.write(Operation::Create, bytes, move |layout, db| layout.create(db, &create, now)).await
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.0.rules.key(key).map_err(during(Operation::Load))?;
        // A load that never waits would otherwise let its task keep the runtime's worker for ever.
        for _ in 0..LOAD_COST {
            consume_budget().await;
        }
        let inline = self
            .0
            .readers
            .as_ref()
            .and_then(|readers| readers.read_inline(1, |db, _| self.0.layout.load(db, key, now)));
        if let Some(answer) = inline {
            return answer.map_err(during(Operation::Load));
        }
        let key = key.clone();
        self.read(Operation::Load, move |layout, db| layout.load(db, &key, now)).await
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.0.rules.update(update).map_err(during(Operation::Update))?;
        let update = update.clone();
        let bytes = update.payload.len();
        self.write(Operation::Update, bytes, move |layout, db| layout.update(db, &update, now)).await
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        self.0.rules.key(&touch.key).map_err(during(Operation::Touch))?;
        let touch = touch.clone();
        self.write(Operation::Touch, 0, move |layout, db| layout.touch(db, &touch, now)).await
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.0.rules.destroy(destroy).map_err(during(Operation::Destroy))?;
        let destroy = destroy.clone();
        self.write(Operation::Destroy, 0, move |layout, db| layout.destroy(db, &destroy, now)).await
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.0.rules.rotate(rotate).map_err(during(Operation::Rotate))?;
        let rotate = rotate.clone();
        let bytes = rotate.payload.as_ref().map_or(0, |payload| payload.len());
        self.write(Operation::Rotate, bytes, move |layout, db| layout.rotate(db, &rotate, now)).await
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        self.0.rules.destroy_principal(except, mode).map_err(during(Operation::Destroy))?;
        let (principal, except) = (principal.clone(), except.cloned());
        self.write(Operation::Destroy, 0, move |layout, db| {
            layout.destroy_principal(db, &principal, except.as_ref(), mode, now)
        })
        .await
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        if self.0.limit_subquery {
            return self
                .write(Operation::Purge, 0, move |layout, db| layout.purge_expired(db, now, limit))
                .await;
        }
        let found =
            self.read(Operation::Purge, move |layout, db| layout.find_expired(db, now, limit)).await?;
        self.write(Operation::Purge, 0, move |layout, db| layout.purge_found(db, &found, now)).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.0.rules.filter(filter).map_err(during(Operation::List))?;
        after.map_or(Ok(()), |after| self.0.rules.key(after)).map_err(during(Operation::List))?;
        let (filter, after) = (filter.clone(), after.cloned());
        self.read(Operation::List, move |layout, db| layout.list(db, &filter, after.as_ref(), limit, now))
            .await
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.0.rules.filter(filter).map_err(during(Operation::Count))?;
        let filter = filter.clone();
        self.read(Operation::Count, move |layout, db| layout.count(db, &filter, now)).await
    }

    async fn clear(&self) -> Result<u64> {
        self.write(Operation::Clear, 0, |layout, db| layout.clear(db)).await
    }

    async fn server_time(&self) -> Result<Timestamp> {
        // The database has no clock of its own; reading the file's header shows that it is there.
        self.read(Operation::ServerTime, |_, db| {
            Ok(db.pragma_query_value(None, "schema_version", |_| Ok(()))?)
        })
        .await?;
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let connector = self.0.connector.clone();
        // Before a connection is opened: that would make the file anew.
        if let Some(missing) = connector.path().and_then(diagnose::missing_file) {
            return Ok(vec![missing]);
        }
        self.read(Operation::Diagnose, move |layout, db| {
            diagnose::diagnose(db, &layout.expectation(), &connector)
        })
        .await
    }

    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let rules = self.0.rules;
        let Some(readers) = &self.0.readers else {
            let keys = keys.to_vec();
            let read =
                move |layout: &dyn Layout, db: &Connection| load_in_turn(rules, layout, db, &keys, now, None);
            return self.write(Operation::Load, 0, read).await;
        };
        // As many on the caller as it may do, the others on a thread.
        let inline = readers.read_inline(keys.len(), |db, allowance| {
            in_one_snapshot(db, || load_in_turn(rules, &*self.0.layout, db, keys, now, allowance))
        });
        let mut outcomes = inline.unwrap_or_else(|| Ok(Vec::new())).map_err(during(Operation::Load))?;
        if outcomes.len() < keys.len() {
            let (layout, rest) = (Arc::clone(&self.0.layout), keys[outcomes.len()..].to_vec());
            let read = move |db: &Connection| {
                in_one_snapshot(db, || load_in_turn(rules, &*layout, db, &rest, now, None))
            };
            outcomes.extend(readers.read(Operation::Load, read).await?);
        }
        Ok(outcomes)
    }

    /// Loads alone are gathered: writes wait for each other at the writing thread anyway, and travel together from there.
    fn gathering(&self) -> Gathering {
        match &self.0.readers {
            Some(readers) => {
                Gathering { read_lanes: readers.count(), max_batch: READ_BATCH, ..Gathering::OFF }
            }
            None => Gathering::OFF,
        }
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let mut entries = Vec::with_capacity(writes.len());
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let operation = operation(write);
            answers.push(self.0.rules.write(write).map_err(during(operation)).map(|()| {
                let (layout, write) = (Arc::clone(&self.0.layout), write.clone());
                let (entry, answer) = entry(write.payload_len(), move |db| layout.write(db, &write, now));
                entries.push(entry);
                (operation, answer)
            }));
        }
        self.0.writer.push(entries);
        let mut outcomes = Vec::with_capacity(writes.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok((operation, answer)) => receive(answer).await.map_err(during(operation)),
                Err(error) => Err(error),
            });
        }
        Ok(outcomes)
    }
}

impl SqliteStore {
    async fn write<T, F>(&self, operation: Operation, payload: usize, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Layout, &Connection) -> Answer<T> + Send + 'static,
    {
        let layout = Arc::clone(&self.0.layout);
        self.0.writer.write(operation, payload, move |db| work(&*layout, db)).await
    }

    async fn read<T, F>(&self, operation: Operation, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Layout, &Connection) -> Answer<T> + Send + 'static,
    {
        match &self.0.readers {
            Some(readers) => {
                let layout = Arc::clone(&self.0.layout);
                readers.read(operation, move |db| read(&*layout, db)).await
            }
            None => self.write(operation, 0, read).await,
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.connector.path())
            .field("table", &self.0.layout.expectation().table)
            .finish_non_exhaustive()
    }
}

/// A task may do 128 short things before the runtime gives others a turn. As one of them a load is long: 64 callers that
/// load without pause waited up to 0.3 s for each other.
const LOAD_COST: u32 = 32;

/// So many loads of cached pages take a fifth of a millisecond.
const READ_BATCH: usize = 32;

/// Loads one key after another, and stops behind the one at which the time allowed has passed. SQLite's own errors are
/// the whole batch's.
fn load_in_turn(
    rules: Rules,
    layout: &dyn Layout,
    db: &Connection,
    keys: &[SessionKey],
    now: Timestamp,
    allowed: Option<Duration>,
) -> Answer<Vec<Result<Option<Record>>>> {
    let began = Instant::now();
    let mut outcomes = Vec::with_capacity(keys.len());
    for key in keys {
        let loaded = rules.key(key).map_err(Failure::from).and_then(|()| layout.load(db, key, now));
        outcomes.push(match loaded {
            Ok(record) => Ok(record),
            Err(Failure::Store(error)) => Err(during(Operation::Load)(error.with_backend(BACKEND))),
            Err(failure) => return Err(failure),
        });
        if allowed.is_some_and(|allowed| began.elapsed() > allowed) {
            break;
        }
    }
    Ok(outcomes)
}

fn operation(write: &Write) -> Operation {
    match write {
        Write::Create(_) => Operation::Create,
        Write::Update(_) => Operation::Update,
        Write::Touch(_) => Operation::Touch,
        Write::Destroy(_) => Operation::Destroy,
    }
}

fn during(operation: Operation) -> impl FnOnce(Error) -> Error {
    move |error| error.with_operation(operation)
}

fn at_open(error: Error) -> Error {
    error.with_backend(BACKEND).with_operation(Operation::Connect)
}
