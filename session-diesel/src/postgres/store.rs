//! The operations.

use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, Filter, Finding, Gathering, KeyFormat,
    Listed, Operation, Payload, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, TableName,
    Timestamp, Touch, Update, Updated, Version, Write, Written,
};

use super::builder::PostgresBuilder;
use super::error::LOOK_AGAIN;
use super::pool::Connections;
use super::query::{Bind, PgRow, columns};
use super::statements::{self, Statements};
use super::{batch, diagnose};
use crate::convert;

pub(super) const BACKEND: &str = "postgres";

/// Sessions in a table of a PostgreSQL database, from version 12 on.
///
/// Each operation is one statement and one round trip, prepared once for each connection. It is atomic by itself, so
/// that no transaction is open between two messages, and dropping a future leaves the operation done wholly or
/// not at all; its connection is then closed. The exceptions: with [`pgbouncer`](PostgresBuilder::pgbouncer) there is a
/// transaction around each statement, without [`limit_subquery`](PostgresBuilder::limit_subquery) a purge is two
/// statements, and a statement that finds its rows changed meanwhile is sent again.
///
/// The server's and the session's time zones have no influence: times are whole numbers of milliseconds.
pub struct PostgresStore {
    pub(super) connections: Connections,
    pub(super) statements: Statements,
    pub(super) table: TableName,
    pub(super) format: KeyFormat,
    pub(super) limit_subquery: bool,
}

impl PostgresStore {
    /// A store on the table `sessions` of the database that a URL names, with the defaults of all
    /// [options](PostgresStore::builder). Makes one connection, to see that it can.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the URL cannot be read, and
    /// [`Unavailable`](session_core::ErrorKind::Unavailable) or [`Backend`](session_core::ErrorKind::Backend) if the
    /// server is not there or refuses.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(url: impl Into<String>) -> Result<PostgresStore> {
        let store = PostgresStore::builder().url(url).build()?;
        store
            .server_time()
            .await
            .map_err(|error| error.with_backend(BACKEND).with_operation(Operation::Connect))?;
        Ok(store)
    }

    /// All options.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::new()
    }

    /// The statements that make the table and its indexes, for a migration.
    pub fn schema_sql(&self) -> &str {
        &self.connections.ddl
    }

    /// Makes the table and its indexes where they are missing. Any number of processes may call it at once, and a
    /// user without the right to make tables may where the table is complete.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if the table has to be made and the user may not.
    ///
    /// # Cancel safety
    /// One transaction: the table and its indexes are made, or nothing is.
    pub async fn create_table(&self) -> Result<()> {
        let made = async {
            let names = diagnose::relations(&self.table);
            let names: Vec<Bind<'_>> = names.iter().map(|name| Bind::Text(name)).collect();
            let missing = self
                .connections
                .read(statements::MISSING_RELATIONS, &names, |row| {
                    columns(row, |[missing]| convert::bigint("missing", missing))
                })
                .await?;
            if missing.into_iter().next().transpose()? == Some(0) {
                return Ok(());
            }
            // IF NOT EXISTS alone is no protection against another transaction that makes the same table.
            let script = format!("{}; {}", statements::LOCK_SCHEMA, self.connections.ddl);
            self.connections.script(&script).await
        };
        made.await.map_err(|error| error.with_backend(BACKEND))
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

    /// What can be refused before anything is sent.
    pub(super) fn check_payload(payload: &Payload) -> Result<()> {
        if payload.as_str().contains('\0') {
            return Err(Error::invalid_input(
                "Postgres cannot hold a U+0000 in text; encode the payload without it, as JSON does",
            )
            .with_backend(BACKEND));
        }
        Ok(())
    }

    fn key(&self, row: &PgRow) -> Result<SessionKey> {
        columns(row, |[key]| convert::key(self.format, key))
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn key_format(&self) -> KeyFormat {
        self.format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.check(&create.key)?;
        Self::check_payload(&create.payload)?;
        let values = [
            Bind::key(&create.key),
            Bind::Text(create.payload.as_str()),
            Bind::Bigint(create.expires_at.as_millis()),
            Bind::Bigint(now.as_millis()),
            principal(create.principal.as_ref()),
        ];
        Ok(match self.connections.execute(&self.statements.create, &values).await? {
            0 => Created::KeyTaken,
            _ => Created::Created,
        })
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.check(key)?;
        let values = [Bind::key(key), Bind::Bigint(now.as_millis())];
        let rows = self.connections.read(&self.statements.load, &values, record).await?;
        rows.into_iter().next().transpose()
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.check(&update.key)?;
        Self::check_payload(&update.payload)?;
        let mut values = vec![
            Bind::key(&update.key),
            Bind::Bigint(now.as_millis()),
            Bind::Text(update.payload.as_str()),
            Bind::Bigint(update.expires_at.as_millis()),
            principal(update.principal.as_ref()),
        ];
        let Some(expected) = update.expected else {
            let rows = self.connections.write(&self.statements.update, &values, version).await?;
            return Ok(rows.into_iter().next().transpose()?.map_or(Updated::Gone, Updated::Saved));
        };
        values.push(Bind::Bigint(expected.get()));
        loop {
            let rows = self.connections.write(&self.statements.update_expected, &values, saved).await?;
            match rows.into_iter().next().transpose()? {
                Some((version, true)) => return Ok(Updated::Saved(version)),
                Some((version, false)) if version != expected => return Ok(Updated::Stale),
                // It was changed or ended while this waited for it. Nothing was done.
                Some((_, false)) => {}
                None => return Ok(Updated::Gone),
            }
        }
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        self.check(&touch.key)?;
        let values = [
            Bind::key(&touch.key),
            Bind::Bigint(now.as_millis()),
            Bind::Bigint(touch.expires_at.as_millis()),
        ];
        Ok(self.connections.execute(&self.statements.touch, &values).await? == 1)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.check(&destroy.key)?;
        let statement = match destroy.mode {
            DestroyMode::Soft => &self.statements.destroy,
            DestroyMode::Hard => &self.statements.remove,
        };
        let values = [Bind::key(&destroy.key), Bind::Bigint(now.as_millis())];
        Ok(self.connections.execute(statement, &values).await? == 1)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.check(&rotate.from)?;
        self.check(&rotate.to)?;
        rotate.payload.as_ref().map_or(Ok(()), Self::check_payload)?;
        if rotate.from == rotate.to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            )
            .with_backend(BACKEND));
        }
        let statement = match rotate.mode {
            DestroyMode::Soft => &self.statements.rotate,
            DestroyMode::Hard => &self.statements.rotate_removing,
        };
        let values = [
            Bind::key(&rotate.from),
            Bind::Bigint(now.as_millis()),
            Bind::key(&rotate.to),
            Bind::OptionalText(rotate.payload.as_ref().map(|payload| payload.as_str())),
            Bind::Bigint(rotate.expires_at.as_millis()),
            principal(rotate.principal.as_ref()),
            Bind::OptionalBigint(rotate.expected.map(Version::get)),
        ];
        let rows = self.connections.write(statement, &values, versions).await?;
        Ok(match rows.into_iter().next().transpose()? {
            None => Rotated::Gone,
            Some((_, Some(after))) => Rotated::Rotated(after),
            Some((before, None)) if rotate.expected.is_some_and(|expected| expected != before) => {
                Rotated::Stale
            }
            Some((_, None)) => Rotated::KeyTaken,
        })
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
        let statement = match mode {
            DestroyMode::Soft => &self.statements.destroy_principal,
            DestroyMode::Hard => &self.statements.remove_principal,
        };
        let values =
            [Bind::Text(principal.as_str()), Bind::Bigint(now.as_millis()), Bind::keys(self.format, except)];
        loop {
            match self.connections.write(statement, &values, count).await {
                Ok(rows) => {
                    return rows
                        .into_iter()
                        .next()
                        .transpose()
                        .map(|ended| convert::count(ended.unwrap_or(0)));
                }
                // A session was rotated away while this waited for its row. Nothing was done.
                Err(error) if error.code() == Some(LOOK_AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let values = [Bind::Bigint(now.as_millis()), Bind::Bigint(limit.get().into())];
        if self.limit_subquery {
            return self.connections.execute(&self.statements.purge, &values).await;
        }
        let keys = self.connections.read(&self.statements.find_expired, &values, |row| self.key(row)).await?;
        let keys: Vec<SessionKey> = keys.into_iter().collect::<Result<_>>()?;
        let values = [Bind::Bigint(now.as_millis()), Bind::keys(self.format, &keys)];
        self.connections.execute(&self.statements.purge_keys, &values).await
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
        let mut values = vec![
            Bind::Bigint(now.as_millis()),
            after.map_or_else(|| Bind::before_all_keys(self.format), Bind::key),
            Bind::Bigint(limit.get().into()),
        ];
        let statement = match &filter.principal {
            None => &self.statements.list,
            Some(principal) => {
                values.push(Bind::Text(principal.as_str()));
                &self.statements.list_principal
            }
        };
        let format = self.format;
        let rows = self.connections.read(statement, &values, |row| listed(format, row)).await?;
        rows.into_iter().collect()
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let mut values = vec![Bind::Bigint(now.as_millis())];
        let statement = match &filter.principal {
            None => &self.statements.count,
            Some(principal) => {
                values.push(Bind::Text(principal.as_str()));
                &self.statements.count_principal
            }
        };
        let rows = self.connections.read(statement, &values, count).await?;
        rows.into_iter().next().transpose().map(|count| convert::count(count.unwrap_or(0)))
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

    /// Two lanes each way keep both processes of the server busy while a third batch forms.
    fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 2, max_batch: 128, max_bytes: 4 << 20 }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.table)
            .field("key_format", &self.format)
            .field("pool", &self.connections.pool.status())
            .finish_non_exhaustive()
    }
}

