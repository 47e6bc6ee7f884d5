//! Removing rows whose expiry has passed.

use std::num::NonZeroU32;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::Sessions;
use super::call::Call;
use super::core::Core;
use crate::contract::Store as _;
use crate::{Error, ErrorKind, Event, Operation, Result, Timestamp};

/// A clean-up along with a create goes by a time of the database that was asked for this long ago at most.
const KEPT: Duration = Duration::from_secs(60);

/// The server gave up, and may not do so with fewer rows.
fn is_too_much(error: &Error) -> bool {
    error.kind() == ErrorKind::TooLarge || error.kind() == ErrorKind::Unavailable && !error.is_unreachable()
}

/// What one call of a purge did.
pub(super) struct Purged {
    pub(super) count: u64,
    /// There may be more to remove, in a call of its own.
    pub(super) more: bool,
    /// The last statement was given up, and a smaller one has no time left in this call.
    gave_up: Option<Error>,
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Removes up to `limit` sessions whose expiry has passed, and returns how many. The [`sweeper`](Self::sweeper)
    /// does this by itself.
    ///
    /// It asks the database for its time first, and never removes what has not expired by that clock too: a host whose
    /// clock is ahead ends nobody else's sessions. A statement that the server gives up for want of time is tried again
    /// with half of the rows; what the deadline leaves no time for is left to the next call.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::num::NonZeroU32;
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let removed = sessions.purge(NonZeroU32::new(1_000).unwrap()).await?;
    /// assert_eq!(removed, 0); // nothing has expired
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Only those that stand at [`Sessions`]. Rows that were removed before the error stay removed.
    pub async fn purge(&self, limit: NonZeroU32) -> Result<u64> {
        let purged = self.core.purge(self.core.begin(Operation::Purge), limit, &mut None).await?;
        match purged.gave_up {
            Some(error) if purged.count == 0 => Err(self.core.named(error, Operation::Purge)),
            _ => Ok(purged.count),
        }
    }
}

impl Core {
    /// Removes up to `limit` expired sessions, as part of a call, in as many statements as that takes. `bound` keeps the
    /// database's time between the calls of one sweep.
    pub(super) async fn purge(
        &self,
        call: Call<'_>,
        limit: NonZeroU32,
        bound: &mut Option<Timestamp>,
    ) -> Result<Purged> {
        let purge = async {
            let bound = match *bound {
                Some(bound) => bound,
                None => *bound.insert(call.read(|_| self.store.server_time()).await?),
            };
            let purged = self.purge_batches(&call, limit, bound).await?;
            self.health.tell(&Event::Purged { count: purged.count });
            Ok(purged)
        };
        let purged = call.run(purge).await;
        if purged.as_ref().is_err_and(is_too_much) {
            // The deadline came first.
            self.purging.does_not_fit(self.purging.batch(limit));
        }
        purged
    }

    async fn purge_batches(&self, call: &Call<'_>, limit: NonZeroU32, bound: Timestamp) -> Result<Purged> {
        let mut count = 0_u64;
        let mut left = limit;
        loop {
            let batch = self.purging.batch(left);
            let began = Instant::now();
            let result = call.write(|now| self.store.purge_expired(now.min(bound), batch)).await;
            let is_in_time = began.elapsed() < call.time_left();
            let removed = match result {
                Ok(removed) => removed,
                Err(error) if is_too_much(&error) && self.purging.does_not_fit(batch) => {
                    if is_in_time {
                        continue;
                    }
                    return Ok(Purged { count, more: true, gave_up: Some(error) });
                }
                Err(error) => return Err(error),
            };
            count += removed;
            let is_full = removed >= u64::from(batch.get());
            if is_full {
                self.purging.fits();
            }
            let rest = left.get().saturating_sub(batch.get());
            match NonZeroU32::new(rest) {
                Some(rest) if is_full && is_in_time => left = rest,
                _ => return Ok(Purged { count, more: is_full, gave_up: None }),
            }
        }
    }

    /// Removes a few expired sessions along with a create, in the time that this left. Only the error handler and the
    /// observer hear of a failure.
    pub(super) async fn clean_up(&self, create: &Call<'_>) {
        let Some(limit) = NonZeroU32::new(self.cleanup_limit) else { return };
        let call = self.begin_until(Operation::Purge, create.deadline());
        let cached = *self.server_time.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = cached.filter(|(at, _)| at.elapsed() < KEPT);
        let mut bound = fresh.map(|(at, time)| time.saturating_add(at.elapsed()));
        _ = self.purge(call, limit, &mut bound).await;
        if fresh.is_none() {
            *self.server_time.lock().unwrap_or_else(PoisonError::into_inner) =
                bound.map(|time| (Instant::now(), time));
        }
    }
}
