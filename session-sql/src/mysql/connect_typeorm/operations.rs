//! The operations, as [`Store`](session_core::contract::Store) describes them: values in, outcomes out.

use std::collections::HashMap;
use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Listed, Load, Loaded, Payload, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{DestroyMode, Fate, Result, SessionKey, Timestamp, Updated, Version};

use super::Typeorm;
use super::look::Look;
use crate::connect_typeorm::{fate, id, moment, record};
use crate::mysql::number::{DUPLICATE, OUT_OF_RANGE};
use crate::mysql::sending::{create_row, execute_part, number_of};
use crate::mysql::sizes::{MAX_ROWS, fill};
use crate::{Named, Run, Value, value};

#[expect(clippy::missing_errors_doc, reason = "those of the operation of the same name")]
impl Typeorm {
    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<R: Run>(&self, run: &R, create: &Create) -> Result<Created> {
        let look = self.look(run).await?;
        look.id.check(run, text(&create.key)).await?;
        self.check_payload(run, look, &create.payload).await?;
        let values = [
            ("id", text(&create.key).into()),
            ("json", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
        ];
        let is_taken = look.statements.is_taken.bind(&values[..1]);
        create_row(run, look.statements.create.bind(&values), is_taken).await
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<R: Run>(&self, run: &R, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("id", text(&load.key).into()), ("now", now.into())];
        let read = |row: &R::Row| R::columns(row, record);
        let rows = run.read(self.look(run).await?.statements.load.bind(&values), read).await?;
        Ok(rows.into_iter().next().transpose()?.map_or(Loaded::Gone, Loaded::Record))
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<R: Run>(&self, run: &R, update: &Update, now: Timestamp) -> Result<Updated> {
        let look = self.look(run).await?;
        self.check_payload(run, look, &update.payload).await?;
        let values = [
            ("id", text(&update.key).into()),
            ("now", now.into()),
            ("json", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
        ];
        Ok(match run.execute(look.statements.update.bind(&values)).await? {
            0 => Updated::Gone,
            _ => Updated::Saved(Version::NONE),
        })
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<R: Run>(&self, run: &R, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let values =
            [("id", text(&touch.key).into()), ("now", now.into()), ("expires_at", touch.expires_at.into())];
        Ok(match run.execute(self.look(run).await?.statements.touch.bind(&values)).await? {
            0 => Touched::Gone,
            _ => Touched::Moved,
        })
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<R: Run>(&self, run: &R, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let statements = &self.look(run).await?.statements;
        let [id, now, moment] =
            [("id", text(&destroy.key).into()), ("now", now.into()), ("moment", micros(now))];
        let rows = match destroy.mode {
            DestroyMode::Forget => run.execute(statements.forget.bind(&[id, now, moment])).await?,
            DestroyMode::Keep => run.execute(statements.keep.bind(&[id, now, moment])).await?,
            DestroyMode::Remove => run.execute(statements.remove.bind(&[id, now])).await?,
        };
        Ok(rows > 0)
    }

    /// As [`Store::rotate`](session_core::contract::Store::rotate).
    pub async fn rotate<R: Run>(&self, run: &R, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let look = self.look(run).await?;
        look.id.check(run, text(&rotate.to)).await?;
        if let Some(payload) = &rotate.payload {
            self.check_payload(run, look, payload).await?;
        }
        let values = [
            ("id", text(&rotate.from).into()),
            ("now", now.into()),
            ("to", text(&rotate.to).into()),
            ("json", rotate.payload.as_ref().into()),
            ("expires_at", rotate.expires_at.into()),
            ("moment", micros(now)),
        ];
        let statement = match rotate.mode {
            DestroyMode::Forget => look.statements.rotate_forgetting.bind(&values),
            DestroyMode::Keep => look.statements.rotate_keeping.bind(&values),
            DestroyMode::Remove => look.statements.rotate_removing.bind(&values[..5]),
        };
        match run.execute(statement).await {
            Ok(0) => Ok(Rotated::Gone),
            Ok(_) => Ok(Rotated::Rotated(Version::NONE)),
            Err(error) if matches!(error.code(), Some(DUPLICATE | OUT_OF_RANGE)) => Ok(Rotated::KeyTaken),
            Err(error) => Err(error),
        }
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<R: Run>(&self, run: &R, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let values = [("id", text(key).into())];
        let read = |row: &R::Row| R::columns(row, |columns| fate(columns, now));
        let rows = run.read(self.look(run).await?.statements.fate.bind(&values), read).await?;
        rows.into_iter().next().unwrap_or(Ok(Fate::Unknown))
    }

    /// As [`Store::purge_expired`](session_core::contract::Store::purge_expired).
    pub async fn purge_expired<R: Run>(&self, run: &R, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let statements = &self.look(run).await?.statements;
        let values = [("now", now.into()), ("limit", limit.get().into())];
        if self.limit_subquery {
            return run.execute(statements.purge.bind(&values)).await;
        }
        let read = |row: &R::Row| R::columns(row, |[key]| id(key));
        let ids = run.read(statements.find_expired.bind(&values), read).await?;
        let mut ids: Vec<SessionKey> = ids.into_iter().collect::<Result<_>>()?;
        ids.sort_unstable();
        let mut purged = 0;
        for ids in ids.chunks(MAX_ROWS) {
            let many = statements.many(ids.len());
            let mut ids: Vec<Value<'_>> = ids.iter().map(|id| text(id).into()).collect();
            fill(&mut ids, many.ids, None);
            let values: [Named<'_>; 2] = [("ids", Value::List(&ids)), ("now", now.into())];
            purged += execute_part(run, many.purge.bind(&values), purged).await?;
        }
        Ok(purged)
    }

    /// As [`Store::list`](session_core::contract::Store::list).
    pub async fn list<R: Run>(
        &self,
        run: &R,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let statements = &self.look(run).await?.statements;
        let [now, limit] = [("now", now.into()), ("limit", limit.get().into())];
        let rows = match after {
            None => run.read(statements.list.bind(&[now, limit]), listed::<R>).await?,
            Some(after) => {
                let values = [now, limit, ("after", text(after).into())];
                run.read(statements.list_after.bind(&values), listed::<R>).await?
            }
        };
        rows.into_iter().collect()
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<R: Run>(&self, run: &R, now: Timestamp) -> Result<u64> {
        let statements = &self.look(run).await?.statements;
        let count = number_of(run, statements.count.bind(&[("now", now.into())])).await?;
        Ok(value::count(count.unwrap_or(0)))
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<R: Run>(&self, run: &R) -> Result<u64> {
        run.execute(self.look(run).await?.statements.clear.bind(&[])).await
    }

    /// As [`Store::load_many`](session_core::contract::Store::load_many).
    pub async fn load_many<R: Run>(
        &self,
        run: &R,
        loads: &[Load],
        now: Timestamp,
    ) -> Result<Vec<Result<Loaded>>> {
        let statements = &self.look(run).await?.statements;
        let mut outcomes: Vec<Result<Loaded>> = loads.iter().map(|_| Ok(Loaded::Gone)).collect();
        let places: HashMap<&SessionKey, usize> = loads.iter().map(|load| &load.key).zip(0..).collect();
        for loads in loads.chunks(MAX_ROWS) {
            let many = statements.many(loads.len());
            let mut ids: Vec<Value<'_>> = loads.iter().map(|load| text(&load.key).into()).collect();
            fill(&mut ids, many.ids, None);
            let values: [Named<'_>; 2] = [("ids", Value::List(&ids)), ("now", now.into())];
            for row in run.read(many.load.bind(&values), listed::<R>).await? {
                let Listed { key, record } = row?;
                // Another id, which the collation takes for one of these, is not asked for.
                if let Some(&place) = places.get(&key) {
                    outcomes[place] = record.map(Loaded::Record);
                }
            }
        }
        Ok(outcomes)
    }

    /// Refuses what would be cut, replaced, or answered by closing the connection.
    async fn check_payload<R: Run>(&self, run: &R, look: &Look, payload: &Payload) -> Result<()> {
        self.server(run).await?.check(payload)?;
        look.json.check(run, payload.as_str()).await
    }
}

fn listed<R: Run>(row: &R::Row) -> Result<Listed> {
    R::columns(row, |[json, expired_at, key]| {
        Ok(Listed { key: id(key)?, record: record([json, expired_at]) })
    })
}

/// An id as text, which an index on text is good for.
fn text(key: &SessionKey) -> &str {
    key.as_text().unwrap_or_default()
}

/// A moment in microseconds.
fn micros(now: Timestamp) -> Value<'static> {
    Value::from(moment(now).as_millis() * 1000)
}
