//! The real form of the small numbers in `spec`: keys, payloads, principals and times, and the calls made of them.

use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Load, Loaded, Payload, Record, Rotate, Rotated,
    Store, Touch, Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Error, ErrorKind, Principal, SessionId, SessionKey, Timestamp, Updated, Version,
};

use crate::case::{Verdict, ensure_eq};
use crate::oracle::Rules;
use crate::spec::{Answer, Call, Key, Op, PayloadNo, PrincipalNo, Seen};

/// An ordinary point in time, in 2023: a purge goes no further than the server's own clock.
pub(crate) const T: i64 = 1_700_000_000_000;

/// How much later than asked a session may die in a store whose expiries are not exact.
pub(crate) const SLACK: i64 = 4;

/// Where the small times of `spec` lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    base: i64,
    unit: i64,
    /// How far the times of calls lie behind those of expiries with the same number: where expiries are not exact,
    /// every call lies between two of them.
    offset: i64,
}

impl Frame {
    /// Times around this one, to the millisecond where the store holds them exactly.
    pub(crate) fn around(base: i64, capabilities: Capabilities) -> Frame {
        if capabilities.exact_expiry {
            Frame { base, unit: 1, offset: 0 }
        } else {
            // Multiples of 10 ms; a session may die up to 4 ms late, and is asked about 5 ms later or earlier.
            Frame { base: T, unit: 10, offset: 5 }
        }
    }

    /// The nearest number whose time is in the range.
    pub(crate) fn clamp(&self, number: i64) -> i64 {
        let time = i128::from(self.base) + i128::from(number) * i128::from(self.unit);
        let last = (i128::from(i64::MAX) - i128::from(self.base)) / i128::from(self.unit);
        let first = (i128::from(i64::MIN) - i128::from(self.base)) / i128::from(self.unit);
        match i64::try_from(time) {
            Ok(_) => number,
            Err(_) if number > 0 => i64::try_from(last).unwrap_or(number),
            Err(_) => i64::try_from(first).unwrap_or(number),
        }
    }

    pub(crate) fn now(&self, number: i64) -> Timestamp {
        at(self.base + number * self.unit + self.offset)
    }

    pub(crate) fn expiry(&self, number: i64) -> Timestamp {
        at(self.base + number * self.unit)
    }

    fn number_of_now(&self, time: Timestamp) -> i64 {
        number(i128::from(time.as_millis()) - i128::from(self.base) - i128::from(self.offset), self.unit)
    }

    fn number_of_expiry(&self, time: Timestamp) -> i64 {
        let distance = i128::from(time.as_millis()) - i128::from(self.base);
        let late = distance.rem_euclid(i128::from(self.unit));
        let late = if late <= i128::from(SLACK) { late } else { 0 };
        number(distance - late, self.unit)
    }
}

/// A distance in units; something absurd where it is none, so that it equals nothing that was asked for.
fn number(distance: i128, unit: i64) -> i64 {
    if distance % i128::from(unit) != 0 {
        return i64::MIN;
    }
    i64::try_from(distance / i128::from(unit)).unwrap_or(i64::MIN)
}

/// A number for whatever the suite never wrote.
const STRANGE: u8 = 255;

/// Ids that a careless comparison takes for each other.
const IDS: [&str; 6] = ["k", "K", "k ", "ķ", "kk", " k"];

const PRINCIPALS: [&str; 3] = ["ann", "Ann", "ann "];

/// Payloads of which the first ones are peculiar; the others only have to differ. The second is `oracle::NOTHING`.
const PAYLOADS: [&str; 6] = [
    "{}",
    "",
    r#"{"nul":"\u0000"}"#,
    "{\"astral\":\"\u{1f980}\u{10ffff}\"}",
    r#"{"quotes":"'\"`\\"}"#,
    "{ \"blanks\" : \"\u{a0}e\u{301} \" } ",
];

/// Keys and rules for one store.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) keys: Vec<SessionKey>,
    pub(crate) rules: Rules,
    pub(crate) frame: Frame,
}

impl World {
    /// A world of a few keys on an empty table. It learns the order in which the store lists them, and leaves the
    /// table empty.
    pub(crate) async fn new(store: &dyn Store, keys: usize) -> Verdict<World> {
        let ids: Vec<SessionId> =
            IDS.iter().take(keys).map(|id| SessionId::new(*id)).collect::<Result<_, _>>()?;
        let keys: Vec<SessionKey> =
            ids.iter().map(|id| id.key(store.key_format())).collect::<Result<_, _>>()?;
        let world = World::of_keys(store, keys);
        world.learn_order(store).await
    }

    /// A world in which nothing is listed, so that no order matters, on keys of its own.
    pub(crate) fn of_fresh_keys(store: &dyn Store, prefix: &str, keys: usize) -> Verdict<World> {
        let keys: Vec<SessionKey> = (0..keys)
            .map(|number| SessionId::new(format!("{prefix}-{number}"))?.key(store.key_format()))
            .collect::<Result<_, _>>()?;
        Ok(World::of_keys(store, keys))
    }

