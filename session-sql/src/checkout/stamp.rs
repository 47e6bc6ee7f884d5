//! Moments that tasks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment that many threads read and few set.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    start: Instant,
    nanos: Arc<AtomicU64>,
}

impl Default for Stamp {
    fn default() -> Stamp {
        Stamp { start: Instant::now(), nanos: Arc::default() }
    }
}

impl Stamp {
    pub(super) fn set(&self) {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.get().elapsed()
    }

    pub(super) fn is_set(&self) -> bool {
        self.nanos.load(Ordering::Relaxed) > 0
    }

    pub(super) fn get(&self) -> Instant {
        self.start + Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}
