//! The options of a store on SQL Server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Error, KeyFormat, Operation, Result, TableName};
use session_sql::{ConnectTypeorm, Credentials, Limits, Login, Tls};
use tiberius::Config;
use tokio::time::sleep;

use crate::connect::{Options, Source};
use crate::connect_mssql_v2::{ConnectMssqlV2, MssqlV2};
use crate::connect_typeorm::Typeorm;
use crate::native::Native;
use crate::pool::{Pool, pool_of};
use crate::run::Connections;
use crate::shared::server_time;
use crate::store::{BACKEND, Inner, Layout, MssqlStore};

/// Four for the lanes of gathered calls, and some for what is not gathered.
const POOL_SIZE: usize = 10;

/// Builds a [`MssqlStore`]. Needs a URL, a configuration or a pool; every other option has a default. Its `Debug`
/// shows no URL and no password.
///
/// ```no_run
/// # async fn example() -> session_core::Result<()> {
/// use std::time::Duration;
/// use session_core::TableName;
/// use session_mssql::MssqlStore;
///
/// let store = MssqlStore::builder()
///     .url("Server=tcp:db.example,1433;Database=web")
///     .credentials("app", "any; character")
///     .table(TableName::new("web.sessions")?)
///     .connect_retries(3, Duration::from_secs(1)) // a serverless database wakes up
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct MssqlBuilder {
    url: Option<String>,
    config: Option<Box<Config>>,
    pool: Option<Pool>,
    connecting: Options,
    pool_size: Option<usize>,
    limits: Limits,
    time_limit: Duration,
    retries: u32,
    retry_delay: Duration,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    connect_typeorm: Option<ConnectTypeorm>,
    connect_mssql_v2: Option<ConnectMssqlV2>,
}

impl MssqlStore {
    /// All options.
    pub fn builder() -> MssqlBuilder {
        MssqlBuilder {
            url: None,
            config: None,
            pool: None,
            connecting: Options::default(),
            pool_size: None,
            limits: Limits::default(),
            time_limit: Duration::from_secs(30),
            retries: 0,
            retry_delay: Duration::from_secs(1),
            table: None,
            key_format: None,
            connect_typeorm: None,
            connect_mssql_v2: None,
        }
    }

    /// Opens the table `sessions` of the database that an ADO.NET connection string names, with the defaults of all
    /// [options](MssqlStore::builder): `Server=tcp:db.example,1433;User=app;Password=…;Database=web`. Makes one
    /// connection, as a test.
    ///
    /// # Errors
    /// Those of [`MssqlBuilder::connect`].
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(url: impl Into<String>) -> Result<MssqlStore> {
        MssqlStore::builder().url(url).connect().await
    }
}

impl MssqlBuilder {
    /// The server and database, as an ADO.NET connection string:
    /// `Server=tcp:db.example,1433;User=app;Password=…;Database=web`.
    ///
    /// A named instance is `Server=tcp:db.example\INSTANCE`, without a port. `Encrypt` is `true` by default;
    /// `strict` is TDS 8, `false` encrypts the login only, and `DANGER_PLAINTEXT` nothing.
    /// `TrustServerCertificate` and `TrustServerCertificateCA` say whose certificate is accepted, and
    /// `HostNameInCertificate` whom it is made out to.
    pub fn url(mut self, url: impl Into<String>) -> MssqlBuilder {
        self.url = Some(url.into());
        self
    }

