//! A complete backend in this process's memory.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, Filter, Finding, KeyFormat, Listed, Payload,
    Principal, Record, Result, Rotate, Rotated, SessionKey, Store, Timestamp, Touch, Update, Updated,
    Version,
};

/// Sessions in this process's memory: for tests and for programs that may forget them when they end. It keeps every
/// guarantee but durability.
#[derive(Default)]
pub struct MemoryStore {
    format: KeyFormat,
    rows: Mutex<BTreeMap<SessionKey, Row>>,
}

#[derive(Clone)]
struct Row {
    payload: Payload,
    expires_at: Timestamp,
    created_at: Timestamp,
    version: Version,
    principal: Option<Principal>,
    destroyed_at: Option<Timestamp>,
}

impl MemoryStore {
    /// An empty store that holds hashed ids.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// An empty store that holds ids in this format.
    pub fn with_key_format(format: KeyFormat) -> MemoryStore {
        MemoryStore { format, ..MemoryStore::default() }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Row>> {
        // Nothing below panics between two changes that belong together.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, key: &SessionKey) -> Result<()> {
        if key.format() == self.format {
            return Ok(());
        }
        Err(Error::invalid_input(
            "the key's format is not this table's; make keys with the store's `key_format`",
        )
        .with_backend("memory"))
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn backend(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn key_format(&self) -> KeyFormat {
        self.format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.check(&create.key)?;
        let mut rows = self.rows();
        if rows.contains_key(&create.key) {
            return Ok(Created::KeyTaken);
        }
        let row = Row {
            payload: create.payload.clone(),
            expires_at: create.expires_at,
            created_at: now,
            version: Version::FIRST,
            principal: create.principal.clone(),
            destroyed_at: None,
        };
        rows.insert(create.key.clone(), row);
        Ok(Created::Created)
    }

    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.check(key)?;
        Ok(self.rows().get(key).filter(|row| row.is_live(now)).map(Row::record))
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.check(&update.key)?;
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&update.key).filter(|row| row.is_live(now)) else {
            return Ok(Updated::Gone);
        };
        if update.expected.is_some_and(|expected| expected != row.version) {
            return Ok(Updated::Stale);
        }
        row.payload = update.payload.clone();
        row.expires_at = update.expires_at;
        row.principal = update.principal.clone();
        row.version = row.version.next();
        Ok(Updated::Saved(row.version))
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        self.check(&touch.key)?;
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&touch.key).filter(|row| row.is_live(now)) else {
            return Ok(false);
        };
        row.expires_at = touch.expires_at;
        Ok(true)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.check(&destroy.key)?;
        Ok(end(&mut self.rows(), &destroy.key, destroy.mode, now))
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.check(&rotate.from)?;
        self.check(&rotate.to)?;
        if rotate.from == rotate.to {
            return Err(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            )
            .with_backend(self.backend()));
        }
        let mut rows = self.rows();
        let Some(old) = rows.get(&rotate.from).filter(|row| row.is_live(now)) else {
            return Ok(Rotated::Gone);
        };
        if rotate.expected.is_some_and(|expected| expected != old.version) {
            return Ok(Rotated::Stale);
        }
        if rows.contains_key(&rotate.to) {
            return Ok(Rotated::KeyTaken);
        }
        let version = old.version.next();
        let row = Row {
            payload: rotate.payload.clone().unwrap_or_else(|| old.payload.clone()),
            expires_at: rotate.expires_at,
            created_at: old.created_at,
            version,
            principal: rotate.principal.clone(),
            destroyed_at: None,
        };
        end(&mut rows, &rotate.from, rotate.mode, now);
        rows.insert(rotate.to.clone(), row);
        Ok(Rotated::Rotated(version))
    }

    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        except.map_or(Ok(()), |key| self.check(key))?;
        let mut rows = self.rows();
        let theirs: Vec<SessionKey> = rows
            .iter()
            .filter(|(key, row)| row.principal.as_ref() == Some(principal) && Some(*key) != except)
            .map(|(key, _)| key.clone())
            .collect();
        let ended = theirs.iter().filter(|key| end(&mut rows, key, mode, now)).count();
        Ok(number(ended))
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let mut rows = self.rows();
        let expired: Vec<SessionKey> = rows
            .iter()
            .filter(|(_, row)| row.expires_at <= now)
            .map(|(key, _)| key.clone())
            .take(size(limit))
            .collect();
        for key in &expired {
            rows.remove(key);
        }
        Ok(number(expired.len()))
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        after.map_or(Ok(()), |key| self.check(key))?;
        let rows = self.rows();
        let from = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        Ok(rows
            .range::<SessionKey, _>(from)
            .filter(|(_, row)| row.is_live(now) && row.passes(filter))
            .take(size(limit))
            .map(|(key, row)| Listed { key: key.clone(), record: Ok(row.record()) })
            .collect())
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        Ok(number(self.rows().values().filter(|row| row.is_live(now) && row.passes(filter)).count()))
    }

    async fn clear(&self) -> Result<u64> {
        Ok(number(std::mem::take(&mut *self.rows()).len()))
    }

    async fn server_time(&self) -> Result<Timestamp> {
        Ok(SystemTime::now().into())
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        Ok(vec![Finding::note("sessions are kept in memory and end with this process")])
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("format", &self.format)
            .field("rows", &self.rows().len())
            .finish_non_exhaustive()
    }
}

impl Row {
    fn is_live(&self, now: Timestamp) -> bool {
        self.destroyed_at.is_none() && now < self.expires_at
    }

    fn passes(&self, filter: &Filter) -> bool {
        filter.principal.is_none() || self.principal == filter.principal
    }

    fn record(&self) -> Record {
        Record {
            payload: self.payload.clone(),
            expires_at: self.expires_at,
            created_at: Some(self.created_at),
            version: self.version,
            principal: self.principal.clone(),
        }
    }
}

fn end(rows: &mut BTreeMap<SessionKey, Row>, key: &SessionKey, mode: DestroyMode, now: Timestamp) -> bool {
    let Some(row) = rows.get_mut(key).filter(|row| row.is_live(now)) else {
        return false;
    };
    match mode {
        DestroyMode::Soft => row.destroyed_at = Some(now),
        DestroyMode::Hard => _ = rows.remove(key),
    }
    true
}

/// A count of rows. No machine has more than `u64::MAX`.
fn number(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// A limit on rows. No machine of 16 bits runs this.
fn size(limit: NonZeroU32) -> usize {
    usize::try_from(limit.get()).unwrap_or(usize::MAX)
}