    fn of_keys(store: &dyn Store, keys: Vec<SessionKey>) -> World {
        let capabilities = store.capabilities();
        World {
            keys,
            rules: Rules { capabilities, order: Vec::new() },
            frame: Frame::around(T, capabilities),
        }
    }

    async fn learn_order(mut self, store: &dyn Store) -> Verdict<World> {
        let count = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        for key in &self.keys {
            let create = Create {
                key: key.clone(),
                payload: Payload::from("{}"),
                expires_at: at(T + 1000),
                principal: None,
                version: Version::FIRST,
            };
            ensure_eq!(store.create(&create, at(T)).await?, Created::Created, "creating on an empty table");
        }
        let listed = store.list(&Filter::default(), None, limit(count + 1), at(T)).await?;
        self.rules.order = listed.iter().map(|entry| self.number_of(&entry.key)).collect();
        let mut all = self.rules.order.clone();
        all.sort_unstable();
        let expected: Vec<Key> = (0..u8::try_from(count).unwrap_or(STRANGE)).collect();
        ensure_eq!(all, expected, "the keys that are listed after one create each");
        ensure_eq!(store.clear().await?, u64::from(count), "the rows that clear removes");
        Ok(self)
    }

    pub(crate) fn key_numbers(&self) -> impl Iterator<Item = Key> + use<> {
        0..u8::try_from(self.keys.len()).unwrap_or(STRANGE)
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.rules.capabilities
    }

    fn key(&self, key: Key) -> SessionKey {
        self.keys[usize::from(key)].clone()
    }

    fn number_of(&self, key: &SessionKey) -> Key {
        let position = self.keys.iter().position(|known| known == key);
        position.and_then(|position| u8::try_from(position).ok()).unwrap_or(STRANGE)
    }

    /// Makes the call. Refusals that the contract provides for are answers; other errors are errors.
    pub(crate) async fn call(&self, store: &dyn Store, call: &Call) -> Result<Answer, Error> {
        match self.try_call(store, call).await {
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => {
                Ok(Answer::Refused(error.kind()))
            }
            answer => answer,
        }
    }

    async fn try_call(&self, store: &dyn Store, call: &Call) -> Result<Answer, Error> {
        let now = self.frame.now(call.now);
        Ok(match &call.op {
            Op::Load { key, known } => self.loaded(store.load(&self.load_of(*key, *known), now).await?),
            Op::Fate { key } => Answer::Fate(store.fate(&self.key(*key), now).await?),
            Op::Rotate { from, to, payload, expires_at, principal, expected, mode } => {
                let rotate = Rotate {
                    from: self.key(*from),
                    to: self.key(*to),
                    payload: payload.map(payload_of),
                    expires_at: expires_at.map(|time| self.frame.expiry(time)),
                    principal: principal.map(principal_of).transpose()?,
                    expected: expected.map(Version::new),
                    mode: *mode,
                };
                match store.rotate(&rotate, now).await? {
                    Rotated::Rotated(version) => Answer::Rotated(version.get()),
                    Rotated::Stale => Answer::Stale,
                    Rotated::Gone => Answer::Gone,
                    Rotated::KeyTaken => Answer::KeyTaken,
                }
            }
            Op::DestroyPrincipal { principal, except, created_before, mode } => {
                let destroy = DestroyPrincipal {
                    principal: principal_of(*principal)?,
                    except: except.map(|key| self.key(key)),
                    created_before: created_before.map(|time| self.frame.now(time)),
                    mode: *mode,
                };
                Answer::Number(store.destroy_principal(&destroy, now).await?)
            }
            Op::ForgetPrincipal { principal } => {
                Answer::Number(store.forget_principal(&principal_of(*principal)?, now).await?)
            }
            Op::Purge { limit: most } => Answer::Number(store.purge_expired(now, limit(*most)).await?),
            Op::List { principal, after, limit: most } => {
                let after = after.map(|key| self.key(key));
                let listed = store.list(&filter(*principal)?, after.as_ref(), limit(*most), now).await?;
                let mut page = Vec::with_capacity(listed.len());
                for entry in listed {
                    let number = self.number_of(&entry.key);
                    page.push((number, self.seen(entry.record?)));
                }
                Answer::Page(page)
            }
            Op::Count { principal } => Answer::Number(store.count(&filter(*principal)?, now).await?),
            Op::Clear => Answer::Number(store.clear().await?),
            Op::LoadMany { loads } => Answer::Each(
                self.load_many(store, loads, call.now).await?.into_iter().collect::<Result<_, _>>()?,
            ),
            Op::WriteMany { writes } => {
                let written = self.write_many(store, writes, call.now).await?;
                Answer::Each(written.into_iter().collect::<Result<_, _>>()?)
            }
            single => answer(self.write(single)?.apply(store, now).await?),
        })
    }

