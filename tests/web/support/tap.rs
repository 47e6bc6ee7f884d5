//! A store that is watched, and can be turned off.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use session_store::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_store::{
    Capabilities, Error, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey, Timestamp,
    Updated,
};

/// A store on its way to the layer.
#[derive(Debug)]
pub(crate) struct Tap {
    store: Arc<dyn Store>,
    is_off: AtomicBool,
    calls: Mutex<Vec<&'static str>>,
}

impl Tap {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Tap> {
        Arc::new(Tap { store, is_off: AtomicBool::new(false), calls: Mutex::default() })
    }

    /// The store itself, as somebody else sees it.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The database is away, or back.
    pub(crate) fn turn_off(&self, is_off: bool) {
        self.is_off.store(is_off, Ordering::SeqCst);
    }

    /// The names of the calls since the last time that somebody asked.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    async fn pass(&self, name: &'static str) -> Result<&dyn Store> {
        // A database takes its time, and others come in between.
        tokio::task::yield_now().await;
        self.calls.lock().unwrap().push(name);
        if self.is_off.load(Ordering::SeqCst) {
            let error = Error::unavailable("connection refused; start the database");
            return Err(error.with_unreachable().with_in_doubt(false));
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl Store for Tap {
    fn backend(&self) -> &'static str {
        self.store.backend()
    }
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    fn key_format(&self) -> KeyFormat {
        self.store.key_format()
    }
    /// Each call on its own, so that it can be counted.
    fn gathering(&self) -> Gathering {
        Gathering::OFF
    }
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.pass("create").await?.create(create, now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        self.pass("load").await?.load(load, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.pass("update").await?.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.pass("touch").await?.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.pass("destroy").await?.destroy(destroy, now).await
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.pass("rotate").await?.rotate(rotate, now).await
    }
    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        self.pass("fate").await?.fate(key, now).await
    }
    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        self.pass("destroy_principal").await?.destroy_principal(destroy, now).await
    }
    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.pass("forget_principal").await?.forget_principal(principal, now).await
    }
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.pass("purge_expired").await?.purge_expired(now, limit).await
    }
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.pass("list").await?.list(filter, after, limit, now).await
    }
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.pass("count").await?.count(filter, now).await
    }
    async fn clear(&self) -> Result<u64> {
        self.pass("clear").await?.clear().await
    }
    async fn server_time(&self) -> Result<Timestamp> {
        self.pass("server_time").await?.server_time().await
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.pass("diagnose").await?.diagnose().await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.pass("load_many").await?.load_many(loads, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.pass("write_many").await?.write_many(writes, now).await
    }
}
