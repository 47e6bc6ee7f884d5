//! Sessions that were read are kept, so that what did not change since is neither sent nor decoded again.
//!
//! Nothing is ever answered without the database: a load tells it the version that is kept, and the database says whether
//! the session still has that one. A version belongs to one state of one session, so what is kept for it is what the
//! database would have sent.

mod size;
mod store;

pub use size::CacheSize;
pub use store::Cached;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::contract::{Load, Loaded, Payload, Record};
use crate::{Error, ErrorKind, Principal, Result, SessionInfo, SessionKey, Timestamp, Version};
use size::Weight;

/// What is kept of the sessions of one table, as values of one kind.
pub(crate) struct Cache<V> {
    kept: quick_cache::sync::Cache<SessionKey, Arc<Kept<V>>, Weight>,
    /// How many sessions were forgotten: whoever read one before that keeps nothing.
    forgotten: AtomicU64,
}

/// One state of one session.
pub(crate) struct Kept<V> {
    value: Arc<V>,
    version: Version,
    created_at: Option<Timestamp>,
    principal: Option<Principal>,
    /// The text that the value was made of, in bytes.
    len: usize,
}

/// A load that is about to be made, and what is kept for it.
pub(crate) struct Asked<V> {
    pub(crate) load: Load,
    kept: Option<Arc<Kept<V>>>,
    forgotten: u64,
}

impl<V> Cache<V> {
    pub(crate) fn new(size: CacheSize) -> Cache<V> {
        Cache { kept: size.cache(), forgotten: AtomicU64::new(0) }
    }

    /// The load to make of the database.
    pub(crate) fn ask(&self, key: SessionKey) -> Asked<V> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let kept = self.kept.get(&key);
        Asked { load: Load { key, known: kept.as_ref().map(|kept| kept.version) }, kept, forgotten }
    }

    /// What the database's answer means. `make` makes a value of data that are not kept. `None` if the session is absent or
    /// dead.
    pub(crate) fn answer(
        &self,
        asked: Asked<V>,
        loaded: Loaded,
        make: impl FnOnce(&Payload) -> Result<V>,
    ) -> Result<Option<(Arc<V>, SessionInfo)>> {
        let Asked { load: Load { key, .. }, kept, forgotten } = asked;
        match (loaded, kept) {
            // The one whose version was told, whatever has been kept meanwhile.
            (Loaded::Unchanged { expires_at }, Some(kept)) => {
                let info = SessionInfo {
                    version: kept.version,
                    created_at: kept.created_at,
                    expires_at,
                    principal: kept.principal.clone(),
                };
                Ok(Some((Arc::clone(&kept.value), info)))
            }
            (Loaded::Unchanged { .. }, None) => Err(Error::new(
                ErrorKind::Backend,
                "a load that knew no version was answered with `Unchanged`; mend the backend",
            )
            .with_in_doubt(false)),
            (Loaded::Record(record), _) => {
                let value = make(&record.payload).inspect_err(|_| self.forget(&key))?;
                Ok(Some(self.keep(key, value, record, forgotten)))
            }
            (Loaded::Gone, _) => {
                self.forget(&key);
                Ok(None)
            }
        }
    }

    /// Forgets a session: it has ended, or may have.
    pub(crate) fn forget(&self, key: &SessionKey) {
        // Before the removal: a load that keeps something after it sees the new number.
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.kept.remove(key);
    }

    /// Forgets the sessions of a principal, but for one. Looks at each one that is kept.
    pub(crate) fn forget_principal(&self, principal: &Principal, except: Option<&SessionKey>) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.kept.retain(|key, kept| kept.principal.as_ref() != Some(principal) || Some(key) == except);
    }

    pub(crate) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.kept.clear();
    }

    fn keep(&self, key: SessionKey, value: V, record: Record, forgotten: u64) -> (Arc<V>, SessionInfo) {
        let (value, len) = (Arc::new(value), record.payload.len());
        let info = SessionInfo::from(record);
        // Nothing can be known of a session without a version.
        if info.version != Version::NONE {
            let kept = Kept {
                value: Arc::clone(&value),
                version: info.version,
                created_at: info.created_at,
                principal: info.principal.clone(),
                len,
            };
            self.kept.insert(key.clone(), Arc::new(kept));
            // A session that was ended while this load was under way, perhaps this one, is not to stay in memory.
            if self.forgotten.load(Ordering::SeqCst) != forgotten {
                self.kept.remove(&key);
            }
        }
        (value, info)
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("sessions", &self.kept.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
