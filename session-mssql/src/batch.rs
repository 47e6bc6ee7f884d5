//! Many keys in one statement: what goes out as its parameters, and whose outcome is whose.

use std::collections::{BTreeMap, HashMap, HashSet};

use session_core::{
    Create, Created, Destroy, DestroyMode, Error, ErrorKind, KeyFormat, Record, Result, SessionKey,
    Store as _, Timestamp, Touch, Update, Updated, Write, Written,
};
use tiberius::{ColumnData, Row, ToSql};
use tracing::warn;

use crate::MssqlStore;
use crate::convert::{Cells, check_key, name};
use crate::error;
use crate::statements::Statements;

/// The parameters of a statement for many keys. Numbers go as JSON, which keeps the statement's text the same for any
/// number of rows. What is not a number is cut out of two long values, by place and length.
struct Rows {
    now: i64,
    /// Objects of numbers, with places in `texts` counted in UTF-16 code units, as SQL Server counts.
    json: String,
    /// The same with places counted in characters, as Babelfish counts; empty if that is the same.
    json_by_character: String,
    /// Payloads, principals and plain keys, one behind the other.
    texts: String,
    /// Hashed keys, one behind the other.
    keys: Vec<u8>,
}

/// [`Rows`] in the making.
#[derive(Default)]
struct Places {
    rows: Vec<BTreeMap<&'static str, i64>>,
    rows_by_character: Vec<BTreeMap<&'static str, i64>>,
    texts: String,
    keys: Vec<u8>,
    units: usize,
    characters: usize,
}

impl Rows {
    fn of_keys(format: KeyFormat, keys: &[SessionKey], now: Timestamp) -> Result<Rows> {
        let mut places = Places::default();
        for key in keys {
            check_key(format, key)?;
            places.key(key);
        }
        places.finish(now)
    }

    fn of_writes(format: KeyFormat, writes: &[(usize, &Write)], now: Timestamp) -> Result<Rows> {
        let mut places = Places::default();
        for (_, write) in writes {
            check_key(format, write.key())?;
            places.key(write.key());
            match write {
                Write::Create(Create { payload, expires_at, principal, .. }) => {
                    places.text("p", "pl", payload.as_str());
                    places.text("o", "ol", name(principal.as_ref()));
                    places.number("e", expires_at.as_millis());
                }
                Write::Update(Update { payload, expires_at, principal, expected, .. }) => {
                    places.text("p", "pl", payload.as_str());
                    places.text("o", "ol", name(principal.as_ref()));
                    places.number("e", expires_at.as_millis());
                    if let Some(expected) = expected {
                        places.number("x", expected.get());
                    }
                }
                Write::Touch(Touch { expires_at, .. }) => places.number("e", expires_at.as_millis()),
                Write::Destroy(_) => {}
            }
        }
        places.finish(now)
    }

    /// As the statements count them.
    fn params(&self) -> [&dyn ToSql; 5] {
        [&self.now, &self.json, &self.json_by_character, &self.texts, &self.keys]
    }
}

impl Places {
    /// Begins a row with its key, as `k` and, for a plain one, its length `kl`.
    fn key(&mut self, key: &SessionKey) {
        self.rows.push(BTreeMap::new());
        self.rows_by_character.push(BTreeMap::new());
        match key.as_text() {
            Some(text) => self.text("k", "kl", text),
            None => {
                self.number("k", number(self.keys.len() + 1));
                self.keys.extend_from_slice(key.as_bytes());
            }
        }
    }

    /// Adds a text, as its place, counted from 1, and its length.
    fn text(&mut self, place: &'static str, length: &'static str, text: &str) {
        let (units, characters) = (text.encode_utf16().count(), text.chars().count());
        self.field(place, number(self.units + 1), number(self.characters + 1));
        self.field(length, number(units), number(characters));
        self.units += units;
        self.characters += characters;
        self.texts.push_str(text);
    }

    fn number(&mut self, name: &'static str, number: i64) {
        self.field(name, number, number);
    }

    fn field(&mut self, name: &'static str, by_unit: i64, by_character: i64) {
        if let (Some(row), Some(row_by_character)) = (self.rows.last_mut(), self.rows_by_character.last_mut())
        {
            row.insert(name, by_unit);
            row_by_character.insert(name, by_character);
        }
    }

