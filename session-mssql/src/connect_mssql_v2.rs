//! The table of the Node package `connect-mssql-v2`, shared with a Node application.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, Filter, Finding, KeyFormat, Listed, Payload,
    Principal, Record, Result, Rotate, Rotated, SessionKey, Store, TableName, Timestamp, Touch, Update,
    Updated, Version,
};
use tiberius::ToSql;

use crate::BACKEND;
use crate::builder::{Connecting, connecting_options};
use crate::convert::{self, Cells, KeyParam, check_key};
use crate::datetime::{self, LocalTime};
use crate::diagnose;
use crate::error;
use crate::pool::{Database, Pool};
use crate::statements::IF_TEXTS_ARE_UTF16;
use crate::store::{first_row, no_principal, no_version, purge, server_time, unsupported};

/// The table of `connect-mssql-v2`: `[sid] nvarchar(255)`, `[session] nvarchar(max)`, `[expires] datetime`.
///
/// A Node application and this one can use it at the same time. Ids stand in it in clear and are compared byte for
/// byte, whatever the table's collation. What an application does not know in a session's JSON it keeps, if its data
/// type does, as [`serde_json::Value`] does.
///
/// The table has no versions, principals, tombstones or times of creation, so the calls that need them return
/// [`Unsupported`](session_core::ErrorKind::Unsupported). In a table that was made as Node's documentation says, two
/// ids that its primary key takes for the same (they differ in trailing blanks, or in case) cannot be there both:
/// creating the second returns [`Created::KeyTaken`]. A table of [`create_table`](ConnectMssqlV2Store::create_table)
/// has a fourth, computed column that keeps them apart, and Node can use it all the same.
///
/// Expiries are held in steps of 1/300 s: a session never dies earlier than asked, and at most 4 ms later. What is
/// beyond the year 9999 is for ever.
#[derive(Clone)]
pub struct ConnectMssqlV2Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    table: TableName,
    local_time: Option<LocalTime>,
    statements: Statements,
}

/// The options of a [`ConnectMssqlV2Store`].
#[derive(Clone, Default)]
pub struct ConnectMssqlV2StoreBuilder {
    connecting: Connecting,
    table: TableName,
    local_time: Option<LocalTime>,
}

impl ConnectMssqlV2StoreBuilder {
    connecting_options!();

    /// The table, with or without its schema. Defaults to `sessions`, as in Node.
    #[must_use]
    pub fn table(mut self, table: TableName) -> Self {
        self.table = table;
        self
    }

    /// For Node's `useUTC: false`: expiries are written, compared and read in local time. `minutes_ahead` says how
    /// many minutes that is ahead of UTC at a time, as the Node application's host would.
    ///
    /// Defaults to UTC, as in Node. Where clocks are set back an hour happens twice, and a session that ends in it may
    /// end an hour early or late: share a table in UTC where you can.
    #[must_use]
    pub fn local_time(mut self, minutes_ahead: impl Fn(Timestamp) -> i32 + Send + Sync + 'static) -> Self {
        self.local_time = Some(Arc::new(minutes_ahead));
        self
    }

    /// The store, without a connection yet: the first operation opens one.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) for options that are wrong or contradict one another.
    pub fn build(self) -> Result<ConnectMssqlV2Store> {
        Ok(ConnectMssqlV2Store::new(self.connecting.build()?, self.table, self.local_time))
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
    pub async fn connect(self) -> Result<ConnectMssqlV2Store> {
        Ok(ConnectMssqlV2Store::new(self.connecting.connect().await?, self.table, self.local_time))
    }
}

impl fmt::Debug for ConnectMssqlV2StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectMssqlV2StoreBuilder")
            .field("connecting", &self.connecting)
            .field("table", &self.table)
            .field("local_time", &self.local_time.is_some())
            .finish()
    }
}

