//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod diagnose;
mod statements;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;
use session_core::{
    Capabilities, ConnectTypeorm, Create, Created, Destroy, DestroyMode, Error, Filter, Finding, Gathering,
    KeyFormat, Listed, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, TableName, Timestamp,
    Touch, Update, Updated, Version,
};

use super::pool::Connections;
use super::query::{Bind, PgRow, columns};
use super::statements::{COLUMNS, LOCK_SCHEMA, MISSING_RELATIONS, SERVER_TIME};
use super::store::{BACKEND, PostgresStore};
use crate::{convert, typeorm};
use statements::Statements;
pub(super) use statements::schema;

/// The table of the Node package connect-typeorm in a PostgreSQL database, shared with a Node application; from
/// [`PostgresBuilder::connect_typeorm`](crate::PostgresBuilder::connect_typeorm).
///
/// Ids stand in it in clear and are compared byte for byte, whatever the column's collation. Where that takes two ids
/// for the same, the second one cannot be created: [`Created::KeyTaken`].
///
/// The table has no versions, principals or times of creation, so the calls that need them return
/// [`Unsupported`](session_core::ErrorKind::Unsupported). One without `destroyedAt`, as version 1.1.4 has it, is
/// recognised when the store is made; sessions are then destroyed with [`DestroyMode::Hard`].
///
/// Each operation is one statement and one round trip, as in [`PostgresStore`], and the same holds for time zones and for
/// dropped futures.
pub struct PostgresTypeormStore {
    connections: Connections,
    statements: Statements,
    table: TableName,
    columns: ConnectTypeorm,
    tombstones: bool,
    limit_subquery: bool,
}

impl PostgresTypeormStore {
    /// Looks at the table. One that is not there yet will be as [`schema`] makes it.
    pub(super) async fn open(
        connections: Connections,
        table: TableName,
        names: ConnectTypeorm,
        limit_subquery: bool,
    ) -> Result<PostgresTypeormStore> {
        let quoted = table.quoted('"', '"');
        let name = |row: &PgRow| columns(row, |[name]| convert::text("catalog", name).map(str::to_owned));
        let found = connections.read(COLUMNS, &[Bind::Text(&quoted)], name).await?;
        let found: Vec<String> = found.into_iter().collect::<Result<_>>()?;
        let tombstones = found.is_empty() || found.iter().any(|name| name == names.destroyed_at());
        let statements = Statements::new(&table, &names, tombstones);
        Ok(PostgresTypeormStore {
            connections,
            statements,
            table,
            columns: names,
            tombstones,
            limit_subquery,
        })
    }

    /// The statements that make the table and its index as TypeORM does, for a migration.
    pub fn schema_sql(&self) -> &str {
        &self.connections.ddl
    }

    /// Makes the table, with its index, if there is none of this name: the one that TypeORM makes. Any number of
    /// processes may call it at once, and a user without the right to make tables may where the table is there.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if the table has to be made and the user may not.
    ///
    /// # Cancel safety
    /// One transaction: the table and its index are made, or nothing is.
    pub async fn create_table(&self) -> Result<()> {
        let made = async {
            let name = self.table.quoted('"', '"');
            // An index may have any name in a table that is there.
            let names = [Bind::Text(&name), Bind::Text(&name), Bind::Text(&name)];
            let missing = self.connections.read(MISSING_RELATIONS, &names, number).await?;
            if missing.into_iter().next().transpose()? == Some(0) {
                return Ok(());
            }
            // IF NOT EXISTS alone is no protection against another transaction that makes the same table.
            let script = format!("{LOCK_SCHEMA}; {}", self.connections.ddl);
            self.connections.script(&script).await
        };
        made.await.map_err(named)
    }
}

