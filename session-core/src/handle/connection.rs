//! Whether the database can be reached: a circuit breaker that mends itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// So many calls in a row without an answer, and no call with one between them, mean that the database is gone.
/// One call without an answer may just as well be one locked row.
const SILENT_CALLS: u32 = 3;
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LAST_BACK_OFF: Duration = Duration::from_secs(5);

/// Connected until an error says otherwise; then one probe at a time, with back-off, driven by the calls that come in.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Read on every call; written under the lock.
    disconnected: AtomicBool,
    silent_calls: AtomicU32,
    announced: AtomicBool,
    state: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    probing: bool,
    next_probe: Instant,
    back_off: Duration,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting { probing: false, next_probe: Instant::now(), back_off: FIRST_BACK_OFF }
    }
}

/// What a call may do.
pub(super) enum Admission<'a> {
    Go,
    /// This caller finds out for everybody.
    Probe(Probe<'a>),
    Refused(Error),
}

impl Connection {
    pub(super) fn is_connected(&self) -> bool {
        !self.disconnected.load(Ordering::Acquire)
    }

    pub(super) fn admit(&self) -> Admission<'_> {
        if self.is_connected() {
            return Admission::Go;
        }
        let mut state = self.lock();
        let now = Instant::now();
        if self.is_connected() {
            Admission::Go
        } else if state.probing || now < state.next_probe {
            Admission::Refused(refusal(state.next_probe.saturating_duration_since(now)))
        } else {
            state.probing = true;
            Admission::Probe(Probe { connection: self, done: false })
        }
    }

    /// Notes that the database answered. True if that is news: the first answer of all.
    pub(super) fn answered(&self) -> bool {
        if self.silent_calls.load(Ordering::Relaxed) != 0 {
            self.silent_calls.store(0, Ordering::Relaxed);
        }
        !self.announced.load(Ordering::Relaxed) && !self.announced.swap(true, Ordering::AcqRel)
    }

    /// Notes a call without an answer. True if there were too many in a row.
    pub(super) fn silent(&self) -> bool {
        self.silent_calls.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS
    }

    /// Refuses work from now on. True if that is news.
    pub(super) fn disconnect(&self) -> bool {
        let mut state = self.lock();
        if self.disconnected.swap(true, Ordering::AcqRel) {
            return false;
        }
        *state =
            Waiting { probing: false, next_probe: Instant::now() + FIRST_BACK_OFF, back_off: FIRST_BACK_OFF };
        true
    }

    /// The database answered a probe. True if that is news.
    pub(super) fn reconnect(&self) -> bool {
        let mut state = self.lock();
        state.probing = false;
        self.silent_calls.store(0, Ordering::Relaxed);
        self.announced.store(true, Ordering::Release);
        self.disconnected.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to try once. Dropped without [`succeeded`](Probe::succeeded), it counts as a failure.
pub(super) struct Probe<'a> {
    connection: &'a Connection,
    done: bool,
}

impl Probe<'_> {
    /// True if that is news.
    pub(super) fn succeeded(mut self) -> bool {
        self.done = true;
        self.connection.reconnect()
    }

    pub(super) fn failed(self) -> Error {
        let wait = self.connection.lock().back_off;
        drop(self);
        refusal(wait)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.connection.lock();
        state.probing = false;
        state.next_probe = Instant::now() + state.back_off;
        state.back_off = (state.back_off * 2).min(LAST_BACK_OFF);
    }
}

fn refusal(wait: Duration) -> Error {
    Error::unavailable(format!(
        "the store is disconnected, as the database could not be reached; the next attempt is due in {} ms",
        wait.as_millis()
    ))
    .with_indeterminate(false)
    .with_unreachable()
}