/// The statements for one table; their peculiarities are those of the native layout's.
#[derive(Debug)]
struct Statements {
    /// Id, payload, expiry. One row: 1 if it was done, 0 if the id is taken.
    create: String,
    /// Id, now. Payload and expiry, or no row.
    load: String,
    /// Id, now, payload, expiry. A row if it was done.
    update: String,
    /// Id, now, expiry. A row if it was done.
    touch: String,
    /// Id, now. A row if it was done.
    destroy: String,
    /// Id, now, new id, payload, expiry, 1 to replace the payload. 1 if it was done, 0 if the new id is taken, no row
    /// if the session is dead.
    rotate: String,
    /// Now, the most rows. How many.
    purge: String,
    /// Now, the most rows. Ids, payloads and expiries.
    list: Texts,
    /// Now, the most rows, the id to go on behind. Ids, payloads and expiries.
    list_after: Texts,
    /// Now. How many.
    count: String,
    /// How many.
    clear: String,
    /// The table, as a migration has it.
    schema: String,
    /// The same, where it is not there yet.
    create_table: String,
}

/// A listing, and the same with texts as their bytes.
#[derive(Debug)]
struct Texts {
    decoded: String,
    bytes: String,
}

impl Statements {
    fn new(table: &TableName) -> Statements {
        let t = table.quoted('[', ']');
        // The first comparison searches the primary key, the others are exact.
        let is =
            "[sid] = @P1 AND [sid] COLLATE Latin1_General_BIN2 = @P1 AND DATALENGTH([sid]) = DATALENGTH(@P1)";
        let live = "[expires] > @P2";
        let list = |before: &str, columns: &str, condition: &str| {
            format!(
                "{before}SELECT TOP (@P2) {columns} FROM {t} WHERE [expires] > @P1{condition} \
                 ORDER BY [sid], DATALENGTH([sid])"
            )
        };
        let list = |condition: &str| Texts {
            decoded: list("", "[sid], [session], [expires]", condition),
            bytes: list(
                IF_TEXTS_ARE_UTF16,
                "CAST([sid] AS varbinary(510)), CAST([session] AS varbinary(max)), [expires]",
                condition,
            ),
        };
        let caught = "BEGIN CATCH IF ERROR_NUMBER() NOT IN (2601, 2627) THROW; SELECT 0 AS [done]; END CATCH";
        // The length belongs to the primary key, as two ids that differ in trailing blanks are equal to `=`. It is
        // computed, so that Node, which knows nothing of it, can write the table.
        let schema = format!(
            "CREATE TABLE {t} (\n    \
             [sid] nvarchar(255) COLLATE Latin1_General_BIN2 NOT NULL,\n    \
             [session] nvarchar(max) NOT NULL,\n    \
             [expires] datetime NOT NULL,\n    \
             [sid_bytes] AS CAST(DATALENGTH([sid]) AS int) PERSISTED NOT NULL,\n    \
             CONSTRAINT [{}_pk] PRIMARY KEY CLUSTERED ([sid], [sid_bytes])\n\
             );\n\
             CREATE INDEX [{}_expires] ON {t} ([expires]);\n",
            table.table(),
            table.table(),
        );
        Statements {
            create: format!(
                "SET NOCOUNT ON; BEGIN TRY \
                 INSERT INTO {t} ([sid], [session], [expires]) VALUES (@P1, @P2, @P3); SELECT 1 AS [done]; \
                 END TRY {caught}"
            ),
            load: format!("SELECT [session], [expires] FROM {t} WHERE {is} AND {live}"),
            update: format!(
                "UPDATE {t} WITH (ROWLOCK) SET [session] = @P3, [expires] = @P4 OUTPUT inserted.[expires] \
                 WHERE {is} AND {live}"
            ),
            touch: format!(
                "UPDATE {t} WITH (ROWLOCK) SET [expires] = @P3 OUTPUT inserted.[expires] WHERE {is} AND {live}"
            ),
            destroy: format!("DELETE FROM {t} WITH (ROWLOCK) OUTPUT deleted.[expires] WHERE {is} AND {live}"),
            rotate: format!(
                "SET NOCOUNT ON; BEGIN TRY \
                 UPDATE {t} WITH (ROWLOCK) SET [sid] = @P3, \
                 [session] = CASE WHEN @P6 = 1 THEN @P4 ELSE [session] END, [expires] = @P5 WHERE {is} AND {live}; \
                 IF @@ROWCOUNT = 1 SELECT 1 AS [done]; \
                 END TRY {caught}"
            ),
            purge: format!(
                "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; \
                 DELETE TOP (@P2) FROM {t} WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE [expires] <= @P1; \
                 SELECT ROWCOUNT_BIG() AS [rows]; \
                 SET DEADLOCK_PRIORITY NORMAL"
            ),
            list: list(""),
            list_after: list(" AND ([sid] > @P3 OR ([sid] = @P3 AND DATALENGTH([sid]) > DATALENGTH(@P3)))"),
            count: format!("SELECT COUNT_BIG(*) AS [rows] FROM {t} WHERE [expires] > @P1"),
            clear: format!("SET NOCOUNT ON; DELETE FROM {t}; SELECT ROWCOUNT_BIG() AS [rows]"),
            create_table: crate::statements::create_once(table, &schema),
            schema,
        }
    }
}

