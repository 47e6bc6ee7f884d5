//! The options of a store on SQLite.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::ConnectTypeorm;
use session_sql::sqlite::{self, Database, Native, Typeorm};

use crate::connect::{self, Connector, JournalMode, Synchronous};
use crate::layout::{self, Layout};
use crate::run::{self, Reads, Run};
use crate::store::{BACKEND, Parts, SqliteStore};

/// Builds a [`SqliteStore`]. Needs a path or a URL; every other option has a default.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use std::num::NonZeroU64;
/// use session_sqlite::{SqliteStore, Synchronous};
///
/// let store = SqliteStore::builder()
///     .path("/srv/web/sessions.db")
///     .synchronous(Synchronous::Normal)                    // after a power failure the last commits may be missing
///     .wal_limit(NonZeroU64::new(256 << 20).expect("not 0")) // fewer pauses
///     .connect()
///     .await?;
/// store.create_table().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteBuilder {
    path: Option<PathBuf>,
    url: Option<String>,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    connect_typeorm: Option<ConnectTypeorm>,
    limit_subquery: bool,
    connections: connect::Options,
    running: run::Options,
}

impl SqliteStore {
    /// All options.
    pub fn builder() -> SqliteBuilder {
        SqliteBuilder {
            path: None,
            url: None,
            table: None,
            key_format: None,
            connect_typeorm: None,
            limit_subquery: true,
            connections: connect::Options {
                synchronous: Synchronous::Full,
                journal_mode: JournalMode::Wal,
                busy_timeout: Duration::from_secs(4),
                page_cache: 2 << 20,
                wal_limit: DEFAULT_WAL_LIMIT,
            },
            running: run::Options {
                reads: Reads::Adaptive,
                readers: thread::available_parallelism()
                    .unwrap_or(NonZeroUsize::MIN)
                    .clamp(NonZeroUsize::MIN, MOST_READERS_BY_DEFAULT),
                batch_limit: DEFAULT_BATCH_LIMIT,
                checkpoint_after: DEFAULT_CHECKPOINT_AFTER,
            },
        }
    }

    /// Opens the table `sessions` in this file, with the defaults of all [options](SqliteStore::builder). Takes a path, or
    /// a URL that begins with `sqlite:` or `file:`. Makes a file that is missing, but not the table:
    /// [`create_table`](SqliteStore::create_table) makes that.
    ///
    /// # Errors
    /// Those of [`SqliteBuilder::connect`].
    ///
    /// # Cancel safety
    /// At most an empty file is left behind.
    pub async fn connect(path_or_url: impl Into<PathBuf>) -> Result<SqliteStore> {
        let named = path_or_url.into();
        let builder = SqliteStore::builder();
        match named.to_str() {
            Some(url) if url.starts_with("sqlite:") || url.starts_with("file:") => {
                builder.url(url).connect().await
            }
            _ => builder.path(named).connect().await,
        }
    }

    /// A store on a new, empty database in memory, which ends with the store: for tests.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// use session_core::Sessions;
    /// use session_sqlite::SqliteStore;
    ///
    /// let store = SqliteStore::in_memory()?;
    /// store.create_table().await?;
    /// let sessions: Sessions<String> = Sessions::new(store);
    /// sessions.create(&"ann".to_owned()).await?;
    /// assert_eq!(sessions.count(None).await?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if the operating system gives no thread.
    pub fn in_memory() -> Result<SqliteStore> {
        SqliteStore::builder().path(":memory:").build()
    }
}

impl SqliteBuilder {
    /// The file of the database; `:memory:` for a new one in memory.
    pub fn path(mut self, path: impl Into<PathBuf>) -> SqliteBuilder {
        self.path = Some(path.into());
        self
    }

