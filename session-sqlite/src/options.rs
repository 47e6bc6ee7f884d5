//! What a store can be told.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use session_core::{ConnectTypeorm, Error, KeyFormat, Result, TableName};

use crate::error::BACKEND;
use crate::layout::{Answer, Layout};
use crate::native::Native;
use crate::store::SqliteStore;
use crate::typeorm::{Typeorm, has_tombstones};

/// Options of a [`SqliteStore`]; [`SqliteStore::builder`] gives one.
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteStoreBuilder {
    pub(crate) place: Place,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    connect_typeorm: Option<ConnectTypeorm>,
    pub(crate) limit_subquery: bool,
    pub(crate) connections: ConnectionOptions,
    pub(crate) reads: Reads,
    pub(crate) readers: NonZeroUsize,
    pub(crate) group_limit: NonZeroUsize,
    pub(crate) checkpoint_after: NonZeroU64,
}

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Memory,
}

/// What every connection to the database is told.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionOptions {
    pub(crate) synchronous: Synchronous,
    pub(crate) journal_mode: JournalMode,
    pub(crate) busy_timeout: Duration,
    pub(crate) page_cache: u32,
    pub(crate) wal_limit: NonZeroU64,
}

/// When SQLite waits until the disk has what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Never. After a power failure the database may be damaged.
    Off,
    /// At checkpoints. After a power failure the last commits may be missing; a crash of the program loses nothing.
    Normal,
    /// At each commit: what is acknowledged survives a power failure. The default.
    #[default]
    Full,
    /// At each commit, and the folder's entry too: it matters with [`JournalMode::Delete`] alone.
    Extra,
}

impl Synchronous {
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Synchronous::Off => "OFF",
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
            Synchronous::Extra => "EXTRA",
        }
    }
}

/// How SQLite makes a transaction atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalMode {
    /// A write-ahead log beside the file: readers and the writer do not wait for each other. It needs shared memory,
    /// so all processes must be on one machine. The default.
    #[default]
    Wal,
    /// A rollback journal, for file systems without shared memory: readers wait for the writer and the writer for
    /// readers.
    Delete,
}

impl JournalMode {
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            JournalMode::Wal => "wal",
            JournalMode::Delete => "delete",
        }
    }
}

