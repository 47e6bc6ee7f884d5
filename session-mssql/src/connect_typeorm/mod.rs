//! The table of the Node package connect-typeorm, shared with a Node application.

mod statements;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use session_core::{
    Capabilities, ConnectTypeorm, Create, Created, Destroy, DestroyMode, Error, Filter, Finding, KeyFormat,
    Listed, Payload, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, TableName, Timestamp,
    Touch, Update, Updated, Version,
};
use tiberius::ToSql;
use tokio::sync::OnceCell;

use crate::BACKEND;
use crate::convert::{self, Cells, KeyParam, check_key};
use crate::datetime;
use crate::diagnose;
use crate::error;
use crate::pool::{Database, Pool};
use crate::store::{first_row, no_principal, no_version, purge, server_time, unsupported};
pub(crate) use statements::NOT_IN_CODE_PAGE;
use statements::{Shape, Statements, Text};

/// The table of connect-typeorm: `expiredAt bigint`, `id varchar(255)`, `json text`, `destroyedAt datetime2`.
///
/// A Node application and this one can use it at the same time. Ids stand in it in clear and are compared byte for
/// byte, whatever the table's collation.
///
/// The table has no versions, principals or times of creation, so the calls that need them return
/// [`Unsupported`](session_core::ErrorKind::Unsupported). One without `destroyedAt`, as version 1.1.4 has it, is
/// recognised; sessions are then destroyed with [`DestroyMode::Hard`].
///
/// In a table that TypeORM made, `varchar` and `text` hold the characters of one code page. An id or a session with
/// another one is refused with [`InvalidInput`](session_core::ErrorKind::InvalidInput) and nothing is changed, where
/// Node writes question marks. Two ids that its primary key takes for the same (they differ in case, or in
/// trailing blanks) cannot be there both: creating the second returns [`Created::KeyTaken`]. A table of
/// [`create_table`](MssqlTypeormStore::create_table) holds every character and every id, and TypeORM reads and
/// writes it all the same.
///
/// [`MssqlStoreBuilder::connect_typeorm`](crate::MssqlStoreBuilder::connect_typeorm) opens it.
#[derive(Clone)]
pub struct MssqlTypeormStore {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    table: TableName,
    columns: ConnectTypeorm,
    schema: String,
    /// Known from the first look at a table that is there.
    layout: OnceCell<Layout>,
}

#[derive(Debug)]
struct Layout {
    shape: Shape,
    statements: Statements,
}

impl MssqlTypeormStore {
    /// Looks at the table, which need not be there yet.
    pub(crate) async fn open(
        database: Database,
        table: Option<TableName>,
        columns: ConnectTypeorm,
    ) -> Result<MssqlTypeormStore> {
        let table = table.map_or_else(|| TableName::new(ConnectTypeorm::TABLE), Ok)?;
        let schema = Statements::schema(&table, &columns);
        let layout = OnceCell::new();
        let store = MssqlTypeormStore { inner: Arc::new(Inner { database, table, columns, schema, layout }) };
        match store.layout().await {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(store),
        }
    }

    /// Makes the table, if there is none of this name. It is safe when called at once by many.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if a right or the schema is missing.
    ///
    /// # Cancel safety
    /// One transaction: dropping the future leaves the table, or none.
    pub async fn create_table(&self) -> Result<()> {
        let once = crate::statements::create_once(&self.inner.table, &self.inner.schema);
        self.inner.database.run(&once, &[]).await.map(drop)
    }

    /// The statements that make the table, for a migration.
    pub fn schema_sql(&self) -> &str {
        &self.inner.schema
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.inner.table
    }

    /// The connections.
    pub fn pool(&self) -> &Pool {
        self.inner.database.pool()
    }

    /// What the table is like, as it was when it was first seen.
    async fn layout(&self) -> Result<&Layout> {
        self.inner.layout.get_or_try_init(|| self.look()).await
    }

