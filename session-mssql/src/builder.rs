//! Options, and how a store comes to its connections.

use std::fmt;
use std::time::Duration;

use deadpool::managed::QueueMode;
use session_core::{ConnectTypeorm, Error, KeyFormat, Result, TableName};
use tiberius::Config;

use crate::BACKEND;
use crate::connect_typeorm::MssqlTypeormStore;
use crate::pool::{Database, Manager, Pool};
use crate::store::MssqlStore;

/// Four for the lanes of gathered calls, and some for what is not gathered.
const POOL_SIZE: usize = 10;

/// How to reach a database, and with how many connections: what all stores of this crate have in common.
#[derive(Clone)]
pub(crate) struct Connecting {
    source: Source,
    trust: Trust,
    pool_size: Option<usize>,
    limit: Duration,
    retries: u32,
    delay: Duration,
}

#[derive(Clone)]
enum Source {
    Missing,
    Ado(String),
    Config(Box<Config>),
    Pool(Pool),
}

#[derive(Clone, Default)]
enum Trust {
    #[default]
    AsConfigured,
    Authorities(Vec<Vec<u8>>),
    Anything,
}

impl Default for Connecting {
    fn default() -> Connecting {
        Connecting {
            source: Source::Missing,
            trust: Trust::AsConfigured,
            pool_size: None,
            limit: Duration::from_secs(30),
            retries: 0,
            delay: Duration::from_secs(1),
        }
    }
}

impl Connecting {
    pub(crate) fn ado_string(&mut self, ado_string: &str) {
        self.source = Source::Ado(ado_string.to_owned());
    }

    pub(crate) fn config(&mut self, config: Config) {
        self.source = Source::Config(Box::new(config));
    }

    pub(crate) fn pool(&mut self, pool: Pool) {
        self.source = Source::Pool(pool);
    }

    pub(crate) fn pool_size(&mut self, connections: usize) {
        self.pool_size = Some(connections);
    }

    pub(crate) fn time_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(crate) fn connect_retries(&mut self, retries: u32, delay: Duration) {
        (self.retries, self.delay) = (retries, delay);
    }

    pub(crate) fn trust_authority(&mut self, certificates: Vec<u8>) {
        match &mut self.trust {
            Trust::Authorities(authorities) => authorities.push(certificates),
            trust => *trust = Trust::Authorities(vec![certificates]),
        }
    }

    pub(crate) fn trust_any_certificate(&mut self) {
        self.trust = Trust::Anything;
    }

    pub(crate) fn build(&self) -> Result<Database> {
        Ok(Database::new(self.make_pool()?, self.limit))
    }

    pub(crate) async fn connect(&self) -> Result<Database> {
        let database = self.build()?;
        database.probe(self.retries, self.delay).await?;
        Ok(database)
    }

    fn make_pool(&self) -> Result<Pool> {
        let config = match &self.source {
            Source::Missing => {
                return Err(invalid(
                    "no server is named; give a connection string, a configuration or a pool",
                ));
            }
            Source::Ado(ado_string) => self.trust.parse(ado_string)?,
            Source::Config(config) => {
                self.trust.must_be_unset()?;
                Config::clone(config)
            }
            Source::Pool(pool) => {
                self.trust.must_be_unset()?;
                if self.pool_size.is_some() {
                    return Err(invalid("a pool of one's own has its size already; set it there"));
                }
                return Ok(pool.clone());
            }
        };
        let connections = self.pool_size.unwrap_or(POOL_SIZE);
        if connections == 0 {
            return Err(invalid("a pool of no connections serves nobody; give it at least one"));
        }
        // The connection that was used last has its statements and tables at hand.
        let pool = Pool::builder(Manager::new(config)).queue_mode(QueueMode::Lifo).max_size(connections);
        pool.build().map_err(|error| invalid("the pool could not be built").with_source(error.to_string()))
    }
}

impl Trust {
    /// Reads a connection string and adds what it does not say. tiberius panics where both ways of trust are asked
    /// for of a [`Config`], and reports it where a string asks for both, so the string is what is asked.
    fn parse(&self, ado_string: &str) -> Result<Config> {
        // tiberius quotes parts of the string in its errors, so they go no further.
        let mut config = Config::from_ado_string(ado_string).map_err(|_| {
            invalid(
                "the connection string cannot be read; it has the form \
                 `Server=tcp:host,1433;User=…;Password=…;Database=…`, all in ASCII, with values that have a `;`, a \
                 leading quote or blanks at an end in quotes",
            )
        })?;
        let with = |more: &str| {
            Config::from_ado_string(&format!("{ado_string};{more}"))
                .map_err(|_| invalid("either trust any certificate or name authorities, not both"))
        };
        match self {
            Trust::AsConfigured => {}
            Trust::Anything => config = with("TrustServerCertificate=true")?,
            Trust::Authorities(authorities) => {
                with("TrustServerCertificateCA=another.pem")?;
                for certificates in authorities {
                    config.trust_cert_ca_bundle(certificates.clone());
                }
            }
        }
        Ok(config)
    }

