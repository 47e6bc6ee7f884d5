//! One operation of a handle, from its call to its return: deadline, retries, tracing, and who hears of a failure.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{Instrument as _, Span};

use super::clock::{DatabaseClock, Skew};
use super::core::Core;
use crate::contract::Store as _;
use crate::mutants::broken;
use crate::{Error, ErrorKind, Operation, Result, Timestamp};

/// A refresh of the database's clock that takes longer than this, or than half of the time left, has failed. Its call
/// goes on without it.
const REFRESH_DEADLINE: Duration = Duration::from_secs(1);

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

    /// Asks the database for its time until it answers, as often as the options say.
    pub(super) async fn connect(&self) -> Result<()> {
        let attempts = async {
            let mut attempt = 0;
            loop {
                let error = match timeout(self.deadline, self.store.server_time()).await {
                    Ok(Ok(_)) => {
                        self.health.connected();
                        return Ok(());
                    }
                    Ok(Err(error)) => error,
                    Err(_) => self.late().with_unreachable(),
                };
                if attempt == self.connect_retries || !error.is_transient() {
                    let error = self.named(error.with_in_doubt(false), Operation::Connect);
                    self.health.failed(&error);
                    return Err(error);
                }
                attempt += 1;
                sleep(self.connect_delay.saturating_mul(attempt)).await;
            }
        };
        traced(Operation::Connect, self.store.backend(), attempts).await
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

    /// The error of a call that ran out of time.
    fn late(&self) -> Error {
        Error::unavailable(format!(
            "no answer within the deadline of {:?}; the database is overloaded or a lock is held, see \
             `SessionsBuilder::deadline`",
            self.deadline
        ))
    }

    pub(super) fn named(&self, error: Error, operation: Operation) -> Error {
        error.with_operation(operation).with_backend(self.store.backend())
    }
}

impl Call<'_> {
    /// Runs the operation, until the deadline at most. The error is given its names and told to whom it concerns.
    pub(super) async fn run<R>(&self, operation: impl Future<Output = Result<R>>) -> Result<R> {
        let bounded = async {
            let an_hour = Duration::from_secs(if broken("handle: has no deadline") { 3600 } else { 0 });
            let result = timeout_at(self.deadline + an_hour, operation).await.unwrap_or_else(|_| {
                Err(self.core.late().with_in_doubt(
                    self.writing.load(Ordering::Relaxed)
                        && !broken("handle: has no doubt about a late write"),
                ))
            });
            result.map_err(|error| {
                let error = self.core.named(error, self.operation);
                if !self.refused.load(Ordering::Relaxed) {
                    self.core.health.failed(&error);
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

    /// Asks to be let through.
    async fn admit(&self) -> Result<()> {
        let admitted = self.core.health.admit(&self.core.store, self.deadline).await;
        self.refused.store(admitted.is_err(), Ordering::Relaxed);
        admitted
    }

    /// Asks to be let through, and for the present.
    pub(super) async fn now(&self) -> Result<Timestamp> {
        self.admit().await?;
        self.present().await
    }

    async fn present(&self) -> Result<Timestamp> {
        let now = match &self.core.database_clock {
            None => self.core.clock.now(),
            Some(database) => self.database_time(database).await?,
        };
        // What was dead once stays dead, even if the clock is set back.
        if broken("handle: goes back in time with the clock") {
            return Ok(now);
        }
        let latest = self.core.latest.fetch_max(now.as_millis(), Ordering::Relaxed);
        Ok(now.max(Timestamp::from_millis(latest)))
    }

    /// The database's time. Asks it only if the last answer is too old.
    async fn database_time(&self, database: &DatabaseClock) -> Result<Timestamp> {
        let (host, store) = (&*self.core.clock, &self.core.store);
        if database.is_due(host) {
            let limit = REFRESH_DEADLINE.min(self.time_left() / 2);
            match timeout(limit, Skew::measure(host, store)).await {
                Ok(Ok(skew)) => database.update(host, skew),
                // The last known difference is better than none.
                Ok(Err(error)) => self.report(error.with_operation(Operation::ServerTime)),
                Err(_) => self.report(self.core.late().with_operation(Operation::ServerTime)),
            }
        }
        let measure = || async {
            match Skew::measure(host, store).await {
                // A pooled connection that died while it was idle is noticed by its next user.
                Err(error) if error.is_unreachable() => Skew::measure(host, store).await,
                measured => measured,
            }
        };
        database.now(host, measure).await.map_err(|error| error.with_in_doubt(false))
    }

    /// Makes a statement that changes nothing, with the present of each attempt.
    pub(super) async fn read<R, F>(&self, attempt: impl FnMut(Timestamp) -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        let doubtful = broken("handle: a read is in doubt");
        self.attempt(false, attempt)
            .await
            .map_err(|error| if doubtful { error } else { error.with_in_doubt(false) })
    }

    /// Makes a statement that changes something, with the present of each attempt: one that waited for a lock and is
    /// made again must not go by the time before the wait. It is made again only if it certainly changed nothing.
    pub(super) async fn write<R, F>(&self, attempt: impl FnMut(Timestamp) -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        self.attempt(true, attempt).await
    }

    async fn attempt<R, F>(&self, writes: bool, mut attempt: impl FnMut(Timestamp) -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        let mut conflicts = 0;
        let mut reconnected = false;
        self.admit().await?;
        let mut first = None;
        loop {
            let mut now = self.present().await?;
            if broken("handle: each attempt has the time of the first") {
                now = *first.get_or_insert(now);
            }
            self.writing.store(writes, Ordering::Relaxed);
            let result = attempt(now).await;
            self.writing.store(false, Ordering::Relaxed);
            let error = match result {
                Ok(value) => {
                    self.core.health.answered();
                    return Ok(value);
                }
                Err(error) => error,
            };
            if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Corrupt | ErrorKind::Backend) {
                self.core.health.heard();
            }
            let may_repeat =
                !writes || !error.is_in_doubt() || broken("handle: makes a write in doubt again");
            match error.kind() {
                ErrorKind::Conflict
                    if may_repeat
                        && conflicts < self.core.conflict_retries
                        && !broken("handle: never makes a call again after a conflict") =>
                {
                    conflicts += 1;
                    if !self.pause(conflicts).await {
                        return Err(error);
                    }
                }
                // A pooled connection that died while it was idle is noticed by its next user: once is enough, as the
                // backend replaces it.
                ErrorKind::Unavailable
                    if error.is_unreachable()
                        && may_repeat
                        && !reconnected
                        && !broken("handle: never makes a call again over a new connection") =>
                {
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
    pub(super) fn report(&self, error: Error) {
        self.core.health.failed(&self.core.named(error, self.operation));
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
