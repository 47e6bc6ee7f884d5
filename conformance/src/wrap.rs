//! A store that is watched or held up on the way to another.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use session_core::{
    Capabilities, Create, Created, Destroy, DestroyMode, Filter, Finding, Gathering, KeyFormat, Listed,
    Principal, Record, Result, Rotate, Rotated, SessionKey, Store, Timestamp, Touch, Update, Updated, Write,
    Written,
};

/// Counts the calls that reach a store, and lets none through while it is told to.
pub(crate) struct Watched {
    store: Arc<dyn Store>,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    calls: AtomicUsize,
    silent: AtomicBool,
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
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Watched {
    fn backend(&self) -> &'static str {
        self.store.backend()
    }
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    fn key_format(&self) -> KeyFormat {
        self.store.key_format()
    }
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.pass().await.create(create, now).await
    }
    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.pass().await.load(key, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.pass().await.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
        self.pass().await.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.pass().await.destroy(destroy, now).await
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.pass().await.rotate(rotate, now).await
    }
    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        self.pass().await.destroy_principal(principal, except, mode, now).await
    }
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.pass().await.purge_expired(now, limit).await
    }
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.pass().await.list(filter, after, limit, now).await
    }
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.pass().await.count(filter, now).await
    }
    async fn clear(&self) -> Result<u64> {
        self.pass().await.clear().await
    }
    async fn server_time(&self) -> Result<Timestamp> {
        self.pass().await.server_time().await
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.pass().await.diagnose().await
    }
    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        self.pass().await.load_many(keys, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.pass().await.write_many(writes, now).await
    }
    fn gathering(&self) -> Gathering {
        self.store.gathering()
    }
}
