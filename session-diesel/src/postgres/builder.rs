//! The options of a store on Postgres.

use std::fmt;
use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use futures_util::FutureExt;
use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::postgres::{Engines, Native, NativeOptions, TableOptions, Typeorm};
use session_sql::{ConnectTypeorm, Credentials, Limits, Login, Tls};

use super::cancel;
use super::connect::{Connector, Options};
use super::pool::{Connections, sign_of_life};
use super::store::{BACKEND, Inner, Layout, PostgresStore};
use crate::checkout::{Pools, one_database};

/// Builds a [`PostgresStore`]. Needs a URL or a pool; every other option has a default. Its `Debug` shows no URL and
/// no password.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_core::TableName;
/// use session_diesel::PostgresStore;
///
/// let store = PostgresStore::builder()
///     .url("postgres://app:secret@primary.example,standby.example/web")
///     .table(TableName::new("web.sessions")?)
///     .pool_size(20)
///     .statement_timeout(Duration::from_millis(1_800)) // with a deadline of 2 s
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct PostgresBuilder {
    url: Option<String>,
    pool: Option<Pool<AsyncPgConnection>>,
    pool_size: usize,
    limits: Limits,
    connecting: Options,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    table_options: TableOptions,
    connect_typeorm: Option<ConnectTypeorm>,
    limit_subquery: bool,
    unproven_engine: bool,
}

impl PostgresStore {
    /// All options.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder {
            url: None,
            pool: None,
            pool_size: 10,
            limits: Limits::default(),
            connecting: Options::default(),
            table: None,
            key_format: None,
            table_options: TableOptions::default(),
            connect_typeorm: None,
            limit_subquery: true,
            unproven_engine: false,
        }
    }

    /// Opens the table `sessions` of the database that a URL names, with the defaults of all
    /// [options](PostgresStore::builder). Makes one connection, as a test.
    ///
    /// # Errors
    /// Those of [`PostgresBuilder::connect`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(url: impl Into<String>) -> Result<PostgresStore> {
        PostgresStore::builder().url(url).connect().await
    }
}

