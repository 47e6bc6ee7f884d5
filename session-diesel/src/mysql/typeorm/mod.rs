//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod diagnose;
mod statements;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;
use session_core::{
    Capabilities, ConnectTypeorm, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding,
    Gathering, KeyFormat, Listed, Payload, Principal, Record, Result, Rotate, Rotated, SessionKey, Store,
    TableName, Timestamp, Touch, Update, Updated, Version,
};

use tokio::sync::OnceCell;

use super::batch::filled;
use super::error::{DUPLICATE, OUT_OF_RANGE};
use super::pool::Connections;
use super::query::{Bind, MysqlRow, columns};
use super::statements::{SERVER_TIME, TABLE};
use super::store::{BACKEND, Server, check_size};
use crate::{convert, typeorm};
use statements::MAX_ROWS;
pub(super) use statements::schema;
use text::Layout;

/// The table of the Node package connect-typeorm in a MariaDB or MySQL database, shared with a Node application; from
/// [`MysqlBuilder::connect_typeorm`](crate::MysqlBuilder::connect_typeorm).
///
/// Ids stand in it in clear and are compared byte for byte, whatever the column's collation. Where that takes two ids
/// for the same (in the table that TypeORM makes if they differ in case, accents or trailing blanks), the second one
/// cannot be created: [`Created::KeyTaken`].
///
/// The column that TypeORM makes for the data holds 64 KiB. More is [`TooLarge`](session_core::ErrorKind::TooLarge), and
/// a character that a column's character set does not have is [`InvalidInput`](session_core::ErrorKind::InvalidInput):
/// nothing is ever cut or replaced, whatever the `sql_mode`. What the columns hold is looked up once: after an ALTER TABLE
/// make the store anew.
///
/// The table has no versions, principals or times of creation, so the calls that need them return
/// [`Unsupported`](session_core::ErrorKind::Unsupported). One without `destroyedAt`, as version 1.1.4 has it, is
/// recognised when the store is made; sessions are then destroyed with [`DestroyMode::Hard`].
///
/// Each operation is one statement and one round trip; a create, an update or a rotation in a column that is in none
/// of UTF-8, latin1 and ASCII asks the server once more, before, what that column can hold. For time zones and for
/// dropped futures the same holds as in [`MysqlStore`](crate::MysqlStore).
pub struct MysqlTypeormStore {
    connections: Connections,
    table: TableName,
    columns: ConnectTypeorm,
    limit_subquery: bool,
    server: Server,
    /// Known from the first look at a table that is there.
    layout: OnceCell<Layout>,
}

impl MysqlTypeormStore {
    /// Looks at the table. It need not be there yet.
    pub(super) async fn open(
        connections: Connections,
        table: TableName,
        columns: ConnectTypeorm,
        limit_subquery: bool,
    ) -> Result<MysqlTypeormStore> {
        let server = Server::ask(&connections).await?;
        let layout = Layout::look(&connections, &table, &columns).await?;
        let layout = OnceCell::new_with(layout);
        Ok(MysqlTypeormStore { connections, table, columns, limit_subquery, server, layout })
    }

    /// The statement that makes the table and its index as TypeORM does, for a migration.
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
    /// One statement: the table and its index are made, or nothing is.
    pub async fn create_table(&self) -> Result<()> {
        let there = self.connections.read(TABLE, &super::diagnose::names(&self.table), |_| ()).await?;
        if !there.is_empty() {
            return Ok(());
        }
        // A lock on the name makes one of several at once do it, and the others find the table.
        self.connections.script(&self.connections.ddl).await
    }

    async fn layout(&self) -> Result<&Layout> {
        let look = || async {
            Layout::look(&self.connections, &self.table, &self.columns).await?.ok_or_else(|| {
                let ddl = self.schema_sql();
                let what = format!("the table is missing; call `create_table`, or run this: {ddl}");
                Error::new(ErrorKind::Backend, what).with_code("1146").with_indeterminate(false)
            })
        };
        self.layout.get_or_try_init(look).await.map_err(named)
    }

    fn tombstones(&self) -> bool {
        self.layout.get().is_none_or(|layout| layout.tombstones)
    }

