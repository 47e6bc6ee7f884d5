//! The operations of the layout of connect-typeorm. What needs a column that it lacks never comes here.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Listed, Load, Loaded, Record, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{
    Capabilities, DestroyMode, Fate, Finding, KeyFormat, Result, SessionKey, TableName, Timestamp, Updated,
    Version,
};

use super::Typeorm;
use crate::connect_typeorm::{self, moment};
use crate::sqlite::value::{self, number};
use crate::sqlite::{Answer, Step};
use crate::value::Column;
use crate::{FoundColumn, Value};

#[expect(clippy::missing_errors_doc, reason = "those of the operation of the same name")]
impl Typeorm {
    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.names.capabilities()
    }

    /// How it holds ids.
    pub fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }

    /// The statements that make the table and its index where they are missing.
    pub fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// What there is to say of its columns besides.
    pub(in crate::sqlite) fn judge(&self, columns: &[FoundColumn]) -> Option<Finding> {
        self.names.judge_destroyed_at(self.has_destroyed_at(columns))
    }

    /// The same layout of the table as it is. No columns mean that there is no table yet.
    pub(in crate::sqlite) fn seen(self, columns: &[FoundColumn]) -> Typeorm {
        let has = self.has_destroyed_at(columns);
        if columns.is_empty() || has == self.names.has_destroyed_at() {
            return self;
        }
        Typeorm::new(self.table, self.names.with_destroyed_at(has))
    }

    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<S: Step>(&self, db: &mut S, create: &Create) -> Answer<Created, S> {
        let values = [
            ("id", (&create.key).into()),
            ("json", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
        ];
        let rows = db.execute(self.sql.create.bind(&values)).await?;
        Ok(if rows == 1 { Created::Created } else { Created::KeyTaken })
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<S: Step>(&self, db: &mut S, load: &Load, now: Timestamp) -> Answer<Loaded, S> {
        let values = [("id", (&load.key).into()), ("now", now.into())];
        let read = |row: &S::Row<'_>| S::columns(row, |[json, expires]| record(json, expires));
        let found = db.first(self.sql.load.bind(&values), read).await?;
        Ok(found.map_or(Loaded::Gone, Loaded::Record))
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<S: Step>(&self, db: &mut S, update: &Update, now: Timestamp) -> Answer<Updated, S> {
        let values = [
            ("id", (&update.key).into()),
            ("json", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
            ("now", now.into()),
        ];
        let rows = db.execute(self.sql.update.bind(&values)).await?;
        Ok(if rows == 1 { Updated::Saved(Version::NONE) } else { Updated::Gone })
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<S: Step>(&self, db: &mut S, touch: &Touch, now: Timestamp) -> Answer<Touched, S> {
        let values =
            [("id", (&touch.key).into()), ("expires_at", touch.expires_at.into()), ("now", now.into())];
        let rows = db.execute(self.sql.touch.bind(&values)).await?;
        Ok(if rows == 1 { Touched::Moved } else { Touched::Gone })
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<S: Step>(&self, db: &mut S, destroy: &Destroy, now: Timestamp) -> Answer<bool, S> {
        self.destroy_row(db, &destroy.key, destroy.mode, now).await
    }

    /// As [`Store::rotate`](session_core::contract::Store::rotate).
    pub async fn rotate<S: Step>(&self, db: &mut S, rotate: &Rotate, now: Timestamp) -> Answer<Rotated, S> {
        let from = [("id", (&rotate.from).into()), ("now", now.into())];
        let [id, at] = from;
        let values = [
            id,
            at,
            ("to", (&rotate.to).into()),
            ("json", rotate.payload.as_ref().into()),
            ("expires_at", rotate.expires_at.into()),
        ];
        if db.execute(self.sql.copy_to.bind(&values)).await? == 1 {
            self.destroy_row(db, &rotate.from, rotate.mode, now).await?;
            return Ok(Rotated::Rotated(Version::NONE));
        }
        let live = db.first(self.sql.is_live.bind(&from), |_| Ok(())).await?;
        Ok(if live.is_some() { Rotated::KeyTaken } else { Rotated::Gone })
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<S: Step>(&self, db: &mut S, key: &SessionKey, now: Timestamp) -> Answer<Fate, S> {
        let read = |row: &S::Row<'_>| {
            S::columns(row, |[is_destroyed, expires]| {
                connect_typeorm::fate([is_destroyed, number(expires)], now)
            })
        };
        let fate = db.first(self.sql.fate.bind(&[("id", key.into())]), read).await?;
        Ok(fate.unwrap_or(Fate::Unknown))
    }

    /// As [`Store::purge_expired`](session_core::contract::Store::purge_expired).
    pub async fn purge_expired<S: Step>(
        &self,
        db: &mut S,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Answer<u64, S> {
        db.execute(self.sql.purge.bind(&[("now", now.into()), ("limit", limit.get().into())])).await
    }

    /// The rows, at most `limit` of them, whose expiry has passed: the first half of a purge in two statements.
    pub async fn find_expired<S: Step>(
        &self,
        db: &mut S,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> Answer<Vec<i64>, S> {
        let values = [("now", now.into()), ("limit", limit.get().into())];
        db.all(self.sql.find_expired.bind(&values), value::row_number::<S>).await
    }

    /// Removes those of these rows whose expiry has passed still, and counts them: the other half.
    pub async fn purge_found<S: Step>(&self, db: &mut S, rows: &[i64], now: Timestamp) -> Answer<u64, S> {
        let mut purged = 0;
        for row in rows {
            purged +=
                db.execute(self.sql.purge_row.bind(&[("row", (*row).into()), ("now", now.into())])).await?;
        }
        Ok(purged)
    }

    /// As [`Store::list`](session_core::contract::Store::list).
    pub async fn list<S: Step>(
        &self,
        db: &mut S,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>, S> {
        let after = after.map_or_else(|| value::before_all_keys(KeyFormat::Plain), Value::from);
        let values = [("after", after), ("now", now.into()), ("limit", limit.get().into())];
        let read = |row: &S::Row<'_>| {
            S::columns(row, |[json, expires, id]| {
                Ok(Listed { key: connect_typeorm::id(id)?, record: record(json, expires) })
            })
        };
        db.all(self.sql.list.bind(&values), read).await
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<S: Step>(&self, db: &mut S, now: Timestamp) -> Answer<u64, S> {
        Ok(db.first(self.sql.count.bind(&[("now", now.into())]), value::count::<S>).await?.unwrap_or(0))
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<S: Step>(&self, db: &mut S) -> Answer<u64, S> {
        db.execute(self.sql.clear.bind(&[])).await
    }
}

impl Typeorm {
    async fn destroy_row<S: Step>(
        &self,
        db: &mut S,
        key: &SessionKey,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Answer<bool, S> {
        let (id, at, moment) = (("id", key.into()), ("now", now.into()), ("moment", moment(now).into()));
        let rows = match mode {
            DestroyMode::Forget => db.execute(self.sql.forget.bind(&[id, at, moment])).await?,
            DestroyMode::Keep => db.execute(self.sql.keep.bind(&[id, at, moment])).await?,
            DestroyMode::Remove => db.execute(self.sql.remove.bind(&[id, at])).await?,
        };
        Ok(rows == 1)
    }
}

fn record(json: Column<'_>, expires: Column<'_>) -> Result<Record> {
    connect_typeorm::record([json, number(expires)])
}