impl PostgresBuilder {
    /// The server and database: `postgres://user:password@host:port/database`, or libpq's `host=… user=…`, read as libpq
    /// reads them. Without a host it is a socket of this machine, in `/var/run/postgresql` or else in `/tmp`. What is left
    /// out is that of the environment (`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE` and others). A
    /// parameter that is not supported is refused with what to do. Its `options` may set `statement_timeout` and
    /// `lock_timeout`, which count before the defaults and behind what this builder is told.
    ///
    /// The URL may name several hosts, separated by commas. The store uses the host that takes writes, whatever
    /// `target_session_attrs` says: a standby could still load a session that was ended. It tries the host that was good
    /// last first, then the others in their order. Each has the URL's `connect_timeout` for its whole greeting, by
    /// default 2 seconds, and less if all of them would take more than 4. Once the store has seen a new primary, it
    /// refuses the old one, which it knows by its timeline.
    ///
    /// `sslmode` may be `disable`. With `require`, `verify-ca` and `verify-full` the server's certificate and the host's
    /// name are verified. Without `sslmode`, connections to this machine are in clear, and all others are encrypted and
    /// verified. Unlike in libpq, `prefer` never falls back to clear text on a remote host. `sslrootcert` names a file with
    /// the authority's certificate. The TCP connection takes at most the URL's `connect_timeout`, by default 2 seconds
    /// for each address.
    pub fn url(mut self, url: impl Into<String>) -> PostgresBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a URL.
    ///
    /// tokio-postgres logs the values that diesel-async binds at DEBUG, payloads and principals included. Keep the target
    /// `tokio_postgres::query` above that level, or give a URL: its connections show no value.
    ///
    /// The store uses the pool's connections as they are. Give them three things:
    /// - `RecyclingMethod::Fast`. The default asks the server for a sign of life before each statement, and halves the
    ///   throughput.
    /// - `QueueMode::Lifo`, which lends the connection that is warm.
    /// - `SET plan_cache_mode = force_generic_plan`.
    ///
    /// Connections made from a URL also have `enable_seqscan`, `enable_bitmapscan`, `enable_hashjoin`, `enable_mergejoin`
    /// and `jit` off, so the plan of a batch locks its rows in the order of keys. On connections of a pool a batch that
    /// changes rows locks them first. That costs the server more: 0.67 ms for 64 updates instead of 0.40
    /// (`bench/RESULTS.md`).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use session_diesel::PostgresStore;
    /// use session_diesel::diesel_async::AsyncPgConnection;
    /// use session_diesel::diesel_async::pooled_connection::deadpool::Pool;
    /// use session_diesel::diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
    ///
    /// let mut config = ManagerConfig::<AsyncPgConnection>::default();
    /// config.recycling_method = RecyclingMethod::Fast;
    /// let manager = AsyncDieselConnectionManager::new_with_config("postgres://app@localhost/web", config);
    /// let pool = Pool::builder(manager).max_size(10).build()?; // the application's own
    /// let store = PostgresStore::builder().pool(pool.clone()).connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn pool(mut self, pool: Pool<AsyncPgConnection>) -> PostgresBuilder {
        self.pool = Some(pool);
        self
    }

    /// The most connections of a pool made from a URL. Defaults to 10.
    pub fn pool_size(mut self, connections: usize) -> PostgresBuilder {
        self.pool_size = connections;
        self
    }

    /// The table. Defaults to `sessions`, and in the layout of connect-typeorm to `session`, in the first schema of the
    /// connection's search path.
    pub fn table(mut self, table: TableName) -> PostgresBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`]; in the layout of connect-typeorm it is always
    /// [`KeyFormat::Plain`].
    pub fn key_format(mut self, format: KeyFormat) -> PostgresBuilder {
        self.key_format = Some(format);
        self
    }

    /// How [`create_table`](PostgresStore::create_table) makes the table of the native layout. Defaults to
    /// [`TableOptions::new`].
    ///
    /// ```no_run
    /// # async fn example() -> session_core::Result<()> {
    /// use session_diesel::{PostgresStore, TableOptions};
    ///
    /// // Twice as fast, and every session is lost when the server crashes.
    /// let store = PostgresStore::builder()
    ///     .url("postgres://app:secret@localhost/web")
    ///     .table_options(TableOptions::new().unlogged(true))
    ///     .connect()
    ///     .await?;
    /// store.create_table().await?;
    /// # Ok(()) }
    /// ```
    pub fn table_options(mut self, options: TableOptions) -> PostgresBuilder {
        self.table_options = options;
        self
    }

    /// Shares the table of a Node application that uses connect-typeorm, which has these names. Defaults to a table of the
    /// native layout.
    ///
    /// The table contains ids in clear. They are compared byte for byte, whatever the column's collation. If the
    /// collation takes two ids for equal, the second one cannot be created. The table has no versions, principals or
    /// times of creation. A table without `destroyedAt` (version 1.1.4) can only destroy with
    /// [`DestroyMode::Remove`](session_core::DestroyMode::Remove). [`connect`](PostgresBuilder::connect) finds that out;
    /// before [`build`](PostgresBuilder::build), say it with [`ConnectTypeorm::without_destroyed_at`].
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> PostgresBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// Whether connections made from a URL are encrypted and verified, in place of its `sslmode`. Defaults to what the URL
    /// says.
    pub fn tls(mut self, tls: Tls) -> PostgresBuilder {
        self.connecting.tls = Some(tls);
        self
    }

    /// The certificates, in PEM, of the authorities that may have signed the server's; no others are trusted then.
    /// Defaults to those in the file of the URL's `sslrootcert`, or else to the operating system's.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> PostgresBuilder {
        self.connecting.roots = Some(pem.into());
        self
    }

    /// The user and the password, in place of the URL's, which are the default.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> PostgresBuilder {
        self.connecting.login = Login::Fixed(Credentials::new(user, password));
        self
    }

    /// Asks a callback for the user and the password of each new connection, in place of the URL's: for a cloud's token,
    /// or a secret that is rotated. Connections that are open stay open.
    ///
    /// The callback's time is part of the call that needs the connection. Answer within some hundred milliseconds: keep a
    /// token until shortly before it expires. The caller gets the callback's error with its kind. Return
    /// [`Error::unavailable`] if a later try may work. Not for a [`pool`](PostgresBuilder::pool), which logs in by itself.
    ///
    /// ```no_run
    /// # async fn token() -> session_core::Result<String> { Ok(String::new()) }
    /// use session_diesel::{Credentials, PostgresStore};
    ///
    /// let builder = PostgresStore::builder().credentials_from(|| async { Ok(Credentials::new("app", token().await?)) });
    /// ```
    ///
    /// # Cancel safety
    /// Its future is dropped where the caller gives up.
    pub fn credentials_from<F, A>(mut self, ask: F) -> PostgresBuilder
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials>> + Send + 'static,
    {
        self.connecting.login = Login::asked(ask);
        self
    }

    /// Set it if the server is behind a PgBouncer in transaction or statement mode. Defaults to false: then connections
    /// made from a URL ask for settings at login, which such a pooler refuses.
    ///
    /// A [`pool`](PostgresBuilder::pool) needs it only if PgBouncer keeps no prepared statements: before 1.21, or with
    /// `max_prepared_statements = 0`.
    ///
    /// The store then keeps nothing on a connection from one operation to the next. Each statement is parsed anew, in the
    /// same round trip; on connections of a pool each operation takes four. A batch locks its rows first. The server
    /// knows no limit of time: set PgBouncer's `query_timeout` just below the deadline of a call.
    pub fn pgbouncer(mut self, transaction_mode: bool) -> PostgresBuilder {
        self.connecting.pgbouncer = transaction_mode;
        self
    }

    /// Whether a purge is one statement with a LIMIT in a subquery (true), or one that finds the keys and one that
    /// deletes them (false). Defaults to true.
    pub fn limit_subquery(mut self, one_statement: bool) -> PostgresBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// Builds the store. Connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL and no pool, if one of them, or the
    /// certificates, cannot be used, or if the options contradict each other.
    pub fn build(self) -> Result<PostgresStore> {
        let (layout, connections) = self.parts().map_err(|error| error.with_backend(BACKEND))?;
        Ok(PostgresStore(Arc::new(Inner { layout, connections })))
    }

    /// Builds the store, makes one connection to see that it can, and looks at the table where the layout leaves
    /// something open. The table need not be there yet.
    ///
    /// # Errors
    /// Those of [`build`](PostgresBuilder::build), and [`Unavailable`](session_core::ErrorKind::Unavailable) or
    /// [`Backend`](session_core::ErrorKind::Backend) if the server is not there or refuses.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(self) -> Result<PostgresStore> {
        let connected = async {
            let (layout, connections) = self.parts()?;
            let layout = match layout {
                Layout::Native(native) => {
                    native.look(&connections).await?;
                    Layout::Native(native)
                }
                Layout::Typeorm(typeorm) => Layout::Typeorm(typeorm.looking(&connections).await?),
            };
            Ok(PostgresStore(Arc::new(Inner { layout, connections })))
        };
        let connected: Result<PostgresStore> = connected.await;
        connected.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    fn parts(self) -> Result<(Layout, Connections)> {
        self.limits.check()?;
        let pgbouncer = self.connecting.pgbouncer;
        let layout = match self.connect_typeorm {
            None => {
                let native = Native::new(NativeOptions {
                    table: self.table.unwrap_or_default(),
                    key_format: self.key_format.unwrap_or_default(),
                    table_options: self.table_options,
                    limit_subquery: self.limit_subquery,
                    // Connections of our own have the settings for it, but for those through a pooler, which have none.
                    ordered: self.pool.is_none() && !pgbouncer,
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
        let engines = Engines::new(layout.table(), self.unproven_engine);
        let pool = match one_database(self.pool, self.url)? {
            Ok(pool) => Pools::given(pool, sign_of_life, cancel::given()),
            Err(url) => {
                let connector = Connector::new(&url, self.connecting, &self.limits, engines)?;
                let cancel = cancel::own(connector.way());
                let login = move || {
                    let connector = connector.clone();
                    async move { connector.connect().await }.boxed()
                };
                Pools::own(login, self.pool_size, self.limits, cancel)?
            }
        };
        let schema = layout.schema_sql().to_owned();
        Ok((layout, Connections { pool, pgbouncer, schema }))
    }
}

session_sql::engine_option!(PostgresBuilder);
session_sql::limit_options!(PostgresBuilder);

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder")
            .field("table", &self.table)
            .field("key_format", &self.key_format)
            .field("connect_typeorm", &self.connect_typeorm)
            .field("pool_size", &self.pool_size)
            .field("limits", &self.limits)
            .field("tls", &self.connecting.tls)
            .field("pgbouncer", &self.connecting.pgbouncer)
            .finish_non_exhaustive()
    }
}
