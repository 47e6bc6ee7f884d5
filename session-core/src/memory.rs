//! A complete backend in this process's memory.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Payload, Record, Rotate,
    Rotated, Store, Touch, Touched, Update,
};
use crate::{
    Capabilities, DestroyMode, Fate, Finding, KeyFormat, Principal, Result, SessionKey, Timestamp, Updated,
    Version,
};

/// Sessions in this process's memory: for tests and for programs that may forget them when they end. It keeps every
/// guarantee but durability.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// # use session_core::{MemoryStore, Sessions};
/// # use std::sync::Arc;
/// let store = Arc::new(MemoryStore::new()); // an `Arc` of a store is a store: two handles share it
/// let [one, other]: [Sessions<u32>; 2] = [Sessions::new(Arc::clone(&store)), Sessions::new(store)];
/// let id = one.create(&1).await?.id;
/// other.destroy(&id).await?;
/// assert!(one.load(&id).await?.is_none());
/// # Ok(()) }
/// ```
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
    end: Option<End>,
}

/// Why a row that is there has no session any more, whatever its expiry says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Destroyed,
    RotatedAway,
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
        let mut rows = self.rows();
        if rows.contains_key(&create.key) {
            return Ok(Created::KeyTaken);
        }
        let row = Row {
            payload: create.payload.clone(),
            expires_at: create.expires_at,
            created_at: now,
            version: create.version,
            principal: create.principal.clone(),
            end: None,
        };
        rows.insert(create.key.clone(), row);
        Ok(Created::Created)
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let rows = self.rows();
        let live = rows.get(&load.key).filter(|row| row.is_live(now));
        Ok(live.map_or(Loaded::Gone, |row| Loaded::of(row.record(), load.known)))
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&update.key).filter(|row| row.is_live(now)) else {
            return Ok(Updated::Gone);
        };
        if update.expected.is_some_and(|expected| expected != row.version) {
            return Ok(Updated::Stale);
        }
        row.payload = update.payload.clone();
        row.expires_at = update.expires_at.unwrap_or(row.expires_at);
        row.principal = update.principal.clone();
        row.version = row.version.next();
        Ok(Updated::Saved(row.version))
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&touch.key).filter(|row| row.is_live(now)) else {
            return Ok(Touched::Gone);
        };
        if touch.expected.is_some_and(|expected| expected != row.version) {
            return Ok(Touched::Stale);
        }
        row.expires_at = touch.expires_at;
        Ok(Touched::Moved)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        Ok(end(&mut self.rows(), &destroy.key, End::Destroyed, destroy.mode, now))
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
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
            expires_at: rotate.expires_at.unwrap_or(old.expires_at),
            created_at: old.created_at,
            version,
            principal: rotate.principal.clone(),
            end: None,
        };
        end(&mut rows, &rotate.from, End::RotatedAway, rotate.mode, now);
        rows.insert(rotate.to.clone(), row);
        Ok(Rotated::Rotated(version))
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        Ok(match self.rows().get(key) {
            None => Fate::Unknown,
            Some(Row { end: Some(End::Destroyed), .. }) => Fate::Destroyed,
            Some(Row { end: Some(End::RotatedAway), .. }) => Fate::RotatedAway,
            Some(row) if row.is_live(now) => Fate::Live,
            Some(_) => Fate::Expired,
        })
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        let mut rows = self.rows();
        let theirs: Vec<SessionKey> = rows
            .iter()
            .filter(|(_, row)| row.principal.as_ref() == Some(&destroy.principal))
            .filter(|(_, row)| destroy.created_before.is_none_or(|bound| row.created_at < bound))
            .filter(|(key, _)| Some(*key) != destroy.except.as_ref())
            .map(|(key, _)| key.clone())
            .collect();
        let ended =
            theirs.iter().filter(|key| end(&mut rows, key, End::Destroyed, destroy.mode, now)).count();
        Ok(number(ended))
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        let mut rows = self.rows();
        let mut wiped = 0;
        for row in rows.values_mut().filter(|row| row.principal.as_ref() == Some(principal)) {
            if row.is_live(now) {
                row.end = Some(End::Destroyed);
            }
            row.wipe();
            row.version = row.version.next();
            wiped += 1;
        }
        Ok(wiped)
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
        self.end.is_none() && now < self.expires_at
    }

    fn wipe(&mut self) {
        self.payload = Payload::from("");
        self.principal = None;
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

fn end(
    rows: &mut BTreeMap<SessionKey, Row>,
    key: &SessionKey,
    why: End,
    mode: DestroyMode,
    now: Timestamp,
) -> bool {
    let Some(row) = rows.get_mut(key).filter(|row| row.is_live(now)) else {
        return false;
    };
    row.end = Some(why);
    match mode {
        DestroyMode::Forget => row.wipe(),
        DestroyMode::Keep => {}
        DestroyMode::Remove => _ = rows.remove(key),
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