impl ConnectMssqlV2Store {
    /// Opens the database that an ADO.NET connection string names, with all options at their defaults, and tries one
    /// connection.
    ///
    /// # Errors
    /// As [`ConnectMssqlV2StoreBuilder::connect`].
    pub async fn connect(ado_string: &str) -> Result<ConnectMssqlV2Store> {
        ConnectMssqlV2Store::builder().ado_string(ado_string).connect().await
    }

    /// All options.
    pub fn builder() -> ConnectMssqlV2StoreBuilder {
        ConnectMssqlV2StoreBuilder::default()
    }

    fn new(database: Database, table: TableName, local_time: Option<LocalTime>) -> ConnectMssqlV2Store {
        let statements = Statements::new(&table);
        ConnectMssqlV2Store { inner: Arc::new(Inner { database, table, local_time, statements }) }
    }

    /// Makes the table, if there is none of this name. It is safe when called at once by many. Unlike the table of
    /// Node's documentation it has an index on the expiry, and keeps all ids apart that differ in any byte.
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if a right or the schema is missing.
    ///
    /// # Cancel safety
    /// One transaction: dropping the future leaves the table, or none.
    pub async fn create_table(&self) -> Result<()> {
        self.inner.database.run(&self.inner.statements.create_table, &[]).await.map(drop)
    }

    /// The statement that makes the table, for a migration.
    pub fn schema_sql(&self) -> &str {
        &self.inner.statements.schema
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.inner.table
    }

    /// The connections.
    pub fn pool(&self) -> &Pool {
        self.inner.database.pool()
    }

    fn now(&self, now: Timestamp) -> datetime::Param {
        datetime::Param::now(now, self.inner.local_time.as_ref())
    }

    fn expiry(&self, expires_at: Timestamp) -> datetime::Param {
        datetime::Param::expiry(expires_at, self.inner.local_time.as_ref())
    }

    fn record(&self, cells: &mut Cells) -> Result<Record> {
        Ok(Record {
            payload: Payload::from(cells.text("session")?),
            expires_at: cells.datetime("expires", self.inner.local_time.as_ref())?,
            created_at: None,
            version: Version::NONE,
            principal: None,
        })
    }

    /// Runs a statement that gives a row if it was done.
    async fn done(&self, statement: &str, params: &[&dyn ToSql]) -> Result<bool> {
        Ok(first_row(self.inner.database.run(statement, params).await?).is_some())
    }
}

