//! The native layout: everything that the contract knows.

mod statements;

use std::num::NonZeroU32;

use rusqlite::{Connection, Row, params};
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, Filter, KeyFormat, Listed, Principal, Record,
    Rotate, Rotated, SessionKey, TableName, Timestamp, Touch, Update, Updated, Version,
};

use crate::column;
use crate::diagnose::{Affinity, Expectation, ExpectedColumn, ExpectedIndex};
use crate::layout::{Answer, Layout, number};
use statements::Statements;

#[derive(Debug)]
pub(crate) struct Native {
    table: TableName,
    format: KeyFormat,
    sql: Statements,
}

impl Native {
    pub(crate) fn new(table: &TableName, format: KeyFormat) -> Native {
        Native { table: table.clone(), format, sql: Statements::new(table, format) }
    }
}

impl Layout for Native {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn key_format(&self) -> KeyFormat {
        self.format
    }

    fn schema_sql(&self) -> &str {
        &self.sql.schema
    }

    fn expectation(&self) -> Expectation<'_> {
        let key = match self.format {
            KeyFormat::Hashed => Affinity::Blob,
            KeyFormat::Plain => Affinity::Text,
        };
        let column = |name, affinity, required| ExpectedColumn { name, affinity, required };
        Expectation {
            table: self.table.table(),
            key: "key",
            columns: vec![
                column("key", key, true),
                column("expires_at", Affinity::Integer, true),
                column("expires_bucket", Affinity::Integer, true),
                column("created_at", Affinity::Integer, true),
                column("version", Affinity::Integer, true),
                column("destroyed_at", Affinity::Integer, false),
                column("principal", Affinity::Text, false),
                column("payload", Affinity::Text, true),
            ],
            indexes: vec![
                ExpectedIndex { column: "expires_bucket", purpose: "each purge reads the whole table" },
                ExpectedIndex {
                    column: "principal",
                    purpose: "each listing by principal reads the whole table",
                },
            ],
        }
    }

    fn create(&self, db: &Connection, create: &Create, now: Timestamp) -> Answer<Created> {
        let rows = db.prepare_cached(&self.sql.create)?.execute(params![
            column::key(&create.key),
            create.payload.as_str(),
            create.expires_at.as_millis(),
            now.as_millis(),
            text(create.principal.as_ref()),
        ])?;
        Ok(if rows == 1 { Created::Created } else { Created::KeyTaken })
    }

    fn load(&self, db: &Connection, key: &SessionKey, now: Timestamp) -> Answer<Option<Record>> {
        let mut statement = db.prepare_cached(&self.sql.load)?;
        let mut rows = statement.query(params![column::key(key), now.as_millis()])?;
        Ok(rows.next()?.map(|row| record(row, 0)).transpose()?)
    }

    fn update(&self, db: &Connection, update: &Update, now: Timestamp) -> Answer<Updated> {
        let (expires_at, principal) = (update.expires_at.as_millis(), text(update.principal.as_ref()));
        let found = {
            let mut statement = db.prepare_cached(&self.sql.find_live)?;
            let mut rows =
                statement.query(params![column::key(&update.key), now.as_millis(), expires_at, principal])?;
            rows.next()?.map(|row| Found::read(row)).transpose()?
        };
        let Some(Found { row, version, keeps_indexes }) = found else { return Ok(Updated::Gone) };
        if update.expected.is_some_and(|expected| expected != version) {
            return Ok(Updated::Stale);
        }
        // Nobody else writes between the two statements: they are within one transaction.
        let payload = update.payload.as_str();
        if keeps_indexes {
            db.prepare_cached(&self.sql.update_in_bucket)?.execute(params![row, payload, expires_at])?;
        } else {
            db.prepare_cached(&self.sql.update)?.execute(params![row, payload, expires_at, principal])?;
        }
        Ok(Updated::Saved(version.next()))
    }

    fn touch(&self, db: &Connection, touch: &Touch, now: Timestamp) -> Answer<bool> {
        for sql in [&self.sql.touch_in_bucket, &self.sql.touch] {
            let touched = db.prepare_cached(sql)?.execute(params![
                column::key(&touch.key),
                touch.expires_at.as_millis(),
                now.as_millis()
            ])?;
            if touched == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn destroy(&self, db: &Connection, destroy: &Destroy, now: Timestamp) -> Answer<bool> {
        self.end(db, &destroy.key, destroy.mode, now)
    }

    fn rotate(&self, db: &Connection, rotate: &Rotate, now: Timestamp) -> Answer<Rotated> {
        let expected = rotate.expected.map(Version::get);
        let copied = {
            let mut statement = db.prepare_cached(&self.sql.copy_to)?;
            let mut rows = statement.query(params![
                column::key(&rotate.from),
                column::key(&rotate.to),
                rotate.payload.as_ref().map(|payload| payload.as_str()),
                rotate.expires_at.as_millis(),
                text(rotate.principal.as_ref()),
                expected,
                now.as_millis(),
            ])?;
            rows.next()?.map(|row| version(row, 0)).transpose()?
        };
        if let Some(version) = copied {
            self.end(db, &rotate.from, rotate.mode, now)?;
            return Ok(Rotated::Rotated(version));
        }
        let live = {
            let mut statement = db.prepare_cached(&self.sql.version)?;
            let mut rows = statement.query(params![column::key(&rotate.from), now.as_millis()])?;
            rows.next()?.map(|row| version(row, 0)).transpose()?
        };
        Ok(match live {
            None => Rotated::Gone,
            Some(version) if rotate.expected.is_some_and(|expected| expected != version) => Rotated::Stale,
            Some(_) => Rotated::KeyTaken,
        })
    }

    fn destroy_principal(
        &self,
        db: &Connection,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Answer<u64> {
        let sql = match mode {
            DestroyMode::Soft => &self.sql.bury_principal,
            DestroyMode::Hard => &self.sql.remove_principal,
        };
        let ended = db.prepare_cached(sql)?.execute(params![
            principal.as_str(),
            except.map(column::key),
            now.as_millis()
        ])?;
        Ok(number(ended))
    }

    fn purge_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<u64> {
        Ok(number(db.prepare_cached(&self.sql.purge)?.execute(params![now.as_millis(), limit.get()])?))
    }

    fn find_expired(&self, db: &Connection, now: Timestamp, limit: NonZeroU32) -> Answer<Vec<i64>> {
        let mut statement = db.prepare_cached(&self.sql.find_expired)?;
        let rows = statement.query_map(params![now.as_millis(), limit.get()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
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
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>> {
        let after = after.map_or_else(|| column::before_all_keys(self.format), column::key);
        let (now, limit) = (now.as_millis(), limit.get());
        let mut statement;
        let mut rows = match &filter.principal {
            None => {
                statement = db.prepare_cached(&self.sql.list)?;
                statement.query(params![after, now, limit])?
            }
            Some(principal) => {
                statement = db.prepare_cached(&self.sql.list_principal)?;
                statement.query(params![after, now, limit, principal.as_str()])?
            }
        };
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            page.push(Listed { key: column::read_key(row, 0)?, record: record(row, 1) });
        }
        Ok(page)
    }

    fn count(&self, db: &Connection, filter: &Filter, now: Timestamp) -> Answer<u64> {
        let now = now.as_millis();
        let live: i64 = match &filter.principal {
            None => db.prepare_cached(&self.sql.count)?.query_row([now], |row| row.get(0))?,
            Some(principal) => db
                .prepare_cached(&self.sql.count_principal)?
                .query_row(params![now, principal.as_str()], |row| row.get(0))?,
        };
        // A count of rows is not negative.
        Ok(u64::try_from(live).unwrap_or(0))
    }

    fn clear(&self, db: &Connection) -> Answer<u64> {
        Ok(number(db.prepare_cached(&self.sql.clear)?.execute([])?))
    }
}

impl Native {
    fn end(&self, db: &Connection, key: &SessionKey, mode: DestroyMode, now: Timestamp) -> Answer<bool> {
        let sql = match mode {
            DestroyMode::Soft => &self.sql.bury,
            DestroyMode::Hard => &self.sql.remove,
        };
        Ok(db.prepare_cached(sql)?.execute(params![column::key(key), now.as_millis()])? == 1)
    }
}

/// A live session that is about to be updated.
struct Found {
    row: i64,
    version: Version,
    /// The update changes no column that is indexed.
    keeps_indexes: bool,
}

impl Found {
    fn read(row: &Row<'_>) -> Answer<Found> {
        Ok(Found { row: row.get(0)?, version: version(row, 1)?, keeps_indexes: row.get(2)? })
    }
}

/// Reads the record whose columns begin at this one.
fn record(row: &Row<'_>, first: usize) -> Result<Record, Error> {
    Ok(Record {
        payload: column::read_payload(row, first, "payload")?,
        expires_at: column::read_timestamp(row, first + 1, "expires_at")?,
        created_at: Some(column::read_timestamp(row, first + 2, "created_at")?),
        version: version(row, first + 3)?,
        principal: column::read_principal(row, first + 4, "principal")?,
    })
}

fn version(row: &Row<'_>, index: usize) -> Result<Version, Error> {
    column::read_integer(row, index, "version").map(Version::new)
}

fn text(principal: Option<&Principal>) -> Option<&str> {
    principal.map(Principal::as_str)
}
