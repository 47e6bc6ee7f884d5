//! The many-key forms: one statement for each kind of operation, and an outcome for each operation. On MySQL, which has no
//! RETURNING, see `locked`.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt};
use session_core::{
    Created, Destroy, DestroyMode, Error, Record, Result, SessionKey, Store, Timestamp, Updated, Version,
    Write, Written,
};

use super::error::DUPLICATE;
use super::locked;
use super::query::{Bind, MysqlRow, columns};
use super::statements::{MAX_ROWS, insertable};
use super::store::{BACKEND, Flavor, MysqlStore, create_row, in_doubt, listed, principal};
use crate::convert;

/// Pads to a power of two by repeating the last value, which means nothing in a list of keys and beside it.
pub(super) fn filled<'a>(
    values: impl Iterator<Item = Bind<'a>>,
    size: usize,
) -> impl Iterator<Item = Bind<'a>> {
    let mut last = Bind::Bytes(&[]);
    let mut values = values;
    (0..size).map(move |_| {
        last = values.next().unwrap_or(last);
        last
    })
}

pub(super) async fn load(
    store: &MysqlStore,
    keys: &[SessionKey],
    now: Timestamp,
) -> Result<Vec<Result<Option<Record>>>> {
    if let [key] = keys {
        return Ok(vec![store.load(key, now).await]);
    }
    let mut outcomes: Vec<Result<Option<Record>>> =
        keys.iter().map(|key| store.check(key).map(|()| None)).collect();
    let places: HashMap<&SessionKey, usize> =
        keys.iter().enumerate().map(|(place, key)| (key, place)).collect();
    let sound: Vec<&SessionKey> =
        keys.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(key, _)| key).collect();
    let format = store.format;
    for keys in sound.chunks(MAX_ROWS) {
        let (size, many) = store.statements.many(keys.len());
        let mut values: Vec<Bind<'_>> = filled(keys.iter().map(|key| Bind::key(key)), size).collect();
        values.push(Bind::Bigint(now.as_millis()));
        for row in store.connections.read(&many.load, &values, |row| listed(format, row)).await? {
            let row = row?;
            if let Some(&place) = places.get(&row.key) {
                outcomes[place] = row.record.map(Some);
            }
        }
    }
    Ok(outcomes)
}

/// The most connections that a batch has at a time.
const CONNECTIONS: usize = 4;

/// The kinds go over connections of their own, at the same time: the server then commits them together.
pub(super) async fn write(
    store: &MysqlStore,
    writes: &[Write],
    now: Timestamp,
) -> Result<Vec<Result<Written>>> {
    if let [write] = writes {
        return Ok(vec![single(store, write, now).await]);
    }
    let mut kinds = Kinds::default();
    let mut outcomes: Vec<Option<Result<Written>>> = Vec::with_capacity(writes.len());
    for (place, write) in writes.iter().enumerate() {
        outcomes.push(store.check(write.key()).err().map(Err));
        if outcomes[place].is_none() {
            kinds.add(place, write);
        }
    }
    let server = store.server().await?;
    let chunks = kinds.chunks();
    let tasks = chunks.iter().map(|(kind, places)| async move {
        let writes: Vec<&Write> = places.iter().map(|&place| &writes[place]).collect();
        let done = match kind {
            _ if !server.takes(writes.iter().map(|write| write.payload_len()).sum()) => None,
            Kind::Create => creates(store, &writes, now).await,
            _ if server.flavor == Flavor::Mysql => Some(locked::write(store, &writes, now).await),
            Kind::Update => Some(updates(store, &writes, now).await),
            Kind::Touch => Some(touches(store, &writes, now).await),
            Kind::End => Some(destroys(store, &writes, DestroyMode::Soft, now).await),
            Kind::Remove => Some(destroys(store, &writes, DestroyMode::Hard, now).await),
        };
        match done {
            Some(Ok(outcomes)) => Some(outcomes),
            // It may have been done: it is not tried again.
            Some(Err(error)) if error.is_indeterminate() => {
                Some(writes.iter().map(|_| Err(copy(&error))).collect::<Vec<_>>())
            }
            // Nothing was done.
            Some(Err(_)) | None => None,
        }
    });
    let tasks: Vec<_> = tasks.collect();
    let done: Vec<_> = stream::iter(tasks).buffered(CONNECTIONS).collect().await;
    let mut left = Vec::new();
    for ((_, places), done) in chunks.iter().zip(done) {
        match done {
            Some(done) => {
                for (&place, outcome) in places.iter().zip(done) {
                    outcomes[place] = Some(outcome);
                }
            }
            None => left.extend_from_slice(places),
        }
    }
    let tasks: Vec<_> = left.iter().map(|&place| single(store, &writes[place], now)).collect();
    let done: Vec<_> = stream::iter(tasks).buffered(CONNECTIONS).collect().await;
    for (place, outcome) in left.into_iter().zip(done) {
        outcomes[place] = Some(outcome);
    }
    let lost = || Error::new(session_core::ErrorKind::Backend, "a write of a batch has no outcome");
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(lost()))).collect())
}

