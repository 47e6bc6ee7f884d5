//! The operations.

use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding, Gathering,
    KeyFormat, Listed, Operation, Payload, Principal, Record, Result, Rotate, Rotated, SessionKey, Store,
    TableName, Timestamp, Touch, Update, Updated, Version, Write, Written,
};
use tokio::sync::OnceCell;

use super::builder::MysqlBuilder;
use super::error::{DUPLICATE, OUT_OF_RANGE};
use super::pool::Connections;
use super::query::{Bind, MysqlRow, columns};
use super::statements::{self, Statements, counted};
use super::{batch, diagnose};
use crate::convert;

pub(super) const BACKEND: &str = "mysql";

/// Sessions in a table of a MariaDB database, from 10.6 on, or a MySQL database, from 8.0 on.
///
/// Each operation is one statement and one round trip, prepared once for each connection. So are gathered operations of
/// one kind; on MySQL, which has no RETURNING, only if all of their sessions are live and none is stale: otherwise a
/// transaction tells them apart.
///
/// An update or rotation without an expected version tells the new one on MariaDB, and leaves it open on MySQL. Ending a
/// principal's sessions with [`DestroyMode::Hard`] leaves rows for the next purge, empty.
///
/// Dropping a future closes its connection and leaves the operation done wholly or not at all. Times are whole numbers
/// of milliseconds: no time zone has any influence.
pub struct MysqlStore {
    pub(super) connections: Connections,
    pub(super) statements: Statements,
    pub(super) table: TableName,
    pub(super) format: KeyFormat,
    pub(super) limit_subquery: bool,
    pub(super) server: OnceCell<Server>,
}

/// What matters of the server for each operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) flavor: Flavor,
    /// The most bytes that it takes in one packet. One that is larger makes it close the connection.
    largest_packet: usize,
}

/// Which of the two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    Mariadb,
    Mysql,
}

impl Server {
    pub(super) async fn ask(connections: &Connections) -> Result<Server> {
        let read = |row: &MysqlRow| {
            columns(row, |[version, packet]| {
                let version = convert::text("version", version)?;
                let mariadb = version.contains("MariaDB");
                Ok(Server {
                    flavor: if mariadb { Flavor::Mariadb } else { Flavor::Mysql },
                    largest_packet: usize::try_from(convert::bigint("max_allowed_packet", packet)?)
                        .unwrap_or(usize::MAX),
                })
            })
        };
        let servers = connections.read(statements::WHICH_SERVER, &[], read).await?;
        servers.into_iter().next().unwrap_or_else(|| Err(Error::corrupt("the server did not say what it is")))
    }

    /// True if payloads of so many bytes together fit into one packet, with what goes beside them.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        const BESIDE: usize = 128 << 10;
        bytes < self.largest_packet.saturating_sub(BESIDE)
    }
}