    /// The file as a URL. `sqlite:sessions.db`, `sqlite:///srv/sessions.db` and `sqlite::memory:` contain the path as it
    /// is. In SQLite's own `file:sessions.db`, `%20` is a blank. Of SQLite's parameters it takes `mode=memory` and those
    /// that change nothing, such as `mode=rwc`. It refuses others: a store that may not write is of no use.
    pub fn url(mut self, url: impl Into<String>) -> SqliteBuilder {
        self.url = Some(url.into());
        self
    }

    /// The table. A schema, if given, must be `main`. Defaults to `sessions`, and to `session` in the layout of
    /// connect-typeorm.
    pub fn table(mut self, table: TableName) -> SqliteBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. A table is made for one of the formats. Defaults to [`KeyFormat::Hashed`]; in the
    /// layout of connect-typeorm it is always [`KeyFormat::Plain`].
    pub fn key_format(mut self, format: KeyFormat) -> SqliteBuilder {
        self.key_format = Some(format);
        self
    }

    /// Shares the table of a Node application that uses connect-typeorm, which has these names. Defaults to a table of the
    /// native layout.
    ///
    /// The table contains ids in clear. It has no versions, principals or times of creation. A table without
    /// `destroyedAt` (version 1.1.4) can only destroy with [`DestroyMode::Remove`](session_core::DestroyMode::Remove).
    /// [`connect`](SqliteBuilder::connect) finds that out; before [`build`](SqliteBuilder::build), say it with
    /// [`ConnectTypeorm::without_destroyed_at`]. The file gets this store's journal mode, which is fine for Node.
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> SqliteBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// When SQLite waits for the disk. Defaults to [`Synchronous::Full`].
    pub fn synchronous(mut self, synchronous: Synchronous) -> SqliteBuilder {
        self.connections.synchronous = synchronous;
        self
    }

    /// How transactions are made atomic. Defaults to [`JournalMode::Wal`].
    pub fn journal_mode(mut self, mode: JournalMode) -> SqliteBuilder {
        self.connections.journal_mode = mode;
        self
    }

