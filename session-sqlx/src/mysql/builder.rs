//! The options of a store on MySQL or MariaDB.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::checkout::{Lender, one_database};
use session_sql::mysql::{Native, NativeOptions, Typeorm};
use session_sql::{ConnectTypeorm, Credentials, Limits, Login};
use sqlx::MySqlPool;

use super::client::Client;
use super::connect::Connector;
use super::pool::Connections;
use super::store::{BACKEND, Inner, Layout, MysqlStore};
use crate::cancel;
use crate::checkout::{CHECK_AFTER, Pools};

/// Builds a [`MysqlStore`]. Needs a URL or a pool; every other option has a default. Its `Debug` shows no URL and no
/// password.
///
/// [`idle_check`](MysqlBuilder::idle_check) defaults to 0.1 seconds and 1 second here, as sqlx does not notice that a connection
/// was closed before it is used; and [`keepalive`](MysqlBuilder::keepalive) changes nothing, as sqlx leaves that to the system.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use session_core::TableName;
/// use session_sqlx::MysqlStore;
///
/// let store = MysqlStore::builder()
///     .url("mysql://app:secret@localhost/web")
///     .table(TableName::new("visits")?)
///     .pool_size(20)
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct MysqlBuilder {
    url: Option<String>,
    pool: Option<MySqlPool>,
    pool_size: usize,
    limits: Limits,
    login: Login,
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
            // sqlx does not notice that a connection was closed before it is used.
            limits: Limits { check_after: CHECK_AFTER, ..Limits::default() },
            login: Login::OfUrl,
            table: None,
            key_format: None,
            connect_typeorm: None,
            limit_subquery: true,
            unproven_engine: false,
        }
    }

    /// A store on the table `sessions` of the database that a URL names, with the defaults of all
    /// [options](MysqlStore::builder). Makes one connection, to see that it can.
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
    /// The server and database: `mysql://user:password@host:port/database`, or the same with `mariadb://`. A
    /// parameter that sqlx has nothing for is refused.
    ///
    /// `ssl-mode` is `DISABLED`, or `REQUIRED`, `VERIFY_CA` or `VERIFY_IDENTITY`, which all verify the server's
    /// certificate and the host's name; without it, a server on this machine is reached in clear, and any other
    /// encrypted and verified. `ssl-ca` names a file with the CA's certificate, `ssl-cert` and `ssl-key` those of a
    /// client, and `socket` the server's on this machine.
    pub fn url(mut self, url: impl Into<String>) -> MysqlBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a URL. It has to be one of the sqlx that this crate
    /// [re-exports](crate::sqlx).
    ///
    /// Its connections are used as they are. Worth having, as connections of our own have it:
    /// [`test_before_acquire(false)`](sqlx::pool::PoolOptions::test_before_acquire), as the default is a round trip before
    /// each statement, beside the one that sqlx's pool makes after each; and READ COMMITTED, a strict `sql_mode`, and a `statement_cache_capacity` of 512.
    pub fn pool(mut self, pool: MySqlPool) -> MysqlBuilder {
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

    /// The table of a Node application that uses connect-typeorm, with these names, shared with it. Defaults to a table
    /// of the native layout.
    ///
    /// Ids stand in it in clear and are compared byte for byte, whatever the column's collation. Where that takes two
    /// ids for the same, the second one cannot be created. The table has no versions, principals or times of creation.
    /// One without `destroyedAt`, as version 1.1.4 has it, can only destroy with
    /// [`DestroyMode::Remove`](session_core::DestroyMode::Remove): [`connect`](MysqlBuilder::connect) finds that out,
    /// and for [`build`](MysqlBuilder::build) it is to be said with [`ConnectTypeorm::without_destroyed_at`].
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> MysqlBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// The user and the password, in place of the URL's, which are the default.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> MysqlBuilder {
        self.login = Login::Fixed(Credentials::new(user, password));
        self
    }

    /// The user and the password from a callback, in place of the URL's. It is asked for each new connection, so that a
    /// password may change: a token of a cloud, a secret that is rotated. Connections that are there stay.
    ///
    /// Its time is part of the call that needs the connection, so it should answer within some hundred milliseconds:
    /// keep a token until shortly before it expires. An error of it reaches the caller with its kind; of a passing one
    /// make [`Error::unavailable`]. Not for a [`pool`](MysqlBuilder::pool), which logs in by itself.
    ///
    /// ```no_run
    /// # async fn token() -> session_core::Result<String> { Ok(String::new()) }
    /// use session_sqlx::{Credentials, MysqlStore};
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
        self.login = Login::asked(ask);
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
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL and no pool, if one of them, cannot be used, or if the options contradict each other.
    pub fn build(self) -> Result<MysqlStore> {
        let (layout, connections) = self.parts().map_err(|error| error.with_backend(BACKEND))?;
        Ok(MysqlStore(Arc::new(Inner { layout: Arc::new(layout), connections })))
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
            Ok(MysqlStore(Arc::new(Inner { layout: Arc::new(layout), connections })))
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
            Ok(pool) => Pools::Given(pool),
            Err(url) => {
                let connector = Connector::new(&url, self.login, &self.limits)?;
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
            .finish_non_exhaustive()
    }
}
