//! Points in time, and the clocks that tell them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted. Any `i64` is one.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use session_core::Timestamp;
///
/// let now = Timestamp::from(SystemTime::now());
/// let later = now.saturating_add(Duration::from_secs(60));
/// assert_eq!(later.as_millis() - now.as_millis(), 60_000);
/// assert!(later < Timestamp::NEVER);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest point in time.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest point in time: as an expiry, never.
    pub const NEVER: Timestamp = Timestamp(i64::MAX);

    /// The point `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The point `span` later; [`Timestamp::NEVER`] where that is beyond the range. Parts of a millisecond are
    /// dropped.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Timestamp {
        // A span over i64::MAX ms is 292 million years: never is right.
        Timestamp(i64::try_from(span.as_millis()).map_or(i64::MAX, |millis| self.0.saturating_add(millis)))
    }

    /// The point `span` earlier; [`Timestamp::MIN`] where that is beyond the range.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Timestamp {
        Timestamp(i64::try_from(span.as_millis()).map_or(i64::MIN, |millis| self.0.saturating_sub(millis)))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Timestamp) -> Duration {
        // The distance of two i64 fits a u64, and is none where the order is reversed.
        u64::try_from(i128::from(self.0) - i128::from(earlier.0))
            .map_or(Duration::ZERO, Duration::from_millis)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.0)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let epoch = Timestamp(0);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => epoch.saturating_add(after),
            Err(before) => epoch.saturating_sub(before.duration()),
        }
    }
}

/// Tells the time to a [`Sessions`](crate::Sessions). A backend never reads a clock.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Timestamp;
}

/// A shared clock is a clock.
impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// A clock that stands still until it is set: for tests. Share it in an [`Arc`].
///
/// ```
/// use std::time::Duration;
/// use session_core::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::new(Timestamp::from_millis(0));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), Timestamp::from_millis(1_000));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> ManualClock {
        ManualClock(AtomicI64::new(now.as_millis()))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, span: Duration) {
        let later = |now| Some(Timestamp(now).saturating_add(span).as_millis());
        _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp(5).saturating_add(Duration::MAX), Timestamp::NEVER);
        assert_eq!(Timestamp(i64::MAX - 1).saturating_add(Duration::from_millis(2)), Timestamp::NEVER);
        assert_eq!(Timestamp(-5).saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::NEVER.saturating_since(Timestamp::MIN), Duration::from_millis(u64::MAX));
        assert_eq!(Timestamp::MIN.saturating_since(Timestamp::NEVER), Duration::ZERO);
    }

    #[test]
    fn times_before_the_epoch_are_negative() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(7);
        assert_eq!(Timestamp::from(before), Timestamp(-7));
    }
}
