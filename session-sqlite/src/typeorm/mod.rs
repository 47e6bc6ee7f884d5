//! The layout of connect-typeorm: a table that a Node application uses at the same time.

mod statements;

use std::num::NonZeroU32;

use rusqlite::{Connection, Row, params};
use session_core::{
    Capabilities, ConnectTypeorm, Create, Created, Destroy, DestroyMode, Error, Filter, KeyFormat, Listed,
    Principal, Record, Result, Rotate, Rotated, SessionKey, TableName, Timestamp, Touch, Update, Updated,
    Version,
};

use crate::column;
use crate::diagnose::{Affinity, Expectation, ExpectedColumn, ExpectedIndex};
use crate::error::{BACKEND, Failure};
use crate::layout::{Answer, Layout, number};
use statements::Statements;

/// True unless the table is there and lacks the column that marks a destroyed session.
pub(crate) fn has_tombstones(db: &Connection, table: &TableName, names: &ConnectTypeorm) -> Answer<bool> {
    let mut columns = db.prepare(crate::statements::COLUMNS)?;
    let columns: Vec<String> =
        columns.query_map([table.table()], |row| row.get(0))?.collect::<std::result::Result<_, _>>()?;
    Ok(columns.is_empty() || columns.iter().any(|name| name.eq_ignore_ascii_case(names.destroyed_at())))
}

#[derive(Debug)]
pub(crate) struct Typeorm {
    table: TableName,
    columns: ConnectTypeorm,
    tombstones: bool,
    sql: Statements,
}

impl Typeorm {
    pub(crate) fn new(table: &TableName, columns: &ConnectTypeorm, tombstones: bool) -> Typeorm {
        let sql = Statements::new(table, columns, tombstones);
        Typeorm { table: table.clone(), columns: columns.clone(), tombstones, sql }
    }

    fn end(&self, db: &Connection, key: &SessionKey, mode: DestroyMode, now: Timestamp) -> Answer<bool> {
        let sql = match mode {
            DestroyMode::Soft => &self.sql.bury,
            DestroyMode::Hard => &self.sql.remove,
        };
        Ok(db.prepare_cached(sql)?.execute(params![column::key(key), now.as_millis()])? == 1)
    }

    fn record(&self, row: &Row<'_>, first: usize) -> Result<Record> {
        Ok(Record {
            payload: column::read_payload(row, first, self.columns.json())?,
            expires_at: column::read_timestamp(row, first + 1, self.columns.expired_at())?,
            created_at: None,
            version: Version::NONE,
            principal: None,
        })
    }
}

