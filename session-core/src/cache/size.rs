//! How much is kept.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Kept;
use crate::{Error, Result, SessionKey};

/// How much a handle keeps of the sessions that it has read: see [`SessionsBuilder::cache`](crate::SessionsBuilder::cache).
///
/// What has not been read for the longest makes room for what is read, with a preference for what was read more than once.
/// The bound is one of each handle. It is met within a few percent, as a cache is divided into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSize(Bound);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Sessions(usize),
    Bytes(usize),
}

/// What a session takes beside its text, in bytes: its key, its place in the table, times and principal.
const BESIDE: u64 = 256;
/// A session of a common size, by which the number of parts is estimated.
const COMMON: usize = 1024;

impl CacheSize {
    /// At most about so many sessions, whatever their size.
    pub const fn sessions(number: usize) -> CacheSize {
        CacheSize(Bound::Sessions(number))
    }

    /// At most about so many bytes. A session counts as much as its text in the database and 256 bytes beside. What it takes
    /// in memory depends on the type of its data: a struct about as much as its text, a `serde_json::Value` several times
    /// that. A session that is larger than the whole, or than its part, is not kept.
    pub const fn bytes(number: usize) -> CacheSize {
        CacheSize(Bound::Bytes(number))
    }

    /// # Errors
    /// `InvalidInput` for 0.
    pub(crate) fn check(self) -> Result<()> {
        match self.0 {
            Bound::Sessions(0) | Bound::Bytes(0) => Err(Error::invalid_input(
                "a cache of size 0 keeps nothing; give it a size, or leave out `cache`",
            )),
            Bound::Sessions(_) | Bound::Bytes(_) => Ok(()),
        }
    }

    pub(super) fn cache<V>(self) -> Cache<SessionKey, Arc<Kept<V>>, Weight> {
        let (sessions, most) = match self.0 {
            Bound::Sessions(number) => (number, number),
            Bound::Bytes(number) => (number / COMMON, number),
        };
        Cache::with_weighter(sessions, u64::try_from(most).unwrap_or(u64::MAX), Weight(self.0))
    }
}

/// What a session counts.
#[derive(Clone)]
pub(crate) struct Weight(Bound);

impl<V> Weighter<SessionKey, Arc<Kept<V>>> for Weight {
    fn weight(&self, _: &SessionKey, kept: &Arc<Kept<V>>) -> u64 {
        match self.0 {
            Bound::Sessions(_) => 1,
            Bound::Bytes(_) => u64::try_from(kept.len).unwrap_or(u64::MAX).saturating_add(BESIDE),
        }
    }
}