    /// How long an operation waits for a lock that another process or store holds before it is
    /// [`Unavailable`](session_core::ErrorKind::Unavailable). Keep it under the handle's deadline. Defaults to 4
    /// seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> SqliteBuilder {
        self.connections.busy_timeout = timeout;
        self
    }

    /// The memory in which each connection caches pages, in bytes. Defaults to 2 MiB.
    pub fn page_cache(mut self, bytes: u32) -> SqliteBuilder {
        self.connections.page_cache = bytes;
        self
    }

    /// Where loads run. Defaults to [`Reads::Adaptive`].
    pub fn reads(mut self, reads: Reads) -> SqliteBuilder {
        self.running.reads = reads;
        self
    }

    /// How many loads can run at once on their callers, each on a connection of its own, and how many reading
    /// threads there are, each with one too. The handle gathers what comes beyond that. Defaults to the number of
    /// processors, at most 8. In memory there is one connection.
    pub fn readers(mut self, readers: NonZeroUsize) -> SqliteBuilder {
        self.running.readers = readers;
        self
    }

    /// Whether a purge is one `DELETE … WHERE rowid IN (SELECT … LIMIT n)`. Otherwise it is a `SELECT` on a reading
    /// connection, beside the writer, and a `DELETE` of the rows found that are expired still. Defaults to true.
    pub fn limit_subquery(mut self, one_statement: bool) -> SqliteBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// The most operations in one transaction. 1 commits each on its own. Defaults to 1,024.
    pub fn batch_limit(mut self, operations: NonZeroUsize) -> SqliteBuilder {
        self.running.batch_limit = operations;
        self
    }

    /// How many bytes, by estimate, go into the write-ahead log before they are moved into the database, beside the
    /// writer. Defaults to 8 MiB.
    pub fn checkpoint_after(mut self, bytes: NonZeroU64) -> SqliteBuilder {
        self.running.checkpoint_after = bytes;
        self
    }

    /// How large the write-ahead log may grow before the writer pauses (up to 0.1 s) to begin it anew. Under steady
    /// load it never ends otherwise. The file stays about as large until the store closes; while a reader keeps it from
    /// being begun anew, a long backup for one, it grows further. A larger log means fewer pauses, and that pages which
    /// change again and again are moved less often. Defaults to 128 MiB.
    pub fn wal_limit(mut self, bytes: NonZeroU64) -> SqliteBuilder {
        self.connections.wal_limit = bytes;
        self
    }

    /// Builds the store, with its threads. Looks at no file: the first operation opens the database, and makes it,
    /// readable by its owner alone, if it is missing.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no path and no URL, if they cannot be used, or
    /// if the options contradict each other; [`Backend`](session_core::ErrorKind::Backend) if the operating system gives
    /// no thread.
    pub fn build(self) -> Result<SqliteStore> {
        self.parts()
            .map(|(layout, parts)| parts.into_store(layout))
            .map_err(|error| error.with_backend(BACKEND))
    }

    /// Builds the store, opens the database to see that it can, and looks at the table where the layout leaves
    /// something open. A file that is missing is made, readable by its owner alone; the table need not be there yet.
    ///
    /// # Errors
    /// Those of [`build`](SqliteBuilder::build), and
    /// - [`Unavailable`](session_core::ErrorKind::Unavailable) if the file cannot be opened or is locked for longer than
    ///   the [busy time-out](SqliteBuilder::busy_timeout);
    /// - [`Backend`](session_core::ErrorKind::Backend) if it is not a database, or is read-only.
    ///
    /// # Cancel safety
    /// At most an empty file is left behind.
    pub async fn connect(self) -> Result<SqliteStore> {
        let connected = async {
            let (layout, parts) = self.parts()?;
            let table = layout.table().clone();
            // On the writer: what it needs of the file is more than a reader does.
            let columns = parts.run.write(0, move |db| layout::columns(db, table.table())).await?;
            Ok(parts.into_store(layout.seen(&columns)))
        };
        let connected: Result<SqliteStore> = connected.await;
        connected.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    fn parts(self) -> Result<(sqlite::Layout, Unfinished)> {
        let database = match (&self.path, &self.url) {
            (Some(path), None) => Database::at(path)?,
            (None, Some(url)) => Database::of_url(url)?,
            (None, None) => return refuse("there is no database; give `path` or `url`"),
            (Some(_), Some(_)) => return refuse("`path` and `url` both name a database; give one of them"),
        };
        if self.table.as_ref().and_then(TableName::schema).is_some_and(|schema| schema != "main") {
            return refuse("SQLite has no schemas; give the table's name alone, or `main.` before it");
        }
        let layout = match self.connect_typeorm {
            None => sqlite::Layout::Native(Native::new(
                self.table.unwrap_or_default(),
                self.key_format.unwrap_or_default(),
            )),
            Some(_) if self.key_format == Some(KeyFormat::Hashed) => {
                return refuse("connect-typeorm holds ids as they are; leave out `key_format`");
            }
            Some(names) => {
                let table = self.table.map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
                sqlite::Layout::Typeorm(Typeorm::new(table, names))
            }
        };
        let connector = Connector::new(database, self.connections)?;
        let run = Run::start(&connector, layout.table().table(), &self.running)?;
        Ok((layout, Unfinished { run, connector, limit_subquery: self.limit_subquery }))
    }
}

/// A store without its layout.
struct Unfinished {
    run: Run,
    connector: Connector,
    limit_subquery: bool,
}

impl Unfinished {
    fn into_store(self, layout: sqlite::Layout) -> SqliteStore {
        let Unfinished { run, connector, limit_subquery } = self;
        Parts { layout: Arc::new(Layout(layout)), run, connector, limit_subquery }.into_store()
    }
}

fn refuse<T>(what: &str) -> Result<T> {
    Err(Error::invalid_input(what))
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
const DEFAULT_BATCH_LIMIT: NonZeroUsize = non_zero_size(1024);
const MOST_READERS_BY_DEFAULT: NonZeroUsize = non_zero_size(8);
