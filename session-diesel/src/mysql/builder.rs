//! The options of a store on MySQL or MariaDB.

use std::fmt;
use std::sync::Arc;

use diesel_async::AsyncMysqlConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use futures_util::FutureExt;
use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::mysql::{Native, NativeOptions, Typeorm};
use session_sql::{ConnectTypeorm, Credentials, Limits, Login, Tls};

use super::cancel;
use super::connect::{Connector, Options};
use super::pool::{Connections, sign_of_life};
use super::store::{BACKEND, Inner, Layout, MysqlStore};
use crate::checkout::{Pools, one_database};

/// Builds a [`MysqlStore`]. Needs a URL or a pool; every other option has a default. Its `Debug` shows no URL and no
/// password.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_core::TableName;
/// use session_diesel::MysqlStore;
///
/// let store = MysqlStore::builder()
///     .url("mysql://app:secret@db.example/web")
///     .table(TableName::new("visits")?)
///     .pool_size(20)
///     .idle_timeout(Duration::from_secs(60)) // below the server's wait_timeout
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct MysqlBuilder {
    url: Option<String>,
    pool: Option<Pool<AsyncMysqlConnection>>,
    pool_size: usize,
    limits: Limits,
    connecting: Options,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    connect_typeorm: Option<ConnectTypeorm>,
    limit_subquery: bool,
    unproven_engine: bool,
}

impl MysqlStore {
    /// All options.
    pub fn builder() -> MysqlBuilder {
        MysqlBuilder {
            url: None,
            pool: None,
            pool_size: 10,
            limits: Limits::default(),
            connecting: Options::default(),
            table: None,
            key_format: None,
            connect_typeorm: None,
            limit_subquery: true,
            unproven_engine: false,
        }
    }

    /// Opens the table `sessions` of the database that a URL names, with the defaults of all
    /// [options](MysqlStore::builder). Makes one connection, as a test.
    ///
    /// # Errors
    /// Those of [`MysqlBuilder::connect`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(url: impl Into<String>) -> Result<MysqlStore> {
        MysqlStore::builder().url(url).connect().await
    }
}

impl MysqlBuilder {
    /// The server and database: `mysql://user:password@host:port/database`, or the same with `mariadb://`.
    ///
    /// `ssl-mode` is `DISABLED`, or `REQUIRED`, `VERIFY_CA` or `VERIFY_IDENTITY`, which all verify the server's
    /// certificate and the host's name; without it, a server on this machine is reached in clear, and any other
    /// encrypted and verified. `ssl-ca` names a file with the CA's certificate. Unlike with MySQL's own client,
    /// `PREFERRED` never falls back to clear text on a remote host.
    pub fn url(mut self, url: impl Into<String>) -> MysqlBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a URL.
    ///
    /// The store uses the pool's connections as they are. They must count found rows, not changed ones. Those that
    /// diesel-async establishes do. Give them four things, which connections made from a URL have. No outcome depends on
    /// them:
    /// - `RecyclingMethod::Fast`. The default asks the server for a sign of life before each statement, and halves the
    ///   throughput.
    /// - READ COMMITTED.
    /// - A strict `sql_mode`.
    /// - Messages in English, because diesel-async drops the numbers of errors.
    ///
    /// diesel's instrumentation of such a connection gets every statement, with its values hidden, and every error in the
    /// server's words, which may quote a key.
    pub fn pool(mut self, pool: Pool<AsyncMysqlConnection>) -> MysqlBuilder {
        self.pool = Some(pool);
        self
    }

    /// The most connections of a pool made from a URL. Defaults to 10.
    pub fn pool_size(mut self, connections: usize) -> MysqlBuilder {
        self.pool_size = connections;
        self
    }

