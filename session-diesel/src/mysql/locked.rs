//! The writes of a batch on MySQL, which has no RETURNING. Most often all of them fit, and one statement makes all or none.
//! Otherwise their rows are locked and their versions read, which gives every outcome; what fits is changed in one
//! statement; and both are one transaction.

use std::collections::HashMap;

use session_core::{
    Destroy, DestroyMode, Result, SessionKey, Timestamp, Update, Updated, Version, Write, Written,
};

use super::batch::filled;
use super::query::{Bind, MysqlRow, columns};
use super::statements::Statements;
use super::store::{BACKEND, MysqlStore, principal};
use crate::convert;

type Outcomes = Vec<Result<Written>>;

/// Updates, touches, soft destroys or hard destroys: all of one kind, and of different sessions.
pub(super) async fn write(store: &MysqlStore, writes: &[&Write], now: Timestamp) -> Result<Outcomes> {
    let (all, values) = all(&store.statements, writes, now);
    if store.connections.execute(all, &values).await? > 0 {
        return Ok(writes.iter().map(|write| Ok(done(write))).collect());
    }
    let (size, many) = store.statements.many(writes.len());
    let mut values: Vec<Bind<'_>> = keys(writes, size).collect();
    values.push(Bind::Bigint(now.as_millis()));
    let format = store.format;
    let read = |row: &MysqlRow| -> Result<(SessionKey, Result<Version>)> {
        columns(row, |[key, version]| {
            let version = convert::bigint("version", version).map(Version::new);
            Ok((convert::key(format, key)?, version.map_err(|error| error.with_backend(BACKEND))))
        })
    };
    let decide = |rows: Vec<Result<(SessionKey, Result<Version>)>>| {
        let mut live: HashMap<SessionKey, Result<Version>> = match rows.into_iter().collect() {
            Ok(live) => live,
            Err(error) => return (None, Err(error)),
        };
        let mut fitting = Vec::with_capacity(writes.len());
        let outcomes = writes.iter().map(|&write| {
            let (outcome, fits) = outcome(write, live.remove(write.key()));
            if fits {
                fitting.push(write);
            }
            outcome
        });
        let outcomes: Outcomes = outcomes.collect();
        (change(&store.statements, &fitting, now), Ok(outcomes))
    };
    store.connections.lock_then_change(&many.lock, &values, read, decide).await?
}

/// The outcome of a write whose live row has this version, and whether the row is to be changed for it.
fn outcome(write: &Write, row: Option<Result<Version>>) -> (Result<Written>, bool) {
    let live = row.is_some();
    match (write, row) {
        (Write::Update(_), None) => (Ok(Written::Updated(Updated::Gone)), false),
        (Write::Update(_), Some(Err(error))) => (Err(error), false),
        (Write::Update(update), Some(Ok(version))) => {
            if update.expected.is_some_and(|expected| expected != version) {
                return (Ok(Written::Updated(Updated::Stale)), false);
            }
            (Ok(Written::Updated(Updated::Saved(version.next()))), true)
        }
        (Write::Touch(_), _) => (Ok(Written::Touched(live)), live),
        (Write::Destroy(_) | Write::Create(_), _) => (Ok(Written::Destroyed(live)), live),
    }
}

/// The outcome of a write that was made together with all others.
fn done(write: &Write) -> Written {
    match write {
        Write::Update(update) => {
            Written::Updated(Updated::Saved(update.expected.map_or(Version::NONE, Version::next)))
        }
        Write::Touch(_) => Written::Touched(true),
        Write::Destroy(_) | Write::Create(_) => Written::Destroyed(true),
    }
}

/// The statement that makes these writes, which are of one kind, if all of them fit, and else none of them.
fn all<'a>(statements: &'a Statements, writes: &[&'a Write], now: Timestamp) -> (&'a str, Vec<Bind<'a>>) {
    let (size, many) = statements.many(writes.len());
    let keys = || keys(writes, size);
    let now = || std::iter::once(Bind::Bigint(now.as_millis()));
    let rows = || std::iter::once(Bind::Bigint(i64::try_from(writes.len()).unwrap_or(i64::MAX)));
    match writes.first() {
        Some(Write::Update(_)) => {
            let expected =
                updates(writes).map(|update| Bind::OptionalBigint(update.expected.map(Version::get)));
            let fitting = keys().chain(keys()).chain(now()).chain(keys()).chain(filled(expected, size));
            (&many.update_all, fitting.chain(rows()).chain(new_values(writes, size)).collect())
        }
        Some(Write::Touch(_)) => {
            let fitting = keys().chain(keys()).chain(now());
            (&many.touch_all, fitting.chain(rows()).chain(new_values(writes, size)).collect())
        }
        Some(Write::Destroy(Destroy { mode: DestroyMode::Hard, .. })) => {
            (&many.remove_all, keys().chain(now()).chain(rows()).collect())
        }
        Some(Write::Destroy(_) | Write::Create(_)) | None => {
            (&many.destroy_all, keys().chain(now()).chain(rows()).chain(now()).collect())
        }
    }
}

/// The statement that makes these writes, which are of one kind, to rows that are locked.
fn change<'a>(
    statements: &'a Statements,
    writes: &[&'a Write],
    now: Timestamp,
) -> Option<(&'a str, Vec<Bind<'a>>)> {
    let (size, many) = statements.many(writes.len());
    let keys = || keys(writes, size);
    Some(match writes.first()? {
        Write::Update(_) => {
            (&many.update_locked, keys().chain(keys()).chain(new_values(writes, size)).collect())
        }
        Write::Touch(_) => {
            (&many.touch_locked, keys().chain(new_values(writes, size)).chain(keys()).collect())
        }
        Write::Destroy(Destroy { mode: DestroyMode::Hard, .. }) => (&many.remove_locked, keys().collect()),
        Write::Destroy(_) | Write::Create(_) => {
            let now = std::iter::once(Bind::Bigint(now.as_millis()));
            (&many.destroy_locked, now.chain(keys()).collect())
        }
    })
}

fn keys<'a>(writes: &[&'a Write], size: usize) -> impl Iterator<Item = Bind<'a>> {
    filled(writes.iter().map(|write| Bind::key(write.key())), size)
}

fn updates<'a>(writes: &[&'a Write]) -> impl Iterator<Item = &'a Update> {
    writes.iter().filter_map(|write| match write {
        Write::Update(update) => Some(update),
        _ => None,
    })
}

/// The payloads, expiries and principals of updates; the expiries of touches.
fn new_values<'a>(writes: &[&'a Write], size: usize) -> Vec<Bind<'a>> {
    let are_updates = matches!(writes.first(), Some(Write::Update(_)));
    let mut values = Vec::with_capacity(if are_updates { 3 * size } else { size });
    if are_updates {
        // A padded key is found at its first place, so that no value beyond the writes is ever used.
        let payloads = updates(writes).map(|update| Bind::Text(update.payload.as_str()));
        values.extend(payloads.chain(std::iter::repeat(Bind::Text(""))).take(size));
    }
    let expiries = writes.iter().filter_map(|write| match write {
        Write::Update(update) => Some(Bind::Bigint(update.expires_at.as_millis())),
        Write::Touch(touch) => Some(Bind::Bigint(touch.expires_at.as_millis())),
        Write::Create(_) | Write::Destroy(_) => None,
    });
    values.extend(filled(expiries, size));
    if are_updates {
        values.extend(filled(updates(writes).map(|update| principal(update.principal.as_ref())), size));
    }
    values
}