impl MysqlStore {
    /// A store on the table `sessions` of the database that a URL names, with the defaults of all
    /// [options](MysqlStore::builder). Makes one connection, to see that it can.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the URL cannot be read, and
    /// [`Unavailable`](session_core::ErrorKind::Unavailable) or [`Backend`](session_core::ErrorKind::Backend) if the
    /// server is not there or refuses.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(url: impl Into<String>) -> Result<MysqlStore> {
        let store = MysqlStore::builder().url(url).build()?;
        store.server().await.map_err(|error| error.with_operation(Operation::Connect))?;
        Ok(store)
    }

    /// All options.
    pub fn builder() -> MysqlBuilder {
        MysqlBuilder::new()
    }

    /// The statement that makes the table and its indexes, for a migration.
    pub fn schema_sql(&self) -> &str {
        &self.connections.ddl
    }

    /// Makes the table, with its indexes, if it is missing. Any number of processes may call it at once, and a user
    /// without the right to make tables may where the table is there.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if the table has to be made and the user may not.
    ///
    /// # Cancel safety
    /// One statement: the table and its indexes are made, or nothing is.
    pub async fn create_table(&self) -> Result<()> {
        let values = diagnose::names(&self.table);
        let there = self.connections.read(statements::TABLE, &values, |_| ()).await?;
        if !there.is_empty() {
            return Ok(());
        }
        // A lock on the name makes one of several at once do it, and the others find the table.
        self.connections.script(&self.connections.ddl).await
    }

    pub(super) fn check(&self, key: &SessionKey) -> Result<()> {
        if key.format() == self.format {
            return Ok(());
        }
        Err(Error::invalid_input(
            "the key's format is not this table's; make keys with the store's `key_format`",
        )
        .with_backend(BACKEND))
    }

    /// Asks the server once.
    pub(super) async fn server(&self) -> Result<Server> {
        let ask = || Server::ask(&self.connections);
        self.server.get_or_try_init(ask).await.copied()
    }

    async fn flavor(&self) -> Result<Flavor> {
        self.server().await.map(|server| server.flavor)
    }

    /// Without an expected version: the new one, as far as the server tells it, or `None` if there is no live session.
    async fn update_any(&self, update: &Update, now: Timestamp) -> Result<Option<Version>> {
        let payload = Bind::Text(update.payload.as_str());
        let expires_at = Bind::Bigint(update.expires_at.as_millis());
        let principal = principal(update.principal.as_ref());
        let key = Bind::key(&update.key);
        let now = Bind::Bigint(now.as_millis());
        match self.flavor().await? {
            Flavor::Mariadb => {
                let values = [key, now, payload, expires_at, principal];
                self.returned_version(&self.statements.update_any_returning, &values).await
            }
            Flavor::Mysql => {
                let values = [payload, expires_at, principal, key, now];
                self.untold_version(&self.statements.update_any, &values).await
            }
        }
    }

    /// Leaves the old row, marked.
    async fn rotate_marking(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let (to, from) = (Bind::key(&rotate.to), Bind::key(&rotate.from));
        let payload = Bind::OptionalText(rotate.payload.as_ref().map(Payload::as_str));
        let expires_at = Bind::Bigint(rotate.expires_at.as_millis());
        let principal = principal(rotate.principal.as_ref());
        let now = Bind::Bigint(now.as_millis());
        if let Some(expected) = rotate.expected {
            let fit = Bind::Bigint(expected.get());
            let values = [to, payload, expires_at, principal, fit, now, from, now, fit, from, from, from];
            let counted = self.connections.execute(&self.statements.rotate_expected, &values).await?;
            return Ok(standing(counted, Rotated::Gone, Rotated::Stale, Rotated::Rotated(expected.next())));
        }
        let values = [to, payload, expires_at, principal, now, from, now, from, from, from];
        let moved = match self.flavor().await? {
            Flavor::Mariadb => {
                let rows =
                    self.connections.write(&self.statements.rotate_any_returning, &values, rotated).await?;
                let mut moved = None;
                for row in rows {
                    moved = moved.or(row?);
                }
                moved
            }
            Flavor::Mysql => self.untold_version(&self.statements.rotate_any, &values).await?,
        };
        Ok(moved.map_or(Rotated::Gone, Rotated::Rotated))
    }

    /// Takes the row along.
    async fn rotate_removing(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let (to, from) = (Bind::key(&rotate.to), Bind::key(&rotate.from));
        let payload = Bind::OptionalText(rotate.payload.as_ref().map(Payload::as_str));
        let expires_at = Bind::Bigint(rotate.expires_at.as_millis());
        let principal = principal(rotate.principal.as_ref());
        let now = Bind::Bigint(now.as_millis());
        if let Some(expected) = rotate.expected {
            let fit = Bind::Bigint(expected.get());
            let values = [from, now, fit, to, fit, payload, fit, expires_at, fit, principal, fit];
            let counted =
                self.connections.execute(&self.statements.rotate_removing_expected, &values).await?;
            return Ok(standing(counted, Rotated::Gone, Rotated::Stale, Rotated::Rotated(expected.next())));
        }
        let moved = match self.flavor().await? {
            Flavor::Mariadb => {
                let values = [from, now, to, payload, expires_at, principal];
                let statement = &self.statements.rotate_removing_any_returning;
                self.returned_version(statement, &values).await?
            }
            Flavor::Mysql => {
                let values = [to, payload, expires_at, principal, from, now];
                self.untold_version(&self.statements.rotate_removing_any, &values).await?
            }
        };
        Ok(moved.map_or(Rotated::Gone, Rotated::Rotated))
    }

    /// The version that a statement returns, if it found a row.
    async fn returned_version(&self, statement: &str, values: &[Bind<'_>]) -> Result<Option<Version>> {
        self.connections.write(statement, values, version).await?.into_iter().next().transpose()
    }

    /// What stands for the version that a statement does not tell, if it found a row.
    async fn untold_version(&self, statement: &str, values: &[Bind<'_>]) -> Result<Option<Version>> {
        let changed = self.connections.execute(statement, values).await?;
        Ok((changed > 0).then_some(Version::NONE))
    }

    async fn count_rows(&self, statement: &str, values: &[Bind<'_>]) -> Result<u64> {
        let rows = self
            .connections
            .read(statement, values, |row| columns(row, |[count]| convert::bigint("count", count)))
            .await?;
        rows.into_iter().next().transpose().map(|count| convert::count(count.unwrap_or(0)))
    }
}

#[async_trait]
impl Store for MysqlStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        // MariaDB tells versions; which of the two answers is not known before the first call.
        capabilities.told_versions = false;
        capabilities.hard_ends = false;
        capabilities
    }

    fn key_format(&self) -> KeyFormat {
        self.format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.check(&create.key)?;
        check_size(&self.server().await?, &create.payload)?;
        match self.connections.execute(&self.statements.create, &create_row(create, now)).await {
            Ok(_) => Ok(Created::Created),
            Err(error) if error.code() == Some(DUPLICATE) => Ok(Created::KeyTaken),
            Err(error) => Err(error),
        }
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.check(key)?;
        let values = [Bind::key(key), Bind::Bigint(now.as_millis())];
        let rows = self.connections.read(&self.statements.load, &values, record).await?;
        rows.into_iter().next().transpose().map_err(|error| error.with_backend(BACKEND))
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.check(&update.key)?;
        check_size(&self.server().await?, &update.payload)?;
        let Some(expected) = update.expected else {
            return Ok(self.update_any(update, now).await?.map_or(Updated::Gone, Updated::Saved));
        };
        let fit = Bind::Bigint(expected.get());
        let values = [
            Bind::key(&update.key),
            Bind::Bigint(now.as_millis()),
            fit,
            Bind::Text(update.payload.as_str()),
            fit,
            Bind::Bigint(update.expires_at.as_millis()),
            fit,
            principal(update.principal.as_ref()),
            fit,
        ];
        let counted = self.connections.execute(&self.statements.update_expected, &values).await?;
        Ok(standing(counted, Updated::Gone, Updated::Stale, Updated::Saved(expected.next())))
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        self.check(&touch.key)?;
        let values = [
            Bind::Bigint(touch.expires_at.as_millis()),
            Bind::key(&touch.key),
            Bind::Bigint(now.as_millis()),
        ];
        Ok(self.connections.execute(&self.statements.touch, &values).await? > 0)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.check(&destroy.key)?;
        let key = Bind::key(&destroy.key);
        let now = Bind::Bigint(now.as_millis());
        let ended = match destroy.mode {
            DestroyMode::Soft => self.connections.execute(&self.statements.destroy, &[now, key, now]).await?,
            DestroyMode::Hard => self.connections.execute(&self.statements.remove, &[key, now]).await?,
        };
        Ok(ended > 0)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.check(&rotate.from)?;
        self.check(&rotate.to)?;
        if rotate.from == rotate.to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            )
            .with_backend(BACKEND));
        }
        if let Some(payload) = &rotate.payload {
            check_size(&self.server().await?, payload)?;
        }
        let rotated = match rotate.mode {
            DestroyMode::Soft => self.rotate_marking(rotate, now).await,
            DestroyMode::Hard => self.rotate_removing(rotate, now).await,
        };
        match rotated {
            Err(error) if error.code() == Some(DUPLICATE) => Ok(Rotated::KeyTaken),
            rotated => rotated,
        }
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        if let Some(except) = except {
            self.check(except)?;
        }
        let whose = Bind::Bytes(principal.as_str().as_bytes());
        // No key is empty.
        let except = Bind::Bytes(except.map_or(&[], SessionKey::as_bytes));
        let now = Bind::Bigint(now.as_millis());
        let values = [whose, now, whose, now, except, now];
        let statement = match mode {
            DestroyMode::Soft => &self.statements.destroy_principal,
            DestroyMode::Hard => &self.statements.empty_principal,
        };
        loop {
            match self.connections.execute(statement, &values).await {
                // A session was rotated away while this waited for its row. Nothing was done.
                Err(error) if error.code() == Some(OUT_OF_RANGE) => {}
                ended => return Ok(ended? / counted::DONE),
            }
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let now = Bind::Bigint(now.as_millis());
        let limit = Bind::Bigint(limit.get().into());
        if self.limit_subquery {
            return self.connections.execute(&self.statements.purge, &[now, limit, now]).await;
        }
        let format = self.format;
        let keys = self
            .connections
            .read(&self.statements.find_expired, &[now, limit], |row| {
                columns(row, |[key]| convert::key(format, key))
            })
            .await?;
        let mut keys: Vec<SessionKey> = keys.into_iter().collect::<Result<_>>()?;
        // In the order in which batches of writes lock.
        keys.sort_unstable();
        let mut purged = 0;
        for keys in keys.chunks(statements::MAX_ROWS) {
            let (size, many) = self.statements.many(keys.len());
            let mut values = vec![now];
            values.extend(batch::filled(keys.iter().map(Bind::key), size));
            purged += self.connections.execute_part(&many.purge_keys, &values, purged).await?;
        }
        Ok(purged)
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        if let Some(after) = after {
            self.check(after)?;
        }
        let after = Bind::Bytes(after.map_or(&[], SessionKey::as_bytes));
        let page = [after, Bind::Bigint(now.as_millis()), Bind::Bigint(limit.get().into())];
        let format = self.format;
        let read = |row: &MysqlRow| listed(format, row);
        let rows = match &filter.principal {
            None => self.connections.read(&self.statements.list, &page, read).await?,
            Some(principal) => {
                let [after, now, limit] = page;
                let values = [Bind::Bytes(principal.as_str().as_bytes()), after, now, limit];
                self.connections.read(&self.statements.list_principal, &values, read).await?
            }
        };
        rows.into_iter().collect()
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let now = Bind::Bigint(now.as_millis());
        match &filter.principal {
            None => self.count_rows(&self.statements.count, &[now]).await,
            Some(principal) => {
                let values = [now, Bind::Bytes(principal.as_str().as_bytes())];
                self.count_rows(&self.statements.count_principal, &values).await
            }
        }
    }

    async fn clear(&self) -> Result<u64> {
        self.connections.execute(&self.statements.clear, &[]).await
    }

    async fn server_time(&self) -> Result<Timestamp> {
        let rows = self
            .connections
            .read(statements::SERVER_TIME, &[], |row| columns(row, |[time]| convert::bigint("time", time)))
            .await?;
        let millis = rows.into_iter().next().transpose()?;
        millis.map(Timestamp::from_millis).ok_or_else(|| Error::corrupt("the server did not tell its time"))
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        diagnose::diagnose(self).await
    }

    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        batch::load(self, keys, now).await
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        batch::write(self, writes, now).await
    }

    /// Two lanes each way keep the server busy while a third batch forms.
    fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 2, max_batch: statements::MAX_ROWS, max_bytes: 4 << 20 }
    }
}