#[async_trait]
impl Store for ConnectMssqlV2Store {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        capabilities.versions = false;
        capabilities.principals = false;
        capabilities.tombstones = false;
        capabilities.created_at = false;
        capabilities.exact_expiry = false;
        capabilities
    }

    fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    async fn create(&self, create: &Create, _now: Timestamp) -> Result<Created> {
        check_key(KeyFormat::Plain, &create.key)?;
        no_principal(create.principal.as_ref())?;
        let params: [&dyn ToSql; 3] =
            [&KeyParam(&create.key), &create.payload.as_str(), &self.expiry(create.expires_at)];
        let row = first_row(self.inner.database.run(&self.inner.statements.create, &params).await?);
        match row.map(|row| Cells::of(row).number("done")).transpose()? {
            Some(1) => Ok(Created::Created),
            Some(0) => Ok(Created::KeyTaken),
            _ => Err(error::unexpected("the server did not say what became of a create")),
        }
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        check_key(KeyFormat::Plain, key)?;
        let params: [&dyn ToSql; 2] = [&KeyParam(key), &self.now(now)];
        let row = first_row(self.inner.database.read(&self.inner.statements.load, &params).await?);
        row.map(|row| self.record(&mut Cells::of(row))).transpose()
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        check_key(KeyFormat::Plain, &update.key)?;
        no_version(update.expected)?;
        no_principal(update.principal.as_ref())?;
        let params: [&dyn ToSql; 4] = [
            &KeyParam(&update.key),
            &self.now(now),
            &update.payload.as_str(),
            &self.expiry(update.expires_at),
        ];
        match self.done(&self.inner.statements.update, &params).await? {
            true => Ok(Updated::Saved(Version::NONE)),
            false => Ok(Updated::Gone),
        }
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        check_key(KeyFormat::Plain, &touch.key)?;
        let params: [&dyn ToSql; 3] = [&KeyParam(&touch.key), &self.now(now), &self.expiry(touch.expires_at)];
        self.done(&self.inner.statements.touch, &params).await
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        check_key(KeyFormat::Plain, &destroy.key)?;
        no_tombstone(destroy.mode)?;
        self.done(&self.inner.statements.destroy, &[&KeyParam(&destroy.key), &self.now(now)]).await
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        check_key(KeyFormat::Plain, &rotate.from)?;
        check_key(KeyFormat::Plain, &rotate.to)?;
        no_version(rotate.expected)?;
        no_principal(rotate.principal.as_ref())?;
        no_tombstone(rotate.mode)?;
        if rotate.from == rotate.to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            )
            .with_backend(BACKEND));
        }
        let params: [&dyn ToSql; 6] = [
            &KeyParam(&rotate.from),
            &self.now(now),
            &KeyParam(&rotate.to),
            &rotate.payload.as_ref().map_or("", Payload::as_str),
            &self.expiry(rotate.expires_at),
            &i32::from(rotate.payload.is_some()),
        ];
        let row = first_row(self.inner.database.run(&self.inner.statements.rotate, &params).await?);
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
        purge(&self.inner.database, &self.inner.statements.purge, &self.now(now), limit).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        no_principal(filter.principal.as_ref())?;
        let (now, limit) = (self.now(now), i64::from(limit.get()));
        let after = after.map(KeyParam);
        let mut params: Vec<&dyn ToSql> = vec![&now, &limit];
        let mut list = &self.inner.statements.list;
        if let Some(after) = &after {
            check_key(KeyFormat::Plain, after.0)?;
            params.push(after);
            list = &self.inner.statements.list_after;
        }
        let sets = self.inner.database.read_listing(&list.decoded, &list.bytes, &params).await?;
        let rows = sets.into_iter().flatten();
        rows.map(|row| Cells::of(row).listed(KeyFormat::Plain, |cells| self.record(cells))).collect()
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        no_principal(filter.principal.as_ref())?;
        convert::count(self.inner.database.read(&self.inner.statements.count, &[&self.now(now)]).await?)
    }

    async fn clear(&self) -> Result<u64> {
        convert::count(self.inner.database.run(&self.inner.statements.clear, &[]).await?)
    }

    async fn server_time(&self) -> Result<Timestamp> {
        server_time(&self.inner.database).await
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        diagnose::connect_mssql_v2(&self.inner.database, &self.inner.table).await
    }
}

impl fmt::Debug for ConnectMssqlV2Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectMssqlV2Store")
            .field("table", &self.inner.table)
            .field("local_time", &self.inner.local_time.is_some())
            .field("pool", self.pool().manager())
            .finish_non_exhaustive()
    }
}

fn no_tombstone(mode: DestroyMode) -> Result<()> {
    match mode {
        DestroyMode::Hard => Ok(()),
        DestroyMode::Soft => {
            Err(unsupported("this table does not keep destroyed sessions; destroy them hard"))
        }
    }
}
