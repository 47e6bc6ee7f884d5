//! The many-key forms: one statement, and an outcome for each operation.

use session_core::contract::{Create, Created, Load, Loaded, Touched, Update, Write, Written};
use session_core::mutants::broken;
use session_core::{DestroyMode, Error, Principal, Result, Timestamp, Updated, Version};

use super::Native;
use super::batch_statements::{Changes, Kinds, outcome};
use super::operations::in_doubt;
use crate::postgres::shared::{Keys, check_payload};
use crate::{Named, Run, Value, value};

impl Native {
    /// As [`Store::load_many`](session_core::contract::Store::load_many).
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn load_many<R: Run>(
        &self,
        run: &R,
        loads: &[Load],
        now: Timestamp,
    ) -> Result<Vec<Result<Loaded>>> {
        if let [load] = loads {
            return Ok(vec![self.load(run, load, now).await]);
        }
        let keys = Keys::new(self.format, loads.iter().map(|load| &load.key));
        let known: Vec<Option<i64>> = loads.iter().map(|load| load.known.map(Version::get)).collect();
        let values = [("keys", keys.value()), ("known", Value::BigintArray(&known)), ("now", now.into())];
        let read = |row: &R::Row| {
            R::columns(row, |[payload, expires_at, created_at, version, principal, place]| {
                let place = index(loads.len(), value::bigint("place", place)?)?;
                let columns = [payload, expires_at, created_at, version, principal];
                let known = if broken("postgres: a batch of loads knows what the first one knows") {
                    loads[0].known
                } else {
                    loads[place].known
                };
                Ok((place, value::loaded(columns, known)))
            })
        };
        let mut outcomes: Vec<Result<Loaded>> = loads.iter().map(|_| Ok(Loaded::Gone)).collect();
        for row in run.read(self.statements.load_many.bind(&values), read).await? {
            let (place, loaded): (usize, Result<Loaded>) = row?;
            outcomes[place] = loaded;
        }
        Ok(outcomes)
    }

    /// As [`Store::write_many`](session_core::contract::Store::write_many).
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn write_many<R: Run>(
        &self,
        run: &R,
        writes: &[Write],
        now: Timestamp,
    ) -> Result<Vec<Result<Written>>> {
        let plan = Plan::new(writes);
        let mut answers = Answers::new(writes, &plan);
        if !plan.kinds.is_none() {
            let columns = Columns::new(self, &plan, now);
            let values = columns.values(now);
            let statement = self.batches.of(plan.kinds).bind(&values);
            for row in run.write(statement, answer::<R>).await? {
                answers.read(&plan, row.map_err(in_doubt)?)?;
            }
        }
        for (place, write) in std::mem::take(&mut answers.unclear) {
            answers.outcomes[place] = match write {
                Write::Update(update) => self.update(run, update, now).await.map(Written::Updated),
                Write::Touch(touch) => self.touch(run, touch, now).await.map(Written::Touched),
                Write::Create(_) | Write::Destroy(_) => continue,
            };
        }
        Ok(answers.outcomes)
    }
}

