//! The operations, as [`Store`](session_core::contract::Store) describes them: values in, outcomes out.

use std::collections::HashMap;
use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Listed, Load, Loaded, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{DestroyMode, Fate, KeyFormat, Result, SessionKey, Timestamp, Updated, Version};

use super::Typeorm;
use crate::connect_typeorm::{fate, id, moment, record};
use crate::postgres::shared::{Keys, check_payload, number};
use crate::{Run, value};

impl Typeorm {
    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<R: Run>(&self, run: &R, create: &Create) -> Result<Created> {
        check_payload(&create.payload)?;
        let values = [
            ("key", (&create.key).into()),
            ("payload", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
        ];
        Ok(match run.execute(self.statements.create.bind(&values)).await? {
            0 => Created::KeyTaken,
            _ => Created::Created,
        })
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<R: Run>(&self, run: &R, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("key", (&load.key).into()), ("now", now.into())];
        let read = |row: &R::Row| R::columns(row, record);
        let rows = run.read(self.statements.load.bind(&values), read).await?;
        Ok(rows.into_iter().next().transpose()?.map_or(Loaded::Gone, Loaded::Record))
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<R: Run>(&self, run: &R, update: &Update, now: Timestamp) -> Result<Updated> {
        check_payload(&update.payload)?;
        let values = [
            ("key", (&update.key).into()),
            ("now", now.into()),
            ("payload", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
        ];
        Ok(match run.execute(self.statements.update.bind(&values)).await? {
            0 => Updated::Gone,
            _ => Updated::Saved(Version::NONE),
        })
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<R: Run>(&self, run: &R, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let values =
            [("key", (&touch.key).into()), ("now", now.into()), ("expires_at", touch.expires_at.into())];
        Ok(match run.execute(self.statements.touch.bind(&values)).await? {
            0 => Touched::Gone,
            _ => Touched::Moved,
        })
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<R: Run>(&self, run: &R, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let [key, now, moment] =
            [("key", (&destroy.key).into()), ("now", now.into()), ("moment", moment(now).into())];
        let rows = match destroy.mode {
            DestroyMode::Forget => run.execute(self.statements.forget.bind(&[key, now, moment])).await?,
            DestroyMode::Keep => run.execute(self.statements.keep.bind(&[key, now, moment])).await?,
            DestroyMode::Remove => run.execute(self.statements.remove.bind(&[key, now])).await?,
        };
        Ok(rows == 1)
    }

    /// As [`Store::rotate`](session_core::contract::Store::rotate).
    pub async fn rotate<R: Run>(&self, run: &R, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        rotate.payload.as_ref().map_or(Ok(()), check_payload)?;
        let values = [
            ("from", (&rotate.from).into()),
            ("now", now.into()),
            ("to", (&rotate.to).into()),
            ("payload", rotate.payload.as_ref().into()),
            ("expires_at", rotate.expires_at.into()),
            ("moment", moment(now).into()),
        ];
        let statement = match rotate.mode {
            DestroyMode::Forget => self.statements.rotate_forgetting.bind(&values),
            DestroyMode::Keep => self.statements.rotate_keeping.bind(&values),
            DestroyMode::Remove => self.statements.rotate_removing.bind(&values[..5]),
        };
        let read = |row: &R::Row| R::columns(row, |[moved]| value::flag("moved", moved));
        let rows = run.write(statement, read).await?;
        Ok(match rows.into_iter().next().transpose()? {
            None => Rotated::Gone,
            Some(false) => Rotated::KeyTaken,
            Some(true) => Rotated::Rotated(Version::NONE),
        })
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<R: Run>(&self, run: &R, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let values = [("key", key.into())];
        let read = |row: &R::Row| R::columns(row, |columns| fate(columns, now));
        let rows = run.read(self.statements.fate.bind(&values), read).await?;
        rows.into_iter().next().unwrap_or(Ok(Fate::Unknown))
    }

    /// As [`Store::purge_expired`](session_core::contract::Store::purge_expired).
    pub async fn purge_expired<R: Run>(&self, run: &R, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let values = [("now", now.into()), ("limit", limit.get().into())];
        if self.limit_subquery {
            return run.execute(self.statements.purge.bind(&values)).await;
        }
        let read = |row: &R::Row| R::columns(row, |[key]| id(key));
        let ids = run.read(self.statements.find_expired.bind(&values), read).await?;
        let ids: Vec<SessionKey> = ids.into_iter().collect::<Result<_>>()?;
        let ids = Keys::new(KeyFormat::Plain, &ids);
        let values = [("now", now.into()), ("keys", ids.value())];
        run.execute(self.statements.purge_ids.bind(&values)).await
    }

    /// As [`Store::list`](session_core::contract::Store::list).
    pub async fn list<R: Run>(
        &self,
        run: &R,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let [now, limit] = [("now", now.into()), ("limit", limit.get().into())];
        let rows = match after {
            None => run.read(self.statements.list.bind(&[now, limit]), listed::<R>).await?,
            Some(after) => {
                let values = [now, limit, ("after", after.into())];
                run.read(self.statements.list_after.bind(&values), listed::<R>).await?
            }
        };
        rows.into_iter().collect()
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<R: Run>(&self, run: &R, now: Timestamp) -> Result<u64> {
        let count = number(run, self.statements.count.bind(&[("now", now.into())])).await?;
        Ok(value::count(count.unwrap_or(0)))
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<R: Run>(&self, run: &R) -> Result<u64> {
        run.execute(self.statements.clear.bind(&[])).await
    }

    /// As [`Store::load_many`](session_core::contract::Store::load_many).
    pub async fn load_many<R: Run>(
        &self,
        run: &R,
        loads: &[Load],
        now: Timestamp,
    ) -> Result<Vec<Result<Loaded>>> {
        let mut outcomes: Vec<Result<Loaded>> = loads.iter().map(|_| Ok(Loaded::Gone)).collect();
        let places: HashMap<&SessionKey, usize> = loads.iter().map(|load| &load.key).zip(0..).collect();
        let keys = Keys::new(KeyFormat::Plain, loads.iter().map(|load| &load.key));
        let values = [("keys", keys.value()), ("now", now.into())];
        for row in run.read(self.statements.load_many.bind(&values), listed::<R>).await? {
            let Listed { key, record } = row?;
            // Another id, which the collation takes for one of these, is not asked for.
            if let Some(&place) = places.get(&key) {
                outcomes[place] = record.map(Loaded::Record);
            }
        }
        Ok(outcomes)
    }
}

fn listed<R: Run>(row: &R::Row) -> Result<Listed> {
    R::columns(row, |[json, expired_at, key]| {
        Ok(Listed { key: id(key)?, record: record([json, expired_at]) })
    })
}
