//! Stores as a run with a cache has them: each load goes through what the store keeps.
//!
//! The suite gives its sessions small versions, the same ones again and again, and uses a key again once its row is gone.
//! A handle draws a session's first version by lot, and a cache rests on that: a version is one state of one session. So
//! between a case and the cache every session gets a lot of its own, and the case sees what is left of the version without
//! it.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use session_core::contract::{
    Cached, Checked, Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Record,
    Rotate, Rotated, Store, Touch, Touched, Update, Write, Written,
};
use session_core::{
    CacheSize, Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey, Timestamp,
    Updated, Version,
};

use crate::around::store_around;

/// More than any case has sessions under way, and little enough that sessions make room for each other in some.
const KEPT: CacheSize = CacheSize::sessions(256);
/// Beyond every version that a handle draws, and still a number that JSON has exactly, as that is how some batches travel.
const LOTS_BEGIN: i64 = 1 << 50;
/// Beyond every number of updates in a case.
const LOT: i64 = 1 << 16;

/// The next one.
static LOTS: AtomicI64 = AtomicI64::new(0);

/// The store with a cache before it. Each load that finds what is kept up to date adds to `kept`.
pub(crate) fn keep(store: Arc<dyn Store>, kept: Arc<AtomicUsize>) -> Result<Arc<dyn Store>> {
    let counted = Counted { store, kept };
    // What is refused is refused first, before a version is looked up.
    Ok(Arc::new(Checked::new(Arc::new(Lots(Cached::new(Arc::new(counted), KEPT)?)))))
}

/// Behind the cache: counts what it spares.
struct Counted {
    store: Arc<dyn Store>,
    kept: Arc<AtomicUsize>,
}

impl Counted {
    async fn pass(&self) -> &dyn Store {
        &*self.store
    }

    async fn pass_write(&self) -> Result<&dyn Store> {
        Ok(&*self.store)
    }

    fn count(&self, loaded: &Loaded) {
        if matches!(loaded, Loaded::Unchanged { .. }) {
            self.kept.fetch_add(1, Ordering::SeqCst);
        }
    }
}

store_around!(Counted, {
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.store.create(create, now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        self.store.load(load, now).await.inspect(|loaded| self.count(loaded))
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.store.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.store.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.store.destroy(destroy, now).await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let loaded = self.store.load_many(loads, now).await?;
        loaded.iter().flatten().for_each(|loaded| self.count(loaded));
        Ok(loaded)
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.store.write_many(writes, now).await
    }
});

/// Before the cache: a lot for each session.
///
/// Whoever expects a version expects a small one, and of the session that is there. So it is loaded first, and the version
/// that it has is expected, with its lot. If that is stale by then, the session is looked at again.
struct Lots<S>(S);

fn small(version: Version) -> Version {
    match version.get().checked_sub(LOTS_BEGIN) {
        Some(drawn) if drawn >= 0 => Version::new(drawn % LOT),
        _ => version,
    }
}

fn small_record(record: Record) -> Record {
    Record { version: small(record.version), ..record }
}

fn small_updated(updated: Updated) -> Updated {
    match updated {
        Updated::Saved(version) => Updated::Saved(small(version)),
        other => other,
    }
}

/// What became of a version that somebody expects.
enum Found {
    /// The session has it; this is the whole of it.
    There(Version),
    Stale,
    Gone,
}

impl<S: Store> Lots<S> {
    fn drawn(&self, create: &Create) -> Create {
        // A case that gives a large version has drawn it itself.
        if create.version.get() >= LOT {
            return create.clone();
        }
        let lot = LOTS_BEGIN + LOTS.fetch_add(1, Ordering::Relaxed) * LOT;
        Create { version: Version::new(lot + create.version.get()), ..create.clone() }
    }

    async fn find(&self, key: &SessionKey, expected: Version, now: Timestamp) -> Result<Found> {
        Ok(match self.0.load(&Load::new(key.clone()), now).await?.record() {
            None => Found::Gone,
            Some(record) if small(record.version) == expected => Found::There(record.version),
            Some(_) => Found::Stale,
        })
    }

