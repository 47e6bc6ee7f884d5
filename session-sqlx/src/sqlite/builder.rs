//! The options of a store on SQLite.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::checkout::{Lender, one_database};
use session_sql::sqlite::{Database, Layout, Native, Typeorm, diagnose};
use session_sql::{ConnectTypeorm, Limits};
use sqlx::SqlitePool;

use super::client::no_cancel;
use super::connect::Connector;
use super::pool::Connections;
use super::store::{BACKEND, Inner, SqliteStore};
use super::turns;
use crate::checkout::Pools;

/// Builds a [`SqliteStore`]. Needs a path, a URL or a pool; every other option has a default.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use session_sqlx::SqliteStore;
/// use session_sqlx::sqlx::sqlite::SqlitePool;
///
/// let pool = SqlitePool::connect("sqlite:app.db").await?; // the application's own
/// let store = SqliteStore::builder().pool(pool.clone()).connect().await?;
/// store.create_table().await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct SqliteBuilder {
    path: Option<PathBuf>,
    url: Option<String>,
    pool: Option<SqlitePool>,
    pool_size: usize,
    busy_timeout: Duration,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    connect_typeorm: Option<ConnectTypeorm>,
    limit_subquery: bool,
}

impl SqliteStore {
    /// All options.
    pub fn builder() -> SqliteBuilder {
        SqliteBuilder {
            path: None,
            url: None,
            pool: None,
            pool_size: 5,
            busy_timeout: Duration::from_secs(4),
            table: None,
            key_format: None,
            connect_typeorm: None,
            limit_subquery: true,
        }
    }

    /// A store on the table `sessions` of the database in this file, with the defaults of all
    /// [options](SqliteStore::builder); a URL that begins with `sqlite:` or `file:` does as well. A file that is missing is
    /// made, the table is not: [`create_table`](SqliteStore::create_table) makes it.
    ///
    /// # Errors
    /// Those of [`SqliteBuilder::connect`].
    ///
    /// # Cancel safety
    /// Nothing is left behind but, maybe, an empty file.
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
}

impl SqliteBuilder {
    /// The file of the database. It gets a write-ahead log, and each commit waits for the disk
    /// (`journal_mode = WAL`, `synchronous = FULL`). The commit that finds over 32 MiB in the log (`wal_autocheckpoint =
    /// 8192` pages) moves it into the file, and takes longer.
    pub fn path(mut self, path: impl AsRef<Path>) -> SqliteBuilder {
        self.path = Some(path.as_ref().to_owned());
        self
    }

    /// The same as a URL: `sqlite:sessions.db`, `sqlite:///srv/sessions.db`, in which the path stands as it is; or SQLite's
    /// own `file:sessions.db`, in which `%20` is a blank.
    pub fn url(mut self, url: impl Into<String>) -> SqliteBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a file. It has to be one of the sqlx that this crate
    /// [re-exports](crate::sqlx).
    ///
    /// Its connections are used as they are: whether a session that is acknowledged survives a power failure is decided by
    /// their `synchronous`, and how long an operation waits for a lock by their `busy_timeout`. Of a database in memory it
    /// must have one connection at most, which never ends: a call that is dropped closes its connection.
    pub fn pool(mut self, pool: SqlitePool) -> SqliteBuilder {
        self.pool = Some(pool);
        self
    }

    /// The most connections of a pool of our own. One of them writes at a time. Defaults to 5.
    pub fn pool_size(mut self, connections: usize) -> SqliteBuilder {
        self.pool_size = connections;
        self
    }

