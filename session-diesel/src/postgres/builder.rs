//! The options of a store on Postgres.

use std::fmt;
use std::path::PathBuf;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use futures_util::FutureExt;
use session_core::{ConnectTypeorm, Error, KeyFormat, Operation, Result, TableName};

use super::connect::Connector;
use super::ddl::{self, TableOptions};
use super::pool::Connections;
use super::statements::Statements;
use super::store::{BACKEND, PostgresStore};
use super::typeorm::{self, PostgresTypeormStore};
use crate::TlsMode;
use crate::checkout::pool_of;
use crate::tls::Authority;

/// Builds a [`PostgresStore`]. Its `Debug` shows no URL.
pub struct PostgresBuilder {
    url: Option<String>,
    pool: Option<Pool<AsyncPgConnection>>,
    pool_size: usize,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    table_options: TableOptions,
    tls: Option<TlsMode>,
    authority: Option<Authority>,
    pgbouncer: bool,
    limit_subquery: bool,
}

impl PostgresBuilder {
    pub(super) fn new() -> PostgresBuilder {
        PostgresBuilder {
            url: None,
            pool: None,
            pool_size: 10,
            table: None,
            key_format: None,
            table_options: TableOptions::default(),
            tls: None,
            authority: None,
            pgbouncer: false,
            limit_subquery: true,
        }
    }

    /// The server and database: `postgres://user:password@host:port/database`, or libpq's `host=… user=…`.
    ///
    /// Several hosts may stand there, separated by commas; with `target_session_attrs=read-write` the one that
    /// takes writes is found. `sslmode` is `disable`, or `require`, `verify-ca` or `verify-full`, which all verify the
    /// server's certificate and the host's name; without it, a server on this machine is reached in clear, and any
    /// other encrypted and verified. `sslrootcert` names a file with the CA's certificate. Unlike with libpq,
    /// `prefer` never falls back to clear text on a remote host. A connection attempt takes at most the URL's
    /// `connect_timeout`, by default 2 seconds for each address.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> PostgresBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a URL.
    ///
    /// Its connections are used as they are. Three things that a pool of our own has are worth having:
    /// `RecyclingMethod::Fast`, as the default asks the server for a sign of life before each statement and so
    /// halves the throughput; `QueueMode::Lifo`, which lends the connection that is warm; and `SET plan_cache_mode =
    /// force_generic_plan`. Connections of our own also have `enable_seqscan`, `enable_bitmapscan`, `enable_hashjoin`,
    /// `enable_mergejoin` and `jit` off, so that a batch locks its rows in the order of keys by its plan alone. Of others
    /// nothing is assumed: a batch that changes rows locks them first, which costs the server more (0.67 ms for 64
    /// updates instead of 0.40; ARCHITECTURE.md has the measurement).
    #[must_use]
    pub fn pool(mut self, pool: Pool<AsyncPgConnection>) -> PostgresBuilder {
        self.pool = Some(pool);
        self
    }

    /// The most connections of a pool made from a URL. Defaults to 10.
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> PostgresBuilder {
        self.pool_size = connections;
        self
    }