/// Where loads run.
///
/// A load of cached pages takes a few microseconds, less than a hop to another thread and back; one that waits for
/// the disk may take 20 ms, during which an asynchronous runtime's worker does nothing else. Listing and counting
/// always run on threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reads {
    /// On the caller while reads are fast. After one that took over half a millisecond the next 8 run on threads, and
    /// four times as many, up to 512, whenever another slow one follows within 32. So of a cold file's reads one in
    /// 500 holds up a worker. The default.
    #[default]
    Adaptive,
    /// Always on the caller: for a file that the page cache holds.
    Inline,
    /// Always on threads: no load ever holds up a worker.
    Threads,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(place: Place) -> SqliteStoreBuilder {
        SqliteStoreBuilder {
            place,
            table: None,
            key_format: None,
            connect_typeorm: None,
            limit_subquery: true,
            connections: ConnectionOptions {
                synchronous: Synchronous::Full,
                journal_mode: JournalMode::Wal,
                busy_timeout: Duration::from_secs(4),
                page_cache: 2 << 20,
                wal_limit: DEFAULT_WAL_LIMIT,
            },
            reads: Reads::Adaptive,
            readers: std::thread::available_parallelism()
                .unwrap_or(NonZeroUsize::MIN)
                .clamp(NonZeroUsize::MIN, MOST_READERS_BY_DEFAULT),
            group_limit: DEFAULT_GROUP_LIMIT,
            checkpoint_after: DEFAULT_CHECKPOINT_AFTER,
        }
    }

    /// The table. A schema, if given, must be `main`. Defaults to `sessions`, and to `session` in the layout of
    /// connect-typeorm.
    pub fn table(mut self, table: TableName) -> SqliteStoreBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. A table is made for one of the formats. Defaults to [`KeyFormat::Hashed`]; in the
    /// layout of connect-typeorm it is always [`KeyFormat::Plain`].
    pub fn key_format(mut self, format: KeyFormat) -> SqliteStoreBuilder {
        self.key_format = Some(format);
        self
    }

    /// Shares the table of a Node application that uses connect-typeorm, in place of the native layout.
    ///
    /// The file's journal mode becomes this store's, which is fine for Node.
    pub fn connect_typeorm(mut self, columns: ConnectTypeorm) -> SqliteStoreBuilder {
        self.connect_typeorm = Some(columns);
        self
    }

    /// When SQLite waits for the disk. Defaults to [`Synchronous::Full`].
    pub fn synchronous(mut self, synchronous: Synchronous) -> SqliteStoreBuilder {
        self.connections.synchronous = synchronous;
        self
    }

    /// How transactions are made atomic. Defaults to [`JournalMode::Wal`].
    pub fn journal_mode(mut self, mode: JournalMode) -> SqliteStoreBuilder {
        self.connections.journal_mode = mode;
        self
    }

    /// How long an operation waits for a lock that another process or store holds before it is
    /// [`Unavailable`](session_core::ErrorKind::Unavailable). Keep it under the handle's deadline. Defaults to 4
    /// seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> SqliteStoreBuilder {
        self.connections.busy_timeout = timeout;
        self
    }

    /// The memory in which each connection caches pages, in bytes. Defaults to 2 MiB.
    pub fn page_cache(mut self, bytes: u32) -> SqliteStoreBuilder {
        self.connections.page_cache = bytes;
        self
    }

    /// Where loads run. Defaults to [`Reads::Adaptive`].
    pub fn reads(mut self, reads: Reads) -> SqliteStoreBuilder {
        self.reads = reads;
        self
    }

    /// How many loads can run at once on their callers, each on a connection of its own, and how many reading
    /// threads there are, each with one too. The handle gathers what comes beyond that. Defaults to the number of
    /// processors, at most 8. In memory there is one connection.
    pub fn readers(mut self, readers: NonZeroUsize) -> SqliteStoreBuilder {
        self.readers = readers;
        self
    }

    /// Whether a purge is one `DELETE … WHERE rowid IN (SELECT … LIMIT n)`. Otherwise it is a `SELECT` on a reading
    /// connection, beside the writer, and a `DELETE` of the rows found that are expired still. Defaults to true.
    pub fn limit_subquery(mut self, one_statement: bool) -> SqliteStoreBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// The most operations in one transaction. 1 commits each on its own. Defaults to 1,024.
    pub fn group_limit(mut self, operations: NonZeroUsize) -> SqliteStoreBuilder {
        self.group_limit = operations;
        self
    }

    /// How many bytes, by estimate, go into the write-ahead log before they are moved into the database, beside the
    /// writer. Defaults to 8 MiB.
    pub fn checkpoint_after(mut self, bytes: NonZeroU64) -> SqliteStoreBuilder {
        self.checkpoint_after = bytes;
        self
    }

    /// How large the write-ahead log may grow before the writer pauses (up to 0.1 s) to begin it anew. Under steady
    /// load it never ends otherwise. The file stays about as large until the store closes; while a reader keeps it from
    /// being begun anew, a long backup for one, it grows further. A larger log means fewer pauses, and that pages which
    /// change again and again are moved less often. Defaults to 128 MiB.
    pub fn wal_limit(mut self, bytes: NonZeroU64) -> SqliteStoreBuilder {
        self.connections.wal_limit = bytes;
        self
    }

    /// The statements that make the table, for those who run migrations themselves.
    /// [`create_table`](SqliteStore::create_table) runs the same.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the options contradict each other.
    pub fn schema_sql(&self) -> Result<String> {
        let table = self.checked_table()?;
        Ok(match &self.connect_typeorm {
            None => self.native(&table).schema_sql().to_owned(),
            Some(columns) => Typeorm::new(&table, columns, true).schema_sql().to_owned(),
        })
    }

    /// Opens the database and starts the store's threads. A file that is missing is made, readable by its owner
    /// alone; the table is not: see [`create_table`](SqliteStore::create_table).
    ///
    /// This blocks for as long as the file system takes, and at most the busy time-out.
    ///
    /// # Errors
    /// - [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the options contradict each other;
    /// - [`Unavailable`](session_core::ErrorKind::Unavailable) if the file cannot be opened or is locked;
    /// - [`Backend`](session_core::ErrorKind::Backend) if it is not a database, or is read-only.
    pub fn open(self) -> Result<SqliteStore> {
        SqliteStore::start(self)
    }

    /// The layout, seen with the table as it is.
    pub(crate) fn layout(&self, table: &TableName, db: &Connection) -> Answer<Arc<dyn Layout>> {
        Ok(match &self.connect_typeorm {
            None => Arc::new(self.native(table)),
            Some(columns) => Arc::new(Typeorm::new(table, columns, has_tombstones(db, table, columns)?)),
        })
    }

    /// The table's name, if the options agree.
    pub(crate) fn checked_table(&self) -> Result<TableName> {
        let refuse = |what: &str| Err(Error::invalid_input(what).with_backend(BACKEND));
        if self.table.as_ref().and_then(TableName::schema).is_some_and(|schema| schema != "main") {
            return refuse("SQLite has no schemas; give the table's name alone, or `main.` before it");
        }
        if self.connect_typeorm.is_some() && self.key_format == Some(KeyFormat::Hashed) {
            return refuse("connect-typeorm holds ids as they are; leave out `key_format`");
        }
        match (&self.table, &self.connect_typeorm) {
            (Some(table), _) => Ok(table.clone()),
            (None, Some(_)) => TableName::new(ConnectTypeorm::TABLE),
            (None, None) => Ok(TableName::default()),
        }
    }

    fn native(&self, table: &TableName) -> Native {
        Native::new(table, self.key_format.unwrap_or_default())
    }
}

const fn non_zero(number: u64) -> NonZeroU64 {
    match NonZeroU64::new(number) {
        Some(number) => number,
        None => NonZeroU64::MIN,
    }
}

const fn non_zero_size(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

const DEFAULT_CHECKPOINT_AFTER: NonZeroU64 = non_zero(8 << 20);
const DEFAULT_WAL_LIMIT: NonZeroU64 = non_zero(128 << 20);
const DEFAULT_GROUP_LIMIT: NonZeroUsize = non_zero_size(1024);
const MOST_READERS_BY_DEFAULT: NonZeroUsize = non_zero_size(8);