impl fmt::Debug for MysqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlStore")
            .field("table", &self.table)
            .field("key_format", &self.format)
            .field("pool", &self.connections.pool.status())
            .finish_non_exhaustive()
    }
}

/// Refuses what the server would answer by closing the connection.
pub(super) fn check_size(server: &Server, payload: &Payload) -> Result<()> {
    if server.takes(payload.len()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        "the payload does not fit into one packet; raise max_allowed_packet on the server, or store less",
    )
    .with_backend(BACKEND))
}

/// The values of a row of an insert.
pub(super) fn create_row(create: &Create, now: Timestamp) -> [Bind<'_>; 5] {
    [
        Bind::key(&create.key),
        Bind::Text(create.payload.as_str()),
        Bind::Bigint(create.expires_at.as_millis()),
        Bind::Bigint(now.as_millis()),
        principal(create.principal.as_ref()),
    ]
}

pub(super) fn principal(principal: Option<&Principal>) -> Bind<'_> {
    Bind::OptionalBytes(principal.map(|principal| principal.as_str().as_bytes()))
}

fn record(row: &MysqlRow) -> Result<Record> {
    columns(row, convert::record)
}

/// An entry of a listing. Only a key that cannot be read is an error of the whole: there is nothing to call it by.
pub(super) fn listed(format: KeyFormat, row: &MysqlRow) -> Result<Listed> {
    columns(row, |[payload, expires_at, created_at, version, principal, key]| {
        let record = convert::record([payload, expires_at, created_at, version, principal])
            .map_err(|error| error.with_backend(BACKEND));
        Ok(Listed { key: convert::key(format, key)?, record })
    })
}

/// The answer to a write that was done cannot be read.
pub(super) fn in_doubt(error: Error) -> Error {
    error.with_backend(BACKEND).with_indeterminate(true)
}

fn version(row: &MysqlRow) -> Result<Version> {
    columns(row, |[version]| convert::bigint("version", version)).map(Version::new).map_err(in_doubt)
}

/// The version, if this is the row of the new key.
fn rotated(row: &MysqlRow) -> Result<Option<Version>> {
    columns(row, |[version, destroyed_at]| match destroyed_at {
        convert::Value::Null => {
            convert::bigint("version", version).map(|version| Some(Version::new(version))).map_err(in_doubt)
        }
        _ => Ok(None),
    })
}

/// What a statement with an expected version came to.
fn standing<T>(rows: u64, gone: T, stale: T, done: T) -> T {
    match rows {
        counted::NONE => gone,
        counted::LEFT => stale,
        _ => done,
    }
}
