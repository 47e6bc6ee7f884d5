//! The operations on single sessions, as [`Store`](session_core::contract::Store) describes them: values in, outcomes out.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update,
};
use session_core::{Error, Fate, Principal, Result, SessionKey, Timestamp, Updated, Version};

use super::Native;
use crate::postgres::shared::{Keys, before_all_keys, check_payload, number};
use crate::postgres::sqlstate::LOOK_AGAIN;
use crate::value::{self, Column};
use crate::{Bound, Run};

/// What a change with an expected version came to.
pub(super) enum Changed {
    /// It was done; the version now.
    Done(Version),
    Stale,
    Gone,
}

impl Native {
    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<R: Run>(&self, run: &R, create: &Create, now: Timestamp) -> Result<Created> {
        check_payload(&create.payload)?;
        let values = [
            ("key", (&create.key).into()),
            ("payload", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
            ("now", now.into()),
            ("principal", create.principal.as_ref().into()),
            ("version", create.version.into()),
        ];
        Ok(match run.execute(self.statements.create.bind(&values)).await? {
            0 => Created::KeyTaken,
            _ => Created::Created,
        })
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<R: Run>(&self, run: &R, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("key", (&load.key).into()), ("now", now.into()), ("known", load.known.into())];
        let known = load.known;
        let read = |row: &R::Row| R::columns(row, |columns| value::loaded(columns, known));
        let rows = run.read(self.statements.load.bind(&values), read).await?;
        rows.into_iter().next().unwrap_or(Ok(Loaded::Gone))
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<R: Run>(&self, run: &R, update: &Update, now: Timestamp) -> Result<Updated> {
        check_payload(&update.payload)?;
        let [key, now, payload, expires_at, principal] = [
            ("key", (&update.key).into()),
            ("now", now.into()),
            ("payload", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
            ("principal", update.principal.as_ref().into()),
        ];
        let Some(expected) = update.expected else {
            let values = [key, now, payload, expires_at, principal];
            let rows = run.write(self.statements.update.bind(&values), version::<R>).await?;
            return Ok(rows.into_iter().next().transpose()?.map_or(Updated::Gone, Updated::Saved));
        };
        let values = [key, now, payload, expires_at, principal, ("expected", expected.into())];
        let changed = change(run, self.statements.update_expected.bind(&values), expected).await?;
        Ok(match changed {
            Changed::Done(version) => Updated::Saved(version),
            Changed::Stale => Updated::Stale,
            Changed::Gone => Updated::Gone,
        })
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<R: Run>(&self, run: &R, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let [key, now, expires_at] =
            [("key", (&touch.key).into()), ("now", now.into()), ("expires_at", touch.expires_at.into())];
        let Some(expected) = touch.expected else {
            let values = [key, now, expires_at];
            return Ok(match run.execute(self.statements.touch.bind(&values)).await? {
                0 => Touched::Gone,
                _ => Touched::Moved,
            });
        };
        let values = [key, now, expires_at, ("expected", expected.into())];
        let changed = change(run, self.statements.touch_expected.bind(&values), expected).await?;
        Ok(match changed {
            Changed::Done(_) => Touched::Moved,
            Changed::Stale => Touched::Stale,
            Changed::Gone => Touched::Gone,
        })
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<R: Run>(&self, run: &R, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let values = [("key", (&destroy.key).into()), ("now", now.into())];
        Ok(run.execute(self.statements.destroy.of(destroy.mode).bind(&values)).await? == 1)
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
            ("principal", rotate.principal.as_ref().into()),
            ("expected", rotate.expected.into()),
        ];
        let rows = run.write(self.statements.rotate.of(rotate.mode).bind(&values), versions::<R>).await?;
        Ok(match rows.into_iter().next().transpose()? {
            None => Rotated::Gone,
            Some((_, Some(after))) => Rotated::Rotated(after),
            Some((before, None)) if rotate.expected.is_some_and(|expected| expected != before) => {
                Rotated::Stale
            }
            Some((_, None)) => Rotated::KeyTaken,
        })
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<R: Run>(&self, run: &R, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let read = |row: &R::Row| {
            R::columns(row, |[destroyed, rotated, expires_at]| {
                let is_destroyed = value::flag("destroyed_at", destroyed)?;
                let is_rotated = value::flag("rotated", rotated)?;
                Ok(value::fate(is_destroyed, is_rotated, value::timestamp("expires_at", expires_at)?, now))
            })
        };
        let values = [("key", key.into())];
        let rows = run.read(self.statements.fate.bind(&values), read).await?;
        rows.into_iter().next().unwrap_or(Ok(Fate::Unknown))
    }

    /// As [`Store::destroy_principal`](session_core::contract::Store::destroy_principal).
    pub async fn destroy_principal<R: Run>(
        &self,
        run: &R,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Result<u64> {
        let spared = Keys::new(self.format, &destroy.except);
        let values = [
            ("principal", (&destroy.principal).into()),
            ("now", now.into()),
            ("spared", spared.value()),
            ("created_before", destroy.created_before.into()),
        ];
        until_settled(run, self.statements.destroy_principal.of(destroy.mode).bind(&values)).await
    }

    /// As [`Store::forget_principal`](session_core::contract::Store::forget_principal).
    pub async fn forget_principal<R: Run>(
        &self,
        run: &R,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<u64> {
        let values = [("principal", principal.into()), ("now", now.into())];
        until_settled(run, self.statements.forget_principal.bind(&values)).await
    }

    /// As [`Store::purge_expired`](session_core::contract::Store::purge_expired).
    pub async fn purge_expired<R: Run>(&self, run: &R, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let values = [("now", now.into()), ("limit", limit.get().into())];
        if self.limit_subquery {
            return run.execute(self.statements.purge.bind(&values)).await;
        }
        let format = self.format;
        let read = |row: &R::Row| R::columns(row, |[key]| value::key(format, key));
        let keys = run.read(self.statements.find_expired.bind(&values), read).await?;
        let keys: Vec<SessionKey> = keys.into_iter().collect::<Result<_>>()?;
        let keys = Keys::new(format, &keys);
        let values = [("now", now.into()), ("keys", keys.value())];
        run.execute(self.statements.purge_keys.bind(&values)).await
    }

    /// As [`Store::list`](session_core::contract::Store::list).
    pub async fn list<R: Run>(
        &self,
        run: &R,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let format = self.format;
        let read = |row: &R::Row| R::columns(row, |columns| value::listed(format, columns));
        let [now, after, limit] = [
            ("now", now.into()),
            ("after", after.map_or_else(|| before_all_keys(format), Into::into)),
            ("limit", limit.get().into()),
        ];
        let rows = match &filter.principal {
            None => run.read(self.statements.list.bind(&[now, after, limit]), read).await?,
            Some(principal) => {
                let values = [now, after, limit, ("principal", principal.into())];
                run.read(self.statements.list_principal.bind(&values), read).await?
            }
        };
        rows.into_iter().collect()
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<R: Run>(&self, run: &R, filter: &Filter, now: Timestamp) -> Result<u64> {
        let now = ("now", now.into());
        let count = match &filter.principal {
            None => number(run, self.statements.count.bind(&[now])).await?,
            Some(principal) => {
                let values = [now, ("principal", principal.into())];
                number(run, self.statements.count_principal.bind(&values)).await?
            }
        };
        Ok(value::count(count.unwrap_or(0)))
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<R: Run>(&self, run: &R) -> Result<u64> {
        run.execute(self.statements.clear.bind(&[])).await
    }
}

/// A change with an expected version, sent until its answer is one.
async fn change<R: Run>(run: &R, statement: Bound<'_>, expected: Version) -> Result<Changed> {
    loop {
        let rows = run.write(statement, changed::<R>).await?;
        match rows.into_iter().next().transpose()? {
            Some((version, true)) => return Ok(Changed::Done(version)),
            Some((version, false)) if version != expected => return Ok(Changed::Stale),
            // It was changed or ended while this waited for it. Nothing was done.
            Some((_, false)) => {}
            None => return Ok(Changed::Gone),
        }
    }
}

/// A statement on a principal's rows, sent until none of them changed while it waited for them.
async fn until_settled<R: Run>(run: &R, statement: Bound<'_>) -> Result<u64> {
    loop {
        let read = |row: &R::Row| R::columns(row, |[count]| value::bigint("count", count).map_err(in_doubt));
        match run.write(statement, read).await {
            Ok(rows) => {
                let count = rows.into_iter().next().transpose()?;
                return Ok(value::count(count.unwrap_or(0)));
            }
            // A session was rotated away while this waited for its row. Nothing was done.
            Err(error) if error.code() == Some(LOOK_AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The answer to a write that was done cannot be read.
pub(super) fn in_doubt(error: Error) -> Error {
    error.with_in_doubt(true)
}

fn version<R: Run>(row: &R::Row) -> Result<Version> {
    R::columns(row, |[version]| value::version(version).map_err(in_doubt))
}

/// A version, and whether it is that of a change that was done.
fn changed<R: Run>(row: &R::Row) -> Result<(Version, bool)> {
    R::columns(row, |[version, done]| {
        let done = value::flag("done", done)?;
        let version = value::version(version);
        Ok((if done { version.map_err(in_doubt)? } else { version? }, done))
    })
}

/// The version before and, if the change was made, after.
fn versions<R: Run>(row: &R::Row) -> Result<(Version, Option<Version>)> {
    R::columns(row, |[before, after]| {
        let after = match after {
            Column::Null => None,
            after => Some(value::version(after).map_err(in_doubt)?),
        };
        let before = value::version(before);
        Ok((if after.is_some() { before.map_err(in_doubt)? } else { before? }, after))
    })
}