    /// The server and database as a configuration of tiberius, instead of a URL: for what a connection string cannot say,
    /// such as an access token.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use session_mssql::MssqlStore;
    /// use session_mssql::tiberius::{AuthMethod, Config};
    ///
    /// let mut config = Config::from_ado_string("Server=tcp:web.database.windows.net,1433;Database=web")?;
    /// config.authentication(AuthMethod::aad_token("the token"));
    /// let store = MssqlStore::builder().config(config).connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn config(mut self, config: Config) -> MssqlBuilder {
        self.config = Some(Box::new(config));
        self
    }

    /// A pool that the application has already, or made with limits and hooks of its own, instead of a URL.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use session_mssql::tiberius::Config;
    /// use session_mssql::{Manager, MssqlStore, Pool};
    ///
    /// let config = Config::from_ado_string("Server=tcp:localhost,1433;User=app;Password=secret;Database=web")?;
    /// let pool = Pool::builder(Manager::new(config)).max_size(4).build()?;
    /// let store = MssqlStore::builder().pool(pool.clone()).connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn pool(mut self, pool: Pool) -> MssqlBuilder {
        self.pool = Some(pool);
        self
    }

    /// The most connections of a pool made from a URL or a configuration. Defaults to 10: four for the lanes of gathered
    /// calls, and some for what is not gathered.
    pub fn pool_size(mut self, connections: usize) -> MssqlBuilder {
        self.pool_size = Some(connections);
        self
    }

    /// How long a round trip may take in all, with waiting for a connection or opening one. After it the operation
    /// ends in [`Unavailable`](session_core::ErrorKind::Unavailable) and its connection is closed. Few operations
    /// make more than one: a purge one for each 2,000 rows, and those that find their row changed under their hands.
    /// Defaults to 30 seconds; the deadline of a [`Sessions`](session_core::Sessions), which bounds the
    /// whole call, is usually shorter.
    pub fn time_limit(mut self, limit: Duration) -> MssqlBuilder {
        self.time_limit = limit;
        self
    }

    /// How often [`connect`](MssqlBuilder::connect) tries again when the database cannot be reached: exactly `retries`
    /// times after the first, and before the n-th of them it waits `delay` × n. Defaults to no retries and a
    /// delay of one second.
    pub fn connect_retries(mut self, retries: u32, delay: Duration) -> MssqlBuilder {
        (self.retries, self.retry_delay) = (retries, delay);
        self
    }

    /// Whether connections made from a URL are encrypted and verified, in place of its `Encrypt` and
    /// `TrustServerCertificate`. `Encrypt=strict` stays so. Defaults to what the URL says.
    pub fn tls(mut self, tls: Tls) -> MssqlBuilder {
        self.connecting.tls = Some(tls);
        self
    }

    /// The certificates, in PEM, of authorities that may have signed the server's, besides those that the operating
    /// system trusts and that of the URL's `TrustServerCertificateCA`. Defaults to none.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> MssqlBuilder {
        self.connecting.roots = Some(pem.into());
        self
    }

    /// The user and the password, in place of the URL's. They may have any character; those of a connection string are
    /// in ASCII.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> MssqlBuilder {
        self.connecting.login = Source::of(Login::Fixed(Credentials::new(user, password)));
        self
    }

    /// Asks a callback for the user and the password of each new connection, in place of the connection string's: for a
    /// secret that is rotated. An access token is no password: see
    /// [`access_token_from`](MssqlBuilder::access_token_from). Connections that are open stay open.
    ///
    /// The callback's time is part of the call that needs the connection. Answer within some hundred milliseconds: keep a
    /// token until shortly before it expires. The caller gets the callback's error with its kind. Return
    /// [`Error::unavailable`] if a later try may work. Not for a [`config`](MssqlBuilder::config) or a
    /// [`pool`](MssqlBuilder::pool) of one's own, which say who logs in.
    ///
    /// ```no_run
    /// # async fn token() -> session_core::Result<String> { Ok(String::new()) }
    /// use session_mssql::{Credentials, MssqlStore};
    ///
    /// let builder = MssqlStore::builder().credentials_from(|| async { Ok(Credentials::new("app", token().await?)) });
    /// ```
    ///
    /// # Cancel safety
    /// Its future is dropped where the caller gives up.
    pub fn credentials_from<F, A>(mut self, ask: F) -> MssqlBuilder
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials>> + Send + 'static,
    {
        self.connecting.login = Source::of(Login::asked(ask));
        self
    }

    /// Asks a callback for an access token of Microsoft Entra ID for each new connection, in place of a user and a
    /// password, which the connection string then leaves out. A token lives for about an hour: a store that has one in
    /// its [`config`](MssqlBuilder::config) makes no new connection after that. Connections that are open stay open.
    ///
    /// All else is as with [`credentials_from`](MssqlBuilder::credentials_from).
    ///
    /// ```no_run
    /// # async fn token() -> session_core::Result<String> { Ok(String::new()) }
    /// use session_mssql::MssqlStore;
    ///
    /// let builder = MssqlStore::builder()
    ///     .url("Server=tcp:web.database.windows.net,1433;Database=web")
    ///     .access_token_from(|| async { token().await });
    /// ```
    ///
    /// # Cancel safety
    /// Its future is dropped where the caller gives up.
    pub fn access_token_from<F, A>(mut self, ask: F) -> MssqlBuilder
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<String>> + Send + 'static,
    {
        let login = Login::asked(move || {
            let answer = ask();
            async move { Ok(Credentials::new("", answer.await?)) }
        });
        self.connecting.login = Source { login, is_token: true };
        self
    }

    /// The table, with or without its schema. Defaults to `sessions`, and in the layout of connect-typeorm to `session`,
    /// in the login's default schema.
    pub fn table(mut self, table: TableName) -> MssqlBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`]; in the layouts of Node it is always
    /// [`KeyFormat::Plain`].
    pub fn key_format(mut self, format: KeyFormat) -> MssqlBuilder {
        self.key_format = Some(format);
        self
    }

    /// Shares the table of a Node application that uses connect-typeorm, which has these names. Defaults to a table of the
    /// native layout.
    ///
    /// The table contains ids in clear. They are compared byte for byte, whatever the column's collation. If the
    /// collation takes two ids for equal (by case or trailing blanks), the second one cannot be created. The table has no versions, principals or
    /// times of creation. A table without `destroyedAt` (version 1.1.4) can only destroy with
    /// [`DestroyMode::Remove`](session_core::DestroyMode::Remove). [`connect`](MssqlBuilder::connect) finds that out;
    /// before [`build`](MssqlBuilder::build), say it with [`ConnectTypeorm::without_destroyed_at`].
    ///
    /// In a table that TypeORM made, `varchar` and `text` hold the characters of one code page. An id or a session with
    /// another character is refused with [`InvalidInput`](session_core::ErrorKind::InvalidInput), and nothing is changed.
    /// (Node writes question marks.) The store looks the columns up once: after an ALTER TABLE, build it anew. A table of
    /// [`create_table`](MssqlStore::create_table) holds every character and every id, and TypeORM can use it.
    pub fn connect_typeorm(mut self, names: ConnectTypeorm) -> MssqlBuilder {
        self.connect_typeorm = Some(names);
        self
    }

    /// The table of a Node application that uses connect-mssql-v2, shared with it. Defaults to a table of the native
    /// layout. Sessions in it can only be destroyed with [`DestroyMode::Remove`](session_core::DestroyMode::Remove).
    pub fn connect_mssql_v2(mut self, options: ConnectMssqlV2) -> MssqlBuilder {
        self.connect_mssql_v2 = Some(options);
        self
    }

    /// Builds the store. Connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL, no configuration and no pool, if one of
    /// them cannot be used, or if the options contradict each other.
    pub fn build(self) -> Result<MssqlStore> {
        let (layout, connections) = self.parts().map_err(|error| error.with_backend(BACKEND))?;
        Ok(MssqlStore(Arc::new(Inner { layout, connections })))
    }

    /// Builds the store, makes one connection to see that it can, and looks at the table where the layout leaves
    /// something open. The table need not be there yet.
    ///
    /// # Errors
    /// Those of [`build`](MssqlBuilder::build); and, after the last try,
    /// [`Unavailable`](session_core::ErrorKind::Unavailable) if the database cannot be reached. A refused login or
    /// certificate is [`Backend`](session_core::ErrorKind::Backend) at once.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(self) -> Result<MssqlStore> {
        let connected = async {
            let (retries, delay) = (self.retries, self.retry_delay);
            let (layout, connections) = self.parts()?;
            reach(&connections, retries, delay).await?;
            let layout = match layout {
                Layout::Typeorm(typeorm) => Layout::Typeorm(typeorm.looking(&connections).await?),
                layout => layout,
            };
            Ok(MssqlStore(Arc::new(Inner { layout, connections })))
        };
        let connected: Result<MssqlStore> = connected.await;
        connected.map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    fn parts(self) -> Result<(Layout, Connections)> {
        self.limits.check()?;
        let hashes = self.key_format == Some(KeyFormat::Hashed);
        let layout = match (self.connect_typeorm, self.connect_mssql_v2) {
            (Some(_), Some(_)) => return refuse("a table has one layout; name one of the two packages"),
            (Some(_), None) | (None, Some(_)) if hashes => {
                return refuse("a table of Node's holds ids as they are; leave out `key_format`");
            }
            (None, None) => {
                let (table, format) = (self.table.unwrap_or_default(), self.key_format.unwrap_or_default());
                Layout::Native(Native::new(table, format))
            }
            (Some(names), None) => {
                let table = self.table.map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
                Layout::Typeorm(Typeorm::new(table, names))
            }
            (None, Some(options)) => Layout::MssqlV2(MssqlV2::new(self.table.unwrap_or_default(), options)),
        };
        let size = self.pool_size.unwrap_or(POOL_SIZE);
        let is_own = self.url.is_none();
        if is_own && !self.connecting.is_empty() {
            return refuse(
                "a configuration or pool of one's own says already whom to trust and who logs in; say it there",
            );
        }
        // A pool of the application's own has limits of its own.
        let statement = self.limits.statement.filter(|_| self.pool.is_none());
        let pool = match (self.url, self.config, self.pool) {
            (Some(url), None, None) => {
                let login = self.connecting.login.clone();
                let mut config = self.connecting.config(&url)?;
                config.handshake_timeout(Some(self.limits.login));
                pool_of(config, login, size, self.limits)?
            }
            (None, Some(config), None) => pool_of(*config, Source::default(), size, self.limits)?,
            (None, None, Some(_)) if self.pool_size.is_some() => {
                return refuse("a pool of one's own has its size already; set it there");
            }
            (None, None, Some(pool)) => pool,
            (None, None, None) => {
                return refuse("there is no database to use; give a URL, a configuration or a pool");
            }
            _ => return refuse("there are several databases to use; give a URL, a configuration or a pool"),
        };
        let abandoned = self.limits.abandoned();
        Ok((layout, Connections { pool, limit: self.time_limit, statement, abandoned }))
    }
}

/// Makes sure that the server answers. Where it cannot be reached it is tried again, `retries` times, with pauses of
/// `delay`, twice `delay`, and so on.
async fn reach(connections: &Connections, retries: u32, delay: Duration) -> Result<()> {
    for retry in 1..=retries {
        match server_time(connections).await {
            Err(error) if error.is_transient() => sleep(delay.saturating_mul(retry)).await,
            other => return other.map(drop),
        }
    }
    server_time(connections).await.map(drop)
}

fn refuse<T>(what: &str) -> Result<T> {
    Err(Error::invalid_input(what))
}

session_sql::limit_options!(MssqlBuilder);

impl fmt::Debug for MssqlBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MssqlBuilder")
            .field("table", &self.table)
            .field("key_format", &self.key_format)
            .field("connect_typeorm", &self.connect_typeorm)
            .field("connect_mssql_v2", &self.connect_mssql_v2)
            .field("pool_size", &self.pool_size)
            .field("limits", &self.limits)
            .field("tls", &self.connecting.tls)
            .field("time_limit", &self.time_limit)
            .field("connect_retries", &(self.retries, self.retry_delay))
            .finish_non_exhaustive()
    }
}
