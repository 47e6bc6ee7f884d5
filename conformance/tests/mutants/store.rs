//! The operations of a small backend that is right, or broken in exactly one way.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding, KeyFormat,
    Listed, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, Timestamp, Touch, Update, Updated,
    Version, Write, Written,
};
use tokio::task::yield_now;

use crate::backend::Row;
use crate::faults::{Fault, On};
use crate::parts::{SmallStore, UnderWay};

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
        let key = self.bytes(&create.key)?;
        self.check(create.principal.as_ref(), None, None)?;
        let _connection = self.connect().await?;
        let row = Row {
            key: create.key.clone(),
            payload: self.text(&create.payload),
            expires_at: self.column(create.expires_at),
            created_at: now.as_millis(),
            version: self.step(),
            principal: create.principal.clone(),
            destroyed: false,
            corrupt: false,
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
                Fault::CreateOverwritesTheDestroyed => !old.destroyed,
                _ => true,
            });
            if !taken {
                rows.insert(key, row);
            }
            !taken
        };
        yield_now().await;
        Ok(if created { Created::Created } else { Created::KeyTaken })
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        let bytes = self.bytes(key)?;
        let _connection = self.connect().await?;
        if self.is(Fault::AHandleCachesWhatItLoads)
            && let Some(known) = self.cached.lock().unwrap().get(key)
        {
            return Ok(Some(known.clone()).filter(|known| now < known.expires_at));
        }
        if self.ended.lock().unwrap().contains(key) {
            return Ok(None);
        }
        let found = {
            let rows = self.rows.lock().unwrap();
            let row = rows.get(&bytes).filter(|row| self.is_live(row, now, On::Load));
            row.map(|row| self.record(row)).transpose()?
        };
        if self.is(Fault::AHandleCachesWhatItLoads)
            && let Some(record) = &found
        {
            self.cached.lock().unwrap().insert(key.clone(), record.clone());
        }
        let mut under_way = UnderWay(self, Some(found));
        yield_now().await;
        let answer = under_way.1.take().flatten();
        if let Some(other) = self.left_over.lock().unwrap().take() {
            return Ok(other);
        }
        if self.is(Fault::PayloadsAreTraced)
            && let Some(record) = &answer
        {
            tracing::debug!(payload = record.payload.as_str(), "loaded a session");
        }
        Ok(answer)
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let key = self.bytes(&update.key)?;
        self.check(update.principal.as_ref(), update.expected, None)?;
        let _connection = self.connect().await?;
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
                expires_at: update.expires_at,
                principal: update.principal.clone(),
            };
            self.create(&create, now).await?;
            return Ok(Updated::Saved(Version::FIRST));
        }
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
            row.expires_at = self.column(update.expires_at);
            if !self.is(Fault::UpdateKeepsThePrincipal) {
                row.principal = update.principal.clone();
            }
            if !self.is(Fault::UpdateIsDoneInTwoSteps) {
                row.version += self.step();
            }
            row.version
        };
        yield_now().await;
        if self.is(Fault::UpdateIsDoneInTwoSteps) {
            // The round trip of a second statement.
            for _ in 0..20 {
                yield_now().await;
            }
            let mut rows = self.rows.lock().unwrap();
            let Some(row) = rows.get_mut(&key) else { return Ok(Updated::Gone) };
            row.version += self.step();
            return Ok(Updated::Saved(Version::new(row.version)));
        }
        if self.is(Fault::UpdateLeavesTheVersionOpen) && update.expected.is_none() {
            return Ok(Updated::Saved(Version::NONE));
        }
        Ok(Updated::Saved(Version::new(updated)))
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        let key = self.bytes(&touch.key)?;
        let _connection = self.connect().await?;
        let touched = {
            let mut rows = self.rows.lock().unwrap();
            let row = rows.get_mut(&key).filter(|row| self.is_live(row, now, On::Touch));
            let column = self.column(touch.expires_at);
            row.map(|row| {
                let later = column > row.expires_at;
                if later || !self.is(Fault::TouchOnlyExtends) {
                    row.expires_at = column;
                }
                if self.is(Fault::TouchCountsTheVersionUp) {
                    row.version += self.step();
                }
            })
            .is_some()
        };
        yield_now().await;
        Ok(touched || self.is(Fault::EveryTouchIsASuccess))
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let key = self.bytes(&destroy.key)?;
        self.check(None, None, Some(destroy.mode))?;
        let _connection = self.connect().await?;
        if self.is(Fault::AnEndIsWrittenLater) {
            let is_live = |row: &Row| self.is_live(row, now, On::Destroy);
            let live = self.rows.lock().unwrap().get(&key).is_some_and(is_live);
            return Ok(live && self.ended.lock().unwrap().insert(destroy.key.clone()));
        }
        let ended = self.end(&mut self.rows.lock().unwrap(), &key, destroy.mode, now, On::Destroy);
        yield_now().await;
        Ok(ended)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let (from, to) = (self.bytes(&rotate.from)?, self.bytes(&rotate.to)?);
        if !self.form.can.rotation {
            return Err(Error::unsupported("this table cannot rotate"));
        }
        self.check(rotate.principal.as_ref(), rotate.expected, Some(rotate.mode))?;
        if from == to {
            return Err(Error::invalid_input("both keys are the same"));
        }
        let _connection = self.connect().await?;
        let row = {
            let mut rows = self.rows.lock().unwrap();
            let Some(old) = rows.get(&from).filter(|row| self.is_live(row, now, On::Rotate)).cloned() else {
                return Ok(Rotated::Gone);
            };
            let stale = rotate.expected.is_some_and(|expected| expected.get() != old.version);
            if stale && !self.is(Fault::RotateIgnoresItsVersion) {
                return Ok(Rotated::Stale);
            }
            if rows.contains_key(&to) && !self.is(Fault::RotateOverwrites) {
                return Ok(Rotated::KeyTaken);
            }
            let row = Row {
                key: rotate.to.clone(),
                payload: rotate.payload.as_ref().map_or(old.payload, |payload| self.text(payload)),
                expires_at: self.column(rotate.expires_at),
                created_at: if self.is(Fault::RotateForgetsTheCreation) {
                    now.as_millis()
                } else {
                    old.created_at
                },
                version: old.version + self.step(),
                principal: rotate.principal.clone(),
                destroyed: false,
                corrupt: false,
            };
            if !self.is(Fault::RotateLeavesTheOldOne) {
                self.end(&mut rows, &from, rotate.mode, now, On::Destroy);
            }
            if !self.is(Fault::RotateIsDoneInTwoSteps) {
                rows.insert(to.clone(), row.clone());
            }
            row
        };
        yield_now().await;
        let version = Version::new(row.version);
        if self.is(Fault::RotateIsDoneInTwoSteps) {
            // The round trip of a second statement.
            for _ in 0..20 {
                yield_now().await;
            }
            self.rows.lock().unwrap().insert(to, row);
        }
        Ok(Rotated::Rotated(version))
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        self.check(Some(principal), None, Some(mode))?;
        let _connection = self.connect().await?;
        let filter = Filter { principal: Some(principal.clone()) };
        let except = except.map(|except| self.bytes(except)).transpose()?;
        let select = |rows: &BTreeMap<Vec<u8>, Row>| -> Vec<Vec<u8>> {
            let passes = |key: &[u8], row: &Row| {
                self.passes(row, &filter)
                    && (Some(key) != except.as_deref() || self.is(Fault::TheExceptedOneIsTaken))
            };
            rows.iter().filter(|(key, row)| passes(key, row)).map(|(key, _)| key.clone()).collect()
        };
        if self.is(Fault::APrincipalIsCountedBeforeItsEnd) {
            let theirs = select(&self.rows.lock().unwrap());
            yield_now().await;
            let mut rows = self.rows.lock().unwrap();
            theirs.iter().for_each(|key| _ = self.end(&mut rows, key, mode, now, On::DestroyPrincipal));
            return Ok(u64::try_from(theirs.len()).unwrap());
        }
        let ended = {
            let mut rows = self.rows.lock().unwrap();
            let mut theirs = select(&rows);
            if self.is(Fault::OneOfAPrincipalIsForgotten) {
                theirs.pop();
            }
            let mode = match mode {
                DestroyMode::Hard if self.is(Fault::AHardEndByPrincipalLeavesRows) => DestroyMode::Soft,
                mode => mode,
            };
            theirs.iter().filter(|key| self.end(&mut rows, key, mode, now, On::DestroyPrincipal)).count()
        };
        yield_now().await;
        Ok(u64::try_from(ended).unwrap())
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
                Fault::PurgeTakesTheDestroyed => row.expires_at <= now || row.destroyed,
                Fault::PurgeForgetsTheDestroyed => row.expires_at <= now && !row.destroyed,
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
        self.check(filter.principal.as_ref(), None, None)?;
        let _connection = self.connect().await?;
        yield_now().await;
        let rows = self.rows.lock().unwrap();
        let after = after.map(|after| self.bytes(after)).transpose()?;
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
            (Bound::Excluded(_), Fault::LaterPagesForgetTheFilter) => &Filter::default(),
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
        self.check(filter.principal.as_ref(), None, None)?;
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
        rows.retain(|_, row| self.is(Fault::ClearForgetsTheDestroyed) && row.destroyed);
        Ok(u64::try_from(count - rows.len()).unwrap())
    }

    async fn server_time(&self) -> Result<Timestamp> {
        let _connection = self.connect().await?;
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let mut outcomes = Vec::new();
        for key in keys {
            outcomes.push(self.load(key, now).await);
        }
        match self.form.fault {
            Fault::LoadedBatchesAreSorted => {
                let mut paired: Vec<_> = keys.iter().zip(outcomes).collect();
                paired.sort_by(|a, b| a.0.cmp(b.0));
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
        let mut outcomes = Vec::new();
        let most = if self.is(Fault::LargeBatchesAreCut) { 50 } else { usize::MAX };
        for (number, write) in writes.iter().enumerate() {
            if number >= most {
                outcomes.push(Ok(Written::Touched(true)));
                continue;
            }
            let outcome = match write {
                Write::Create(create) => self.create(create, now).await.map(Written::Created),
                Write::Update(update) => self.update(update, now).await.map(Written::Updated),
                Write::Touch(touch) => self.touch(touch, now).await.map(Written::Touched),
                Write::Destroy(destroy) => self.destroy(destroy, now).await.map(Written::Destroyed),
            };
            match outcome {
                Err(error) if self.is(Fault::ABatchFailsHalfWay) => {
                    return Err(Error::new(ErrorKind::Backend, "a write failed")
                        .with_indeterminate(false)
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