    fn finish(self, now: Timestamp) -> Result<Rows> {
        let json = |rows| {
            serde_json::to_string(rows).map_err(|_| {
                error::unexpected("the batch could not be written as JSON").with_indeterminate(false)
            })
        };
        let json_by_character = match self.units == self.characters {
            true => String::new(),
            false => json(&self.rows_by_character)?,
        };
        let (texts, keys) = (self.texts, self.keys);
        Ok(Rows { now: now.as_millis(), json: json(&self.rows)?, json_by_character, texts, keys })
    }
}

/// A place in a value. No value has more than 2^31 bytes.
fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

impl MssqlStore {
    pub(crate) async fn load_batch(
        &self,
        keys: &[SessionKey],
        now: Timestamp,
    ) -> Result<Vec<Result<Option<Record>>>> {
        let rows = Rows::of_keys(self.key_format(), keys, now)?;
        let sets = match self.database().read(&self.statements().load_many, &rows.params()).await {
            Ok(sets) => sets,
            // A text of one of them is no UTF-16, behind which tiberius cannot read the others.
            Err(error) if error.kind() == ErrorKind::Corrupt => return self.load_each(keys, now).await,
            Err(error) => return Err(error),
        };
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

    async fn load_each(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            outcomes.push(self.load(key, now).await);
        }
        Ok(outcomes)
    }

    pub(crate) async fn write_batch(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let checked = writes.iter().map(|write| check_key(self.key_format(), write.key()).err().map(Err));
        let mut outcomes: Vec<Option<Result<Written>>> = checked.collect();
        let mut begun = false;
        for kind in Kind::ALL {
            let mut ours: Vec<(usize, &Write)> = (0..)
                .zip(writes)
                .zip(&outcomes)
                .filter(|((_, write), outcome)| outcome.is_none() && Kind::of(write) == kind)
                .map(|(write, _)| write)
                .collect();
            if ours.len() > 1 {
                let left = self.write_kind(kind, ours, now, &mut outcomes).await;
                // What was done of another kind stays done.
                ours = left.map_err(|error| if begun { indeterminate(error) } else { error })?;
            }
            begun |= !ours.is_empty() || outcomes.iter().flatten().any(Result::is_ok);
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
        let rows = Rows::of_writes(self.key_format(), &writes, now)?;
        let sets = match self.database().run(kind.statement(self.statements()), &rows.params()).await {
            Ok(sets) => sets,
            // One of them may be what the database does not take, or they were in the way of others.
            Err(error) if !error.is_indeterminate() && error.kind() != ErrorKind::Unavailable => {
                warn!(writes = writes.len(), %error, "a batch of writes was refused, each is tried on its own");
                return Ok(writes);
            }
            Err(error) => return Err(error),
        };
        let (mut done, mut versions) = (HashSet::with_capacity(writes.len()), HashMap::new());
        for (set, rows) in sets.into_iter().enumerate() {
            for row in rows {
                if kind == Kind::Create && is_raced(&row) {
                    return Ok(writes);
                }
                let mut cells = Cells::of(row);
                let key = cells.key(self.key_format()).map_err(indeterminate)?;
                // Only updates have a second set.
                match set {
                    0 => _ = done.insert(key),
                    _ => _ = versions.insert(key, cells.version().map_err(indeterminate)?),
                }
            }
        }
        writes.retain(|(place, write)| {
            let key = write.key();
            let outcome = match (write, done.contains(key)) {
                (Write::Create(_), true) => Ok(Written::Created(Created::Created)),
                (Write::Create(_), false) => Ok(Written::Created(Created::KeyTaken)),
                (Write::Update(Update { expected: Some(expected), .. }), true) => {
                    Ok(Written::Updated(Updated::Saved(expected.next())))
                }
                (Write::Update(_), true) => versions
                    .get(key)
                    .map(|version| Written::Updated(Updated::Saved(*version)))
                    .ok_or_else(|| error::unexpected("the server gave no version of an updated session")),
                // Gone or stale: the statement for one tells.
                (Write::Update(Update { expected: Some(_), .. }), false) => return true,
                (Write::Update(_), false) => Ok(Written::Updated(Updated::Gone)),
                (Write::Touch(_), done) => Ok(Written::Touched(done)),
                (Write::Destroy(_), done) => Ok(Written::Destroyed(done)),
            };
            if let Some(slot) = outcomes.get_mut(*place) {
                *slot = Some(outcome);
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
