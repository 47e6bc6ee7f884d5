//! The store: the contract's operations as statements of the native layout.

use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding, Gathering,
    KeyFormat, Listed, Payload, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, TableName,
    Timestamp, Touch, Update, Updated, Version, Write, Written,
};
use tiberius::{Row, ToSql};

use crate::BACKEND;
use crate::builder::MssqlStoreBuilder;
use crate::convert::{self, Cells, KeyParam, check_key, name};
use crate::diagnose;
use crate::error;
use crate::pool::{Database, Pool};
use crate::statements::{ByMode, Listing, PURGE_BATCH, SERVER_TIME, Statements, rotated};

/// How often an update or a rotation is run again when the session was changed between two statements of its batch.
const AGAIN: usize = 8;

/// A table of sessions in SQL Server.
///
/// Cheap to clone; clones share their connections. It gives every guarantee of [`Store`], on SQL Server's default
/// isolation and with READ_COMMITTED_SNAPSHOT. Each operation is one batch and one round trip, but for a purge, which
/// works in batches.
#[derive(Clone)]
pub struct MssqlStore {
    inner: std::sync::Arc<Inner>,
}

struct Inner {
    database: Database,
    table: TableName,
    format: KeyFormat,
    statements: Statements,
}

impl MssqlStore {
    /// Opens the database that an ADO.NET connection string names, with all options at their defaults, and tries one
    /// connection: `Server=tcp:db.example,1433;User=app;Password=…;Database=web`.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if the string cannot be read;
    /// [`Unavailable`](session_core::ErrorKind::Unavailable) if the server cannot be reached;
    /// [`Backend`](session_core::ErrorKind::Backend) if it refuses the login or the TLS handshake fails.
    pub async fn connect(ado_string: &str) -> Result<MssqlStore> {
        MssqlStore::builder().ado_string(ado_string).connect().await
    }

    /// All options.
    pub fn builder() -> MssqlStoreBuilder {
        MssqlStoreBuilder::default()
    }

    pub(crate) fn new(database: Database, table: TableName, format: KeyFormat) -> MssqlStore {
        let statements = Statements::new(&table, format);
        MssqlStore { inner: std::sync::Arc::new(Inner { database, table, format, statements }) }
    }

    /// Makes the table and its indexes, if there is no table of this name. It is safe when called at once by many.
    ///
    /// It needs the rights to make a table in the schema, which must be there. Nothing else here needs them: a
    /// program that may only read and write can leave this call out, if somebody else has run
    /// [`schema_sql`](MssqlStore::schema_sql).
    ///
    /// # Errors
    /// [`Backend`](session_core::ErrorKind::Backend) if a right or the schema is missing.
    ///
    /// # Cancel safety
    /// One transaction: dropping the future leaves the table with its indexes, or none.
    pub async fn create_table(&self) -> Result<()> {
        self.inner.database.run(&self.inner.statements.create_table, &[]).await.map(drop)
    }

    /// The statements that make the table and its indexes, for a migration.
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

    pub(crate) fn database(&self) -> &Database {
        &self.inner.database
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.inner.statements
    }

    fn check(&self, key: &SessionKey) -> Result<()> {
        check_key(self.inner.format, key)
    }

    /// Runs a statement that gives at most one row.
    async fn one_row(&self, statement: &str, params: &[&dyn ToSql]) -> Result<Option<Row>> {
        Ok(first_row(self.inner.database.run(statement, params).await?))
    }

    async fn counted(&self, statement: &str, params: &[&dyn ToSql]) -> Result<u64> {
        convert::count(self.inner.database.run(statement, params).await?)
    }
}