    fn loaded(load: &Load, loaded: Loaded) -> Loaded {
        match loaded {
            Loaded::Record(record) => Loaded::of(small_record(record), load.known),
            other => other,
        }
    }
}

impl<S: Store> fmt::Debug for Lots<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl<S: Store> Store for Lots<S> {
    fn backend(&self) -> &'static str {
        self.0.backend()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn key_format(&self) -> KeyFormat {
        self.0.key_format()
    }
    fn gathering(&self) -> Gathering {
        self.0.gathering()
    }
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.0.create(&self.drawn(create), now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        Ok(Self::loaded(load, self.0.load(&Load::new(load.key.clone()), now).await?))
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let Some(expected) = update.expected else {
            return self.0.update(update, now).await.map(small_updated);
        };
        loop {
            match self.find(&update.key, expected, now).await? {
                Found::There(version) => {
                    let whole = Update { expected: Some(version), ..update.clone() };
                    match self.0.update(&whole, now).await? {
                        Updated::Stale => {}
                        updated => return Ok(small_updated(updated)),
                    }
                }
                Found::Stale => return Ok(Updated::Stale),
                Found::Gone => return Ok(Updated::Gone),
            }
        }
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let Some(expected) = touch.expected else { return self.0.touch(touch, now).await };
        loop {
            match self.find(&touch.key, expected, now).await? {
                Found::There(version) => {
                    match self.0.touch(&Touch { expected: Some(version), ..touch.clone() }, now).await? {
                        Touched::Stale => {}
                        touched => return Ok(touched),
                    }
                }
                Found::Stale => return Ok(Touched::Stale),
                Found::Gone => return Ok(Touched::Gone),
            }
        }
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.0.destroy(destroy, now).await
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let mut whole = rotate.clone();
        loop {
            if let Some(expected) = rotate.expected {
                match self.find(&rotate.from, expected, now).await? {
                    Found::There(version) => whole.expected = Some(version),
                    Found::Stale => return Ok(Rotated::Stale),
                    Found::Gone => return Ok(Rotated::Gone),
                }
            }
            match self.0.rotate(&whole, now).await? {
                Rotated::Stale if rotate.expected.is_some() => {}
                Rotated::Rotated(version) => return Ok(Rotated::Rotated(small(version))),
                rotated => return Ok(rotated),
            }
        }
    }
    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        self.0.fate(key, now).await
    }
    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        self.0.destroy_principal(destroy, now).await
    }
    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.0.forget_principal(principal, now).await
    }
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.0.purge_expired(now, limit).await
    }
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let page = self.0.list(filter, after, limit, now).await?;
        Ok(page
            .into_iter()
            .map(|Listed { key, record }| Listed { key, record: record.map(small_record) })
            .collect())
    }
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.0.count(filter, now).await
    }
    async fn clear(&self) -> Result<u64> {
        self.0.clear().await
    }
    async fn server_time(&self) -> Result<Timestamp> {
        self.0.server_time().await
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.0.diagnose().await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let unknown: Vec<Load> = loads.iter().map(|load| Load::new(load.key.clone())).collect();
        let loaded = self.0.load_many(&unknown, now).await?;
        Ok(loads.iter().zip(loaded).map(|(load, loaded)| Ok(Self::loaded(load, loaded?))).collect())
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let expects = |write: &Write| match write {
            Write::Update(update) => update.expected.is_some(),
            Write::Touch(touch) => touch.expected.is_some(),
            Write::Create(_) | Write::Destroy(_) => false,
        };
        if writes.iter().any(expects) {
            let mut outcomes = Vec::with_capacity(writes.len());
            for write in writes {
                outcomes.push(write.apply(self, now).await);
            }
            return Ok(outcomes);
        }
        let drawn: Vec<Write> = writes
            .iter()
            .map(|write| match write {
                Write::Create(create) => Write::Create(self.drawn(create)),
                other => other.clone(),
            })
            .collect();
        let written = self.0.write_many(&drawn, now).await?;
        let small = |written| match written {
            Written::Updated(updated) => Written::Updated(small_updated(updated)),
            other => other,
        };
        Ok(written.into_iter().map(|written| written.map(small)).collect())
    }
}