/// What needs a column that this layout lacks is refused before it comes here; see [`crate::rules`].
impl Layout for Typeorm {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::ALL;
        capabilities.versions = false;
        capabilities.principals = false;
        capabilities.created_at = false;
        capabilities.tombstones = self.tombstones;
        capabilities
    }

    fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    fn schema_sql(&self) -> &str {
        &self.sql.schema
    }

    fn expectation(&self) -> Expectation<'_> {
        let (id, expired_at, json) = (self.columns.id(), self.columns.expired_at(), self.columns.json());
        Expectation {
            table: self.table.table(),
            key: id,
            columns: vec![
                ExpectedColumn { name: id, affinity: Affinity::Text, required: true },
                ExpectedColumn { name: expired_at, affinity: Affinity::Integer, required: true },
                ExpectedColumn { name: json, affinity: Affinity::Text, required: true },
            ],
            indexes: vec![ExpectedIndex { column: expired_at, purpose: "each purge reads the whole table" }],
        }
    }

    fn create(&self, db: &Connection, create: &Create, _now: Timestamp) -> Answer<Created> {
        let rows = db.prepare_cached(&self.sql.create)?.execute(params![
            column::key(&create.key),
            create.payload.as_str(),
            create.expires_at.as_millis(),
        ])?;
        Ok(if rows == 1 { Created::Created } else { Created::KeyTaken })
    }

    fn load(&self, db: &Connection, key: &SessionKey, now: Timestamp) -> Answer<Option<Record>> {
        let mut statement = db.prepare_cached(&self.sql.load)?;
        let mut rows = statement.query(params![column::key(key), now.as_millis()])?;
        Ok(rows.next()?.map(|row| self.record(row, 0)).transpose()?)
    }

    fn update(&self, db: &Connection, update: &Update, now: Timestamp) -> Answer<Updated> {
        let rows = db.prepare_cached(&self.sql.update)?.execute(params![
            column::key(&update.key),
            update.payload.as_str(),
            update.expires_at.as_millis(),
            now.as_millis(),
        ])?;
        Ok(if rows == 1 { Updated::Saved(Version::NONE) } else { Updated::Gone })
    }

    fn touch(&self, db: &Connection, touch: &Touch, now: Timestamp) -> Answer<bool> {
        let rows = db.prepare_cached(&self.sql.touch)?.execute(params![
            column::key(&touch.key),
            touch.expires_at.as_millis(),
            now.as_millis(),
        ])?;
        Ok(rows == 1)
    }

    fn destroy(&self, db: &Connection, destroy: &Destroy, now: Timestamp) -> Answer<bool> {
        self.end(db, &destroy.key, destroy.mode, now)
    }

    fn rotate(&self, db: &Connection, rotate: &Rotate, now: Timestamp) -> Answer<Rotated> {
        let copied = db.prepare_cached(&self.sql.copy_to)?.execute(params![
            column::key(&rotate.from),
            column::key(&rotate.to),
            rotate.payload.as_ref().map(|payload| payload.as_str()),
            rotate.expires_at.as_millis(),
            now.as_millis(),
        ])?;
        if copied == 1 {
            self.end(db, &rotate.from, rotate.mode, now)?;
            return Ok(Rotated::Rotated(Version::NONE));
        }
        let live = db
            .prepare_cached(&self.sql.is_live)?
            .exists(params![column::key(&rotate.from), now.as_millis()])?;
        Ok(if live { Rotated::KeyTaken } else { Rotated::Gone })
    }

    fn destroy_principal(
        &self,
        _db: &Connection,
        _principal: &Principal,
        _except: Option<&SessionKey>,
        _mode: DestroyMode,
        _now: Timestamp,
    ) -> Answer<u64> {
        Err(Failure::Store(Error::unsupported("this table holds no principals").with_backend(BACKEND)))
    }

    fn purge_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<u64> {
        Ok(number(db.prepare_cached(&self.sql.purge)?.execute(params![now.as_millis(), limit.get()])?))
    }

    fn find_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<Vec<i64>> {
        let mut statement = db.prepare_cached(&self.sql.find_expired)?;
        let rows = statement.query_map(params![now.as_millis(), limit.get()], |row| row.get(0))?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    fn purge_found(&self, db: &Connection, rows: &[i64], now: Timestamp) -> Answer<u64> {
        let mut statement = db.prepare_cached(&self.sql.purge_row)?;
        let mut purged = 0;
        for row in rows {
            purged += statement.execute(params![row, now.as_millis()])?;
        }
        Ok(number(purged))
    }

    fn list(
        &self,
        db: &Connection,
        _filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>> {
        let after = after.map_or_else(|| column::before_all_keys(KeyFormat::Plain), column::key);
        let mut statement = db.prepare_cached(&self.sql.list)?;
        let mut rows = statement.query(params![after, now.as_millis(), limit.get()])?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            page.push(Listed { key: column::read_key(row, 0)?, record: self.record(row, 1) });
        }
        Ok(page)
    }

    fn count(&self, db: &Connection, _filter: &Filter, now: Timestamp) -> Answer<u64> {
        let live: i64 = db.prepare_cached(&self.sql.count)?.query_row([now.as_millis()], |row| row.get(0))?;
        // A count of rows is not negative.
        Ok(u64::try_from(live).unwrap_or(0))
    }

    fn clear(&self, db: &Connection) -> Answer<u64> {
        Ok(number(db.prepare_cached(&self.sql.clear)?.execute([])?))
    }
}
