//! How many rows a purge removes in one statement.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

/// How many batches in a row have to fit before a larger one is tried.
const FITS_BEFORE_GROWTH: u32 = 8;

/// How many rows one statement may remove, as far as is known: a server that gives up a statement after some time gives up
/// the same one each time.
#[derive(Debug)]
pub(super) struct Fitting(Mutex<(NonZeroU32, u32)>);

impl Fitting {
    pub(super) fn new() -> Fitting {
        Fitting(Mutex::new((NonZeroU32::MAX, 0)))
    }

    pub(super) fn batch(&self, wanted: NonZeroU32) -> NonZeroU32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.min(wanted)
    }

    pub(super) fn fits(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.1 += 1;
        if known.1 >= FITS_BEFORE_GROWTH {
            *known = (known.0.saturating_mul(NonZeroU32::MIN.saturating_add(1)), 0);
        }
    }

    /// Goes on with half of it. False if there is no less.
    pub(super) fn does_not_fit(&self, batch: NonZeroU32) -> bool {
        let half = NonZeroU32::new(batch.get() / 2);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (half.unwrap_or(NonZeroU32::MIN), 0);
        half.is_some()
    }
}
