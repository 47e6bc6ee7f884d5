//! One operation of a handle, from its call to its return: deadline, retries, tracing, and who hears of a failure.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, Span};

use super::common::Core;
use crate::{Error, ErrorKind, Operation, Result, Timestamp};

/// One operation under way. However many statements it takes, it has one span and one deadline.
pub(super) struct Call<'a> {
    core: &'a Core,
    operation: Operation,
    deadline: Instant,
    /// It failed because the store is disconnected, of which everybody has heard.
    refused: AtomicBool,
    /// A write is under way: nobody knows whether it happened, should the call end now.
    writing: AtomicBool,
}

impl Core {
    /// Begins an operation, and its time.
    pub(super) fn begin(&self, operation: Operation) -> Call<'_> {
        self.begin_until(operation, Instant::now() + self.deadline)
    }

    /// Begins an operation in the time that another one left.
    pub(super) fn begin_until(&self, operation: Operation, deadline: Instant) -> Call<'_> {
        Call {
            core: self,
            operation,
            deadline,
            refused: AtomicBool::new(false),
            writing: AtomicBool::new(false),
        }
    }
}

impl Call<'_> {
    /// Runs the operation, until the deadline at most. The error is given its names and told to whom it concerns.
    pub(super) async fn run<R>(&self, operation: impl Future<Output = Result<R>>) -> Result<R> {
        let bounded = async {
            let result = timeout_at(self.deadline, operation).await.unwrap_or_else(|_| {
                Err(self.late().with_indeterminate(self.writing.load(Ordering::Relaxed)))
            });
            result.map_err(|error| {
                let error = self.core.named(error, self.operation);
                if !self.refused.load(Ordering::Relaxed) {
                    self.core.failed(&error);
                }
                error
            })
        };
        traced(self.operation, self.core.store.backend(), bounded).await
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks to be let through. Every operation does so before its first statement.
    pub(super) async fn admit(&self) -> Result<()> {
        let admitted = self.core.admit(self.deadline).await;
        self.refused.store(admitted.is_err(), Ordering::Relaxed);
        admitted
    }

    /// The present, for an operation that is let through.
    pub(super) async fn now(&self) -> Result<Timestamp> {
        self.admit().await?;
        match &self.core.database_clock {
            None => Ok(self.core.clock.now()),
            Some(database) => database.now(self, &*self.core.clock, &*self.core.store).await,
        }
    }

    /// Makes a statement that changes nothing.
    pub(super) async fn read<R, F>(&self, attempt: impl FnMut() -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        self.attempt(false, attempt).await.map_err(|error| error.with_indeterminate(false))
    }

    /// Makes a statement that changes something. It is made again only if it certainly changed nothing.
    pub(super) async fn write<R, F>(&self, attempt: impl FnMut() -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        self.attempt(true, attempt).await
    }

    async fn attempt<R, F>(&self, writes: bool, mut attempt: impl FnMut() -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        let mut conflicts = 0;
        let mut reconnected = false;
        loop {
            self.writing.store(writes, Ordering::Relaxed);
            let result = attempt().await;
            self.writing.store(false, Ordering::Relaxed);
            let error = match result {
                Ok(value) => {
                    self.core.answered();
                    return Ok(value);
                }
                Err(error) => error,
            };
            if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Corrupt | ErrorKind::Backend) {
                self.core.connection.heard();
            }
            let may_repeat = !writes || !error.is_indeterminate();
            match error.kind() {
                ErrorKind::Conflict if may_repeat && conflicts < self.core.conflict_retries => {
                    conflicts += 1;
                    if !self.pause(conflicts).await {
                        return Err(error);
                    }
                }
                // A pooled connection that died while it was idle is noticed by its next user: once is enough, as the
                // backend replaces it.
                ErrorKind::Unavailable if error.is_unreachable() && may_repeat && !reconnected => {
                    reconnected = true;
                }
                _ => return Err(error),
            }
        }
    }

    /// Waits before the operation begins anew, longer with each round. False, at once, if the deadline comes first.
    pub(super) async fn pause(&self, round: u32) -> bool {
        let wait = back_off(round);
        let in_time = wait < self.time_left();
        if in_time {
            sleep(wait).await;
        }
        in_time
    }

    /// Tells of an error that the caller does not get.
    pub(super) fn report(&self, error: Error, operation: Operation) {
        self.core.failed(&self.core.named(error, operation));
    }

    /// What the caller gets when the deadline has passed.
    pub(super) fn late(&self) -> Error {
        self.core.late()
    }
}

/// Others were faster in every round until the deadline.
pub(super) fn outpaced() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "others changed this session in every round until the deadline; nothing was changed, try again later",
    )
}

/// Runs an operation in a span of its own, which names it and tells how it ended.
pub(super) async fn traced<R>(
    operation: Operation,
    backend: &'static str,
    work: impl Future<Output = Result<R>>,
) -> Result<R> {
    let span = tracing::debug_span!(
        "session",
        operation = operation.as_str(),
        backend,
        outcome = tracing::field::Empty,
        duration_us = tracing::field::Empty,
    );
    let mut watch = Watch { span: span.clone(), start: Instant::now(), outcome: "cancelled" };
    let result = work.instrument(span).await;
    watch.outcome = result.as_ref().err().map_or("ok", |error| error.kind().as_str());
    result
}

/// Writes outcome and duration into the span when it is dropped: a caller may go away before the end.
struct Watch {
    span: Span,
    start: Instant,
    outcome: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.span.is_disabled() {
            self.span.record("outcome", self.outcome);
            self.span
                .record("duration_us", u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// A wait that grows with each round and differs between callers: 1 to 2 ms, 2 to 4 ms, up to 32 to 64 ms.
fn back_off(round: u32) -> Duration {
    let base = Duration::from_millis(1 << (round.clamp(1, 6) - 1));
    base.mul_f64(1.0 + jitter())
}

/// A number from 0 to 1 that differs between calls. It keeps crowds apart and guards no secret.
pub(super) fn jitter() -> f64 {
    let mut bits = [0_u8; 2];
    // Without random numbers everybody waits equally long.
    _ = getrandom::fill(&mut bits);
    f64::from(u16::from_le_bytes(bits)) / f64::from(u16::MAX)
}
