//! Who may go out now, and what waits: plain data under one lock, without tasks or time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::lanes::Lane;
use super::operations::Operations;
use super::pulse::Pulse;
use crate::mutants::broken;
use crate::{Gathering, Result, SessionKey, Timestamp};

/// The operations of a batch have times at most this far apart.
const MAX_SPREAD: Duration = Duration::from_secs(1);

/// The state of the lanes for one kind of operations.
///
/// While a lane is idle, `ready` is empty: who frees a lane first looks there.
pub(super) struct Queue<O: Operations> {
    lanes: usize,
    max_batch: usize,
    max_bytes: usize,
    /// Lanes in use. One more than `lanes` while the queue is being [relieved](Queue::relieve).
    busy: usize,
    /// The tasks that drive lanes. One that is polled is certain to go on.
    drivers: Vec<Arc<Pulse>>,
    /// What the next free lane takes. Of ordered operations, one for each key at most.
    ready: VecDeque<Waiting<O>>,
    /// For ordered operations: the keys that are ready or under way, and what waits behind each.
    keys: HashMap<SessionKey, VecDeque<Waiting<O>>>,
}

/// An operation that waits, and where its caller does.
pub(super) struct Waiting<O: Operations> {
    pub(super) op: O::Op,
    pub(super) now: Timestamp,
    pub(super) caller: oneshot::Sender<Reply<O>>,
}

/// What a waiting caller is told.
pub(super) enum Reply<O: Operations> {
    /// The outcome.
    Done(Result<O::Answer>),
    /// Here is a lane: go out alone.
    Go(O::Op, Lane<O>),
}

/// What happens to a new operation.
pub(super) enum Admission<O: Operations> {
    /// It goes out alone on a lane that is its own now.
    Alone(O::Op),
    /// It waits for its turn.
    Queued(oneshot::Receiver<Reply<O>>),
}

impl<O: Operations> Queue<O> {
    pub(super) fn new(lanes: usize, gathering: Gathering) -> Queue<O> {
        Queue {
            lanes,
            max_batch: gathering.max_batch.max(1),
            max_bytes: gathering.max_bytes,
            busy: 0,
            drivers: Vec::new(),
            ready: VecDeque::new(),
            keys: HashMap::new(),
        }
    }

    /// A new operation arrives.
    pub(super) fn admit(&mut self, op: O::Op, now: Timestamp) -> Admission<O> {
        let ordered = O::ORDERED && !broken("gatherer: does not keep writes on one key apart");
        let behind = if ordered { self.keys.get_mut(O::key(&op)) } else { None };
        if behind.is_none() && self.busy < self.lanes {
            if O::ORDERED {
                self.keys.insert(O::key(&op).clone(), VecDeque::new());
            }
            self.busy += 1;
            return Admission::Alone(op);
        }
        let (caller, reply) = oneshot::channel();
        let waiting = Waiting { op, now, caller };
        match behind {
            Some(others) => others.push_back(waiting),
            None => {
                if O::ORDERED {
                    self.keys.insert(O::key(&waiting.op).clone(), VecDeque::new());
                }
                self.ready.push_back(waiting);
            }
        }
        Admission::Queued(reply)
    }

    /// The next batch, in order of arrival; empty if nothing waits.
    pub(super) fn take(&mut self) -> Vec<Waiting<O>> {
        let mut batch = Vec::with_capacity(self.ready.len().min(self.max_batch));
        let mut bytes = 0_usize;
        let mut times: Option<(Timestamp, Timestamp)> = None;
        while batch.len() < self.max_batch || broken("gatherer: makes batches of any length") {
            let Some(next) = self.front() else { break };
            bytes = bytes.saturating_add(O::bytes(&next.op));
            let (first, last) =
                times.map_or((next.now, next.now), |(first, last)| (first.min(next.now), last.max(next.now)));
            let is_close =
                last.saturating_since(first) <= MAX_SPREAD || broken("gatherer: takes no notice of times");
            let fits = is_close && (bytes <= self.max_bytes || broken("gatherer: takes no notice of bytes"));
            if !fits && !batch.is_empty() {
                break;
            }
            times = Some((first, last));
            batch.extend(self.ready.pop_front());
        }
        batch
    }

    /// What is first in the queue and still awaited. What nobody awaits any more goes.
    fn front(&mut self) -> Option<&Waiting<O>> {
        while let Some(first) = self.ready.front() {
            if !first.caller.is_closed() {
                break;
            }
            if let Some(gone) = self.ready.pop_front() {
                self.release(O::key(&gone.op));
            }
        }
        self.ready.front()
    }

    /// The operation on this key is over: the next one on it is ready.
    pub(super) fn release(&mut self, key: &SessionKey) {
        if !O::ORDERED || broken("gatherer: never frees a key") {
            return;
        }
        if let Some(others) = self.keys.get_mut(key) {
            let next = if broken("gatherer: the last on a key is first") {
                others.pop_back()
            } else {
                others.pop_front()
            };
            match next {
                Some(next) => self.ready.push_back(next),
                None => _ = self.keys.remove(key),
            }
        }
    }

    /// What was under way on a lane is over: true if the lane goes on with what waits. Otherwise it is given back.
    /// `driver` is the task that drives it, if there is one.
    pub(super) fn keeps_lane(&mut self, driver: Option<&Arc<Pulse>>) -> bool {
        let is_other = |other: &&Arc<Pulse>| driver.is_none_or(|driver| !Arc::ptr_eq(driver, other));
        let surplus =
            self.busy > self.lanes && self.drivers.iter().filter(is_other).any(|driver| !driver.is_silent());
        if !surplus && self.front().is_some() {
            return true;
        }
        self.busy -= 1;
        if let Some(driver) = driver {
            self.driver_ends(driver);
        }
        false
    }

    /// A task drives one lane more from now on.
    pub(super) fn driver_starts(&mut self, driver: &Arc<Pulse>) {
        self.drivers.push(Arc::clone(driver));
    }

    /// A task drives no lane any more.
    pub(super) fn driver_ends(&mut self, driver: &Arc<Pulse>) {
        self.drivers.retain(|other| !Arc::ptr_eq(driver, other));
    }

    /// Asks every driver for a sign of life.
    pub(super) fn ask(&self) {
        self.drivers.iter().for_each(|driver| driver.ask());
    }

    /// Opens a lane more than there are, if operations are ready and no lane is certain to come back for them. True
    /// if it did.
    pub(super) fn relieve(&mut self) -> bool {
        let needed = self.drivers.iter().all(|driver| driver.is_silent()) && self.front().is_some();
        if needed {
            self.busy += 1;
        }
        needed
    }

    /// Takes one operation out, to give it a lane.
    pub(super) fn pop(&mut self) -> Option<Waiting<O>> {
        self.front()?;
        self.ready.pop_front()
    }

    /// True if no lane is in use and nothing waits.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.busy == 0 && self.drivers.is_empty() && self.ready.is_empty() && self.keys.is_empty()
    }
}