pub(super) fn principal(principal: Option<&Principal>) -> Bind<'_> {
    Bind::OptionalText(principal.map(Principal::as_str))
}

fn record(row: &PgRow) -> Result<Record> {
    columns(row, convert::record)
}

/// An entry of a listing. Only a key that cannot be read is an error of the whole: there is nothing to call it by.
pub(super) fn listed(format: KeyFormat, row: &PgRow) -> Result<Listed> {
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

fn version(row: &PgRow) -> Result<Version> {
    columns(row, |[version]| convert::bigint("version", version).map(Version::new).map_err(in_doubt))
}

/// A version, and whether it is that of an update that was done.
fn saved(row: &PgRow) -> Result<(Version, bool)> {
    columns(row, |[version, saved]| {
        let saved = convert::bigint("saved", saved)? != 0;
        let version = convert::bigint("version", version).map(Version::new);
        Ok((if saved { version.map_err(in_doubt)? } else { version? }, saved))
    })
}

/// The version before and, if the change was made, after.
fn versions(row: &PgRow) -> Result<(Version, Option<Version>)> {
    columns(row, |[before, after]| {
        let after = match after {
            convert::Value::Null => None,
            after => Some(Version::new(convert::bigint("version", after).map_err(in_doubt)?)),
        };
        let before = convert::bigint("version", before).map(Version::new);
        Ok((if after.is_some() { before.map_err(in_doubt)? } else { before? }, after))
    })
}

fn count(row: &PgRow) -> Result<i64> {
    columns(row, |[count]| convert::bigint("count", count))
}
