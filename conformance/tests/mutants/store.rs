//! The operations of a small backend that is right, or broken in exactly one way.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Error, ErrorKind, Fate, Finding, KeyFormat, Principal, Result, SessionKey, Timestamp,
    Updated, Version,
};
use tokio::task::yield_now;

use crate::faults::{Fault, On};
use crate::parts::{SmallStore, UnderWay, purging};
use crate::subject::{End, Row};

#[async_trait]
impl Store for SmallStore {
    fn backend(&self) -> &'static str {
        "small"
    }
    fn capabilities(&self) -> Capabilities {
        self.form.can
    }
    fn key_format(&self) -> KeyFormat {
        self.form.format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        let key = self.bytes(&create.key);
        let _connection = self.connect().await?;
        self.admit(create.payload.as_str())?;
        let row = Row {
            key: create.key.clone(),
            payload: self.text(&create.payload),
            expires_at: self.column(create.expires_at),
            first_expires_at: self.column(create.expires_at),
            created_at: now.as_millis(),
            version: if self.is(Fault::EverySessionBeginsAtOne) {
                self.step()
            } else {
                self.first_of(create)
            },
            principal: create.principal.clone(),
            end: None,
            damaged: None,
        };
        if self.is(Fault::CreateChecksFirst) {
            let taken = self.rows.lock().unwrap().contains_key(&key);
            yield_now().await;
            if taken {
                return Ok(Created::KeyTaken);
            }
            self.rows.lock().unwrap().insert(key, row);
            return Ok(Created::Created);
        }
        let created = {
            let mut rows = self.rows.lock().unwrap();
            let taken = rows.get(&key).is_some_and(|old| match self.form.fault {
                Fault::CreateOverwritesTheLive => false,
                Fault::CreateOverwritesTheExpired => now.as_millis() < old.expires_at,
                Fault::CreateOverwritesTheDestroyed => old.end.is_none(),
                _ => true,
            });
            if !taken {
                rows.insert(key, row);
            }
            !taken
        };
        yield_now().await;
        self.acknowledge().await?;
        Ok(if created { Created::Created } else { Created::KeyTaken })
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let bytes = self.bytes(&load.key);
        let _connection = self.connect().await?;
        let cache = self.cache.of(self.form.fault);
        if let Some(answer) = cache.and_then(|cache| cache.unasked(self.form.fault, load, now)) {
            return Ok(answer);
        }
        if self.destroyed.lock().unwrap().contains(&load.key) {
            return Ok(Loaded::Gone);
        }
        let on = if load.known.is_some() { On::KnownLoad } else { On::Load };
        let (found, payload) = {
            let rows = self.rows.lock().unwrap();
            match rows.get(&bytes).filter(|row| self.is_live(row, now, on)) {
                Some(row) => (self.answer(row, load.known)?, row.payload.len()),
                None => (Loaded::Gone, 0),
            }
        };
        self.receive(&found, payload).await?;
        let found = match cache {
            Some(cache) => cache.answer(self.form.fault, load, found),
            None => found,
        };
        let mut under_way = UnderWay(self, Some(found));
        yield_now().await;
        let answer = under_way.1.take().unwrap();
        if let Some(other) = self.left_over.lock().unwrap().take() {
            return Ok(other);
        }
        if let Loaded::Record(record) = &answer {
            self.tell(record);
        }
        Ok(answer)
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let key = self.bytes(&update.key);
        let _connection = self.connect().await?;
        if self.is(Fault::PurgesLeaveNobodyIn) {
            purging::is_over().await;
        }
        self.admit(update.payload.as_str())?;
        if self.is(Fault::UpdateComparesFirst) {
            let version = self.rows.lock().unwrap().get(&key).map(|row| row.version);
            yield_now().await;
            if update.expected.is_some_and(|expected| Some(expected.get()) != version) {
                return Ok(Updated::Stale);
            }
        }
        if self.is(Fault::UpdateMakesARow) && !self.rows.lock().unwrap().contains_key(&key) {
            let create = Create {
                key: update.key.clone(),
                payload: update.payload.clone(),
                expires_at: update.expires_at.unwrap_or(Timestamp::NEVER),
                principal: update.principal.clone(),
                version: Version::FIRST,
            };
            self.create(&create, now).await?;
            return Ok(Updated::Saved(Version::FIRST));
        }
        let read_first = if self.is(Fault::AnExpiryLeftAloneIsWrittenBack) && update.expires_at.is_none() {
            let read = self.rows.lock().unwrap().get(&key).map(|row| row.expires_at);
            self.another_trip().await;
            read
        } else {
            None
        };
        let updated = {
            let mut rows = self.rows.lock().unwrap();
            let Some(row) = rows.get_mut(&key).filter(|row| self.is_live(row, now, On::Update)) else {
                return Ok(Updated::Gone);
            };
            let stale = update.expected.is_some_and(|expected| match self.form.fault {
                Fault::UpdateIgnoresItsVersion | Fault::UpdateComparesFirst => false,
                Fault::ALaterVersionWillDo => expected.get() < row.version,
                _ => expected.get() != row.version,
            });
            if stale {
                return Ok(Updated::Stale);
            }
            let text = self.text(&update.payload);
            if self.is(Fault::AnUnchangedUpdateIsGone) && row.payload == text {
                return Ok(Updated::Gone);
            }
            row.payload = text;
            row.expires_at = read_first.unwrap_or_else(|| self.expiry(row, update.expires_at, On::Update));
            if update.expires_at.is_some() {
                row.first_expires_at = row.expires_at;
            }
            if !self.is(Fault::UpdateKeepsThePrincipal) {
                row.principal = update.principal.clone();
            }
            if !self.is(Fault::UpdateIsDoneInTwoSteps) {
                row.version += self.step();
            }
            row.version
        };
        yield_now().await;
        self.acknowledge().await?;
        if self.is(Fault::UpdateIsDoneInTwoSteps) {
            self.another_trip().await;
            let mut rows = self.rows.lock().unwrap();
            let Some(row) = rows.get_mut(&key) else { return Ok(Updated::Gone) };
            row.version += self.step();
            return Ok(Updated::Saved(Version::new(row.version)));
        }
        let leaves_open = self.is(Fault::UpdateLeavesTheVersionOpen) || !self.form.can.returns_new_version;
        if leaves_open && update.expected.is_none() {
            return Ok(Updated::Saved(Version::NONE));
        }
        Ok(Updated::Saved(Version::new(updated)))
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let key = self.bytes(&touch.key);
        let _connection = self.connect().await?;
        if self.is(Fault::TouchComparesFirst) && touch.expected.is_some() {
            let version = {
                let rows = self.rows.lock().unwrap();
                let live = rows.get(&key).filter(|row| self.is_live(row, now, On::Touch));
                live.map(|row| Version::new(row.version))
            };
            self.another_trip().await;
            if version.is_some() && version != touch.expected {
                return Ok(Touched::Stale);
            }
        }
        let touched = {
            let mut rows = self.rows.lock().unwrap();
            let column = self.column(touch.expires_at);
            match rows.get_mut(&key).filter(|row| self.is_live(row, now, On::Touch)) {
                Some(row) => {
                    let is_stale = touch.expected.is_some_and(|expected| match self.form.fault {
                        Fault::TouchIgnoresItsVersion | Fault::TouchComparesFirst => false,
                        Fault::ALaterVersionWillDoToTouch => expected.get() < row.version,
                        _ => expected.get() != row.version,
                    });
                    if is_stale && !self.is(Fault::AStaleTouchMoves) {
                        return Ok(if self.is(Fault::AStaleTouchIsGone) {
                            Touched::Gone
                        } else {
                            Touched::Stale
                        });
                    }
                    if column > row.expires_at || !self.is(Fault::TouchOnlyExtends) {
                        row.expires_at = column;
                    }
                    if self.is(Fault::TouchCountsTheVersionUp) {
                        row.version += self.step();
                    }
                    if is_stale { Touched::Stale } else { Touched::Moved }
                }
                None if self.is(Fault::EveryTouchIsASuccess) => Touched::Moved,
                None if self.is(Fault::ATouchOfTheDeadIsStale) && touch.expected.is_some() => Touched::Stale,
                None => Touched::Gone,
            }
        };
        yield_now().await;
        Ok(touched)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let key = self.bytes(&destroy.key);
        let _connection = self.connect().await?;
        if self.is(Fault::ADestroyIsWrittenLater) {
            let is_live = |row: &Row| self.is_live(row, now, On::Destroy);
            let live = self.rows.lock().unwrap().get(&key).is_some_and(is_live);
            return Ok(live && self.destroyed.lock().unwrap().insert(destroy.key.clone()));
        }
        let how = (now, On::Destroy);
        let destroyed = self.end(&mut self.rows.lock().unwrap(), &key, End::Destroyed, destroy.mode, how);
        yield_now().await;
        Ok(destroyed)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.move_session(rotate, now).await
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let key = self.bytes(key);
        let _connection = self.connect().await?;
        yield_now().await;
        let mut rows = self.rows.lock().unwrap();
        let Some(row) = rows.get(&key) else { return Ok(Fate::Unknown) };
        let in_time = self.is_in_time(row, now, On::Fate);
        let is_over = row.end.filter(|_| match self.form.fault {
            Fault::TombstonesAreIgnored(On::Fate) => false,
            Fault::TheDestroyedAreSaidToHaveExpired => in_time,
            _ => true,
        });
        let fate = match is_over {
            Some(End::RotatedAway) if self.form.can.tells_rotation => Fate::RotatedAway,
            Some(_) => Fate::Destroyed,
            None if in_time || self.is(Fault::TheExpiredAreSaidToLive) => Fate::Live,
            None => Fate::Expired,
        };
        if self.is(Fault::FateRemovesTheDead) && fate != Fate::Live {
            rows.remove(&key);
        }
        Ok(fate)
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        self.destroy_of_principal(destroy, now).await
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.forget_of_principal(principal, now).await
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let _connection = self.connect().await?;
        let limit = match self.form.fault {
            Fault::PurgeIgnoresItsLimit => usize::MAX,
            _ => usize::try_from(limit.get()).unwrap(),
        };
        let is_expired = |row: &Row| {
            let now = now.as_millis();
            match self.form.fault {
                Fault::OffByOne(On::Purge) => row.expires_at < now,
                Fault::PurgeTakesTheDestroyed => row.expires_at <= now || row.end.is_some(),
                Fault::PurgeLeavesTheDestroyed => row.expires_at <= now && row.end.is_none(),
                Fault::PurgeTakesALiveOne => row.expires_at <= now.saturating_add(1),
                _ => row.expires_at <= now,
            }
        };
        let select = |rows: &BTreeMap<Vec<u8>, Row>| -> Vec<Vec<u8>> {
            rows.iter().filter(|(_, row)| is_expired(row)).map(|(key, _)| key.clone()).take(limit).collect()
        };
        if matches!(self.form.fault, Fault::PurgeSelectsFirst | Fault::PurgeCountsWhatItSelected) {
            let expired = select(&self.rows.lock().unwrap());
            // As long as a round trip is beside a statement, so that others get in between.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let mut rows = self.rows.lock().unwrap();
            let recheck = self.is(Fault::PurgeCountsWhatItSelected);
            for key in &expired {
                if !recheck || rows.get(key).is_some_and(&is_expired) {
                    rows.remove(key);
                }
            }
            return Ok(u64::try_from(expired.len()).unwrap());
        }
        if self.is(Fault::PurgesLeaveNobodyIn) && limit >= 500 {
            purging::takes_its_time().await;
        }
        let removed = {
            let mut rows = self.rows.lock().unwrap();
            let expired = select(&rows);
            expired.iter().for_each(|key| _ = rows.remove(key));
            expired.len()
        };
        yield_now().await;
        Ok(u64::try_from(removed).unwrap())
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let _connection = self.connect().await?;
        yield_now().await;
        let rows = self.rows.lock().unwrap();
        let after = after.map(|after| self.bytes(after));
        if self.is(Fault::AListingNeedsItsLastKey)
            && after.as_ref().is_some_and(|after| !rows.contains_key(after))
        {
            return Ok(Vec::new());
        }
        let bound = match (after, self.form.fault) {
            (None, _) => Bound::Unbounded,
            (Some(after), Fault::AListingRepeatsAtAPageEdge) => Bound::Included(after),
            (Some(after), _) => Bound::Excluded(after),
        };
        let skip = usize::from(self.is(Fault::AListingSkipsAtAPageEdge) && bound != Bound::Unbounded);
        let filter = match (&bound, self.form.fault) {
            (Bound::Excluded(_), Fault::LaterPagesDropTheFilter) => &Filter::default(),
            _ => filter,
        };
        let listed = rows
            .range::<Vec<u8>, _>((bound, Bound::Unbounded))
            .map(|(_, row)| row)
            .filter(|row| self.is_live(row, now, On::List) && self.passes(row, filter))
            .skip(skip)
            .take(usize::try_from(limit.get()).unwrap())
            .map(|row| Listed { key: row.key.clone(), record: self.record(row) });
        match self.form.fault {
            Fault::ACorruptRowFailsTheListing => {
                listed.map(|entry| Ok(Listed { key: entry.key, record: Ok(entry.record?) })).collect()
            }
            Fault::ACorruptRowIsNotListed => Ok(listed.filter(|entry| entry.record.is_ok()).collect()),
            _ => Ok(listed.collect()),
        }
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let _connection = self.connect().await?;
        let rows = self.rows.lock().unwrap();
        let counts = |row: &&Row| {
            self.passes(row, filter)
                && (self.is(Fault::TheDeadAreCounted) || self.is_live(row, now, On::Count))
        };
        Ok(u64::try_from(rows.values().filter(counts).count()).unwrap())
    }

    async fn clear(&self) -> Result<u64> {
        let _connection = self.connect().await?;
        let mut rows = self.rows.lock().unwrap();
        let count = rows.len();
        rows.retain(|_, row| self.is(Fault::ClearLeavesTheDestroyed) && row.end.is_some());
        Ok(u64::try_from(count - rows.len()).unwrap())
    }

    async fn server_time(&self) -> Result<Timestamp> {
        let _connection = self.connect().await?;
        let now: Timestamp = SystemTime::now().into();
        Ok(match self.form.fault {
            // Nepal's, a quarter of an hour off everybody's.
            Fault::TheServersTimeIsLocal => Timestamp::from_millis(now.as_millis() + (5 * 60 + 45) * 60_000),
            Fault::TheServersTimeIsOfSeconds => Timestamp::from_millis(now.as_millis() / 1000 * 1000),
            _ => now,
        })
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let mut outcomes = Vec::new();
        for load in loads {
            let known = match self.form.fault {
                Fault::OneKnownVersionIsForTheWholeBatch => loads.iter().find_map(|load| load.known),
                Fault::BatchesIgnoreKnownVersions => None,
                _ => load.known,
            };
            outcomes.push(self.load(&Load { key: load.key.clone(), known }, now).await);
        }
        match self.form.fault {
            Fault::LoadedBatchesAreSorted => {
                let mut paired: Vec<_> = loads.iter().zip(outcomes).collect();
                paired.sort_by(|a, b| a.0.key.cmp(&b.0.key));
                outcomes = paired.into_iter().map(|(_, outcome)| outcome).collect();
            }
            Fault::ACorruptRowFailsTheBatch => {
                return Ok(outcomes.into_iter().collect::<Result<Vec<_>>>()?.into_iter().map(Ok).collect());
            }
            _ => {}
        }
        Ok(outcomes)
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let (mut outcomes, writes) = (Vec::new(), &self.cut_apart(writes));
        let most = if self.is(Fault::LargeBatchesAreCut) { 50 } else { usize::MAX };
        for (number, write) in writes.iter().enumerate() {
            if number >= most {
                outcomes.push(Ok(Written::Touched(Touched::Moved)));
                continue;
            }
            let outcome = match write {
                // As a database that holds no U+0000 in a text.
                Write::Create(create)
                    if self.is(Fault::ABatchFailsHalfWay) && create.payload.as_str().contains('\0') =>
                {
                    Err(Error::invalid_input("no text has a U+0000"))
                }
                Write::Update(update)
                    if self.is(Fault::ADamagedRowTakesTheBatchAlong) && self.is_damaged(&update.key) =>
                {
                    return Ok(writes.iter().map(|_| Err(Error::corrupt("a row cannot be read"))).collect());
                }
                write => self.in_a_batch(write).apply(self, now).await,
            };
            match outcome {
                Err(error) if self.is(Fault::ABatchFailsHalfWay) => {
                    return Err(Error::new(ErrorKind::Backend, "a write failed")
                        .with_in_doubt(false)
                        .with_source(error));
                }
                outcome => outcomes.push(outcome),
            }
        }
        if self.is(Fault::WrittenBatchesAreSorted) {
            let mut paired: Vec<_> = writes.iter().zip(outcomes).collect();
            paired.sort_by(|a, b| a.0.key().cmp(b.0.key()));
            outcomes = paired.into_iter().map(|(_, outcome)| outcome).collect();
        }
        Ok(outcomes)
    }
}
