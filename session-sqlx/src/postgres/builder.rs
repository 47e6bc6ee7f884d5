//! The options of a store on Postgres.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::checkout::{Lender, one_database};
use session_sql::postgres::{Engines, Native, NativeOptions, TableOptions, Typeorm};
use session_sql::{ConnectTypeorm, Credentials, Limits, Login};
use sqlx::PgPool;

use super::client::Client;
use super::connect::Connector;
use super::pool::Connections;
use super::store::{BACKEND, Inner, Layout, PostgresStore};
use crate::cancel;
use crate::checkout::{CHECK_AFTER, Pools};

/// Builds a [`PostgresStore`]. Needs a URL or a pool; every other option has a default. Its `Debug` shows no URL and
/// no password.
///
/// [`idle_check`](PostgresBuilder::idle_check) defaults to 0.1 seconds and 1 second here, as sqlx does not notice that a connection
/// was closed before it is used; and [`keepalive`](PostgresBuilder::keepalive) changes nothing, as sqlx leaves that to the system.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_core::TableName;
/// use session_sqlx::PostgresStore;
///
/// let store = PostgresStore::builder()
///     .url("postgres://app:secret@localhost/web")
///     .table(TableName::new("web.sessions")?)
///     .statement_timeout(Duration::from_millis(1_800)) // with a deadline of 2 s
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct PostgresBuilder {
    url: Option<String>,
    pool: Option<PgPool>,
    pool_size: usize,
    limits: Limits,
    login: Login,
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
            // sqlx does not notice that a connection was closed before it is used.
            limits: Limits { check_after: CHECK_AFTER, ..Limits::default() },
            login: Login::OfUrl,
            table: None,
            key_format: None,
            table_options: TableOptions::default(),
            connect_typeorm: None,
            limit_subquery: true,
            unproven_engine: false,
        }
    }

    /// A store on the table `sessions` of the database that a URL names, with the defaults of all
    /// [options](PostgresStore::builder). Makes one connection, to see that it can.
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
    /// The server and database: `postgres://user:password@host:port/database`, or any other form of libpq.
    ///
    /// `sslmode` is `disable`, or `require`, `verify-ca` or `verify-full`, which all verify the server's certificate and
    /// the host's name; without it, a server on this machine is reached in clear, and any other encrypted and verified.
    /// `sslrootcert` names a file with the CA's certificate, `sslcert` and `sslkey` those of a client. With
    /// `target_session_attrs=read-write` a server that only reads is an error. A parameter that sqlx has nothing for is
    /// refused, such as `channel_binding=require`. sqlx takes one host: for several, and for a failover between them,
    /// take session-diesel.
    pub fn url(mut self, url: impl Into<String>) -> PostgresBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a URL. It has to be one of the sqlx that this crate
    /// [re-exports](crate::sqlx).
    ///
    /// Its connections are used as they are. Worth having, as connections of our own have it:
    /// [`test_before_acquire(false)`](sqlx::pool::PoolOptions::test_before_acquire), as the default is a round trip before
    /// each statement, beside the one that sqlx's pool makes after each; and `plan_cache_mode = force_generic_plan`. Of the plans of such connections
    /// nothing is assumed: a batch that changes rows locks them first.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use session_sqlx::PostgresStore;
    /// use session_sqlx::sqlx::postgres::PgPoolOptions;
    ///
    /// let pool = PgPoolOptions::new().test_before_acquire(false).connect("postgres://app@localhost/web").await?;
    /// let store = PostgresStore::builder().pool(pool.clone()).connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn pool(mut self, pool: PgPool) -> PostgresBuilder {
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
    pub fn table_options(mut self, options: TableOptions) -> PostgresBuilder {
        self.table_options = options;
        self
    }

    /// The table of a Node application that uses connect-typeorm, with these names, shared with it. Defaults to a table
    /// of the native layout.
    ///
    /// Ids stand in it in clear and are compared byte for byte, whatever the column's collation. Where that takes two
    /// ids for the same, the second one cannot be created. The table has no versions, principals or times of creation.
    /// One without `destroyedAt`, as version 1.1.4 has it, can only destroy with
    /// [`DestroyMode::Remove`](session_core::DestroyMode::Remove): [`connect`](PostgresBuilder::connect) finds that out,
    /// and for [`build`](PostgresBuilder::build) it is to be said with [`ConnectTypeorm::without_destroyed_at`].
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> PostgresBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// The user and the password, in place of the URL's, which are the default.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> PostgresBuilder {
        self.login = Login::Fixed(Credentials::new(user, password));
        self
    }

    /// The user and the password from a callback, in place of the URL's. It is asked for each new connection, so that a
    /// password may change: a token of a cloud, a secret that is rotated. Connections that are there stay.
    ///
    /// Its time is part of the call that needs the connection, so it should answer within some hundred milliseconds:
    /// keep a token until shortly before it expires. An error of it reaches the caller with its kind; of a passing one
    /// make [`Error::unavailable`]. Not for a [`pool`](PostgresBuilder::pool), which logs in by itself.
    ///
    /// ```no_run
    /// # async fn token() -> session_core::Result<String> { Ok(String::new()) }
    /// use session_sqlx::{Credentials, PostgresStore};
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
        self.login = Login::asked(ask);
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
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL and no pool, if one of them, cannot be used, or if the options contradict each other.
    pub fn build(self) -> Result<PostgresStore> {
        let (layout, connections) = self.parts().map_err(|error| error.with_backend(BACKEND))?;
        Ok(PostgresStore(Arc::new(Inner { layout: Arc::new(layout), connections })))
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
            Ok(PostgresStore(Arc::new(Inner { layout: Arc::new(layout), connections })))
        };
        let connected: Result<PostgresStore> = connected.await;
        connected.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    fn parts(self) -> Result<(Layout, Connections)> {
        self.limits.check()?;
        let layout = match self.connect_typeorm {
            None => {
                let native = Native::new(NativeOptions {
                    table: self.table.unwrap_or_default(),
                    key_format: self.key_format.unwrap_or_default(),
                    table_options: self.table_options,
                    limit_subquery: self.limit_subquery,
                    // Connections of our own have the settings for it.
                    ordered: self.pool.is_none(),
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
            Ok(pool) => Pools::Given(pool),
            Err(url) => {
                let connector = Connector::new(&url, self.login, &self.limits, engines)?;
                let login = move || {
                    let connector = connector.clone();
                    async move { connector.connect().await }.boxed()
                };
                Pools::Own(Lender::own(
                    Box::new(login),
                    self.pool_size,
                    self.limits,
                    cancel::own::<Client>(),
                )?)
            }
        };
        let schema = layout.schema_sql().to_owned();
        Ok((layout, Connections { pool, schema }))
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
            .finish_non_exhaustive()
    }
}
