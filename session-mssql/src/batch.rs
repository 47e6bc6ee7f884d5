//! Many keys in one statement: what goes out as JSON, and whose outcome is whose.

use std::collections::HashMap;

use serde::Serialize;
use session_core::{
    Create, Created, Destroy, DestroyMode, Error, KeyFormat, Principal, Record, Result, SessionKey, Store as _, Timestamp,
    Touch, Update, Updated, Version, Write, Written,
};
use tiberius::{ColumnData, Row, ToSql};

use crate::MssqlStore;
use crate::convert::{self, Cells};
use crate::error;
use crate::statements::Statements;

/// A row in the JSON of a batch. The names are short, as they are there once for each row.
#[derive(Serialize)]
struct Item<'a> {
    #[serde(rename = "k")]
    key: Key<'a>,
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    expected: Option<i64>,
}

/// A plain key; or where the key's 32 bytes begin in the parameter that has them all, counted from 1.
#[derive(Serialize)]
#[serde(untagged)]
enum Key<'a> {
    Place(usize),
    Text(&'a str),
}

/// The parameters of a batch.
struct Rows {
    json: String,
    /// The bytes of hashed keys, one behind the other.
    keys: Vec<u8>,
    format: KeyFormat,
}

impl Rows {
    fn new<'a, W, T: Serialize>(
        format: KeyFormat,
        writes: &'a [W],
        key: impl Fn(&'a W) -> &'a SessionKey,
        item: impl Fn(Key<'a>, &'a W) -> T,
    ) -> Result<Rows> {
        let mut keys = Vec::new();
        let mut items = Vec::with_capacity(writes.len());
        for write in writes {
            let key = key(write);
            convert::check_key(format, key)?;
            items.push(match key.as_text() {
                Some(text) => item(Key::Text(text), write),
                None => {
                    let place = Key::Place(keys.len() + 1);
                    keys.extend_from_slice(key.as_bytes());
                    item(place, write)
                }
            });
        }
        let json = serde_json::to_string(&items)
            .map_err(|_| error::unexpected("the batch could not be written as JSON").with_indeterminate(false))?;
        Ok(Rows { json, keys, format })
    }

    /// The parameters of a statement for many keys.
    fn params<'a>(&'a self, now: &'a i64) -> Vec<&'a dyn ToSql> {
        match self.format {
            KeyFormat::Hashed => vec![now, &self.json, &self.keys],
            KeyFormat::Plain => vec![now, &self.json],
        }
    }
}

impl MssqlStore {
    pub(crate) async fn load_batch(
        &self,
        keys: &[SessionKey],
        now: Timestamp,
    ) -> Result<Vec<Result<Option<Record>>>> {
        let rows = Rows::new(self.key_format(), keys, |key| key, |key, _| key)?;
        let sets = self.database().read(&self.statements().load_many, &rows.params(&now.as_millis())).await?;
        let places: HashMap<&SessionKey, usize> = keys.iter().zip(0..).collect();
        let mut outcomes: Vec<Result<Option<Record>>> = keys.iter().map(|_| Ok(None)).collect();
        for row in sets.into_iter().flatten() {
            let mut cells = Cells::of(row);
            let key = cells.key(self.key_format())?;
            if let Some(outcome) = places.get(&key).and_then(|place| outcomes.get_mut(*place)) {
                *outcome = cells.record().map(Some);
            }
        }
        Ok(outcomes)
    }

