//! A circuit breaker that mends itself: plain state, without I/O.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// After so many calls in a row without an answer, and no answer between them, the database is asked whether it is
/// there at all: the rows that they wait for may just as well be locked.
const SILENT_CALLS: u32 = 3;
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LAST_BACK_OFF: Duration = Duration::from_secs(5);

/// Up until an error says otherwise; then one probe at a time, with back-off, driven by the calls that come in.
#[derive(Debug)]
pub(super) struct Breaker {
    /// The phase is [`Phase::Up`]: all that most calls look at. Written under the lock of the state.
    up: AtomicBool,
    silent_calls: AtomicU32,
    /// Somebody was told that the database answers.
    announced: AtomicBool,
    state: Mutex<State>,
    /// Held while a change is made and told, so that observers hear of changes in their order.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// The number of the probe under way. An older one that ends later changes nothing.
    probe: Option<u64>,
    probes: u64,
    next_probe: Instant,
    back_off: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Up,
    /// Too many calls got no answer. Work goes on while one call finds out why.
    Suspect,
    /// Work is refused until a probe succeeds.
    Down,
}

/// What a call may do.
pub(super) enum Admission<'a> {
    Go,
    /// This caller finds out for everybody.
    Probe(Probe<'a>),
    Refused(Error),
}

impl Breaker {
    pub(super) fn new() -> Breaker {
        Breaker {
            up: AtomicBool::new(true),
            silent_calls: AtomicU32::new(0),
            announced: AtomicBool::new(false),
            state: Mutex::new(State {
                phase: Phase::Up,
                probe: None,
                probes: 0,
                next_probe: Instant::now(),
                back_off: FIRST_BACK_OFF,
            }),
            turn: Mutex::new(()),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.up.load(Ordering::Acquire) || self.state().phase != Phase::Down
    }

    pub(super) fn admit(&self) -> Admission<'_> {
        if self.up.load(Ordering::Acquire) {
            return Admission::Go;
        }
        let mut state = self.state();
        let now = Instant::now();
        match state.phase {
            Phase::Up => return Admission::Go,
            Phase::Suspect if state.probe.is_some() => return Admission::Go,
            Phase::Down if state.probe.is_some() || now < state.next_probe => {
                return Admission::Refused(refusal(state.next_probe.saturating_duration_since(now)));
            }
            Phase::Suspect | Phase::Down => {}
        }
        state.probes += 1;
        state.probe = Some(state.probes);
        Admission::Probe(Probe { breaker: self, number: state.probes })
    }

    /// The right to change the state and to tell of it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing depends on an answer: there were answers before, and none was missed since.
    pub(super) fn expects_answers(&self) -> bool {
        self.silent_calls.load(Ordering::Relaxed) == 0 && self.announced.load(Ordering::Relaxed)
    }

    /// Notes that the database answered something, be it an error.
    pub(super) fn heard(&self) {
        if self.silent_calls.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.silent_calls.store(0, Ordering::Relaxed);
        let mut state = self.state();
        if state.phase == Phase::Suspect {
            self.enter(&mut state, Phase::Up);
        }
    }

    /// Notes that the database did what it was asked. True if that is news: the first time of all.
    pub(super) fn answered(&self) -> bool {
        self.heard();
        // While the store is down, its probe decides.
        self.state().phase != Phase::Down && !self.announced.swap(true, Ordering::Relaxed)
    }

    /// Notes a call without an answer.
    pub(super) fn silent(&self) {
        if self.silent_calls.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS {
            let mut state = self.state();
            if state.phase == Phase::Up {
                self.enter(&mut state, Phase::Suspect);
            }
        }
    }

    /// Lets all work through from now on. True if that is news.
    pub(super) fn connect(&self) -> bool {
        let mut state = self.state();
        let was_down = state.phase == Phase::Down;
        self.enter(&mut state, Phase::Up);
        self.silent_calls.store(0, Ordering::Relaxed);
        let was_announced = self.announced.swap(true, Ordering::Relaxed);
        was_down || !was_announced
    }

    /// Refuses work from now on. True if that is news.
    pub(super) fn disconnect(&self) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Down {
            return false;
        }
        self.enter(&mut state, Phase::Down);
        state.back_off = FIRST_BACK_OFF;
        state.delay_probe();
        true
    }

    fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        state.probe = None;
        self.up.store(phase == Phase::Up, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn delay_probe(&mut self) {
        self.next_probe = Instant::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(LAST_BACK_OFF);
    }
}

/// The right to try once. If it is dropped, the next caller has it, after the back-off if the store is down.
pub(super) struct Probe<'a> {
    breaker: &'a Breaker,
    number: u64,
}

impl Probe<'_> {
    /// The database answered. True if that is news.
    pub(super) fn succeeded(self) -> bool {
        self.is_current() && self.breaker.connect()
    }

    /// The database did not answer. Returns whether that is news, and the error for the caller.
    pub(super) fn failed(self) -> (bool, Error) {
        let is_news = self.is_current() && self.breaker.disconnect();
        let breaker = self.breaker;
        drop(self);
        let wait = breaker.state().next_probe.saturating_duration_since(Instant::now());
        (is_news, refusal(wait))
    }

    fn is_current(&self) -> bool {
        self.breaker.state().probe == Some(self.number)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.state();
        if state.probe != Some(self.number) {
            return;
        }
        state.probe = None;
        if state.phase == Phase::Down {
            state.delay_probe();
        }
    }
}

fn refusal(wait: Duration) -> Error {
    Error::unavailable(format!(
        "the store is disconnected, as the database could not be reached; the next attempt is due in {} ms",
        wait.as_millis()
    ))
    .with_in_doubt(false)
    .with_unreachable()
}