    /// How long an operation waits for a lock that another process or store holds before it is
    /// [`Unavailable`](session_core::ErrorKind::Unavailable). Keep it under the handle's deadline. Defaults to 4
    /// seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> SqliteBuilder {
        self.busy_timeout = timeout;
        self
    }

    /// The table. A schema, if given, must be `main`. Defaults to `sessions`, and to `session` in the layout of
    /// connect-typeorm.
    pub fn table(mut self, table: TableName) -> SqliteBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`]; in the layout of connect-typeorm it is always
    /// [`KeyFormat::Plain`].
    pub fn key_format(mut self, format: KeyFormat) -> SqliteBuilder {
        self.key_format = Some(format);
        self
    }

    /// The table of a Node application that uses connect-typeorm, with these names, shared with it. Defaults to a table
    /// of the native layout.
    ///
    /// Ids stand in it in clear. The table has no versions, principals or times of creation. One without `destroyedAt`,
    /// as version 1.1.4 has it, can only destroy with [`DestroyMode::Remove`](session_core::DestroyMode::Remove):
    /// [`connect`](SqliteBuilder::connect) finds that out, and for [`build`](SqliteBuilder::build) it is to be said with
    /// [`ConnectTypeorm::without_destroyed_at`].
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> SqliteBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// Whether a purge is one `DELETE … WHERE rowid IN (SELECT … LIMIT n)`. Otherwise it is a `SELECT`, and a `DELETE` of the
    /// rows found that are expired still. Defaults to true.
    pub fn limit_subquery(mut self, one_statement: bool) -> SqliteBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// Builds the store. A file that is missing is made, empty and readable by its owner alone; the first operation opens it.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no database or more than one, if it cannot be
    /// used, or if the options contradict each other.
    pub fn build(self) -> Result<SqliteStore> {
        let limit_subquery = self.limit_subquery;
        let (layout, connections) = self.parts().map_err(|error| error.with_backend(BACKEND))?;
        Ok(SqliteStore(Arc::new(Inner { layout: Arc::new(layout), connections, limit_subquery })))
    }

    /// Builds the store, opens the database to see that it can, and looks at the table where the layout leaves
    /// something open. A file that is missing is made, readable by its owner alone; the table need not be there yet.
    ///
    /// # Errors
    /// Those of [`build`](SqliteBuilder::build), and
    /// - [`Unavailable`](session_core::ErrorKind::Unavailable) if the file cannot be opened or is locked for longer than
    ///   the [busy time-out](SqliteBuilder::busy_timeout);
    /// - [`Backend`](session_core::ErrorKind::Backend) if it is not a database.
    ///
    /// # Cancel safety
    /// Nothing is left behind but, maybe, an empty file.
    pub async fn connect(self) -> Result<SqliteStore> {
        let connected = async {
            let limit_subquery = self.limit_subquery;
            let (layout, connections) = self.parts()?;
            let mut reading = connections.reading().await?;
            let columns = diagnose::columns(&mut reading.db(), layout.table().table()).await;
            let columns = reading.end(columns)?;
            let layout = Arc::new(layout.seen(&columns));
            Ok(SqliteStore(Arc::new(Inner { layout, connections, limit_subquery })))
        };
        let connected: Result<SqliteStore> = connected.await;
        connected.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    fn parts(self) -> Result<(Layout, Connections)> {
        if self.table.as_ref().and_then(TableName::schema).is_some_and(|schema| schema != "main") {
            return Err(Error::invalid_input(
                "SQLite has no schemas; give the table's name alone, or `main.` before it",
            ));
        }
        let layout = match self.connect_typeorm {
            None => Layout::Native(Native::new(
                self.table.unwrap_or_default(),
                self.key_format.unwrap_or_default(),
            )),
            Some(_) if self.key_format == Some(KeyFormat::Hashed) => {
                return Err(Error::invalid_input(
                    "connect-typeorm holds ids as they are; leave out `key_format`",
                ));
            }
            Some(names) => {
                let table = self.table.map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
                Layout::Typeorm(Typeorm::new(table, names))
            }
        };
        let file = match (self.path, self.url) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid_input("`path` and `url` both name a database; give one of them"));
            }
            (Some(path), None) => Some(Database::at(&path)?),
            (None, Some(url)) => Some(Database::of_url(&url)?),
            (None, None) => None,
        };
        let (turns, file, pool) = match one_database(self.pool, file)? {
            Ok(pool) => {
                let file = pool.connect_options().get_filename().to_owned();
                // One in memory has a name of SQLite's or sqlx's, and no file.
                let in_memory =
                    file.to_str().is_some_and(|name| name.starts_with(':') || name.starts_with("file:"));
                (turns::of(&file), (!in_memory).then_some(file), Pools::Given(pool))
            }
            Err(file) => {
                let connector = Connector::new(file, self.busy_timeout)?;
                let (turns, file) = (turns::of(connector.path()), connector.path().to_owned());
                let login = move || {
                    let connector = connector.clone();
                    async move { connector.connect().await }.boxed()
                };
                let pool = Lender::own(Box::new(login), self.pool_size, Limits::default(), no_cancel())?;
                (turns, Some(file), Pools::Own(pool))
            }
        };
        let table = layout.table().table().to_owned();
        let connections = Connections { pool, turns, table, file };
        Ok((layout, connections))
    }
}

impl fmt::Debug for SqliteBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBuilder")
            .field("path", &self.path)
            .field("table", &self.table)
            .field("key_format", &self.key_format)
            .field("connect_typeorm", &self.connect_typeorm)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}