    /// Refuses what would be cut, replaced, or answered by closing the connection.
    async fn check_payload(&self, layout: &Layout, payload: &Payload) -> Result<()> {
        check_size(&self.server, payload)?;
        layout.json.check(&self.connections, payload.as_str()).await.map_err(named)
    }

    async fn check_new_key(&self, layout: &Layout, key: &SessionKey) -> Result<()> {
        layout.id.check(&self.connections, key.as_text().unwrap_or_default()).await.map_err(named)
    }
}

#[async_trait]
impl Store for MysqlTypeormStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        typeorm::capabilities(self.tombstones())
    }

    fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    async fn create(&self, create: &Create, _now: Timestamp) -> Result<Created> {
        typeorm::check_create(create).map_err(named)?;
        let layout = self.layout().await?;
        self.check_new_key(layout, &create.key).await?;
        self.check_payload(layout, &create.payload).await?;
        let values = [
            text(&create.key),
            Bind::Text(create.payload.as_str()),
            Bind::Bigint(create.expires_at.as_millis()),
        ];
        match self.connections.execute(&layout.statements.create, &values).await {
            Ok(_) => Ok(Created::Created),
            Err(error) if error.code() == Some(DUPLICATE) => Ok(Created::KeyTaken),
            Err(error) => Err(error),
        }
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        typeorm::check_key(key).map_err(named)?;
        let values = [text(key), text(key), Bind::Bigint(now.as_millis())];
        let record = |row: &MysqlRow| columns(row, typeorm::record);
        let rows = self.connections.read(&self.layout().await?.statements.load, &values, record).await?;
        rows.into_iter().next().transpose().map_err(named)
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        typeorm::check_update(update).map_err(named)?;
        let layout = self.layout().await?;
        self.check_payload(layout, &update.payload).await?;
        let values = [
            Bind::Text(update.payload.as_str()),
            Bind::Bigint(update.expires_at.as_millis()),
            text(&update.key),
            text(&update.key),
            Bind::Bigint(now.as_millis()),
        ];
        Ok(match self.connections.execute(&layout.statements.update, &values).await? {
            0 => Updated::Gone,
            _ => Updated::Saved(Version::NONE),
        })
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        typeorm::check_key(&touch.key).map_err(named)?;
        let values = [
            Bind::Bigint(touch.expires_at.as_millis()),
            text(&touch.key),
            text(&touch.key),
            Bind::Bigint(now.as_millis()),
        ];
        Ok(self.connections.execute(&self.layout().await?.statements.touch, &values).await? > 0)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        typeorm::check_key(&destroy.key).map_err(named)?;
        let layout = self.layout().await?;
        typeorm::check_mode(destroy.mode, layout.tombstones).map_err(named)?;
        let key = text(&destroy.key);
        let ended = match destroy.mode {
            DestroyMode::Hard => {
                let values = [key, key, Bind::Bigint(now.as_millis())];
                self.connections.execute(&layout.statements.remove, &values).await?
            }
            DestroyMode::Soft => {
                let values = [moment(now), key, key, Bind::Bigint(now.as_millis())];
                self.connections.execute(&layout.statements.bury, &values).await?
            }
        };
        Ok(ended > 0)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let layout = self.layout().await?;
        typeorm::check_rotate(rotate, layout.tombstones).map_err(named)?;
        self.check_new_key(layout, &rotate.to).await?;
        if let Some(payload) = &rotate.payload {
            self.check_payload(layout, payload).await?;
        }
        let from = text(&rotate.from);
        let mut values = vec![
            text(&rotate.to),
            Bind::OptionalText(rotate.payload.as_ref().map(Payload::as_str)),
            Bind::Bigint(rotate.expires_at.as_millis()),
        ];
        let statement = match rotate.mode {
            DestroyMode::Hard => &layout.statements.rotate_removing,
            DestroyMode::Soft => {
                values.push(moment(now));
                &layout.statements.rotate
            }
        };
        values.extend([from, from, Bind::Bigint(now.as_millis())]);
        match self.connections.execute(statement, &values).await {
            Ok(0) => Ok(Rotated::Gone),
            Ok(_) => Ok(Rotated::Rotated(Version::NONE)),
            Err(error) if matches!(error.code(), Some(DUPLICATE | OUT_OF_RANGE)) => Ok(Rotated::KeyTaken),
            Err(error) => Err(error),
        }
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
        let statements = &self.layout().await?.statements;
        let (now, limit) = (Bind::Bigint(now.as_millis()), Bind::Bigint(limit.get().into()));
        if self.limit_subquery {
            return self.connections.execute(&statements.purge, &[now, limit, now]).await;
        }
        let id = |row: &MysqlRow| columns(row, |[id]| typeorm::id(id));
        let ids = self.connections.read(&statements.find_expired, &[now, limit], id).await?;
        let mut ids: Vec<SessionKey> = ids.into_iter().collect::<Result<_>>().map_err(named)?;
        ids.sort_unstable();
        let mut purged = 0;
        for ids in ids.chunks(MAX_ROWS) {
            let (size, many) = statements.many(ids.len());
            let mut values = vec![now];
            values.extend(filled(ids.iter().map(text), size));
            purged += self.connections.execute_part(&many.purge_ids, &values, purged).await?;
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
        typeorm::check_principal(filter.principal.as_ref()).map_err(named)?;
        let statements = &self.layout().await?.statements;
        let (now, limit) = (Bind::Bigint(now.as_millis()), Bind::Bigint(limit.get().into()));
        let rows = match after {
            None => self.connections.read(&statements.list, &[now, limit], listed).await?,
            Some(after) => {
                typeorm::check_key(after).map_err(named)?;
                let values = [now, text(after), limit];
                self.connections.read(&statements.list_after, &values, listed).await?
            }
        };
        rows.into_iter().collect::<Result<_>>().map_err(named)
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        typeorm::check_principal(filter.principal.as_ref()).map_err(named)?;
        let statement = &self.layout().await?.statements.count;
        let rows = self.connections.read(statement, &[Bind::Bigint(now.as_millis())], number).await?;
        let count = rows.into_iter().next().transpose().map_err(named)?;
        Ok(convert::count(count.unwrap_or(0)))
    }

    async fn clear(&self) -> Result<u64> {
        self.connections.execute(&self.layout().await?.statements.clear, &[]).await
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
        let statements = &self.layout().await?.statements;
        let sound: Vec<&SessionKey> = places.keys().copied().collect();
        for ids in sound.chunks(MAX_ROWS) {
            let (size, many) = statements.many(ids.len());
            let mut values: Vec<Bind<'_>> = filled(ids.iter().copied().map(text), size).collect();
            values.push(Bind::Bigint(now.as_millis()));
            for row in self.connections.read(&many.load, &values, listed).await? {
                let row = row.map_err(named)?;
                // Another id, which the collation takes for one of these, is not asked for.
                if let Some(&place) = places.get(&row.key) {
                    outcomes[place] = row.record.map(Some);
                }
            }
        }
        Ok(outcomes)
    }

    /// Loads as in the native layout. Writes go one by one.
    fn gathering(&self) -> Gathering {
        Gathering { read_lanes: 2, write_lanes: 0, max_batch: MAX_ROWS, max_bytes: 4 << 20 }
    }
}

impl fmt::Debug for MysqlTypeormStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlTypeormStore")
            .field("table", &self.table)
            .field("columns", &self.columns)
            .field("pool", &self.connections.pool.status())
            .finish_non_exhaustive()
    }
}

fn listed(row: &MysqlRow) -> Result<Listed> {
    columns(row, |[json, expired_at, id]| {
        Ok(Listed { key: typeorm::id(id)?, record: typeorm::record([json, expired_at]).map_err(named) })
    })
}

fn number(row: &MysqlRow) -> Result<i64> {
    columns(row, |[number]| convert::bigint("number", number))
}

/// An id as text, which an index on text is good for.
fn text(key: &SessionKey) -> Bind<'_> {
    Bind::Text(key.as_text().unwrap_or_default())
}

/// In microseconds.
fn moment(now: Timestamp) -> Bind<'static> {
    Bind::Bigint(typeorm::moment(now) * 1000)
}

fn named(error: Error) -> Error {
    error.with_backend(BACKEND)
}