    /// The table. Defaults to `sessions`, in the first schema of the connection's search path.
    #[must_use]
    pub fn table(mut self, table: TableName) -> PostgresBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`].
    #[must_use]
    pub fn key_format(mut self, format: KeyFormat) -> PostgresBuilder {
        self.key_format = Some(format);
        self
    }

    /// How [`create_table`](PostgresStore::create_table) makes the table.
    #[must_use]
    pub fn table_options(mut self, options: TableOptions) -> PostgresBuilder {
        self.table_options = options;
        self
    }

    /// Whether connections made from a URL are encrypted and verified, in place of its `sslmode`.
    #[must_use]
    pub fn tls(mut self, mode: TlsMode) -> PostgresBuilder {
        self.tls = Some(mode);
        self
    }

    /// A file with the certificates, in PEM, of the authorities that may have signed the server's; no others are
    /// trusted then. Defaults to the URL's `sslrootcert`, or else to the operating system's authorities.
    #[must_use]
    pub fn ca_certificate_file(mut self, path: impl Into<PathBuf>) -> PostgresBuilder {
        self.authority = Some(Authority::File(path.into()));
        self
    }

    /// As [`ca_certificate_file`](PostgresBuilder::ca_certificate_file), with the text itself.
    #[must_use]
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> PostgresBuilder {
        self.authority = Some(Authority::Pem(pem.into()));
        self
    }

    /// Whether a PgBouncer in transaction (or statement) mode that does not keep prepared statements stands
    /// before the server: before 1.21, or with `max_prepared_statements = 0`.
    ///
    /// Nothing is then kept on a connection from one operation to the next, at the price of four round trips for
    /// each operation in place of one. A newer PgBouncer with `max_prepared_statements` above 0 needs it not, if the
    /// store gets a [`pool`](PostgresBuilder::pool) whose connections have no settings of their own.
    /// Defaults to false.
    #[must_use]
    pub fn pgbouncer(mut self, transaction_mode: bool) -> PostgresBuilder {
        self.pgbouncer = transaction_mode;
        self
    }

    /// Whether a purge is one statement with a LIMIT in a subquery (true), or one that finds the keys and one that
    /// deletes them (false). Defaults to true.
    #[must_use]
    pub fn limit_subquery(mut self, one_statement: bool) -> PostgresBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// Builds the store. Connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL and no pool, or if one of them, or
    /// the CA's certificate, cannot be used.
    pub fn build(self) -> Result<PostgresStore> {
        self.build_inner().map_err(|error| error.with_backend(BACKEND))
    }

    /// Builds a store on the table of a Node application that uses connect-typeorm, in place of
    /// [`build`](PostgresBuilder::build). The table defaults to `session`, and ids are always [`KeyFormat::Plain`].
    ///
    /// Makes one connection, and looks at the table: whether it has the column that marks destroyed sessions decides
    /// what the store can do. It need not be there yet.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the options contradict each other or cannot be used,
    /// and [`Unavailable`](session_core::ErrorKind::Unavailable) or [`Backend`](session_core::ErrorKind::Backend) if
    /// the server is not there or refuses.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect_typeorm(self, columns: ConnectTypeorm) -> Result<PostgresTypeormStore> {
        self.connect_typeorm_inner(columns)
            .await
            .map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    async fn connect_typeorm_inner(mut self, columns: ConnectTypeorm) -> Result<PostgresTypeormStore> {
        if self.key_format == Some(KeyFormat::Hashed) {
            return Err(Error::invalid_input(
                "connect-typeorm holds ids as they are; leave out `key_format`",
            ));
        }
        let table = self.table.take().map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
        let ddl = typeorm::schema(&table, &columns);
        let pool = self.open_pool()?;
        let connections = Connections { pool, pgbouncer: self.pgbouncer, ddl };
        PostgresTypeormStore::open(connections, table, columns, self.limit_subquery).await
    }

    fn build_inner(mut self) -> Result<PostgresStore> {
        let ordered = self.pool.is_none() && !self.pgbouncer;
        let pool = self.open_pool()?;
        let table = self.table.unwrap_or_default();
        let format = self.key_format.unwrap_or_default();
        Ok(PostgresStore {
            connections: Connections {
                pool,
                pgbouncer: self.pgbouncer,
                ddl: ddl::schema(&table, format, &self.table_options),
            },
            statements: Statements::new(&table, format, ordered),
            table,
            format,
            limit_subquery: self.limit_subquery,
        })
    }

    fn open_pool(&mut self) -> Result<Pool<AsyncPgConnection>> {
        let (tls, authority) = (self.tls, self.authority.take());
        let pgbouncer = self.pgbouncer;
        let connect = |url: &str| {
            let connector = Connector::new(url, tls, authority, pgbouncer)?;
            Ok(move || {
                let connector = connector.clone();
                async move { connector.connect().await }.boxed()
            })
        };
        pool_of(self.pool.take(), self.url.take(), self.pool_size, connect)
    }
}

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder")
            .field("table", &self.table)
            .field("key_format", &self.key_format)
            .field("pool_size", &self.pool_size)
            .field("tls", &self.tls)
            .field("pgbouncer", &self.pgbouncer)
            .finish_non_exhaustive()
    }
}