    /// The table. Its schema is the database's name; without one it is the connection's. Defaults to `sessions`, and in the
    /// layout of connect-typeorm to `session`.
    pub fn table(mut self, table: TableName) -> MysqlBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`]; in the layout of connect-typeorm it is always
    /// [`KeyFormat::Plain`].
    pub fn key_format(mut self, format: KeyFormat) -> MysqlBuilder {
        self.key_format = Some(format);
        self
    }

    /// Shares the table of a Node application that uses connect-typeorm, which has these names. Defaults to a table of the
    /// native layout.
    ///
    /// The table contains ids in clear. They are compared byte for byte, whatever the column's collation. If the
    /// collation takes two ids for equal, the second one cannot be created. The table has no versions, principals or
    /// times of creation. A table without `destroyedAt` (version 1.1.4) can only destroy with
    /// [`DestroyMode::Remove`](session_core::DestroyMode::Remove). [`connect`](MysqlBuilder::connect) finds that out;
    /// before [`build`](MysqlBuilder::build), say it with [`ConnectTypeorm::without_destroyed_at`].
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> MysqlBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// Whether connections made from a URL are encrypted and verified, in place of its `ssl-mode`. Defaults to what the URL
    /// says.
    pub fn tls(mut self, tls: Tls) -> MysqlBuilder {
        self.connecting.tls = Some(tls);
        self
    }

    /// The certificates, in PEM, of the authorities that may have signed the server's; no others are trusted then.
    /// Defaults to those in the file of the URL's `ssl-ca`, or else to those that Mozilla trusts.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> MysqlBuilder {
        self.connecting.roots = Some(pem.into());
        self
    }

    /// The user and the password, in place of the URL's, which are the default.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> MysqlBuilder {
        self.connecting.login = Login::Fixed(Credentials::new(user, password));
        self
    }

    /// Asks a callback for the user and the password of each new connection, in place of the URL's: for a cloud's token,
    /// or a secret that is rotated. Connections that are open stay open.
    ///
    /// The callback's time is part of the call that needs the connection. Answer within some hundred milliseconds: keep a
    /// token until shortly before it expires. The caller gets the callback's error with its kind. Return
    /// [`Error::unavailable`] if a later try may work. Not for a [`pool`](MysqlBuilder::pool), which logs in by itself.
    ///
    /// ```no_run
    /// # async fn token() -> session_core::Result<String> { Ok(String::new()) }
    /// use session_diesel::{Credentials, MysqlStore};
    ///
    /// let builder = MysqlStore::builder().credentials_from(|| async { Ok(Credentials::new("app", token().await?)) });
    /// ```
    ///
    /// # Cancel safety
    /// Its future is dropped where the caller gives up.
    pub fn credentials_from<F, A>(mut self, ask: F) -> MysqlBuilder
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials>> + Send + 'static,
    {
        self.connecting.login = Login::asked(ask);
        self
    }

    /// Whether a purge is one statement with a LIMIT in a derived table, which skips locked rows (true; needs
    /// MariaDB 10.6 or MySQL 8), or one that finds the keys and one that deletes them (false). Defaults to true.
    pub fn limit_subquery(mut self, one_statement: bool) -> MysqlBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// Builds the store. Connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL and no pool, if one of them, or the
    /// certificates, cannot be used, or if the options contradict each other.
    pub fn build(self) -> Result<MysqlStore> {
        let (layout, connections) = self.parts().map_err(|error| error.with_backend(BACKEND))?;
        Ok(MysqlStore(Arc::new(Inner { layout, connections })))
    }

    /// Builds the store, makes one connection to see that it can, and looks at the table where the layout leaves
    /// something open. The table need not be there yet.
    ///
    /// # Errors
    /// Those of [`build`](MysqlBuilder::build), and [`Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`Backend`](session_core::ErrorKind::Backend) if the server is not there or refuses.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(self) -> Result<MysqlStore> {
        let connected = async {
            let (layout, connections) = self.parts()?;
            let layout = match layout {
                Layout::Native(native) => {
                    native.look(&connections).await?;
                    Layout::Native(native)
                }
                Layout::Typeorm(typeorm) => Layout::Typeorm(typeorm.looking(&connections).await?),
            };
            Ok(MysqlStore(Arc::new(Inner { layout, connections })))
        };
        let connected: Result<MysqlStore> = connected.await;
        connected.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    fn parts(self) -> Result<(Layout, Connections)> {
        self.limits.check()?;
        let layout = match self.connect_typeorm {
            None => {
                let native = Native::new(NativeOptions {
                    table: self.table.unwrap_or_default(),
                    key_format: self.key_format.unwrap_or_default(),
                    limit_subquery: self.limit_subquery,
                });
                Layout::Native(native.with_unproven(self.unproven_engine))
            }
            Some(_) if self.key_format == Some(KeyFormat::Hashed) => {
                return Err(Error::invalid_input(
                    "connect-typeorm holds ids as they are; leave out `key_format`",
                ));
            }
            Some(names) => {
                let table = self.table.map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
                let typeorm = Typeorm::new(table, names, self.limit_subquery);
                Layout::Typeorm(typeorm.with_unproven(self.unproven_engine))
            }
        };
        let pool = match one_database(self.pool, self.url)? {
            Ok(pool) => Pools::given(pool, sign_of_life, cancel::given()),
            Err(url) => {
                let connector = Connector::new(&url, self.connecting, &self.limits)?;
                let cancel = cancel::own(connector.clone());
                let login = move || {
                    let connector = connector.clone();
                    async move { connector.connect().await }.boxed()
                };
                Pools::own(login, self.pool_size, self.limits, cancel)?
            }
        };
        let schema = layout.schema_sql().to_owned();
        Ok((layout, Connections { pool, schema }))
    }
}

session_sql::engine_option!(MysqlBuilder);
session_sql::limit_options!(MysqlBuilder);

impl fmt::Debug for MysqlBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlBuilder")
            .field("table", &self.table)
            .field("key_format", &self.key_format)
            .field("connect_typeorm", &self.connect_typeorm)
            .field("pool_size", &self.pool_size)
            .field("limits", &self.limits)
            .field("tls", &self.connecting.tls)
            .finish_non_exhaustive()
    }
}
