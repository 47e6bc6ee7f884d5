//! The many-key forms: one statement, and an outcome for each operation.

use session_core::{
    Create, Created, DestroyMode, Error, Principal, Record, Result, SessionKey, Store, Timestamp, Updated,
    Version, Write, Written,
};

use super::query::{Bind, PgRow, columns};
use super::statements::{Changes, Kinds, outcome};
use super::store::{BACKEND, PostgresStore, in_doubt};
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
    // Places in the answer are those among the sound keys.
    let sound: Vec<usize> = (0..keys.len()).filter(|&place| outcomes[place].is_ok()).collect();
    let values =
        [Bind::keys(store.format, sound.iter().map(|&place| &keys[place])), Bind::Bigint(now.as_millis())];
    for row in store.connections.read(&store.statements.load_many, &values, placed_record).await? {
        let (place, record) = row?;
        outcomes[*at(&sound, place)?] = record.map(Some);
    }
    Ok(outcomes)
}

fn placed_record(row: &PgRow) -> Result<(i64, Result<Record>)> {
    columns(row, |[payload, expires_at, created_at, version, principal, place]| {
        let record = convert::record([payload, expires_at, created_at, version, principal])
            .map_err(|error| error.with_backend(BACKEND));
        Ok((convert::bigint("place", place)?, record))
    })
}

pub(super) async fn write(
    store: &PostgresStore,
    writes: &[Write],
    now: Timestamp,
) -> Result<Vec<Result<Written>>> {
    if let [write] = writes {
        return Ok(vec![single(store, write, now).await]);
    }
    let mut outcomes: Vec<Result<Written>> =
        writes.iter().map(|write| check(store, write).map(|()| undone(write))).collect();
    let mut places: Vec<usize> = (0..writes.len()).filter(|&place| outcomes[place].is_ok()).collect();
    // Rows are locked in this order. The gatherer's batches have it already.
    if !writes.is_sorted_by(|a, b| a.key() <= b.key()) {
        places.sort_unstable_by(|&a, &b| writes[a].key().cmp(writes[b].key()));
    }
    let batch = Batch::new(writes, &places);
    let (kinds, values) = batch.bind(store, now);
    if kinds.is_none() {
        return Ok(outcomes);
    }
    // What the answer does not name was done.
    for &(place, _) in &batch.creates {
        outcomes[place] = Ok(Written::Created(Created::Created));
    }
    if kinds.changes == Changes::Touches {
        for &place in &batch.changes {
            outcomes[place] = Ok(Written::Touched(true));
        }
    }
    let mut unclear = Vec::new();
    for row in store.connections.write(store.statements.batch(kinds), &values, answer).await? {
        let (outcome, place, version) = row.map_err(in_doubt)?;
        match outcome {
            outcome::TAKEN => {
                outcomes[at(&batch.creates, place)?.0] = Ok(Written::Created(Created::KeyTaken));
            }
            outcome::GONE => outcomes[*at(&batch.changes, place)?] = Ok(Written::Touched(false)),
            outcome::REMOVED => outcomes[*at(&batch.removals, place)?] = Ok(Written::Destroyed(true)),
            outcome::CHANGED => {
                let place = *at(&batch.changes, place)?;
                outcomes[place] = match &writes[place] {
                    Write::Touch(_) => Ok(Written::Touched(true)),
                    Write::Destroy(_) => Ok(Written::Destroyed(true)),
                    Write::Update(_) | Write::Create(_) => {
                        version.map(|version| Written::Updated(Updated::Saved(version))).map_err(in_doubt)
                    }
                };
            }
            // LIVE, which comes after every CHANGED.
            _ => {
                let place = *at(&batch.changes, place)?;
                if let (Write::Update(update), Ok(Written::Updated(Updated::Gone))) =
                    (&writes[place], &outcomes[place])
                {
                    match (update.expected, version) {
                        // It was not done, as no version is equal to this one.
                        (_, Err(error)) => outcomes[place] = Err(error),
                        (Some(expected), Ok(version)) if expected != version => {
                            outcomes[place] = Ok(Written::Updated(Updated::Stale));
                        }
                        _ => unclear.push(place),
                    }
                }
            }
        }
    }
    for place in unclear {
        outcomes[place] = single(store, &writes[place], now).await;
    }
    Ok(outcomes)
}

