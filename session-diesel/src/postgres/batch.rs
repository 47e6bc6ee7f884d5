//! The many-key forms: one statement, and an outcome for each operation.

use std::collections::HashMap;

use session_core::{
    Created, DestroyMode, Principal, Record, Result, SessionKey, Store, Timestamp, Updated, Version, Write,
    Written,
};

use super::query::{Bind, columns};
use super::statements::{Kinds, outcome};
use super::store::{PostgresStore, listed};
use crate::convert;

pub(super) async fn load(
    store: &PostgresStore,
    keys: &[SessionKey],
    now: Timestamp,
) -> Result<Vec<Result<Option<Record>>>> {
    if let [key] = keys {
        return Ok(vec![store.load(key, now).await]);
    }
    let mut outcomes: Vec<Result<Option<Record>>> =
        keys.iter().map(|key| store.check(key).map(|()| None)).collect();
    let sound = keys.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(key, _)| key);
    let values = [Bind::keys(store.format, sound), Bind::Bigint(now.as_millis())];
    let format = store.format;
    let rows =
        store.connections.read(&store.statements.load_many, &values, |row| listed(format, row)).await?;
    let places = places(keys);
    for row in rows {
        let row = row?;
        if let Some(&place) = places.get(&row.key) {
            outcomes[place] = row.record.map(Some);
        }
    }
    Ok(outcomes)
}

pub(super) async fn write(
    store: &PostgresStore,
    writes: &[Write],
    now: Timestamp,
) -> Result<Vec<Result<Written>>> {
    if let [write] = writes {
        return Ok(vec![single(store, write, now).await]);
    }
    let checked: Vec<Result<()>> = writes.iter().map(|write| check(store, write)).collect();
    let sound: Vec<&Write> =
        writes.iter().zip(&checked).filter(|(_, check)| check.is_ok()).map(|(write, _)| write).collect();
    let found = run(store, &sound, now).await?;
    Ok(writes.iter().zip(checked).map(|(write, check)| check.map(|()| written(write, &found))).collect())
}

/// What the batch's answer says of each key that it names.
#[derive(Clone, Copy, Default)]
struct Found {
    live: bool,
    updated: Option<Version>,
    created: bool,
}

async fn run(store: &PostgresStore, writes: &[&Write], now: Timestamp) -> Result<HashMap<SessionKey, Found>> {
    let mut columns_of = Columns::default();
    for write in writes {
        columns_of.add(write);
    }
    let (kinds, values) = columns_of.bind(store, now);
    if !kinds.creates && !kinds.locks() {
        return Ok(HashMap::new());
    }
    let format = store.format;
    let rows = store
        .connections
        .write(store.statements.batch(kinds), &values, |row| {
            columns(row, |[key, outcome, version]| {
                Ok((
                    convert::key(format, key)?,
                    convert::bigint("outcome", outcome)?,
                    Version::new(convert::bigint("version", version)?),
                ))
            })
        })
        .await?;
    let mut found: HashMap<SessionKey, Found> = HashMap::with_capacity(rows.len());
    for row in rows {
        let (key, outcome, version) = row?;
        let entry = found.entry(key).or_default();
        match outcome {
            outcome::UPDATED => entry.updated = Some(version),
            outcome::CREATED => entry.created = true,
            _ => entry.live = true,
        }
    }
    Ok(found)
}

fn written(write: &Write, found: &HashMap<SessionKey, Found>) -> Written {
    let found = found.get(write.key()).copied().unwrap_or_default();
    match write {
        Write::Create(_) if found.created => Written::Created(Created::Created),
        Write::Create(_) => Written::Created(Created::KeyTaken),
        Write::Update(_) => Written::Updated(match found.updated {
            Some(version) => Updated::Saved(version),
            None if found.live => Updated::Stale,
            None => Updated::Gone,
        }),
        Write::Touch(_) => Written::Touched(found.live),
        Write::Destroy(_) => Written::Destroyed(found.live),
    }
}

