//! The database's clock, read through this host's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{Clock, Result, Store, Timestamp};

/// Corrects the host's clock by the difference to the server's, which is measured at first use and then every
/// `refresh`.
#[derive(Debug)]
pub(super) struct DatabaseClock {
    refresh: Duration,
    offset: AtomicI64,
    measured: Mutex<Option<Instant>>,
}

impl DatabaseClock {
    pub(super) fn new(refresh: Duration) -> DatabaseClock {
        DatabaseClock { refresh, offset: AtomicI64::new(0), measured: Mutex::new(None) }
    }

    /// The time of the database. Asks it only if the last answer is too old.
    pub(super) async fn now(&self, host: &dyn Clock, store: &dyn Store) -> Result<Timestamp> {
        let mut measured = self.measured.lock().await;
        if measured.is_none_or(|at| at.elapsed() >= self.refresh) {
            match offset(host, store).await {
                Ok(offset) => self.offset.store(offset, Ordering::Relaxed),
                // The last known difference is better than none. It is asked for again at the next call.
                Err(error) if measured.is_none() => return Err(error),
                Err(_) => return Ok(self.correct(host)),
            }
            *measured = Some(Instant::now());
        }
        Ok(self.correct(host))
    }

    fn correct(&self, host: &dyn Clock) -> Timestamp {
        Timestamp::from_millis(host.now().as_millis().saturating_add(self.offset.load(Ordering::Relaxed)))
    }
}

/// By how many milliseconds the server's clock is ahead of the host's, to within half a round trip.
pub(super) async fn offset(host: &dyn Clock, store: &dyn Store) -> Result<i64> {
    let before = host.now().as_millis();
    let server = store.server_time().await?.as_millis();
    let after = host.now().as_millis();
    let middle = before.saturating_add(after.saturating_sub(before) / 2);
    Ok(server.saturating_sub(middle))
}