    async fn look(&self) -> Result<Layout> {
        let Inner { database, table, columns, .. } = &*self.inner;
        let found = diagnose::columns(database, &table.quoted('[', ']')).await?;
        if found.is_empty() {
            return Err(error::numbered(MISSING, 16));
        }
        let find = |name: &str| found.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        let text = |name: &str| match find(name) {
            Some(column) if ["varchar", "text", "char"].contains(&column.kind.as_str()) => {
                collation(&column.collation).map(Text::Narrow)
            }
            // Where it is missing the statements say so.
            _ => Ok(Text::Wide),
        };
        let shape = Shape {
            id: text(columns.id())?,
            json: text(columns.json())?,
            tombstones: find(columns.destroyed_at()).is_some(),
        };
        let statements = Statements::new(table, columns, &shape);
        Ok(Layout { shape, statements })
    }

    async fn statements(&self) -> Result<&Statements> {
        Ok(&self.layout().await?.statements)
    }

    /// Runs a statement that gives a row if it was done.
    async fn done(&self, statement: &str, params: &[&dyn ToSql]) -> Result<bool> {
        Ok(first_row(self.inner.database.run(statement, params).await?).is_some())
    }

    fn tombstones(&self) -> bool {
        self.inner.layout.get().is_none_or(|layout| layout.shape.tombstones)
    }

    fn mode(&self, mode: DestroyMode) -> Result<()> {
        if mode == DestroyMode::Hard || self.tombstones() {
            return Ok(());
        }
        Err(unsupported("this table keeps no destroyed sessions; use `DestroyMode::Hard`"))
    }
}