#[async_trait]
impl Store for MssqlStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn key_format(&self) -> KeyFormat {
        self.inner.format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.check(&create.key)?;
        let params: [&dyn ToSql; 5] = [
            &KeyParam(&create.key),
            &create.payload.as_str(),
            &create.expires_at.as_millis(),
            &now.as_millis(),
            &name(create.principal.as_ref()),
        ];
        let row = self.one_row(&self.inner.statements.create, &params).await?;
        match row.map(|row| Cells::of(row).number("created")).transpose()? {
            Some(1) => Ok(Created::Created),
            Some(0) => Ok(Created::KeyTaken),
            _ => Err(error::unexpected("the server did not say what became of a create")),
        }
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.check(key)?;
        let sets = self
            .inner
            .database
            .read(&self.inner.statements.load, &[&KeyParam(key), &now.as_millis()])
            .await?;
        first_row(sets).map(|row| Cells::of(row).record()).transpose()
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.check(&update.key)?;
        let (key, now, expires_at) = (KeyParam(&update.key), now.as_millis(), update.expires_at.as_millis());
        let payload = update.payload.as_str();
        let principal = name(update.principal.as_ref());
        let mut params: Vec<&dyn ToSql> = vec![&key, &now, &payload, &expires_at, &principal];
        let Some(expected) = update.expected else {
            let row = self.one_row(&self.inner.statements.update, &params).await?;
            let version = row.map(|row| Cells::of(row).version()).transpose()?;
            return Ok(version.map_or(Updated::Gone, Updated::Saved));
        };
        let expected = expected.get();
        params.push(&expected);
        for _ in 0..AGAIN {
            let mut sets =
                self.inner.database.run(&self.inner.statements.update_expected, &params).await?.into_iter();
            if let Some(row) = sets.next().and_then(first) {
                return Cells::of(row).version().map(Updated::Saved);
            }
            match sets.next().and_then(first).map(|row| Cells::of(row).version()).transpose()? {
                None => return Ok(Updated::Gone),
                // It came to have the expected version only after the first statement had looked.
                Some(version) if version.get() == expected => {}
                Some(_) => return Ok(Updated::Stale),
            }
        }
        Err(changes_too_fast())
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        self.check(&touch.key)?;
        let params: [&dyn ToSql; 3] =
            [&KeyParam(&touch.key), &now.as_millis(), &touch.expires_at.as_millis()];
        Ok(self.one_row(&self.inner.statements.touch, &params).await?.is_some())
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.check(&destroy.key)?;
        let statement = self.inner.statements.destroy.of(destroy.mode);
        Ok(self.one_row(statement, &[&KeyParam(&destroy.key), &now.as_millis()]).await?.is_some())
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
        let params: [&dyn ToSql; 8] = [
            &KeyParam(&rotate.from),
            &now.as_millis(),
            &KeyParam(&rotate.to),
            &rotate.payload.as_ref().map_or("", Payload::as_str),
            &rotate.expires_at.as_millis(),
            &name(rotate.principal.as_ref()),
            &rotate.expected.map(Version::get),
            &i32::from(rotate.payload.is_some()),
        ];
        for _ in 0..AGAIN {
            let Some(row) = self.one_row(self.inner.statements.rotate.of(rotate.mode), &params).await? else {
                return Ok(Rotated::Gone);
            };
            let mut cells = Cells::of(row);
            match cells.number("outcome")? {
                rotated::DONE => return cells.version().map(Rotated::Rotated),
                rotated::STALE => return Ok(Rotated::Stale),
                rotated::KEY_TAKEN => return Ok(Rotated::KeyTaken),
                rotated::CHANGED => {}
                _ => return Err(error::unexpected("the server did not say what became of a rotation")),
            }
        }
        Err(changes_too_fast())
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        let statements = &self.inner.statements;
        let (principal, now) = (principal.as_str(), now.as_millis());
        match except {
            None => self.counted(statements.destroy_principal.of(mode), &[&principal, &now]).await,
            Some(except) => {
                self.check(except)?;
                self.counted(statements.destroy_others.of(mode), &[&principal, &now, &KeyParam(except)]).await
            }
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        purge(&self.inner.database, &self.inner.statements.purge, &now.as_millis(), limit).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let statements = &self.inner.statements;
        let (now, limit, after) = (now.as_millis(), i64::from(limit.get()), after.map(KeyParam));
        let principal = filter.principal.as_ref().map(Principal::as_str);
        let mut params: Vec<&dyn ToSql> = vec![&now, &limit];
        if let Some(after) = &after {
            self.check(after.0)?;
            params.push(after);
        }
        if principal.is_some() {
            params.push(&principal);
        }
        let statement = |listing| Listing::of(listing, after.is_some(), principal.is_some());
        let sets = self
            .inner
            .database
            .read_listing(statement(&statements.list), statement(&statements.list_bytes), &params)
            .await?;
        let rows = sets.into_iter().flatten();
        rows.map(|row| Cells::of(row).listed(self.inner.format, Cells::record)).collect()
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let (statements, now) = (&self.inner.statements.count, now.as_millis());
        let database = &self.inner.database;
        convert::count(match filter.principal.as_ref().map(Principal::as_str) {
            None => database.read(&statements.all, &[&now]).await?,
            Some(principal) => database.read(&statements.principal, &[&now, &principal]).await?,
        })
    }

