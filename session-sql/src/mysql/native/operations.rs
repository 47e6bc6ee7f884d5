//! The operations on single sessions, as [`Store`](session_core::contract::Store) describes them: values in, outcomes out.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update,
};
use session_core::{DestroyMode, Error, Fate, Principal, Result, SessionKey, Timestamp, Updated, Version};

use super::value::{key, principal};
use super::{Native, counted};
use crate::mysql::number::{DUPLICATE, OUT_OF_RANGE};
use crate::mysql::sending::{create_row, execute_part, number_of};
use crate::mysql::server::Flavor;
use crate::mysql::sizes::{MAX_ROWS, fill};
use crate::value::{self, Column};
use crate::{Bound, Named, Run, Value};

#[expect(clippy::missing_errors_doc, reason = "those of the operation of the same name")]
impl Native {
    /// As [`Store::create`](session_core::contract::Store::create).
    pub async fn create<R: Run>(&self, run: &R, create: &Create, now: Timestamp) -> Result<Created> {
        self.server(run).await?.check(&create.payload)?;
        let values = [
            ("key", key(&create.key)),
            ("payload", (&create.payload).into()),
            ("expires_at", create.expires_at.into()),
            ("now", now.into()),
            ("principal", principal(create.principal.as_ref())),
            ("version", create.version.into()),
        ];
        let is_taken = self.statements.fate.bind(&values[..1]);
        create_row(run, self.statements.create.bind(&values), is_taken).await
    }

    /// As [`Store::load`](session_core::contract::Store::load).
    pub async fn load<R: Run>(&self, run: &R, load: &Load, now: Timestamp) -> Result<Loaded> {
        let values = [("key", key(&load.key)), ("now", now.into()), ("known", load.known.into())];
        let known = load.known;
        let read = |row: &R::Row| R::columns(row, |columns| value::loaded(columns, known));
        let rows = run.read(self.statements.load.bind(&values), read).await?;
        rows.into_iter().next().unwrap_or(Ok(Loaded::Gone))
    }

    /// As [`Store::update`](session_core::contract::Store::update).
    pub async fn update<R: Run>(&self, run: &R, update: &Update, now: Timestamp) -> Result<Updated> {
        let server = self.server(run).await?;
        server.check(&update.payload)?;
        let [key, now, payload, expires_at, principal] = [
            ("key", key(&update.key)),
            ("now", now.into()),
            ("payload", (&update.payload).into()),
            ("expires_at", update.expires_at.into()),
            ("principal", principal(update.principal.as_ref())),
        ];
        if let Some(expected) = update.expected {
            let values = [key, now, payload, expires_at, principal, ("expected", expected.into())];
            let counted = run.execute(self.statements.update_expected.bind(&values)).await?;
            let saved = Updated::Saved(expected.next());
            return Ok(told(counted, [Updated::Gone, Updated::Stale, saved]));
        }
        let values = [key, now, payload, expires_at, principal];
        let version = match server.flavor {
            Flavor::Mariadb => {
                let read = |row: &R::Row| R::columns(row, |[version]| new_version(version));
                let rows = run.write(self.statements.update_any_returning.bind(&values), read).await?;
                rows.into_iter().next().transpose()?
            }
            Flavor::Mysql => untold(run, self.statements.update_any.bind(&values)).await?,
        };
        Ok(version.map_or(Updated::Gone, Updated::Saved))
    }

    /// As [`Store::touch`](session_core::contract::Store::touch).
    pub async fn touch<R: Run>(&self, run: &R, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let [key, now, expires_at] =
            [("key", key(&touch.key)), ("now", now.into()), ("expires_at", touch.expires_at.into())];
        let Some(expected) = touch.expected else {
            return Ok(match run.execute(self.statements.touch.bind(&[key, now, expires_at])).await? {
                0 => Touched::Gone,
                _ => Touched::Moved,
            });
        };
        let values = [key, now, expires_at, ("expected", expected.into())];
        let counted = run.execute(self.statements.touch_expected.bind(&values)).await?;
        Ok(told(counted, [Touched::Gone, Touched::Stale, Touched::Moved]))
    }

