//! A batch: one trip to the store, and what becomes of its operations if that fails.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::lanes::Lane;
use super::operations::Operations;
use super::queue::{Reply, Waiting};
use crate::{Error, ErrorKind, Result, Store, Timestamp};

/// Operations with distinct keys, in the order of their keys, and who waits for them.
pub(super) struct Batch<O: Operations> {
    ops: Vec<O::Op>,
    /// Beside each operation, its callers.
    callers: Vec<Callers<O>>,
    now: Timestamp,
}

/// One caller, or several who asked for the same.
struct Callers<O: Operations> {
    first: oneshot::Sender<Reply<O>>,
    others: Vec<oneshot::Sender<Reply<O>>>,
}

impl<O: Operations> Batch<O> {
    pub(super) fn new(mut waiting: Vec<Waiting<O>>) -> Batch<O> {
        waiting.sort_unstable_by(|a, b| O::key(&a.op).cmp(O::key(&b.op)));
        let mut batch = Batch {
            ops: Vec::with_capacity(waiting.len()),
            callers: Vec::with_capacity(waiting.len()),
            now: Timestamp::MIN,
        };
        for Waiting { op, now, caller } in waiting {
            batch.now = batch.now.max(now);
            let same = batch.ops.last().is_some_and(|last| O::key(last) == O::key(&op));
            match batch.callers.last_mut().filter(|_| same) {
                Some(callers) => callers.others.push(caller),
                None => {
                    batch.ops.push(op);
                    batch.callers.push(Callers { first: caller, others: Vec::new() });
                }
            }
        }
        batch
    }

    /// Does all of it and tells everybody, within `deadline`. `lane` holds the keys.
    pub(super) async fn run(self, store: &dyn Store, deadline: Duration, lane: &mut Lane<O>) {
        let until = Instant::now().checked_add(deadline);
        if let [_] = self.ops.as_slice() {
            return self.one_by_one(store, until, lane, None).await;
        }
        let expected = self.ops.len();
        let outcomes = guarded(store, until, O::many(store, &self.ops, self.now)).await;
        match outcomes {
            Ok(outcomes) if outcomes.len() == expected => {
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
            Err(error) => self.one_by_one(store, until, lane, Some(error)).await,
        }
    }

    /// Does one operation after another, after the batch failed with `failure` if there is one.
    async fn one_by_one(
        self,
        store: &dyn Store,
        until: Option<Instant>,
        lane: &mut Lane<O>,
        failure: Option<Error>,
    ) {
        let Batch { ops, callers, now } = self;
        // Whether what is not tried below was certainly not done above.
        let undone = O::REPEATABLE || failure.as_ref().is_none_or(|failure| !failure.is_indeterminate());
        let over = until.is_some_and(|until| Instant::now() >= until);
        // What everybody gets from here on, without another attempt.
        let mut verdict = failure.filter(|_| over || !undone).map(Arc::new);
        for (op, callers) in ops.iter().zip(callers) {
            let outcome = match &verdict {
                Some(error) => Err(copy(error).with_indeterminate(!undone)),
                None => match guarded(store, until, O::one(store, op, now)).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        Err(copy(verdict.insert(Arc::new(error))))
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
    /// Tells each of them. Who has gone away does not hear it.
    fn tell(self, outcome: Result<O::Answer>) {
        let Callers { first, others } = self;
        if others.is_empty() {
            // The usual case: nothing is copied.
            _ = first.send(Reply::Done(outcome));
            return;
        }
        let outcome = outcome.map_err(Arc::new);
        for caller in others.into_iter().chain([first]) {
            let same = match &outcome {
                Ok(answer) => Ok(answer.clone()),
                Err(error) => Err(copy(error)),
            };
            _ = caller.send(Reply::Done(same));
        }
    }
}

/// Bounds a trip to the store in time, and keeps a panic in it from the lane.
async fn guarded<T>(
    store: &dyn Store,
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

/// The same error for one more caller: alike in everything that a caller can ask.
fn copy(error: &Arc<Error>) -> Error {
    let mut copy = Error::new(error.kind(), error.message()).with_indeterminate(error.is_indeterminate());
    if let Some(operation) = error.operation() {
        copy = copy.with_operation(operation);
    }
    if let Some(backend) = error.backend() {
        copy = copy.with_backend(backend);
    }
    if let Some(code) = error.code() {
        copy = copy.with_code(code);
    }
    if error.is_unreachable() {
        copy = copy.with_unreachable();
    }
    if error.source().is_some() {
        copy = copy.with_source(SharedSource(Arc::clone(error)));
    }
    copy
}

/// The source of an error that several callers got.
struct SharedSource(Arc<Error>);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl fmt::Debug for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Debug::fmt(source, f))
    }
}

impl StdError for SharedSource {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source().and_then(StdError::source)
    }
}