    pub(crate) async fn write_batch(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let mut outcomes: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
        for kind in Kind::ALL {
            let mut ours: Vec<(usize, &Write)> =
                (0..).zip(writes).filter(|(_, write)| Kind::of(write) == kind).collect();
            if ours.len() > 1 {
                ours = self.write_kind(kind, ours, now, &mut outcomes).await?;
            }
            // A single write, and what the statement for many could not decide or refused as a whole.
            for (place, write) in ours {
                let outcome = self.write_one(write, now).await;
                if let Some(slot) = outcomes.get_mut(place) {
                    *slot = Some(outcome);
                }
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Runs the writes of one kind as one statement. Returns those that have no outcome yet, and were not done.
    async fn write_kind<'a>(
        &self,
        kind: Kind,
        mut writes: Vec<(usize, &'a Write)>,
        now: Timestamp,
        outcomes: &mut [Option<Result<Written>>],
    ) -> Result<Vec<(usize, &'a Write)>> {
        let rows =
            Rows::new(self.key_format(), &writes, |(_, write)| write.key(), |key, (_, write)| Item::of(key, write))?;
        let statement = kind.statement(self.statements());
        let sets = match self.database().run(statement, &rows.params(&now.as_millis())).await {
            Ok(sets) => sets,
            // One of them may be what the database does not take, or they were in the way of others.
            Err(error) if !error.is_indeterminate() => return Ok(writes),
            Err(error) => return Err(error),
        };
        let mut done = HashMap::with_capacity(writes.len());
        for row in sets.into_iter().flatten() {
            if kind == Kind::Create && is_raced(&row) {
                return Ok(writes);
            }
            let mut cells = Cells::of(row);
            let key = cells.key(self.key_format()).map_err(indeterminate)?;
            let version = match kind {
                Kind::Update => cells.version().map_err(indeterminate)?,
                _ => Version::NONE,
            };
            done.insert(key, version);
        }
        writes.retain(|(place, write)| {
            let outcome = match (write, done.get(write.key())) {
                (Write::Create(_), Some(_)) => Written::Created(Created::Created),
                (Write::Create(_), None) => Written::Created(Created::KeyTaken),
                (Write::Update(_), Some(version)) => Written::Updated(Updated::Saved(*version)),
                // Gone or stale: the statement for one tells.
                (Write::Update(Update { expected: Some(_), .. }), None) => return true,
                (Write::Update(_), None) => Written::Updated(Updated::Gone),
                (Write::Touch(_), done) => Written::Touched(done.is_some()),
                (Write::Destroy(_), done) => Written::Destroyed(done.is_some()),
            };
            if let Some(slot) = outcomes.get_mut(*place) {
                *slot = Some(Ok(outcome));
            }
            false
        });
        Ok(writes)
    }

    async fn write_one(&self, write: &Write, now: Timestamp) -> Result<Written> {
        match write {
            Write::Create(create) => self.create(create, now).await.map(Written::Created),
            Write::Update(update) => self.update(update, now).await.map(Written::Updated),
            Write::Touch(touch) => self.touch(touch, now).await.map(Written::Touched),
            Write::Destroy(destroy) => self.destroy(destroy, now).await.map(Written::Destroyed),
        }
    }
}

/// True for the row with which a batch of creates says that another call was faster.
fn is_raced(row: &Row) -> bool {
    matches!(row.cells().next(), Some((_, ColumnData::I32(_))))
}

/// An error of reading the answer of a write that was done.
fn indeterminate(error: Error) -> Error {
    error.with_indeterminate(true)
}

/// Writes that one statement does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    Update,
    Touch,
    DestroySoft,
    DestroyHard,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Create, Kind::Update, Kind::Touch, Kind::DestroySoft, Kind::DestroyHard];

    fn of(write: &Write) -> Kind {
        match write {
            Write::Create(_) => Kind::Create,
            Write::Update(_) => Kind::Update,
            Write::Touch(_) => Kind::Touch,
            Write::Destroy(Destroy { mode: DestroyMode::Soft, .. }) => Kind::DestroySoft,
            Write::Destroy(Destroy { mode: DestroyMode::Hard, .. }) => Kind::DestroyHard,
        }
    }

    fn statement(self, statements: &Statements) -> &str {
        match self {
            Kind::Create => &statements.many.create,
            Kind::Update => &statements.many.update,
            Kind::Touch => &statements.many.touch,
            Kind::DestroySoft => &statements.many.destroy.soft,
            Kind::DestroyHard => &statements.many.destroy.hard,
        }
    }
}

impl<'a> Item<'a> {
    fn of(key: Key<'a>, write: &'a Write) -> Item<'a> {
        let bare = Item { key, payload: None, expires_at: None, principal: None, expected: None };
        match write {
            Write::Create(Create { payload, expires_at, principal, .. }) => Item {
                payload: Some(payload.as_str()),
                expires_at: Some(expires_at.as_millis()),
                principal: principal.as_ref().map(Principal::as_str),
                ..bare
            },
            Write::Update(Update { payload, expires_at, principal, expected, .. }) => Item {
                payload: Some(payload.as_str()),
                expires_at: Some(expires_at.as_millis()),
                principal: principal.as_ref().map(Principal::as_str),
                expected: expected.map(Version::get),
                ..bare
            },
            Write::Touch(Touch { expires_at, .. }) => Item { expires_at: Some(expires_at.as_millis()), ..bare },
            Write::Destroy(_) => bare,
        }
    }
}
