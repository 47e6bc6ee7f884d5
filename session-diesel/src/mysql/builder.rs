//! The options of a store on MySQL or MariaDB.

use std::fmt;
use std::path::PathBuf;

use diesel_async::AsyncMysqlConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use futures_util::FutureExt;
use session_core::{ConnectTypeorm, Error, KeyFormat, Operation, Result, TableName};
use tokio::sync::OnceCell;

use super::connect::Connector;
use super::ddl;
use super::pool::Connections;
use super::statements::Statements;
use super::store::{BACKEND, MysqlStore};
use super::typeorm::{self, MysqlTypeormStore};
use crate::TlsMode;
use crate::checkout::pool_of;
use crate::tls::Authority;

/// Builds a [`MysqlStore`]. Its `Debug` shows no URL.
pub struct MysqlBuilder {
    url: Option<String>,
    pool: Option<Pool<AsyncMysqlConnection>>,
    pool_size: usize,
    table: Option<TableName>,
    key_format: Option<KeyFormat>,
    tls: Option<TlsMode>,
    authority: Option<Authority>,
    limit_subquery: bool,
}

impl MysqlBuilder {
    pub(super) fn new() -> MysqlBuilder {
        MysqlBuilder {
            url: None,
            pool: None,
            pool_size: 10,
            table: None,
            key_format: None,
            tls: None,
            authority: None,
            limit_subquery: true,
        }
    }

    /// The server and database: `mysql://user:password@host:port/database`, for MariaDB too.
    ///
    /// `ssl-mode` is `DISABLED`, or `REQUIRED`, `VERIFY_CA` or `VERIFY_IDENTITY`, which all verify the server's
    /// certificate and the host's name; without it, a server on this machine is reached in clear, and any other
    /// encrypted and verified. `ssl-ca` names a file with the CA's certificate. Unlike with MySQL's own client,
    /// `PREFERRED` never falls back to clear text on a remote host.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> MysqlBuilder {
        self.url = Some(url.into());
        self
    }

    /// A pool that the application has already, instead of a URL.
    ///
    /// Its connections are used as they are. They must count found rows, not changed ones, as those do that
    /// diesel-async establishes itself. Worth having besides, as connections of our own have it:
    /// `RecyclingMethod::Fast` (the default asks the server for a sign of life before each statement and so
    /// halves the throughput), READ COMMITTED, a strict `sql_mode`, and messages in English, by which errors are told
    /// apart. The statements depend on none of these for their outcomes.
    #[must_use]
    pub fn pool(mut self, pool: Pool<AsyncMysqlConnection>) -> MysqlBuilder {
        self.pool = Some(pool);
        self
    }

    /// The most connections of a pool made from a URL. Defaults to 10.
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> MysqlBuilder {
        self.pool_size = connections;
        self
    }

    /// The table. Its schema is the database's name; without one it is the connection's. Defaults to `sessions`.
    #[must_use]
    pub fn table(mut self, table: TableName) -> MysqlBuilder {
        self.table = Some(table);
        self
    }

    /// How the table holds ids. Defaults to [`KeyFormat::Hashed`].
    #[must_use]
    pub fn key_format(mut self, format: KeyFormat) -> MysqlBuilder {
        self.key_format = Some(format);
        self
    }

    /// Whether connections made from a URL are encrypted and verified, in place of its `ssl-mode`.
    #[must_use]
    pub fn tls(mut self, mode: TlsMode) -> MysqlBuilder {
        self.tls = Some(mode);
        self
    }

    /// A file with the certificates, in PEM, of the authorities that may have signed the server's; no others are
    /// trusted then. Defaults to the URL's `ssl-ca`, or else to the authorities that Mozilla trusts.
    #[must_use]
    pub fn ca_certificate_file(mut self, path: impl Into<PathBuf>) -> MysqlBuilder {
        self.authority = Some(Authority::File(path.into()));
        self
    }

    /// As [`ca_certificate_file`](MysqlBuilder::ca_certificate_file), with the text itself.
    #[must_use]
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> MysqlBuilder {
        self.authority = Some(Authority::Pem(pem.into()));
        self
    }

    /// Whether a purge is one statement with a LIMIT in a derived table, which skips locked rows (true; needs
    /// MariaDB 10.6 or MySQL 8), or one that finds the keys and one that deletes them (false). Defaults to true.
    #[must_use]
    pub fn limit_subquery(mut self, one_statement: bool) -> MysqlBuilder {
        self.limit_subquery = one_statement;
        self
    }

    /// Builds the store. Connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no URL and no pool, or if one of them, or
    /// the CA's certificate, cannot be used.
    pub fn build(self) -> Result<MysqlStore> {
        self.build_inner().map_err(|error| error.with_backend(BACKEND))
    }

    /// Builds a store on the table of a Node application that uses connect-typeorm, in place of
    /// [`build`](MysqlBuilder::build). The table defaults to `session`, and ids are always [`KeyFormat::Plain`].
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
    pub async fn connect_typeorm(self, columns: ConnectTypeorm) -> Result<MysqlTypeormStore> {
        self.connect_typeorm_inner(columns)
            .await
            .map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))
    }

    async fn connect_typeorm_inner(mut self, columns: ConnectTypeorm) -> Result<MysqlTypeormStore> {
        if self.key_format == Some(KeyFormat::Hashed) {
            return Err(Error::invalid_input(
                "connect-typeorm holds ids as they are; leave out `key_format`",
            ));
        }
        let table = self.table.take().map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
        let ddl = typeorm::schema(&table, &columns);
        let pool = self.open_pool()?;
        let connections = Connections { pool, ddl };
        MysqlTypeormStore::open(connections, table, columns, self.limit_subquery).await
    }

    fn build_inner(mut self) -> Result<MysqlStore> {
        let pool = self.open_pool()?;
        let table = self.table.unwrap_or_default();
        let format = self.key_format.unwrap_or_default();
        Ok(MysqlStore {
            connections: Connections { pool, ddl: ddl::schema(&table, format) },
            statements: Statements::new(&table),
            table,
            format,
            limit_subquery: self.limit_subquery,
            server: OnceCell::new(),
        })
    }

    fn open_pool(&mut self) -> Result<Pool<AsyncMysqlConnection>> {
        let (tls, authority) = (self.tls, self.authority.take());
        let connect = |url: &str| {
            let connector = Connector::new(url, tls, authority)?;
            Ok(move || {
                let connector = connector.clone();
                async move { connector.connect().await }.boxed()
            })
        };
        pool_of(self.pool.take(), self.url.take(), self.pool_size, connect)
    }
}

impl fmt::Debug for MysqlBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlBuilder")
            .field("table", &self.table)
            .field("key_format", &self.key_format)
            .field("pool_size", &self.pool_size)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
