//! The operations of the native layout. Nobody else writes between two statements of one: they are within one
//! transaction, which holds the lock for writing. An operation of one statement is right without it, too.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update,
};
use session_core::mutants::broken;
use session_core::{
    Capabilities, DestroyMode, Fate, KeyFormat, Principal, Result, SessionKey, TableName, Timestamp, Updated,
    Version,
};

use super::Native;
use crate::sqlite::value::{self, number};
use crate::sqlite::{Answer, Step};
use crate::value::{bigint, flag, timestamp, version};
use crate::{Named, Value};

#[expect(clippy::missing_errors_doc, reason = "those of the operation of the same name")]
impl Native {
    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    /// How it holds ids.
    pub fn key_format(&self) -> KeyFormat {
        self.format
    }

    /// The statements that make the table and its indexes where they are missing.
    pub fn schema_sql(&self) -> &str {
        &self.schema
    }

    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<S: Step>(&self, db: &mut S, create: &Create, now: Timestamp) -> Answer<Created, S> {
        let values = [
            ("key", (&create.key).into()),
            ("payload", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
            ("principal", create.principal.as_ref().into()),
            ("version", create.version.into()),
            ("now", now.into()),
        ];
        let rows = db.execute(self.sql.create.bind(&values)).await?;
        Ok(if rows == 1 { Created::Created } else { Created::KeyTaken })
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<S: Step>(&self, db: &mut S, load: &Load, now: Timestamp) -> Answer<Loaded, S> {
        let (key, now) = (("key", (&load.key).into()), ("now", now.into()));
        let read = |row: &S::Row<'_>| value::loaded::<S>(row, load.known);
        let found = match load.known {
            None => db.first(self.sql.load.bind(&[key, now]), read).await?,
            Some(known) => {
                db.first(self.sql.load_known.bind(&[key, now, ("known", known.into())]), read).await?
            }
        };
        Ok(found.unwrap_or(Loaded::Gone))
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<S: Step>(&self, db: &mut S, update: &Update, now: Timestamp) -> Answer<Updated, S> {
        let payload = ("payload", (&update.payload).into());
        let expires_at = ("expires_at", update.expires_at.into());
        let principal = ("principal", update.principal.as_ref().into());
        let live = [("key", (&update.key).into()), ("now", now.into()), expires_at, principal];
        let Some(found) = db.first(self.sql.find_live.bind(&live), Found::read::<S>).await? else {
            return Ok(Updated::Gone);
        };
        let is_stale = update.expected.is_some_and(|expected| expected != found.version);
        if is_stale && !broken("sqlite: an update takes no notice of the version") {
            return Ok(Updated::Stale);
        }
        let row = ("row", found.row.into());
        if found.keeps_indexes || broken("sqlite: an update never moves the bucket") {
            db.execute(self.sql.update_in_bucket.bind(&[row, payload, expires_at])).await?;
        } else if update.expires_at.is_none() {
            db.execute(self.sql.update_keeping_expiry.bind(&[row, payload, principal])).await?;
        } else {
            db.execute(self.sql.update.bind(&[row, payload, expires_at, principal])).await?;
        }
        let version = if broken("sqlite: an update tells the old version") {
            found.version
        } else {
            found.version.next()
        };
        Ok(Updated::Saved(version))
    }

    /// An update by one statement, which needs no transaction: the second, where the first finds that the indexes
    /// change, too. None has changed nothing: [`update`](Native::update) says why.
    pub async fn update_at_once<S: Step>(
        &self,
        db: &mut S,
        update: &Update,
        now: Timestamp,
    ) -> Answer<Option<Updated>, S> {
        let values = [
            ("key", (&update.key).into()),
            ("payload", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
            ("principal", update.principal.as_ref().into()),
            ("expected", update.expected.into()),
            ("now", now.into()),
        ];
        for updating in [&self.sql.update_in_bucket_at_once, &self.sql.update_at_once] {
            let version = match update.expected {
                None => db.first(updating.telling.bind(&values), read_version::<S>).await?,
                Some(expected) => {
                    let updated = db.execute(updating.counting.bind(&values)).await?;
                    (updated > 0).then(|| expected.next())
                }
            };
            if let Some(version) = version {
                return Ok(Some(Updated::Saved(version)));
            }
        }
        // The last statement looked for a live session of any version.
        Ok(update.expected.is_none().then_some(Updated::Gone))
    }

    /// A touch by one statement, as [`update_at_once`](Native::update_at_once). None has changed nothing:
    /// [`touch`](Native::touch) says why.
    pub async fn touch_at_once<S: Step>(
        &self,
        db: &mut S,
        touch: &Touch,
        now: Timestamp,
    ) -> Answer<Option<Touched>, S> {
        let values = [
            ("key", (&touch.key).into()),
            ("expires_at", touch.expires_at.into()),
            ("expected", touch.expected.into()),
            ("now", now.into()),
        ];
        if self.moves(db, &values).await? {
            return Ok(Some(Touched::Moved));
        }
        Ok(touch.expected.is_none().then_some(Touched::Gone))
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<S: Step>(&self, db: &mut S, touch: &Touch, now: Timestamp) -> Answer<Touched, S> {
        let values = [
            ("key", (&touch.key).into()),
            ("expires_at", touch.expires_at.into()),
            ("expected", touch.expected.into()),
            ("now", now.into()),
        ];
        if self.moves(db, &values).await? {
            return Ok(Touched::Moved);
        }
        let is_stale = !broken("sqlite: a stale touch finds the session gone")
            && touch.expected.is_some()
            && self.live_version(db, &touch.key, now).await?.is_some();
        Ok(if is_stale { Touched::Stale } else { Touched::Gone })
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<S: Step>(&self, db: &mut S, destroy: &Destroy, now: Timestamp) -> Answer<bool, S> {
        self.destroy_row(db, &destroy.key, destroy.mode, false, now).await
    }

    /// As [`Store::rotate`](session_core::contract::Store::rotate).
    pub async fn rotate<S: Step>(&self, db: &mut S, rotate: &Rotate, now: Timestamp) -> Answer<Rotated, S> {
        let values = [
            ("key", (&rotate.from).into()),
            ("to", (&rotate.to).into()),
            ("payload", rotate.payload.as_ref().into()),
            ("expires_at", rotate.expires_at.into()),
            ("principal", rotate.principal.as_ref().into()),
            ("expected", rotate.expected.into()),
            ("now", now.into()),
        ];
        if let Some(version) = db.first(self.sql.copy_to.bind(&values), read_version::<S>).await? {
            if !broken("sqlite: a rotation leaves the old session") {
                self.destroy_row(db, &rotate.from, rotate.mode, true, now).await?;
            }
            return Ok(Rotated::Rotated(version));
        }
        Ok(match self.live_version(db, &rotate.from, now).await? {
            None => Rotated::Gone,
            Some(_) if broken("sqlite: every rotation that is not done is stale") => Rotated::Stale,
            Some(version) if rotate.expected.is_some_and(|expected| expected != version) => Rotated::Stale,
            Some(_) => Rotated::KeyTaken,
        })
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<S: Step>(&self, db: &mut S, key: &SessionKey, now: Timestamp) -> Answer<Fate, S> {
        let read = |row: &S::Row<'_>| {
            S::columns(row, |[is_destroyed, rotated, expires_at]| {
                let (is_destroyed, rotated) =
                    (flag("destroyed_at", is_destroyed)?, flag("rotated", rotated)?);
                let expires_at = timestamp("expires_at", number(expires_at))?;
                Ok(crate::value::fate(is_destroyed, rotated, expires_at, now))
            })
        };
        let fate = db.first(self.sql.fate.bind(&[("key", key.into())]), read).await?;
        Ok(fate.unwrap_or(Fate::Unknown))
    }

    /// As [`Store::destroy_principal`](session_core::contract::Store::destroy_principal).
    pub async fn destroy_principal<S: Step>(
        &self,
        db: &mut S,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Answer<u64, S> {
        let destroying = match destroy.mode {
            DestroyMode::Forget => &self.sql.forget_sessions,
            DestroyMode::Keep => &self.sql.keep_sessions,
            DestroyMode::Remove => &self.sql.remove_sessions,
        };
        let values = [
            ("principal", (&destroy.principal).into()),
            ("except", destroy.except.as_ref().map_or(Value::Bytes(None), Value::from)),
            ("created_before", destroy.created_before.into()),
            ("now", now.into()),
        ];
        db.execute(destroying.bind(&values)).await
    }

    /// As [`Store::forget_principal`](session_core::contract::Store::forget_principal).
    pub async fn forget_principal<S: Step>(
        &self,
        db: &mut S,
        principal: &Principal,
        now: Timestamp,
    ) -> Answer<u64, S> {
        let values = [("principal", principal.into()), ("now", now.into())];
        db.execute(self.sql.forget_principal.bind(&values)).await
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
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Answer<Vec<Listed>, S> {
        let after = after.map_or_else(|| value::before_all_keys(self.format), Value::from);
        let page = [("after", after), ("now", now.into()), ("limit", limit.get().into())];
        let read = |row: &S::Row<'_>| value::listed::<S>(row, self.format);
        let [after, at, limit] = page;
        match &filter.principal {
            None => db.all(self.sql.list.bind(&page), read).await,
            Some(principal) => {
                let page = [after, at, limit, ("principal", principal.into())];
                db.all(self.sql.list_principal.bind(&page), read).await
            }
        }
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<S: Step>(&self, db: &mut S, filter: &Filter, now: Timestamp) -> Answer<u64, S> {
        let now = ("now", now.into());
        let counted = match &filter.principal {
            None => db.first(self.sql.count.bind(&[now]), value::count::<S>).await?,
            Some(principal) => {
                let values = [now, ("principal", principal.into())];
                db.first(self.sql.count_principal.bind(&values), value::count::<S>).await?
            }
        };
        Ok(counted.unwrap_or(0))
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<S: Step>(&self, db: &mut S) -> Answer<u64, S> {
        db.execute(self.sql.clear.bind(&[])).await
    }
}

impl Native {
    /// Moves the expiry of a live session, if it has the version that is expected.
    async fn moves<S: Step>(&self, db: &mut S, values: &[Named<'_>]) -> Answer<bool, S> {
        for touching in [&self.sql.touch_in_bucket, &self.sql.touch] {
            if db.execute(touching.bind(values)).await? == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn destroy_row<S: Step>(
        &self,
        db: &mut S,
        key: &SessionKey,
        mode: DestroyMode,
        rotated: bool,
        now: Timestamp,
    ) -> Answer<bool, S> {
        let (key, now, rotated) = (
            ("key", key.into()),
            ("now", now.into()),
            ("rotated", i64::from(rotated && !broken("sqlite: a rotation is told as an end")).into()),
        );
        let rows = match mode {
            DestroyMode::Forget => db.execute(self.sql.forget.bind(&[key, now, rotated])).await?,
            DestroyMode::Keep => db.execute(self.sql.keep.bind(&[key, now, rotated])).await?,
            DestroyMode::Remove => db.execute(self.sql.remove.bind(&[key, now])).await?,
        };
        Ok(rows == 1)
    }

    /// The version of a session, if it is live.
    async fn live_version<S: Step>(
        &self,
        db: &mut S,
        key: &SessionKey,
        now: Timestamp,
    ) -> Answer<Option<Version>, S> {
        db.first(self.sql.version.bind(&[("key", key.into()), ("now", now.into())]), read_version::<S>).await
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
    fn read<S: Step>(row: &S::Row<'_>) -> Result<Found> {
        S::columns(row, |[row, found, keeps_indexes]| {
            Ok(Found {
                row: bigint("rowid", row)?,
                version: version(number(found))?,
                keeps_indexes: flag("expires_bucket", keeps_indexes)?,
            })
        })
    }
}

fn read_version<S: Step>(row: &S::Row<'_>) -> Result<Version> {
    S::columns(row, |[found]| version(number(found)))
}
