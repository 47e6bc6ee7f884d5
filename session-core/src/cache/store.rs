//! The cache as a store around a store.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Cache, CacheSize};
use crate::contract::{
    Checked, Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Payload, Record,
    Rotate, Rotated, Store, Touch, Touched, Update, Write, Written,
};
use crate::{
    Capabilities, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionInfo, SessionKey, Timestamp,
    Updated,
};

/// A store in front of another one that keeps what it has loaded, and asks that one only whether it still stands.
///
/// It is the cache of [`SessionsBuilder::cache`](crate::SessionsBuilder::cache), with the text of a session in place of
/// decoded data: the conformance suite proves the one by the other.
///
/// # Rules
/// - **Each load asks**, by [`Load::known`], with the version that is kept. Only the answer
///   [`Unchanged`](Loaded::Unchanged) lets what is kept be used, with the expiry that comes with it.
/// - **A version is one state of one session.** So it must be: sessions are created at [versions drawn by
///   lot](crate::Version::random), and whoever changes a row past the contract counts its version up.
/// - **What was not committed is not kept**: put none in front of a store within a transaction.
/// - **An end forgets.** A session that is destroyed or rotated away through this store is not kept any longer. One that
///   ends elsewhere is never answered again, and is forgotten by the next load, or makes room in time.
/// - **Bounded** by its [`CacheSize`].
///
/// Over a store without [`versions`](Capabilities::versions) it keeps nothing.
///
/// # Cancel safety
/// That of the store behind it.
pub struct Cached {
    store: Checked,
    cache: Option<Cache<Payload>>,
}

impl Cached {
    /// Keeps so much of what `store` loads.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a size of 0.
    pub fn new(store: Arc<dyn Store>, size: CacheSize) -> Result<Cached> {
        size.check()?;
        let cache = store.capabilities().versions.then(|| Cache::new(size));
        Ok(Cached { store: Checked::new(store), cache })
    }

    /// Forgets after an end, whatever came of it: an error may hide one.
    fn forget(&self, key: &SessionKey) {
        if let Some(cache) = &self.cache {
            cache.forget(key);
        }
    }
}

fn loaded(known: &Load, found: Option<(Arc<Payload>, SessionInfo)>) -> Loaded {
    let Some((payload, info)) = found else { return Loaded::Gone };
    let SessionInfo { version, created_at, expires_at, principal } = info;
    let payload = Payload::clone(&payload);
    Loaded::of(Record { payload, expires_at, created_at, version, principal }, known.known)
}

#[async_trait]
impl Store for Cached {
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
        self.store.create(create, now).await
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let Some(cache) = &self.cache else { return self.store.load(load, now).await };
        let asked = cache.ask(load.key.clone());
        let answer = self.store.load(&asked.load, now).await?;
        Ok(loaded(load, cache.answer(asked, answer, |payload| Ok(payload.clone()))?))
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.store.update(update, now).await
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.store.touch(touch, now).await
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let destroyed = self.store.destroy(destroy, now).await;
        self.forget(&destroy.key);
        destroyed
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        let rotated = self.store.rotate(rotate, now).await;
        self.forget(&rotate.from);
        rotated
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        self.store.fate(key, now).await
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        let destroyed = self.store.destroy_principal(destroy, now).await;
        if let Some(cache) = &self.cache {
            cache.forget_principal(&destroy.principal, destroy.except.as_ref());
        }
        destroyed
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        let forgotten = self.store.forget_principal(principal, now).await;
        if let Some(cache) = &self.cache {
            cache.forget_principal(principal, None);
        }
        forgotten
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.store.purge_expired(now, limit).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.store.list(filter, after, limit, now).await
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.store.count(filter, now).await
    }

    async fn clear(&self) -> Result<u64> {
        let cleared = self.store.clear().await;
        if let Some(cache) = &self.cache {
            cache.forget_all();
        }
        cleared
    }

    async fn server_time(&self) -> Result<Timestamp> {
        self.store.server_time().await
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.store.diagnose().await
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let Some(cache) = &self.cache else { return self.store.load_many(loads, now).await };
        let asked: Vec<_> = loads.iter().map(|load| cache.ask(load.key.clone())).collect();
        let told: Vec<Load> = asked.iter().map(|asked| asked.load.clone()).collect();
        let answers = self.store.load_many(&told, now).await?;
        let outcomes = loads.iter().zip(asked).zip(answers).map(|((load, asked), answer)| {
            Ok(loaded(load, cache.answer(asked, answer?, |payload| Ok(payload.clone()))?))
        });
        Ok(outcomes.collect())
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let written = self.store.write_many(writes, now).await;
        for write in writes {
            if let Write::Destroy(destroy) = write {
                self.forget(&destroy.key);
            }
        }
        written
    }

    fn gathering(&self) -> Gathering {
        self.store.gathering()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("store", &self.store).field("cache", &self.cache).finish()
    }
}