#[async_trait]
impl Store for PostgresTypeormStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        typeorm::capabilities(self.tombstones)
    }

    fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    async fn create(&self, create: &Create, _now: Timestamp) -> Result<Created> {
        typeorm::check_create(create).map_err(named)?;
        PostgresStore::check_payload(&create.payload)?;
        let values = [
            Bind::key(&create.key),
            Bind::Text(create.payload.as_str()),
            Bind::Bigint(create.expires_at.as_millis()),
        ];
        Ok(match self.connections.execute(&self.statements.create, &values).await? {
            0 => Created::KeyTaken,
            _ => Created::Created,
        })
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        typeorm::check_key(key).map_err(named)?;
        let values = [Bind::key(key), Bind::Bigint(now.as_millis())];
        let record = |row: &PgRow| columns(row, typeorm::record);
        let rows = self.connections.read(&self.statements.load, &values, record).await?;
        rows.into_iter().next().transpose().map_err(named)
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        typeorm::check_update(update).map_err(named)?;
        PostgresStore::check_payload(&update.payload)?;
        let values = [
            Bind::key(&update.key),
            Bind::Bigint(now.as_millis()),
            Bind::Text(update.payload.as_str()),
            Bind::Bigint(update.expires_at.as_millis()),
        ];
        Ok(match self.connections.execute(&self.statements.update, &values).await? {
            0 => Updated::Gone,
            _ => Updated::Saved(Version::NONE),
        })
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        typeorm::check_key(&touch.key).map_err(named)?;
        let values = [
            Bind::key(&touch.key),
            Bind::Bigint(now.as_millis()),
            Bind::Bigint(touch.expires_at.as_millis()),
        ];
        Ok(self.connections.execute(&self.statements.touch, &values).await? == 1)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        typeorm::check_key(&destroy.key)
            .and_then(|()| typeorm::check_mode(destroy.mode, self.tombstones))
            .map_err(named)?;
        let mut values = vec![Bind::key(&destroy.key), Bind::Bigint(now.as_millis())];
        let statement = match destroy.mode {
            DestroyMode::Hard => &self.statements.remove,
            DestroyMode::Soft => {
                values.push(Bind::Bigint(typeorm::moment(now)));
                &self.statements.bury
            }
        };
        Ok(self.connections.execute(statement, &values).await? == 1)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        typeorm::check_rotate(rotate, self.tombstones).map_err(named)?;
        rotate.payload.as_ref().map_or(Ok(()), PostgresStore::check_payload)?;
        let mut values = vec![
            Bind::key(&rotate.from),
            Bind::Bigint(now.as_millis()),
            Bind::key(&rotate.to),
            Bind::OptionalText(rotate.payload.as_ref().map(|payload| payload.as_str())),
            Bind::Bigint(rotate.expires_at.as_millis()),
        ];
        let statement = match rotate.mode {
            DestroyMode::Hard => &self.statements.rotate_removing,
            DestroyMode::Soft => {
                values.push(Bind::Bigint(typeorm::moment(now)));
                &self.statements.rotate
            }
        };
        let rows = self.connections.write(statement, &values, number).await?;
        Ok(match rows.into_iter().next().transpose().map_err(named)? {
            None => Rotated::Gone,
            Some(0) => Rotated::KeyTaken,
            Some(_) => Rotated::Rotated(Version::NONE),
        })
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        _except: Option<&SessionKey>,
        _mode: DestroyMode,
        _now: Timestamp,
    ) -> Result<u64> {
        typeorm::check_principal(Some(principal)).map_err(named).map(|()| 0)
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let values = [Bind::Bigint(now.as_millis()), Bind::Bigint(limit.get().into())];
        if self.limit_subquery {
            return self.connections.execute(&self.statements.purge, &values).await;
        }
        let id = |row: &PgRow| columns(row, |[id]| typeorm::id(id));
        let ids = self.connections.read(&self.statements.find_expired, &values, id).await?;
        let ids: Vec<SessionKey> = ids.into_iter().collect::<Result<_>>().map_err(named)?;
        let values = [Bind::Bigint(now.as_millis()), Bind::keys(KeyFormat::Plain, &ids)];
        self.connections.execute(&self.statements.purge_ids, &values).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        typeorm::check_principal(filter.principal.as_ref()).map_err(named)?;
        let mut values = vec![Bind::Bigint(now.as_millis()), Bind::Bigint(limit.get().into())];
        let mut statement = &self.statements.list;
        if let Some(after) = after {
            typeorm::check_key(after).map_err(named)?;
            values.push(Bind::key(after));
            statement = &self.statements.list_after;
        }
        let rows = self.connections.read(statement, &values, listed).await?;
        rows.into_iter().collect::<Result<_>>().map_err(named)
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        typeorm::check_principal(filter.principal.as_ref()).map_err(named)?;
        let values = [Bind::Bigint(now.as_millis())];
        let rows = self.connections.read(&self.statements.count, &values, number).await?;
        let count = rows.into_iter().next().transpose().map_err(named)?;
        Ok(convert::count(count.unwrap_or(0)))
    }

    async fn clear(&self) -> Result<u64> {
        self.connections.execute(&self.statements.clear, &[]).await
    }

    async fn server_time(&self) -> Result<Timestamp> {
        let rows = self.connections.read(SERVER_TIME, &[], number).await?;
        let millis = rows.into_iter().next().transpose().map_err(named)?;
        millis
            .map(Timestamp::from_millis)
            .ok_or_else(|| named(Error::corrupt("the server did not tell its time")))
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        diagnose::diagnose(self).await.map_err(named)
    }

    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let mut outcomes: Vec<Result<Option<Record>>> =
            keys.iter().map(|key| typeorm::check_key(key).map_err(named).map(|()| None)).collect();
        let places: HashMap<&SessionKey, usize> =
            keys.iter().zip(0..).filter(|(key, _)| typeorm::check_key(key).is_ok()).collect();
        let values = [Bind::keys(KeyFormat::Plain, places.keys().copied()), Bind::Bigint(now.as_millis())];
        for row in self.connections.read(&self.statements.load_many, &values, listed).await? {
            let row = row.map_err(named)?;
            // Another id, which the collation takes for one of these, is not asked for.
            if let Some(&place) = places.get(&row.key) {
                outcomes[place] = row.record.map(Some);
            }
        }
        Ok(outcomes)
    }

    /// Loads as in the native layout. Writes go one by one.
    fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 0, max_batch: 128, max_bytes: 4 << 20 }
    }
}

impl fmt::Debug for PostgresTypeormStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTypeormStore")
            .field("table", &self.table)
            .field("columns", &self.columns)
            .field("tombstones", &self.tombstones)
            .field("pool", &self.connections.pool.status())
            .finish_non_exhaustive()
    }
}

fn listed(row: &PgRow) -> Result<Listed> {
    columns(row, |[json, expired_at, id]| {
        Ok(Listed { key: typeorm::id(id)?, record: typeorm::record([json, expired_at]).map_err(named) })
    })
}

fn number(row: &PgRow) -> Result<i64> {
    columns(row, |[number]| convert::bigint("number", number))
}

fn named(error: Error) -> Error {
    error.with_backend(BACKEND)
}