#[async_trait]
impl Store for MssqlTypeormStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        capabilities.versions = false;
        capabilities.principals = false;
        capabilities.created_at = false;
        capabilities.tombstones = self.tombstones();
        capabilities
    }

    fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    async fn create(&self, create: &Create, _now: Timestamp) -> Result<Created> {
        check_key(KeyFormat::Plain, &create.key)?;
        no_principal(create.principal.as_ref())?;
        let params: [&dyn ToSql; 3] =
            [&KeyParam(&create.key), &create.payload.as_str(), &create.expires_at.as_millis()];
        let row = first_row(self.inner.database.run(&self.statements().await?.create, &params).await?);
        match row.map(|row| Cells::of(row).number("done")).transpose()? {
            Some(1) => Ok(Created::Created),
            Some(0) => Ok(Created::KeyTaken),
            _ => Err(error::unexpected("the server did not say what became of a create")),
        }
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        check_key(KeyFormat::Plain, key)?;
        let params: [&dyn ToSql; 2] = [&KeyParam(key), &now.as_millis()];
        let row = first_row(self.inner.database.read(&self.statements().await?.load, &params).await?);
        row.map(|row| record(&mut Cells::of(row))).transpose()
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        check_key(KeyFormat::Plain, &update.key)?;
        no_version(update.expected)?;
        no_principal(update.principal.as_ref())?;
        let params: [&dyn ToSql; 4] = [
            &KeyParam(&update.key),
            &now.as_millis(),
            &update.payload.as_str(),
            &update.expires_at.as_millis(),
        ];
        match self.done(&self.statements().await?.update, &params).await? {
            true => Ok(Updated::Saved(Version::NONE)),
            false => Ok(Updated::Gone),
        }
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        check_key(KeyFormat::Plain, &touch.key)?;
        let params: [&dyn ToSql; 3] =
            [&KeyParam(&touch.key), &now.as_millis(), &touch.expires_at.as_millis()];
        self.done(&self.statements().await?.touch, &params).await
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        check_key(KeyFormat::Plain, &destroy.key)?;
        let statements = self.statements().await?;
        self.mode(destroy.mode)?;
        let (key, millis, moment) = (KeyParam(&destroy.key), now.as_millis(), moment(now));
        match destroy.mode {
            DestroyMode::Soft => self.done(&statements.bury, &[&key, &millis, &moment]).await,
            DestroyMode::Hard => self.done(&statements.remove, &[&key, &millis]).await,
        }
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        check_key(KeyFormat::Plain, &rotate.from)?;
        check_key(KeyFormat::Plain, &rotate.to)?;
        no_version(rotate.expected)?;
        no_principal(rotate.principal.as_ref())?;
        let statements = self.statements().await?;
        self.mode(rotate.mode)?;
        if rotate.from == rotate.to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            )
            .with_backend(BACKEND));
        }
        let moment = moment(now);
        let (from, to) = (KeyParam(&rotate.from), KeyParam(&rotate.to));
        let payload = rotate.payload.as_ref().map_or("", Payload::as_str);
        let (now, expires_at) = (now.as_millis(), rotate.expires_at.as_millis());
        let replace = i32::from(rotate.payload.is_some());
        let mut params: Vec<&dyn ToSql> = vec![&from, &now, &to, &payload, &expires_at, &replace];
        let statement = match rotate.mode {
            DestroyMode::Hard => &statements.rotate_hard,
            DestroyMode::Soft => {
                params.push(&moment);
                &statements.rotate_soft
            }
        };
        let row = first_row(self.inner.database.run(statement, &params).await?);
        match row.map(|row| Cells::of(row).number("done")).transpose()? {
            Some(1) => Ok(Rotated::Rotated(Version::NONE)),
            Some(_) => Ok(Rotated::KeyTaken),
            None => Ok(Rotated::Gone),
        }
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        _except: Option<&SessionKey>,
        _mode: DestroyMode,
        _now: Timestamp,
    ) -> Result<u64> {
        no_principal(Some(principal)).map(|()| 0)
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        purge(&self.inner.database, &self.statements().await?.purge, &now.as_millis(), limit).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        no_principal(filter.principal.as_ref())?;
        let statements = self.statements().await?;
        let (now, limit, after) = (now.as_millis(), i64::from(limit.get()), after.map(KeyParam));
        let mut params: Vec<&dyn ToSql> = vec![&now, &limit];
        let mut list = &statements.list;
        if let Some(after) = &after {
            check_key(KeyFormat::Plain, after.0)?;
            params.push(after);
            list = &statements.list_after;
        }
        let sets = self.inner.database.read_listing(&list.decoded, &list.bytes, &params).await?;
        let rows = sets.into_iter().flatten();
        rows.map(|row| Cells::of(row).listed(KeyFormat::Plain, record)).collect()
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        no_principal(filter.principal.as_ref())?;
        let statement = &self.statements().await?.count;
        convert::count(self.inner.database.read(statement, &[&now.as_millis()]).await?)
    }

    async fn clear(&self) -> Result<u64> {
        convert::count(self.inner.database.run(&self.statements().await?.clear, &[]).await?)
    }

    async fn server_time(&self) -> Result<Timestamp> {
        server_time(&self.inner.database).await
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        diagnose::connect_typeorm(&self.inner.database, &self.inner.table, &self.inner.columns).await
    }
}

impl fmt::Debug for MssqlTypeormStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MssqlTypeormStore")
            .field("table", &self.inner.table)
            .field("columns", &self.inner.columns)
            .field("pool", self.pool().manager())
            .finish_non_exhaustive()
    }
}

/// SQL Server's number for a table that is not there.
const MISSING: u32 = 208;

fn is_missing(error: &Error) -> bool {
    error.code() == Some("208")
}

fn record(cells: &mut Cells) -> Result<Record> {
    Ok(Record {
        payload: Payload::from(cells.text("json")?),
        expires_at: Timestamp::from_millis(cells.number("expiredAt")?),
        created_at: None,
        version: Version::NONE,
        principal: None,
    })
}

/// When a session was destroyed, in UTC. TypeORM writes the server's local time; nobody reads more of it than that it
/// is there.
fn moment(now: Timestamp) -> datetime::Param {
    datetime::Param::now(now, None)
}

/// The catalogue's name of a collation, which goes into statements.
fn collation(name: &str) -> Result<String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(error::unexpected("the catalogue does not say which collation a column of the table has"))
}