    fn must_be_unset(&self) -> Result<()> {
        match self {
            Trust::AsConfigured => Ok(()),
            _ => {
                Err(invalid("a configuration or pool of one's own says already which certificates to trust"))
            }
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::invalid_input(what).with_backend(BACKEND)
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The source holds the password.
        f.debug_struct("Connecting")
            .field("pool_size", &self.pool_size)
            .field("time_limit", &self.limit)
            .field("connect_retries", &(self.retries, self.delay))
            .finish_non_exhaustive()
    }
}

/// The options that all stores of this crate have in common, as methods of their builders.
macro_rules! connecting_options {
    () => {
        /// The database, as an ADO.NET connection string: `Server=tcp:db.example,1433;User=app;Password=…;Database=web`.
        ///
        /// A named instance is `Server=tcp:db.example\\INSTANCE`, without a port. `Encrypt` is `true` by default;
        /// `strict` is TDS 8, `false` encrypts the login only, and `DANGER_PLAINTEXT` nothing.
        /// `TrustServerCertificate` and `TrustServerCertificateCA` say whose certificate is accepted.
        #[must_use]
        pub fn ado_string(mut self, ado_string: &str) -> Self {
            self.connecting.ado_string(ado_string);
            self
        }

        /// The database, as a configuration of tiberius: for what a connection string cannot say, such as a password
        /// that is not ASCII or an access token.
        #[must_use]
        pub fn config(mut self, config: tiberius::Config) -> Self {
            self.connecting.config(config);
            self
        }

        /// The database, as a pool that the application has already, or made with limits and hooks of its own.
        #[must_use]
        pub fn pool(mut self, pool: crate::Pool) -> Self {
            self.connecting.pool(pool);
            self
        }

        /// The most connections at once. Defaults to 10: four for the lanes of gathered calls, and some for what is not
        /// gathered.
        #[must_use]
        pub fn pool_size(mut self, connections: usize) -> Self {
            self.connecting.pool_size(connections);
            self
        }

        /// How long a round trip may take in all, with waiting for a connection or opening one. After it the operation
        /// ends in [`Unavailable`](session_core::ErrorKind::Unavailable) and its connection is closed. Few operations
        /// make more than one: a purge one for each 2,000 rows, and those that find their row changed under their hands.
        /// Defaults to 30 seconds; the deadline of a [`SessionStore`](session_core::SessionStore), which bounds the
        /// whole call, is usually shorter.
        #[must_use]
        pub fn time_limit(mut self, limit: std::time::Duration) -> Self {
            self.connecting.time_limit(limit);
            self
        }

        /// How often [`connect`](Self::connect) tries again when the database cannot be reached: exactly `retries`
        /// times after the first, and before the n-th of them it waits `delay` × n. Defaults to no retries and a
        /// delay of one second.
        #[must_use]
        pub fn connect_retries(mut self, retries: u32, delay: std::time::Duration) -> Self {
            self.connecting.connect_retries(retries, delay);
            self
        }

        /// Trusts the server's certificate if one of these authorities signed it, besides those of the operating
        /// system: certificates in PEM, or one in DER. Several calls add up. For a connection string.
        #[must_use]
        pub fn trust_authority(mut self, certificates: impl Into<Vec<u8>>) -> Self {
            self.connecting.trust_authority(certificates.into());
            self
        }

        /// Trusts any certificate, and so whoever stands between this program and the server. For a connection
        /// string.
        #[must_use]
        pub fn trust_any_certificate(mut self) -> Self {
            self.connecting.trust_any_certificate();
            self
        }
    };
}

pub(crate) use connecting_options;

/// The options of a [`MssqlStore`].
#[derive(Clone, Debug, Default)]
pub struct MssqlStoreBuilder {
    connecting: Connecting,
    table: Option<TableName>,
    format: Option<KeyFormat>,
}

impl MssqlStoreBuilder {
    connecting_options!();

    /// The table, with or without its schema. Defaults to `sessions` in the login's default schema, and to `session` in the
    /// layout of connect-typeorm.
    #[must_use]
    pub fn table(mut self, table: TableName) -> Self {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`]; in the layout of connect-typeorm it is always
    /// [`KeyFormat::Plain`].
    #[must_use]
    pub fn key_format(mut self, format: KeyFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// The store, without a connection yet: the first operation opens one.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) for options that are wrong or contradict one another.
    pub fn build(self) -> Result<MssqlStore> {
        let database = self.connecting.build()?;
        Ok(self.native(database))
    }

    /// The store, once a connection was opened and the server has answered.
    ///
    /// # Errors
    /// As [`build`](Self::build); and, after the last try, [`Unavailable`](session_core::ErrorKind::Unavailable) if
    /// the database cannot be reached. A refused login or certificate is
    /// [`Backend`](session_core::ErrorKind::Backend) at once.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn connect(self) -> Result<MssqlStore> {
        let database = self.connecting.connect().await?;
        Ok(self.native(database))
    }

    /// Shares the table of a Node application that uses connect-typeorm, in place of the native layout. Opens a
    /// connection and looks at the table, which need not be there yet.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); and [`InvalidInput`](session_core::ErrorKind::InvalidInput) for a
    /// [`key_format`](Self::key_format) that hashes.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn connect_typeorm(self, columns: ConnectTypeorm) -> Result<MssqlTypeormStore> {
        if self.format == Some(KeyFormat::Hashed) {
            return Err(invalid("connect-typeorm holds ids as they are; leave out `key_format`"));
        }
        MssqlTypeormStore::open(self.connecting.connect().await?, self.table, columns).await
    }

    fn native(self, database: Database) -> MssqlStore {
        MssqlStore::new(database, self.table.unwrap_or_default(), self.format.unwrap_or_default())
    }
}
