//! What surrounds every operation: admission, deadline, retries, tracing, events.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

use super::clock::DatabaseClock;
use super::connection::{Admission, Connection};
use crate::{Clock, DestroyMode, Error, ErrorKind, Event, Observer, Operation, Result, Store, Timestamp};

/// A probe that takes longer than this has failed, even if calls may take longer.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// What [`SessionStoreBuilder::on_error`](crate::SessionStoreBuilder::on_error) makes of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The caller gets the error, and work goes on.
    Continue,
    /// The caller gets the error, and the store counts as disconnected until a probe succeeds.
    Disconnect,
}

pub(super) type ErrorHandler = dyn Fn(&Error) -> Reaction + Send + Sync;

/// Everything of a handle that does not depend on the type of its data.
pub(crate) struct Core {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) database_clock: Option<DatabaseClock>,
    pub(super) deadline: Duration,
    pub(super) conflict_retries: u32,
    pub(super) connect_retries: u32,
    pub(super) connect_delay: Duration,
    pub(super) payload_limit: usize,
    pub(super) cleanup_limit: u32,
    pub(super) destroy_mode: DestroyMode,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) touch_throttle: u8,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) on_error: Option<Arc<ErrorHandler>>,
    pub(super) connection: Connection,
}

/// Whether an operation may be done twice without its outcome being wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// A second time changes nothing and says the same.
    Yes,
    /// Only if the first time certainly changed nothing.
    IfNotDone,
}

impl Core {
    pub(super) async fn now(&self) -> Result<Timestamp> {
        match &self.database_clock {
            None => Ok(self.clock.now()),
            Some(database) => {
                let measure = database.now(&*self.clock, &*self.store);
                match timeout_at(Instant::now() + self.deadline, measure).await {
                    Ok(now) => now,
                    Err(_) => Err(self.late(Operation::ServerTime).with_indeterminate(false)),
                }
            }
        }
    }

    /// Runs one operation of the backend.
    pub(super) async fn call<R, F>(
        &self,
        operation: Operation,
        repeatable: Repeatable,
        attempt: impl FnMut() -> F,
    ) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        let span = tracing::debug_span!(
            "session",
            operation = operation.as_str(),
            backend = self.store.backend(),
            outcome = tracing::field::Empty,
            duration_us = tracing::field::Empty,
        );
        let watch = span.clone();
        async {
            let start = Instant::now();
            let result = self.attempt(operation, repeatable, start + self.deadline, attempt).await;
            if !watch.is_disabled() {
                watch.record("outcome", result.as_ref().err().map_or("ok", |error| error.kind().as_str()));
                watch.record("duration_us", u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            result
        }
        .instrument(span)
        .await
    }

    async fn attempt<R, F>(
        &self,
        operation: Operation,
        repeatable: Repeatable,
        deadline: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        self.admit().await.map_err(|error| self.name(error, operation))?;
        let mut conflicts = 0;
        let mut reconnected = false;
        loop {
            let error = match timeout_at(deadline, attempt()).await {
                Ok(Ok(value)) => {
                    if self.connection.answered() {
                        self.tell(&Event::Connected);
                    }
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_) => self.late(operation),
            };
            let again = match error.kind() {
                ErrorKind::Conflict => conflicts < self.conflict_retries,
                // A pooled connection that died while it was idle is noticed by its next user: once is enough, as the
                // backend replaces it.
                ErrorKind::Unavailable if error.is_unreachable() && !reconnected => {
                    repeatable == Repeatable::Yes || !error.is_indeterminate()
                }
                _ => false,
            };
            if !again || Instant::now() >= deadline {
                let error = self.name(error, operation);
                self.failed(&error);
                return Err(error);
            }
            if error.kind() == ErrorKind::Conflict {
                conflicts += 1;
                sleep(back_off(conflicts)).await;
            } else {
                reconnected = true;
            }
        }
    }

    /// Lets a call through, refuses it, or lets it find out for all whether the database is back.
    async fn admit(&self) -> Result<()> {
        let probe = match self.connection.admit() {
            Admission::Go => return Ok(()),
            Admission::Refused(error) => return Err(error),
            Admission::Probe(probe) => probe,
        };
        let deadline = Instant::now() + self.deadline.min(PROBE_DEADLINE);
        match timeout_at(deadline, self.store.server_time()).await {
            Ok(Ok(_)) => {
                if probe.succeeded() {
                    self.tell(&Event::Connected);
                }
                Ok(())
            }
            Ok(Err(source)) => Err(probe.failed().with_source(source)),
            Err(_) => Err(probe.failed()),
        }
    }

    /// Asks the database for its time until it answers, as often as the options say.
    pub(super) async fn connect(&self) -> Result<()> {
        let mut attempt = 0;
        loop {
            let error = match timeout_at(Instant::now() + self.deadline, self.store.server_time()).await {
                Ok(Ok(_)) => {
                    if self.connection.reconnect() || self.connection.answered() {
                        self.tell(&Event::Connected);
                    }
                    return Ok(());
                }
                Ok(Err(error)) => error,
                Err(_) => self.late(Operation::Connect).with_unreachable(),
            };
            if attempt == self.connect_retries || !error.is_transient() {
                let error = self.name(error.with_indeterminate(false), Operation::Connect);
                self.failed(&error);
                return Err(error);
            }
            attempt += 1;
            sleep(self.connect_delay.saturating_mul(attempt)).await;
        }
    }

    /// Tells everyone concerned of an error that a caller gets.
    pub(super) fn failed(&self, error: &Error) {
        self.tell(&Event::Error { error });
        let unavailable = error.kind() == ErrorKind::Unavailable;
        let silent = unavailable && !error.is_unreachable() && self.connection.silent();
        let reaction = match &self.on_error {
            Some(handler) => catch_unwind(AssertUnwindSafe(|| handler(error))).unwrap_or(Reaction::Continue),
            None if silent || (unavailable && error.is_unreachable()) => Reaction::Disconnect,
            None => Reaction::Continue,
        };
        if reaction == Reaction::Disconnect && self.connection.disconnect() {
            self.tell(&Event::Disconnected { error });
        }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            // An observer's panic is its own affair.
            _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }

    fn late(&self, operation: Operation) -> Error {
        Error::unavailable(format!(
            "no answer within the deadline of {:?}; the database is overloaded or a lock is held, see \
             `SessionStoreBuilder::deadline`",
            self.deadline
        ))
        .with_operation(operation)
    }

    fn name(&self, error: Error, operation: Operation) -> Error {
        error.with_operation(operation).with_backend(self.store.backend())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore")
            .field("store", &self.store)
            .field("connected", &self.connection.is_connected())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A wait that grows with each conflict and differs between callers: 1 to 2 ms, 2 to 4 ms, up to 32 to 64 ms.
pub(super) fn back_off(conflicts: u32) -> Duration {
    let base = Duration::from_millis(1 << (conflicts.clamp(1, 6) - 1));
    base.mul_f64(1.0 + jitter())
}

/// A number from 0 to 1 that differs between calls. It keeps crowds apart and guards no secret.
pub(super) fn jitter() -> f64 {
    let mut bits = [0_u8; 2];
    // Without random numbers everybody waits equally long.
    _ = getrandom::fill(&mut bits);
    f64::from(u16::from_le_bytes(bits)) / f64::from(u16::MAX)
}
