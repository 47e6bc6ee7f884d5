//! The database's clock, read through this host's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::contract::Store;
use crate::{Clock, Result, Timestamp};

/// A refresh that failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// So many answers are timed, or fewer if one comes this fast: the quickest one tells the difference best. The first
/// one may have opened a connection.
const SAMPLES: u32 = 3;
const FAST_ANSWER: Duration = Duration::from_millis(5);

/// The host's clocks were set, or the host slept, if its time of day and its time since the start differ by more.
const STEP: Duration = Duration::from_secs(1);

/// The server's time, which is measured at first use and then every `refresh`. In between it goes on by the time since
/// the measurement: whoever sets the host's time of day does not set this.
#[derive(Debug)]
pub(super) struct DatabaseClock {
    refresh: Duration,
    /// Everybody waits for the first measurement, as nobody can do without; for later ones nobody but the one caller
    /// who makes them.
    measured: OnceCell<Measured>,
}

#[derive(Debug)]
struct Measured {
    last: Mutex<Reading>,
    first: Instant,
    /// When to measure anew, in milliseconds since the first time.
    due: AtomicU64,
    /// Not before this, as somebody has just tried.
    retry: AtomicU64,
}

/// All clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    server: Timestamp,
    host: Timestamp,
    at: Instant,
}

impl DatabaseClock {
    pub(super) fn new(refresh: Duration) -> DatabaseClock {
        DatabaseClock { refresh, measured: OnceCell::new() }
    }

    /// The time of the database, counted from the last measurement; the first one is made by `measure`.
    pub(super) async fn now<F>(&self, host: &dyn Clock, measure: impl FnOnce() -> F) -> Result<Timestamp>
    where
        F: Future<Output = Result<Skew>>,
    {
        let first = || async {
            Ok(Measured {
                last: Mutex::new(Reading::of(measure().await?, host)),
                first: Instant::now(),
                due: AtomicU64::new(millis(self.refresh)),
                retry: AtomicU64::new(0),
            })
        };
        let last = self.measured.get_or_try_init(first).await?.last();
        Ok(last.server.saturating_add(last.at.elapsed()))
    }

    /// True for one caller when it is time to measure anew, or when the host's clock was set. Should that one fail or go
    /// away, another one follows.
    pub(super) fn is_due(&self, host: &dyn Clock) -> bool {
        let Some(measured) = self.measured.get() else { return false };
        let now = millis(measured.first.elapsed());
        let retry = measured.retry.load(Ordering::Relaxed);
        let next = now.saturating_add(millis(RETRY));
        now >= retry
            && (now >= measured.due.load(Ordering::Relaxed) || measured.last().is_stepped(host))
            && measured.retry.compare_exchange(retry, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn update(&self, host: &dyn Clock, skew: Skew) {
        let Some(measured) = self.measured.get() else { return };
        *measured.last.lock().unwrap_or_else(PoisonError::into_inner) = Reading::of(skew, host);
        let due = millis(measured.first.elapsed()).saturating_add(millis(self.refresh));
        measured.due.store(due, Ordering::Relaxed);
    }
}

impl Measured {
    fn last(&self) -> Reading {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn of(skew: Skew, host: &dyn Clock) -> Reading {
        let host = host.now();
        let server = Timestamp::from_millis(host.as_millis().saturating_add(skew.millis));
        Reading { server, host, at: Instant::now() }
    }

    fn is_stepped(&self, host: &dyn Clock) -> bool {
        let (expected, shown) = (self.host.saturating_add(self.at.elapsed()), host.now());
        expected.saturating_since(shown).max(shown.saturating_since(expected)) > STEP
    }
}

/// By how much the server's clock is ahead of the host's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew {
    pub(super) millis: i64,
    /// How far off the figure may be.
    pub(super) error: Duration,
}

impl Skew {
    pub(super) async fn measure(host: &dyn Clock, store: &dyn Store) -> Result<Skew> {
        let mut best = Skew::sample(host, store).await?;
        for _ in 1..SAMPLES {
            if best.error * 2 <= FAST_ANSWER {
                break;
            }
            let next = Skew::sample(host, store).await?;
            if next.error < best.error {
                best = next;
            }
        }
        Ok(best)
    }

    async fn sample(host: &dyn Clock, store: &dyn Store) -> Result<Skew> {
        let start = Instant::now();
        let server = store.server_time().await?;
        // The server read its clock somewhere between; half-way is off by half of the round trip at most.
        let half = start.elapsed() / 2;
        let millis = server.saturating_add(half).as_millis().saturating_sub(host.now().as_millis());
        Ok(Skew { millis, error: half })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
