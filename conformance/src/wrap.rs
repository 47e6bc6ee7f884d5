//! A store that is watched or held up on the way to another.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey, Timestamp, Updated,
};

use crate::around::store_around;

/// Counts the calls that reach a store, and lets none through while it is told to.
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    calls: AtomicUsize,
    silent: AtomicBool,
    /// What somebody else does right after the next load.
    late: Mutex<Option<(Write, Timestamp)>>,
}

impl Watch {
    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// From now on no call gets an answer, or every call does.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// Does a write once the next load is answered, and before its caller learns that.
    #[cfg(test)]
    pub(crate) fn after_the_next_load(&self, write: Write, now: Timestamp) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some((write, now));
    }
}

impl Watched {
    pub(crate) fn new(store: Arc<dyn Store>) -> (Watched, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        (Watched { store, watch: Arc::clone(&watch) }, watch)
    }

    async fn pass(&self) -> &dyn Store {
        self.watch.calls.fetch_add(1, Ordering::SeqCst);
        if self.watch.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        &*self.store
    }

    async fn pass_write(&self) -> Result<&dyn Store> {
        Ok(self.pass().await)
    }
}

store_around!(Watched, {
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.pass().await.create(create, now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let loaded = self.pass().await.load(load, now).await;
        let late = self.watch.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((write, now)) = late {
            write.apply(&*self.store, now).await?;
        }
        loaded
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.pass().await.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.pass().await.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.pass().await.destroy(destroy, now).await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.pass().await.load_many(loads, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.pass().await.write_many(writes, now).await
    }
});