type Outcomes = Vec<Result<Written>>;

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Update,
    Touch,
    End,
    Remove,
}

/// The places of a batch's operations, by kind.
#[derive(Default)]
struct Kinds {
    creates: Vec<usize>,
    updates: Vec<usize>,
    touches: Vec<usize>,
    ends: Vec<usize>,
    removals: Vec<usize>,
}

impl Kinds {
    fn add(&mut self, place: usize, write: &Write) {
        match write {
            Write::Create(_) => &mut self.creates,
            Write::Update(_) => &mut self.updates,
            Write::Touch(_) => &mut self.touches,
            Write::Destroy(Destroy { mode: DestroyMode::Soft, .. }) => &mut self.ends,
            Write::Destroy(_) => &mut self.removals,
        }
        .push(place);
    }

    fn chunks(&self) -> Vec<(Kind, &[usize])> {
        let kinds = [
            (Kind::Update, &self.updates),
            (Kind::Touch, &self.touches),
            (Kind::End, &self.ends),
            (Kind::Remove, &self.removals),
        ];
        let mut chunks: Vec<(Kind, &[usize])> = kinds
            .into_iter()
            .flat_map(|(kind, places)| places.chunks(MAX_ROWS).map(move |places| (kind, places)))
            .collect();
        let mut creates = self.creates.as_slice();
        while !creates.is_empty() {
            // Each piece has a fate of its own.
            let (chunk, rest) = creates.split_at(insertable(creates.len()));
            chunks.push((Kind::Create, chunk));
            creates = rest;
        }
        chunks
    }
}

/// `None` if a key is taken: then nothing was done, and each is tried on its own.
async fn creates(store: &MysqlStore, writes: &[&Write], now: Timestamp) -> Option<Result<Outcomes>> {
    let mut values = Vec::with_capacity(writes.len() * 5);
    for write in writes {
        if let Write::Create(create) = write {
            values.extend(create_row(create, now));
        }
    }
    match store.connections.execute(store.statements.create_many(writes.len()), &values).await {
        Ok(_) => Some(Ok(writes.iter().map(|_| Ok(Written::Created(Created::Created))).collect())),
        Err(error) if error.code() == Some(DUPLICATE) => None,
        Err(error) => Some(Err(error)),
    }
}

async fn updates(store: &MysqlStore, writes: &[&Write], now: Timestamp) -> Result<Outcomes> {
    let (size, many) = store.statements.many(writes.len());
    let updates = || {
        writes.iter().filter_map(|write| match write {
            Write::Update(update) => Some(update),
            _ => None,
        })
    };
    let keys = || filled(updates().map(|update| Bind::key(&update.key)), size);
    let expected = updates().map(|update| Bind::OptionalBigint(update.expected.map(Version::get)));
    let payloads = updates().map(|update| Bind::Text(update.payload.as_str()));
    // A padded key is found at its first place, so that no value beyond the writes is ever used.
    let payloads = payloads.chain(std::iter::repeat(Bind::Text(""))).take(size);
    let expiries = updates().map(|update| Bind::Bigint(update.expires_at.as_millis()));
    let principals = updates().map(|update| principal(update.principal.as_ref()));
    let mut values = Vec::with_capacity(size * 7 + 1);
    values.extend(keys().chain(keys()));
    values.push(Bind::Bigint(now.as_millis()));
    values.extend(keys().chain(filled(expected, size)).chain(payloads));
    values.extend(filled(expiries, size).chain(filled(principals, size)));
    let mut updated = versions(store, &many.update, &values, true).await?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        let Write::Update(update) = write else { continue };
        outcomes.push(match updated.remove(&update.key) {
            Some(version) => version.map(|version| Written::Updated(Updated::Saved(version))),
            // Rare: it changed nothing, and is tried on its own, which tells stale from gone.
            None => store.update(update, now).await.map(Written::Updated),
        });
    }
    Ok(outcomes)
}

