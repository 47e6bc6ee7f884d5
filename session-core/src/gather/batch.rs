//! A batch: one trip to the store, and what becomes of its operations if that fails.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::lanes::Lane;
use super::operations::Operations;
use super::queue::{Reply, Waiting};
use crate::checked::Checked;
use crate::contract::Store;
use crate::mutants::broken;
use crate::{Error, ErrorKind, Result, Timestamp};

/// Operations with distinct keys, in the order of their keys, and who waits for them.
pub(super) struct Batch<O: Operations> {
    ops: Vec<O::Op>,
    /// Beside each operation, its callers.
    callers: Vec<Callers<O>>,
    now: Timestamp,
}

/// One caller, or several who asked for the same.
enum Callers<O: Operations> {
    One(oneshot::Sender<Reply<O>>),
    /// Each beside what it asked for.
    Several(Vec<(O::Op, oneshot::Sender<Reply<O>>)>),
}

impl<O: Operations> Batch<O> {
    pub(super) fn new(mut waiting: Vec<Waiting<O>>) -> Batch<O> {
        if !broken("gatherer: leaves a batch unsorted") {
            waiting.sort_unstable_by(|a, b| O::key(&a.op).cmp(O::key(&b.op)));
        }
        let mut batch = Batch {
            ops: Vec::with_capacity(waiting.len()),
            callers: Vec::with_capacity(waiting.len()),
            now: Timestamp::MIN,
        };
        for Waiting { op, now, caller } in waiting {
            batch.now =
                if broken("gatherer: goes by the time of the last") { now } else { batch.now.max(now) };
            match batch.ops.last_mut().filter(|last| O::key(last) == O::key(&op)) {
                Some(last) => {
                    if let Some(callers) = batch.callers.pop() {
                        batch.callers.push(callers.and(last, op, caller));
                    }
                }
                None => {
                    batch.ops.push(op);
                    batch.callers.push(Callers::One(caller));
                }
            }
        }
        batch
    }

    /// Does all of it and tells everybody, within `deadline`. `lane` holds the keys.
    pub(super) async fn run(self, store: &Checked, deadline: Duration, lane: &mut Lane<O>) {
        let until = Instant::now().checked_add(deadline).filter(|_| !broken("gatherer: has no deadline"));
        if let [_] = self.ops.as_slice() {
            return self.one_by_one(store, until, lane, None).await;
        }
        let expected = self.ops.len();
        let outcomes = guarded(store, until, O::many(store, &self.ops, self.now)).await;
        match outcomes {
            Ok(mut outcomes) if outcomes.len() == expected => {
                if broken("gatherer: gives outcomes in another order") {
                    outcomes.reverse();
                }
                lane.release_all();
                self.callers.into_iter().zip(outcomes).for_each(|(callers, outcome)| callers.tell(outcome));
            }
            Ok(outcomes) => {
                let message = format!(
                    "a batch of {expected} operations got {} answers; mend the backend's many-key forms",
                    outcomes.len()
                );
                let error = Error::new(ErrorKind::Backend, message).with_backend(store.backend());
                self.one_by_one(store, until, lane, Some(error)).await;
            }
            Err(error) if broken("gatherer: one failure is everybody's") => {
                let error = Arc::new(error);
                self.callers.into_iter().for_each(|callers| callers.tell(Err(Error::shared(&error))));
            }
            Err(error) => self.one_by_one(store, until, lane, Some(error)).await,
        }
    }

    /// Does one operation after another, after the batch failed with `failure` if there is one.
    async fn one_by_one(
        self,
        store: &Checked,
        until: Option<Instant>,
        lane: &mut Lane<O>,
        failure: Option<Error>,
    ) {
        let Batch { ops, callers, now } = self;
        // Whether what is not tried below was certainly not done above.
        let undone = broken("gatherer: makes a batch in doubt again")
            || O::REPEATABLE
            || failure.as_ref().is_none_or(|failure| !failure.is_in_doubt());
        let over = until.is_some_and(|until| Instant::now() >= until);
        // What everybody gets from here on, without another attempt.
        let mut verdict = failure.filter(|_| over || !undone).map(Arc::new);
        for (op, callers) in ops.iter().zip(callers) {
            let outcome = match &verdict {
                Some(error) => Err(Error::shared(error)
                    .with_in_doubt(!undone && !broken("gatherer: has no doubt about a batch that failed"))),
                None => match guarded(store, until, O::one(store, op, now)).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        Err(Error::shared(verdict.insert(Arc::new(error))))
                    }
                    outcome => outcome,
                },
            };
            lane.release(O::key(op));
            callers.tell(outcome);
        }
    }
}

impl<O: Operations> Callers<O> {
    /// One caller more, for an operation that `joined` takes along.
    fn and(self, joined: &mut O::Op, op: O::Op, caller: oneshot::Sender<Reply<O>>) -> Callers<O> {
        let mut several = match self {
            Callers::One(first) => vec![(joined.clone(), first)],
            Callers::Several(several) => several,
        };
        O::join(joined, &op);
        several.push((op, caller));
        Callers::Several(several)
    }

    /// Tells each of them. Who has gone away does not hear it.
    fn tell(self, outcome: Result<O::Answer>) {
        let several = match self {
            // The usual case: nothing is copied.
            Callers::One(caller) => {
                _ = caller.send(Reply::Done(outcome));
                return;
            }
            Callers::Several(several) => several,
        };
        let outcome = outcome.map_err(Arc::new);
        for (op, caller) in several {
            let same = match &outcome {
                Ok(answer) => Ok(O::answer_to(&op, answer.clone())),
                Err(error) => Err(Error::shared(error)),
            };
            _ = caller.send(Reply::Done(same));
        }
    }
}

/// Bounds a trip to the store in time, and keeps a panic in it from the lane.
async fn guarded<T>(
    store: &Checked,
    until: Option<Instant>,
    trip: impl Future<Output = Result<T>>,
) -> Result<T> {
    let trip = AssertUnwindSafe(trip).catch_unwind();
    let end = match until {
        Some(until) => timeout_at(until, trip).await,
        None => Ok(trip.await),
    };
    match end {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(panicked(&*panic).with_backend(store.backend())),
        Err(_) => Err(Error::unavailable(
            "the database did not answer a batch within its deadline; try again when it has less to do",
        )
        .with_backend(store.backend())),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(ErrorKind::Backend, "the backend panicked in a batch; mend the backend")
        .with_source(format!("panic: {said}"))
}