    /// As [`Store::destroy`](session_core::contract::Store::destroy).
    pub async fn destroy<R: Run>(&self, run: &R, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let values = [("key", key(&destroy.key)), ("now", now.into())];
        let statement = match destroy.mode {
            DestroyMode::Forget => &self.statements.forget,
            DestroyMode::Keep => &self.statements.keep,
            DestroyMode::Remove => &self.statements.remove,
        };
        Ok(run.execute(statement.bind(&values)).await? > 0)
    }

    /// As [`Store::rotate`](session_core::contract::Store::rotate).
    pub async fn rotate<R: Run>(&self, run: &R, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        match self.rotate_unless_taken(run, rotate, now).await {
            Err(error) if error.code() == Some(DUPLICATE) => Ok(Rotated::KeyTaken),
            rotated => rotated,
        }
    }

    async fn rotate_unless_taken<R: Run>(&self, run: &R, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let server = self.server(run).await?;
        rotate.payload.as_ref().map_or(Ok(()), |payload| server.check(payload))?;
        let statements = match rotate.mode {
            DestroyMode::Forget => &self.statements.rotate_forgetting,
            DestroyMode::Keep => &self.statements.rotate_keeping,
            DestroyMode::Remove => &self.statements.rotate_removing,
        };
        let values = [
            ("key", key(&rotate.from)),
            ("now", now.into()),
            ("to", key(&rotate.to)),
            ("payload", rotate.payload.as_ref().into()),
            ("expires_at", rotate.expires_at.into()),
            ("principal", principal(rotate.principal.as_ref())),
            ("expected", rotate.expected.into()),
        ];
        if let Some(expected) = rotate.expected {
            let counted = run.execute(statements.expected.bind(&values)).await?;
            let rotated = Rotated::Rotated(expected.next());
            return Ok(told(counted, [Rotated::Gone, Rotated::Stale, rotated]));
        }
        let values = &values[..6];
        let version = match server.flavor {
            Flavor::Mariadb => {
                let rows = run.write(statements.any_returning.bind(values), rotated::<R>).await?;
                let rows: Vec<Option<Version>> = rows.into_iter().collect::<Result<_>>()?;
                rows.into_iter().flatten().next()
            }
            Flavor::Mysql => untold(run, statements.any.bind(values)).await?,
        };
        Ok(version.map_or(Rotated::Gone, Rotated::Rotated))
    }

    /// As [`Store::fate`](session_core::contract::Store::fate).
    pub async fn fate<R: Run>(&self, run: &R, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let read = |row: &R::Row| {
            R::columns(row, |[destroyed, rotated, expires_at]| {
                let is_destroyed = value::flag("destroyed", destroyed)?;
                let is_rotated = value::flag("rotated", rotated)?;
                Ok(value::fate(is_destroyed, is_rotated, value::timestamp("expires_at", expires_at)?, now))
            })
        };
        let rows = run.read(self.statements.fate.bind(&[("key", self::key(key))]), read).await?;
        rows.into_iter().next().unwrap_or(Ok(Fate::Unknown))
    }

    /// As [`Store::destroy_principal`](session_core::contract::Store::destroy_principal).
    pub async fn destroy_principal<R: Run>(
        &self,
        run: &R,
        destroy: &DestroyPrincipal,
        now: Timestamp,
    ) -> Result<u64> {
        let statement = match destroy.mode {
            DestroyMode::Forget => &self.statements.forget_sessions,
            DestroyMode::Keep => &self.statements.keep_sessions,
            DestroyMode::Remove => &self.statements.empty_sessions,
        };
        let values = [
            ("principal", principal(Some(&destroy.principal))),
            ("now", now.into()),
            ("except", destroy.except.as_ref().map_or(BEFORE_ALL, key)),
            ("created_before", destroy.created_before.into()),
        ];
        until_settled(run, statement.bind(&values)).await
    }