async fn touches(store: &MysqlStore, writes: &[&Write], now: Timestamp) -> Result<Outcomes> {
    let (size, many) = store.statements.many(writes.len());
    let keys = || filled(writes.iter().map(|write| Bind::key(write.key())), size);
    let expiries = writes.iter().filter_map(|write| match write {
        Write::Touch(touch) => Some(Bind::Bigint(touch.expires_at.as_millis())),
        _ => None,
    });
    let mut values = Vec::with_capacity(size * 3 + 1);
    values.extend(keys().chain(keys()));
    values.push(Bind::Bigint(now.as_millis()));
    values.extend(filled(expiries, size));
    let touched = versions(store, &many.touch, &values, false).await?;
    Ok(writes.iter().map(|write| Ok(Written::Touched(touched.contains_key(write.key())))).collect())
}

async fn destroys(
    store: &MysqlStore,
    writes: &[&Write],
    mode: DestroyMode,
    now: Timestamp,
) -> Result<Outcomes> {
    let (size, many) = store.statements.many(writes.len());
    let now = Bind::Bigint(now.as_millis());
    let mut values = Vec::with_capacity(size + 2);
    values.extend(filled(writes.iter().map(|write| Bind::key(write.key())), size));
    values.push(now);
    let statement = match mode {
        DestroyMode::Soft => {
            values.push(now);
            &many.destroy
        }
        DestroyMode::Hard => &many.remove,
    };
    let ended = versions(store, statement, &values, false).await?;
    Ok(writes.iter().map(|write| Ok(Written::Destroyed(ended.contains_key(write.key())))).collect())
}

/// The keys that a statement answers with, and the versions where it gives them. A version that cannot be read concerns
/// no other row.
async fn versions(
    store: &MysqlStore,
    statement: &str,
    values: &[Bind<'_>],
    with_versions: bool,
) -> Result<HashMap<SessionKey, Result<Version>>> {
    let format = store.format;
    let read = |row: &MysqlRow| -> Result<(SessionKey, Result<Version>)> {
        if with_versions {
            return columns(row, |[key, version]| {
                let version = convert::bigint("version", version).map(Version::new).map_err(in_doubt);
                Ok((convert::key(format, key)?, version))
            });
        }
        columns(row, |[key]| Ok((convert::key(format, key)?, Ok(Version::NONE))))
    };
    let rows = store.connections.write(statement, values, read).await?;
    rows.into_iter().collect::<Result<_>>().map_err(in_doubt)
}

async fn single(store: &MysqlStore, write: &Write, now: Timestamp) -> Result<Written> {
    match write {
        Write::Create(create) => store.create(create, now).await.map(Written::Created),
        Write::Update(update) => store.update(update, now).await.map(Written::Updated),
        Write::Touch(touch) => store.touch(touch, now).await.map(Written::Touched),
        Write::Destroy(destroy) => store.destroy(destroy, now).await.map(Written::Destroyed),
    }
}

/// The same error again, for one more operation of the batch that it struck.
fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), "the batch that this write went with failed")
        .with_backend(BACKEND)
        .with_indeterminate(error.is_indeterminate())
        .with_source(error.to_string());
    if let Some(code) = error.code() {
        copy = copy.with_code(code);
    }
    if error.is_unreachable() {
        copy = copy.with_unreachable();
    }
    copy
}
