//! Reading through what is kept.

use std::fmt;
use std::sync::Arc;

use super::Sessions;
use super::call::Call;
use super::session::Session;
use crate::cache::Cache;
use crate::{CacheSize, Result, SessionId};

/// `T::clone`: only the option asks for `T: Clone`, and not every handle.
pub(super) type CloneOf<T> = fn(&T) -> T;

/// Decoded sessions, and how to copy one.
pub(super) struct Copies<T> {
    cache: Cache<T>,
    copy: CloneOf<T>,
}

impl<T> Copies<T> {
    pub(super) fn new(size: CacheSize, copy: CloneOf<T>) -> Copies<T> {
        Copies { cache: Cache::new(size), copy }
    }

    /// The data, for a caller who may change them.
    pub(super) fn copy(&self, data: Arc<T>) -> T {
        Arc::try_unwrap(data).unwrap_or_else(|shared| (self.copy)(&shared))
    }
}

impl<T> fmt::Debug for Copies<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cache.fmt(f)
    }
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// A live session, decoded only if the database has another version than the one that is kept.
    ///
    /// Only what was read is kept, not what was written: decoding need not give what was encoded.
    pub(super) async fn fetch_kept(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        kept: &Copies<T>,
    ) -> Result<Option<Session<Arc<T>>>> {
        let asked = kept.cache.ask(self.key(id)?);
        let loaded = call.read(|now| self.core.store.load(&asked.load, now)).await;
        let Some(loaded) = self.readable(call, loaded)? else { return Ok(None) };
        let answer = kept.cache.answer(asked, loaded, |payload| self.policy.decode(payload));
        let found = self.readable(call, answer)?.flatten();
        Ok(found.map(|(data, info)| Session::new(id.clone(), data, info)))
    }

    /// Forgets what an end through this handle is about. Comes behind the statement, whatever came of that: an error may hide
    /// an end, and a load that was under way keeps nothing.
    pub(super) fn forget(&self, what: impl FnOnce(&Cache<T>)) {
        if let Some(kept) = &self.kept {
            what(&kept.cache);
        }
    }
}