    async fn clear(&self) -> Result<u64> {
        self.counted(&self.inner.statements.clear, &[]).await
    }

    async fn server_time(&self) -> Result<Timestamp> {
        server_time(&self.inner.database).await
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        diagnose::native(&self.inner.database, &self.inner.table, self.inner.format).await
    }

    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        self.load_batch(keys, now).await
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.write_batch(writes, now).await
    }

    fn gathering(&self) -> Gathering {
        GATHERING
    }
}

impl fmt::Debug for MssqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MssqlStore")
            .field("table", &self.inner.table)
            .field("format", &self.inner.format)
            .field("pool", self.pool().manager())
            .finish_non_exhaustive()
    }
}

impl Listing {
    fn of(&self, is_after: bool, is_filtered: bool) -> &str {
        let by_filter = if is_after { &self.after } else { &self.first };
        if is_filtered { &by_filter.principal } else { &by_filter.all }
    }
}

impl ByMode {
    fn of(&self, mode: DestroyMode) -> &str {
        match mode {
            DestroyMode::Soft => &self.soft,
            DestroyMode::Hard => &self.hard,
        }
    }
}

/// Measured on Babelfish at 64 callers with two lanes of each kind and 32 in a batch: 5 to 8 times the calls one by one.
/// One lane of writes halves that, and larger batches gain nothing. The statements for many keys cut their values from
/// one long text, which Babelfish does in time that grows with its square, so batches are small.
const GATHERING: Gathering = Gathering { read_lanes: 2, write_lanes: 2, max_batch: 32, max_bytes: 64 * 1024 };

/// Deletes expired rows in batches that stay under the limit of lock escalation.
pub(crate) async fn purge(
    database: &Database,
    statement: &str,
    now: &dyn ToSql,
    limit: NonZeroU32,
) -> Result<u64> {
    let (mut left, mut removed) = (limit.get(), 0);
    let mut conflicts = 0;
    while left > 0 {
        let batch = left.min(PURGE_BATCH);
        let rows = match database.run(statement, &[now, &i64::from(batch)]).await.and_then(convert::count) {
            Ok(rows) => rows,
            // Nothing is counted yet: the caller can begin anew.
            Err(error) if removed == 0 => return Err(error),
            // This batch lost against others, and the earlier ones are to be counted.
            Err(error) if error.kind() == ErrorKind::Conflict && conflicts < AGAIN => {
                conflicts += 1;
                continue;
            }
            // What an earlier batch removed stays removed.
            Err(error) => return Err(error.with_indeterminate(true)),
        };
        removed += rows;
        if rows < u64::from(batch) {
            break;
        }
        left -= batch;
    }
    Ok(removed)
}

pub(crate) async fn server_time(database: &Database) -> Result<Timestamp> {
    let row = first_row(database.read(SERVER_TIME, &[]).await?);
    row.and_then(|row| Cells::of(row).number("now").ok())
        .map(Timestamp::from_millis)
        .ok_or_else(|| error::unexpected("the server did not tell its time").with_indeterminate(false))
}

/// The first row of any set.
pub(crate) fn first_row(sets: Vec<Vec<Row>>) -> Option<Row> {
    sets.into_iter().flatten().next()
}

fn first(set: Vec<Row>) -> Option<Row> {
    set.into_iter().next()
}

fn changes_too_fast() -> Error {
    Error::new(ErrorKind::Conflict, "others changed the session all the time; try again")
        .with_backend(BACKEND)
}

/// For tables that hold no principals.
pub(crate) fn no_principal(principal: Option<&Principal>) -> Result<()> {
    principal.map_or(Ok(()), |_| Err(unsupported("this table does not hold whom a session belongs to")))
}

/// For tables that hold no versions.
pub(crate) fn no_version(expected: Option<Version>) -> Result<()> {
    expected
        .map_or(Ok(()), |_| Err(unsupported("this table does not count updates, so none can be expected")))
}

pub(crate) fn unsupported(what: &str) -> Error {
    Error::unsupported(what).with_backend(BACKEND)
}