    /// As [`Store::forget_principal`](session_core::contract::Store::forget_principal).
    pub async fn forget_principal<R: Run>(
        &self,
        run: &R,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<u64> {
        let values = [("principal", self::principal(Some(principal))), ("now", now.into())];
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
        let mut keys: Vec<SessionKey> = keys.into_iter().collect::<Result<_>>()?;
        // In the order in which batches of writes lock.
        keys.sort_unstable();
        let mut purged = 0;
        for keys in keys.chunks(MAX_ROWS) {
            let many = self.statements.many.of_size(keys.len());
            let mut keys: Vec<Value<'_>> = keys.iter().map(key).collect();
            fill(&mut keys, many.rows, None);
            let values: [Named<'_>; 2] = [("keys", Value::List(&keys)), ("now", now.into())];
            purged += execute_part(run, many.purge.bind(&values), purged).await?;
        }
        Ok(purged)
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
        let [now, after, limit] =
            [("now", now.into()), ("after", after.map_or(BEFORE_ALL, key)), ("limit", limit.get().into())];
        let rows = match &filter.principal {
            None => run.read(self.statements.list.bind(&[now, after, limit]), read).await?,
            Some(of) => {
                let values = [now, after, limit, ("principal", principal(Some(of)))];
                run.read(self.statements.list_principal.bind(&values), read).await?
            }
        };
        rows.into_iter().collect()
    }

    /// As [`Store::count`](session_core::contract::Store::count).
    pub async fn count<R: Run>(&self, run: &R, filter: &Filter, now: Timestamp) -> Result<u64> {
        let now = ("now", now.into());
        let count = match &filter.principal {
            None => number_of(run, self.statements.count.bind(&[now])).await?,
            Some(of) => {
                let values = [now, ("principal", principal(Some(of)))];
                number_of(run, self.statements.count_principal.bind(&values)).await?
            }
        };
        Ok(value::count(count.unwrap_or(0)))
    }

    /// As [`Store::clear`](session_core::contract::Store::clear).
    pub async fn clear<R: Run>(&self, run: &R) -> Result<u64> {
        run.execute(self.statements.clear.bind(&[])).await
    }
}

/// A key before every other: none is empty.
const BEFORE_ALL: Value<'_> = Value::Bytes(Some(b""));

/// What a statement with an expected version came to: gone, stale or done.
fn told<T>(rows: u64, [gone, stale, done]: [T; 3]) -> T {
    match rows {
        counted::NONE => gone,
        counted::LEFT => stale,
        _ => done,
    }
}

/// What stands for the version that a statement does not tell, if it found a row.
async fn untold<R: Run>(run: &R, statement: Bound<'_>) -> Result<Option<Version>> {
    Ok((run.execute(statement).await? > 0).then_some(Version::NONE))
}

/// A statement on a principal's rows, sent until none of them changed while it waited for them.
async fn until_settled<R: Run>(run: &R, statement: Bound<'_>) -> Result<u64> {
    loop {
        match run.execute(statement).await {
            // A session was rotated away while this waited for its row. Nothing was done.
            Err(error) if error.code() == Some(OUT_OF_RANGE) => {}
            rows => return Ok(rows? / counted::DONE),
        }
    }
}

/// The version of a row that was changed.
fn new_version(version: Column<'_>) -> Result<Version> {
    value::version(version).map_err(|error: Error| error.with_in_doubt(true))
}

/// The version, if this is the row of the new key.
fn rotated<R: Run>(row: &R::Row) -> Result<Option<Version>> {
    R::columns(row, |[version, destroyed_at]| match destroyed_at {
        Column::Null => new_version(version).map(Some),
        _ => Ok(None),
    })
}