    /// A batch of loads, each with its own answer.
    pub(crate) async fn load_many(
        &self,
        store: &dyn Store,
        loads: &[(Key, Option<i64>)],
        now: i64,
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        let loads: Vec<Load> = loads.iter().map(|(key, known)| self.load_of(*key, *known)).collect();
        let loaded = store.load_many(&loads, self.frame.now(now)).await?;
        Ok(loaded.into_iter().map(|loaded| Ok(self.loaded(loaded?))).collect())
    }

    fn load_of(&self, key: Key, known: Option<i64>) -> Load {
        Load { key: self.key(key), known: known.map(Version::new) }
    }

    fn loaded(&self, loaded: Loaded) -> Answer {
        match loaded {
            Loaded::Record(record) => Answer::Found(self.seen(record)),
            Loaded::Unchanged { expires_at } => Answer::Unchanged(self.frame.number_of_expiry(expires_at)),
            Loaded::Gone => Answer::Gone,
        }
    }

    /// A batch of writes, each with its own answer.
    pub(crate) async fn write_many(
        &self,
        store: &dyn Store,
        writes: &[Op],
        now: i64,
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        let writes: Vec<Write> = writes.iter().map(|op| self.write(op)).collect::<Result<_, Error>>()?;
        let written = store.write_many(&writes, self.frame.now(now)).await?;
        Ok(written.into_iter().map(|written| Ok(answer(written?))).collect())
    }

    fn write(&self, op: &Op) -> Result<Write, Error> {
        Ok(match op {
            Op::Create { key, payload, expires_at, principal } => Write::Create(Create {
                key: self.key(*key),
                payload: payload_of(*payload),
                expires_at: self.frame.expiry(*expires_at),
                principal: principal.map(principal_of).transpose()?,
                version: Version::FIRST,
            }),
            Op::Update { key, payload, expires_at, principal, expected } => Write::Update(Update {
                key: self.key(*key),
                payload: payload_of(*payload),
                expires_at: expires_at.map(|time| self.frame.expiry(time)),
                principal: principal.map(principal_of).transpose()?,
                expected: expected.map(Version::new),
            }),
            Op::Touch { key, expires_at, expected } => Write::Touch(Touch {
                key: self.key(*key),
                expires_at: self.frame.expiry(*expires_at),
                expected: expected.map(Version::new),
            }),
            Op::Destroy { key, mode } => Write::Destroy(Destroy { key: self.key(*key), mode: *mode }),
            other => unreachable!("{other:?} is no write"),
        })
    }

    fn seen(&self, record: Record) -> Seen {
        Seen {
            payload: payload_number(record.payload.as_str()),
            expires_at: self.frame.number_of_expiry(record.expires_at),
            created_at: record.created_at.map(|time| self.frame.number_of_now(time)),
            version: record.version.get(),
            principal: record.principal.map(|principal| {
                let position = PRINCIPALS.iter().position(|known| *known == principal.as_str());
                position.and_then(|position| u8::try_from(position).ok()).unwrap_or(STRANGE)
            }),
        }
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn limit(most: u32) -> NonZeroU32 {
    NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN)
}

/// The text of a payload.
pub(crate) fn payload_of(number: PayloadNo) -> Payload {
    let peculiar = usize::try_from(number).ok().and_then(|number| PAYLOADS.get(number));
    peculiar.map_or_else(|| Payload::from(format!("{{\"n\":{number}}}")), |text| Payload::from(*text))
}

/// The number of a text; `PayloadNo::MAX` if nobody wrote that.
fn payload_number(text: &str) -> PayloadNo {
    if let Some(peculiar) = PAYLOADS.iter().position(|known| *known == text) {
        return PayloadNo::try_from(peculiar).unwrap_or(PayloadNo::MAX);
    }
    let number = text.strip_prefix("{\"n\":").and_then(|rest| rest.strip_suffix('}'));
    number.and_then(|number| number.parse().ok()).unwrap_or(PayloadNo::MAX)
}

fn principal_of(number: PrincipalNo) -> Result<Principal, Error> {
    Principal::new(PRINCIPALS[usize::from(number)])
}

fn filter(principal: Option<PrincipalNo>) -> Result<Filter, Error> {
    Ok(Filter { principal: principal.map(principal_of).transpose()? })
}

fn answer(written: Written) -> Answer {
    match written {
        Written::Created(Created::Created) => Answer::Created,
        Written::Created(Created::KeyTaken) => Answer::KeyTaken,
        Written::Updated(Updated::Saved(version)) => Answer::Saved(version.get()),
        Written::Updated(Updated::Stale) => Answer::Stale,
        Written::Updated(Updated::Gone) => Answer::Gone,
        Written::Touched(Touched::Moved) => Answer::Moved,
        Written::Touched(Touched::Stale) => Answer::Stale,
        Written::Touched(Touched::Gone) => Answer::Gone,
        Written::Destroyed(done) => Answer::Bool(done),
    }
}