/// The writes of a batch by what they do to rows: each list in the order of keys, with places in the batch.
struct Plan<'a> {
    kinds: Kinds,
    creates: Vec<(usize, &'a Create)>,
    changes: Vec<(usize, &'a Write)>,
    removals: Vec<(usize, &'a Write)>,
}

impl<'a> Plan<'a> {
    /// Leaves out what is refused.
    fn new(writes: &'a [Write]) -> Plan<'a> {
        let mut plan =
            Plan { kinds: Kinds::default(), creates: Vec::new(), changes: Vec::new(), removals: Vec::new() };
        let mut places: Vec<usize> =
            (0..writes.len()).filter(|&place| check(&writes[place]).is_ok()).collect();
        // Rows are locked in this order. The gatherer's batches have it already.
        if !writes.is_sorted_by(|a, b| a.key() <= b.key()) && !broken("postgres: leaves a batch unsorted") {
            places.sort_unstable_by(|&a, &b| writes[a].key().cmp(writes[b].key()));
        }
        let mut is_plain_touch = true;
        for place in places {
            let write = &writes[place];
            match write {
                Write::Create(create) => plan.creates.push((place, create)),
                Write::Destroy(destroy) if destroy.mode == DestroyMode::Remove => {
                    plan.removals.push((place, write));
                }
                Write::Touch(touch) => {
                    plan.changes.push((place, write));
                    is_plain_touch &= touch.expected.is_none()
                        || broken("postgres: takes every touch of a batch for a plain one");
                }
                Write::Update(_) | Write::Destroy(_) => {
                    plan.changes.push((place, write));
                    is_plain_touch = false;
                }
            }
        }
        plan.kinds = Kinds {
            creates: !plan.creates.is_empty(),
            changes: match plan.changes.is_empty() {
                true => Changes::None,
                false if is_plain_touch => Changes::Touches,
                false => Changes::Any,
            },
            removals: !plan.removals.is_empty(),
        };
        plan
    }
}

/// The values of a batch, column by column, as UNNEST takes them.
struct Columns<'a> {
    kinds: Kinds,
    new_keys: Keys<'a>,
    new_payloads: Vec<Option<&'a str>>,
    new_expiries: Vec<Option<i64>>,
    new_principals: Vec<Option<&'a str>>,
    new_versions: Vec<Option<i64>>,
    keys: Keys<'a>,
    expiries: Vec<Option<i64>>,
    payloads: Vec<Option<&'a str>>,
    principals: Vec<Option<&'a str>>,
    ends: Vec<Option<i64>>,
    expected: Vec<Option<i64>>,
    removed: Keys<'a>,
}

impl<'a> Columns<'a> {
    fn new(native: &Native, plan: &Plan<'a>, now: Timestamp) -> Columns<'a> {
        let keys = |writes: &[(usize, &'a Write)]| {
            Keys::new(native.format, writes.iter().map(|(_, write)| write.key()))
        };
        let creates = || plan.creates.iter().map(|&(_, create)| create);
        let changes = || plan.changes.iter().map(|&(_, write)| write);
        let mut columns = Columns {
            kinds: plan.kinds,
            new_keys: Keys::new(native.format, creates().map(|create| &create.key)),
            new_payloads: creates().map(|create| Some(create.payload.as_str())).collect(),
            new_expiries: creates().map(|create| Some(create.expires_at.as_millis())).collect(),
            new_principals: creates().map(|create| text(create.principal.as_ref())).collect(),
            new_versions: creates().map(|create| Some(create.version.get())).collect(),
            keys: keys(&plan.changes),
            expiries: changes().map(|write| expiry(write).map(Timestamp::as_millis)).collect(),
            payloads: Vec::new(),
            principals: Vec::new(),
            ends: Vec::new(),
            expected: Vec::new(),
            removed: keys(&plan.removals),
        };
        if plan.kinds.changes == Changes::Any {
            columns.payloads = changes().map(payload).collect();
            columns.principals = changes().map(|write| text(update(write)?.principal.as_ref())).collect();
            let ends =
                |write| matches!(write, &Write::Destroy(_)) && !broken("postgres: a batch ends nothing");
            columns.ends = changes().map(|write| ends(write).then(|| now.as_millis())).collect();
            let expects = !broken("postgres: a batch expects no versions");
            columns.expected =
                changes().map(|write| expected(write).map(Version::get).filter(|_| expects)).collect();
        }
        columns
    }

    fn values(&self, now: Timestamp) -> Vec<Named<'_>> {
        let mut values = vec![("now", now.into())];
        if self.kinds.creates {
            values.extend([
                ("new_keys", self.new_keys.value()),
                ("new_payloads", Value::TextArray(&self.new_payloads)),
                ("new_expiries", Value::BigintArray(&self.new_expiries)),
                ("new_principals", Value::TextArray(&self.new_principals)),
                ("new_versions", Value::BigintArray(&self.new_versions)),
            ]);
        }
        if self.kinds.changes != Changes::None {
            values.extend([("keys", self.keys.value()), ("expiries", Value::BigintArray(&self.expiries))]);
        }
        if self.kinds.changes == Changes::Any {
            values.extend([
                ("payloads", Value::TextArray(&self.payloads)),
                ("principals", Value::TextArray(&self.principals)),
                ("ends", Value::BigintArray(&self.ends)),
                ("expected", Value::BigintArray(&self.expected)),
            ]);
        }
        if self.kinds.removals {
            values.push(("removed", self.removed.value()));
        }
        values
    }
}

fn expiry(write: &Write) -> Option<Timestamp> {
    match write {
        Write::Update(_) if broken("postgres: an update in a batch leaves the expiry") => None,
        Write::Update(update) => update.expires_at,
        Write::Touch(touch) => Some(touch.expires_at),
        Write::Create(_) | Write::Destroy(_) => None,
    }
}

/// `None` leaves the payload as it is.
fn payload(write: &Write) -> Option<&str> {
    match write {
        Write::Update(update) => Some(update.payload.as_str()),
        Write::Destroy(destroy)
            if destroy.mode == DestroyMode::Forget
                && !broken("postgres: a destroy in a batch keeps the payload") =>
        {
            Some("")
        }
        Write::Touch(_) | Write::Create(_) | Write::Destroy(_) => None,
    }
}

fn expected(write: &Write) -> Option<Version> {
    match write {
        Write::Update(update) => update.expected,
        Write::Touch(touch) => touch.expected,
        Write::Create(_) | Write::Destroy(_) => None,
    }
}

fn update(write: &Write) -> Option<&Update> {
    match write {
        Write::Update(update) => Some(update),
        _ => None,
    }
}

fn text(principal: Option<&Principal>) -> Option<&str> {
    principal.map(Principal::as_str)
}

/// What the server says, as outcomes.
struct Answers<'a> {
    outcomes: Vec<Result<Written>>,
    /// The version was as expected at the statement's beginning, and nothing was done: it was changed or ended while this
    /// waited for it. They are sent again, one by one.
    unclear: Vec<(usize, &'a Write)>,
}

impl<'a> Answers<'a> {
    /// What holds of each write that the server says nothing of.
    fn new(writes: &'a [Write], plan: &Plan<'a>) -> Answers<'a> {
        let mut outcomes: Vec<Result<Written>> =
            writes.iter().map(|write| check(write).map(|()| undone(write))).collect();
        for &(place, _) in &plan.creates {
            outcomes[place] = Ok(Written::Created(Created::Created));
        }
        if plan.kinds.changes == Changes::Touches {
            for &(place, _) in &plan.changes {
                outcomes[place] = Ok(Written::Touched(Touched::Moved));
            }
        }
        Answers { outcomes, unclear: Vec::new() }
    }

    /// A row of the answer.
    fn read(&mut self, plan: &Plan<'a>, (outcome, place, version): Answer) -> Result<()> {
        match outcome {
            outcome::TAKEN => {
                let &(place, _) = at(&plan.creates, place)?;
                self.outcomes[place] = Ok(Written::Created(Created::KeyTaken));
            }
            outcome::GONE => {
                let &(place, _) = at(&plan.changes, place)?;
                self.outcomes[place] = Ok(Written::Touched(Touched::Gone));
            }
            outcome::REMOVED => {
                let &(place, _) = at(&plan.removals, place)?;
                self.outcomes[place] = Ok(Written::Destroyed(true));
            }
            outcome::CHANGED => {
                let &(place, write) = at(&plan.changes, place)?;
                self.outcomes[place] = match write {
                    Write::Touch(_) => Ok(Written::Touched(Touched::Moved)),
                    Write::Destroy(_) => Ok(Written::Destroyed(true)),
                    Write::Update(_) | Write::Create(_) => {
                        version.map(|version| Written::Updated(Updated::Saved(version))).map_err(in_doubt)
                    }
                };
            }
            // LIVE, which comes after every CHANGED.
            _ => {
                let &(place, write) = at(&plan.changes, place)?;
                self.left(place, write, version);
            }
        }
        Ok(())
    }

    /// The session of a change was live when the statement began, with this version.
    fn left(&mut self, place: usize, write: &'a Write, version: Result<Version>) {
        // What expects nothing was ended before its turn came.
        let Some(expected) = expected(write) else { return };
        let stale = match (write, &self.outcomes[place]) {
            (Write::Update(_), Ok(Written::Updated(Updated::Gone))) => Written::Updated(Updated::Stale),
            (Write::Touch(_), Ok(Written::Touched(Touched::Gone))) => Written::Touched(Touched::Stale),
            // It was done.
            _ => return,
        };
        match version {
            // It was not done, as no version is equal to this one.
            Err(error) => self.outcomes[place] = Err(error),
            Ok(version)
                if expected != version && !broken("postgres: what is stale in a batch is sent again") =>
            {
                self.outcomes[place] = Ok(stale);
            }
            Ok(_) if broken("postgres: what is unclear in a batch is gone") => {}
            Ok(_) => self.unclear.push((place, write)),
        }
    }
}

/// [`outcome`], place, and the version, which alone comes from the table: if it cannot be read, that concerns no other
/// operation of the batch.
type Answer = (i64, i64, Result<Version>);

fn answer<R: Run>(row: &R::Row) -> Result<Answer> {
    R::columns(row, |[outcome, place, version]| {
        Ok((value::bigint("outcome", outcome)?, value::bigint("place", place)?, value::version(version)))
    })
}

/// The outcome of a write that was not done.
fn undone(write: &Write) -> Written {
    match write {
        Write::Create(_) => Written::Created(Created::KeyTaken),
        Write::Update(_) => Written::Updated(Updated::Gone),
        Write::Touch(_) => Written::Touched(Touched::Gone),
        Write::Destroy(_) => Written::Destroyed(false),
    }
}

/// What is refused before anything is sent.
fn check(write: &Write) -> Result<()> {
    match write {
        Write::Create(create) => check_payload(&create.payload),
        Write::Update(update) => check_payload(&update.payload),
        Write::Touch(_) | Write::Destroy(_) => Ok(()),
    }
}

/// What stands at a place, counted from 1 on.
fn at<T>(list: &[T], place: i64) -> Result<&T> {
    index(list.len(), place).map(|index| &list[index]).map_err(in_doubt)
}

fn index(length: usize, place: i64) -> Result<usize> {
    let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
    let index = if broken("postgres: an answer is the one's before") {
        index.map(|index| index.saturating_sub(1))
    } else {
        index
    };
    index
        .filter(|&index| index < length)
        .ok_or_else(|| Error::corrupt("the server answered for an operation that it was not asked for"))
}