/// The outcome of a write that was not done.
fn undone(write: &Write) -> Written {
    match write {
        Write::Create(_) => Written::Created(Created::KeyTaken),
        Write::Update(_) => Written::Updated(Updated::Gone),
        Write::Touch(_) => Written::Touched(false),
        Write::Destroy(_) => Written::Destroyed(false),
    }
}

/// [`outcome`], place, and the version, which alone comes from the table: if it cannot be read, that concerns no other
/// operation of the batch.
fn answer(row: &PgRow) -> Result<(i64, i64, Result<Version>)> {
    columns(row, |[outcome, place, version]| {
        Ok((
            convert::bigint("outcome", outcome)?,
            convert::bigint("place", place)?,
            convert::bigint("version", version).map(Version::new),
        ))
    })
}

/// What stands at a place, counted from 1 on.
fn at<T>(list: &[T], place: i64) -> Result<&T> {
    let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
    index.and_then(|index| list.get(index)).ok_or_else(|| {
        in_doubt(Error::corrupt("the server answered for an operation that it was not asked for"))
    })
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

/// The writes of a batch by what they do to rows: each list in the order of keys, as places in the batch.
struct Batch<'a> {
    writes: &'a [Write],
    creates: Vec<(usize, &'a Create)>,
    changes: Vec<usize>,
    removals: Vec<usize>,
    touches: usize,
}

impl<'a> Batch<'a> {
    fn new(writes: &'a [Write], places: &[usize]) -> Batch<'a> {
        let mut batch =
            Batch { writes, creates: Vec::new(), changes: Vec::new(), removals: Vec::new(), touches: 0 };
        for &place in places {
            match &writes[place] {
                Write::Create(create) => batch.creates.push((place, create)),
                Write::Destroy(destroy) if destroy.mode == DestroyMode::Hard => batch.removals.push(place),
                Write::Touch(_) => {
                    batch.changes.push(place);
                    batch.touches += 1;
                }
                Write::Update(_) | Write::Destroy(_) => batch.changes.push(place),
            }
        }
        batch
    }

    /// The values, column by column, as UNNEST takes them.
    fn bind(&self, store: &PostgresStore, now: Timestamp) -> (Kinds, Vec<Bind<'a>>) {
        let changes = match self.changes.len() {
            0 => Changes::None,
            all if all == self.touches => Changes::Touches,
            _ => Changes::Any,
        };
        let kinds = Kinds { creates: !self.creates.is_empty(), changes, removals: !self.removals.is_empty() };
        let keys =
            |places: &[usize]| Bind::keys(store.format, places.iter().map(|&place| self.writes[place].key()));
        let mut values = vec![Bind::Bigint(now.as_millis())];
        if kinds.creates {
            let creates = || self.creates.iter().map(|&(_, create)| create);
            values.extend([
                Bind::keys(store.format, creates().map(|create| &create.key)),
                Bind::TextArray(creates().map(|create| create.payload.as_str()).collect()),
                Bind::BigintArray(creates().map(|create| create.expires_at.as_millis()).collect()),
                Bind::OptionalTextArray(creates().map(|create| text(create.principal.as_ref())).collect()),
            ]);
        }
        if changes != Changes::None {
            let changes = || self.changes.iter().map(|&place| &self.writes[place]);
            let expiries = changes().map(|write| match write {
                Write::Update(update) => Some(update.expires_at.as_millis()),
                Write::Touch(touch) => Some(touch.expires_at.as_millis()),
                Write::Create(_) | Write::Destroy(_) => None,
            });
            values.push(keys(&self.changes));
            values.push(Bind::OptionalBigintArray(expiries.collect()));
            if kinds.changes == Changes::Any {
                let updates = || {
                    changes().map(|write| match write {
                        Write::Update(update) => Some(update),
                        _ => None,
                    })
                };
                let payloads = updates().map(|update| update.map(|update| update.payload.as_str()));
                let principals = updates().map(|update| text(update?.principal.as_ref()));
                let expected = updates().map(|update| Some(update?.expected?.get()));
                values.extend([
                    Bind::OptionalTextArray(payloads.collect()),
                    Bind::OptionalTextArray(principals.collect()),
                    Bind::OptionalBigintArray(expected.collect()),
                ]);
            }
        }
        if kinds.removals {
            values.push(keys(&self.removals));
        }
        (kinds, values)
    }
}

fn text(principal: Option<&Principal>) -> Option<&str> {
    principal.map(Principal::as_str)
}