fn check(store: &PostgresStore, write: &Write) -> Result<()> {
    store.check(write.key())?;
    match write {
        Write::Create(create) => PostgresStore::check_payload(&create.payload),
        Write::Update(update) => PostgresStore::check_payload(&update.payload),
        Write::Touch(_) | Write::Destroy(_) => Ok(()),
    }
}

async fn single(store: &PostgresStore, write: &Write, now: Timestamp) -> Result<Written> {
    match write {
        Write::Create(create) => store.create(create, now).await.map(Written::Created),
        Write::Update(update) => store.update(update, now).await.map(Written::Updated),
        Write::Touch(touch) => store.touch(touch, now).await.map(Written::Touched),
        Write::Destroy(destroy) => store.destroy(destroy, now).await.map(Written::Destroyed),
    }
}

/// The values of a batch, column by column, as UNNEST takes them.
#[derive(Default)]
struct Columns<'a> {
    locked: Vec<&'a SessionKey>,
    creates: Rows<'a>,
    updates: Rows<'a>,
    expected: Vec<Option<i64>>,
    touches: Rows<'a>,
    ends: Vec<&'a SessionKey>,
    removals: Vec<&'a SessionKey>,
}

#[derive(Default)]
struct Rows<'a> {
    keys: Vec<&'a SessionKey>,
    payloads: Vec<&'a str>,
    expiries: Vec<i64>,
    principals: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, write: &'a Write) {
        match write {
            Write::Create(create) => {
                self.creates.keys.push(&create.key);
                self.creates.payloads.push(create.payload.as_str());
                self.creates.expiries.push(create.expires_at.as_millis());
                self.creates.principals.push(create.principal.as_ref().map(Principal::as_str));
                return;
            }
            Write::Update(update) => {
                self.updates.keys.push(&update.key);
                self.updates.payloads.push(update.payload.as_str());
                self.updates.expiries.push(update.expires_at.as_millis());
                self.updates.principals.push(update.principal.as_ref().map(Principal::as_str));
                self.expected.push(update.expected.map(Version::get));
            }
            Write::Touch(touch) => {
                self.touches.keys.push(&touch.key);
                self.touches.expiries.push(touch.expires_at.as_millis());
            }
            Write::Destroy(destroy) => match destroy.mode {
                DestroyMode::Soft => self.ends.push(&destroy.key),
                DestroyMode::Hard => self.removals.push(&destroy.key),
            },
        }
        self.locked.push(write.key());
    }

    fn bind(self, store: &PostgresStore, now: Timestamp) -> (Kinds, Vec<Bind<'a>>) {
        let kinds = Kinds {
            creates: !self.creates.keys.is_empty(),
            updates: !self.updates.keys.is_empty(),
            touches: !self.touches.keys.is_empty(),
            ends: !self.ends.is_empty(),
            removals: !self.removals.is_empty(),
        };
        let keys = |keys: Vec<&'a SessionKey>| Bind::keys(store.format, keys);
        let mut values = Vec::with_capacity(12);
        if kinds.locks() {
            values.push(keys(self.locked));
        }
        values.push(Bind::Bigint(now.as_millis()));
        if kinds.creates {
            values.push(keys(self.creates.keys));
            values.push(Bind::TextArray(self.creates.payloads));
            values.push(Bind::BigintArray(self.creates.expiries));
            values.push(Bind::OptionalTextArray(self.creates.principals));
        }
        if kinds.updates {
            values.push(keys(self.updates.keys));
            values.push(Bind::TextArray(self.updates.payloads));
            values.push(Bind::BigintArray(self.updates.expiries));
            values.push(Bind::OptionalTextArray(self.updates.principals));
            values.push(Bind::OptionalBigintArray(self.expected));
        }
        if kinds.touches {
            values.push(keys(self.touches.keys));
            values.push(Bind::BigintArray(self.touches.expiries));
        }
        if kinds.ends {
            values.push(keys(self.ends));
        }
        if kinds.removals {
            values.push(keys(self.removals));
        }
        (kinds, values)
    }
}

fn places(keys: &[SessionKey]) -> HashMap<&SessionKey, usize> {
    keys.iter().enumerate().map(|(place, key)| (key, place)).collect()
}
