//! The database's clock, read through this host's.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::call::Call;
use crate::{Clock, Operation, Result, Store, Timestamp};

/// A refresh that takes longer than this, or than half of the deadline, has failed. Its call goes on without it.
const REFRESH_DEADLINE: Duration = Duration::from_secs(1);

/// A refresh that failed is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// So many answers are timed, or fewer if one comes this fast: the quickest one tells the difference best. The first
/// one may have opened a connection.
const SAMPLES: u32 = 3;
const FAST_ANSWER: Duration = Duration::from_millis(5);

/// Corrects the host's clock by the difference to the server's, which is measured at first use and then every
/// `refresh`.
#[derive(Debug)]
pub(super) struct DatabaseClock {
    refresh: Duration,
    /// Everybody waits for the first measurement, as nobody can do without; for later ones nobody but the one caller
    /// who makes them.
    measured: OnceCell<Measured>,
}

#[derive(Debug)]
struct Measured {
    offset: AtomicI64,
    first: Instant,
    /// When to measure anew, in milliseconds since the first time.
    due: AtomicU64,
}

impl DatabaseClock {
    pub(super) fn new(refresh: Duration) -> DatabaseClock {
        DatabaseClock { refresh, measured: OnceCell::new() }
    }

    /// The time of the database. Asks it only if the last answer is too old.
    pub(super) async fn now(
        &self,
        call: &Call<'_>,
        host: &dyn Clock,
        store: &dyn Store,
    ) -> Result<Timestamp> {
        let first = || async {
            let skew = call.read(|| Skew::measure(host, store)).await?;
            Ok(Measured {
                offset: AtomicI64::new(skew.millis),
                first: Instant::now(),
                due: AtomicU64::new(millis(self.refresh)),
            })
        };
        let measured = self.measured.get_or_try_init(first).await?;
        if measured.claim() {
            let limit = REFRESH_DEADLINE.min(call.time_left() / 2);
            match timeout(limit, Skew::measure(host, store)).await {
                Ok(Ok(skew)) => measured.update(skew, self.refresh),
                // The last known difference is better than none.
                Ok(Err(error)) => call.report(error, Operation::ServerTime),
                Err(_) => call.report(call.late(), Operation::ServerTime),
            }
        }
        let offset = measured.offset.load(Ordering::Relaxed);
        Ok(Timestamp::from_millis(host.now().as_millis().saturating_add(offset)))
    }
}

impl Measured {
    /// True for one caller when it is time to measure anew. Should that one fail or go away, another one follows.
    fn claim(&self) -> bool {
        let now = millis(self.first.elapsed());
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(millis(RETRY));
        now >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn update(&self, skew: Skew, refresh: Duration) {
        self.offset.store(skew.millis, Ordering::Relaxed);
        let due = millis(self.first.elapsed()).saturating_add(millis(refresh));
        self.due.store(due, Ordering::Relaxed);
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
