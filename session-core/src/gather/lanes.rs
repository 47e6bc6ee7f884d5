//! The lanes: how operations come to the store, and how a lane passes from one to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::batch::Batch;
use super::operations::Operations;
use super::pulse::{Beating, Pulse};
use super::queue::{Admission, Queue, Reply, Waiting};
use crate::checked::Checked;
use crate::contract::Store;
use crate::{Error, Gathering, Result, SessionKey, Timestamp};

/// How long a queued call waits before it finds out whether anybody comes for it. A caller that does not poll its call
/// (it awaits something else inside a `select!` or a loop over buffered futures, perhaps another call of this very
/// store) must not stop everybody, and neither must a task that drives a lane on a runtime that is not polled.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a task that drives a lane may take to give a sign of life.
const PULSE: Duration = Duration::from_millis(50);

/// The lanes for one kind of operations.
pub(super) struct Lanes<O: Operations>(Arc<Shared<O>>);

struct Shared<O: Operations> {
    store: Checked,
    /// No lanes: nothing is gathered.
    off: bool,
    deadline: Duration,
    queue: Mutex<Queue<O>>,
}

impl<O: Operations> Lanes<O> {
    pub(super) fn new(store: Checked, lanes: usize, gathering: Gathering, deadline: Duration) -> Lanes<O> {
        let queue = Mutex::new(Queue::new(lanes, gathering));
        Lanes(Arc::new(Shared { store, off: lanes == 0, deadline, queue }))
    }

    /// Whether nothing is gathered.
    pub(super) fn are_off(&self) -> bool {
        self.0.off
    }

    /// Does one operation, alone or in company.
    pub(super) async fn call(&self, op: O::Op, now: Timestamp) -> Result<O::Answer> {
        let shared = &self.0;
        if shared.off {
            return O::one(&shared.store, &op, now).await;
        }
        let admission = shared.queue().admit(op, now);
        let (op, lane) = match admission {
            Admission::Alone(op) => {
                let lane = Lane::with(shared, &op);
                (op, lane)
            }
            Admission::Queued(reply) => match shared.wait(reply).await? {
                Reply::Done(outcome) => return outcome,
                Reply::Go(op, lane) => (op, lane),
            },
        };
        let outcome = O::one(&shared.store, &op, now).await;
        lane.go_on();
        outcome
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.0.queue().is_idle()
    }
}

impl<O: Operations> Shared<O> {
    fn queue(&self) -> MutexGuard<'_, Queue<O>> {
        // Nothing under the lock panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(self: &Arc<Self>, mut reply: oneshot::Receiver<Reply<O>>) -> Result<Reply<O>> {
        if Handle::try_current().is_err() {
            return reply.await.map_err(|_| self.abandoned());
        }
        loop {
            if let Ok(reply) = timeout(PATIENCE, &mut reply).await {
                return reply.map_err(|_| self.abandoned());
            }
            self.queue().ask();
            if let Ok(reply) = timeout(PULSE, &mut reply).await {
                return reply.map_err(|_| self.abandoned());
            }
            // Bound first: the lane locks the queue itself.
            let relieved = self.queue().relieve();
            if relieved {
                Lane::surplus(self).drive();
            }
        }
    }

    fn abandoned(&self) -> Error {
        Error::unavailable("the runtime that drove this call's batch was shut down; try again")
            .with_backend(self.store.backend())
            .with_in_doubt(!O::REPEATABLE)
    }
}

/// The right to have one operation or one batch under way. Whoever drops it passes it on.
pub(super) struct Lane<O: Operations> {
    shared: Arc<Shared<O>>,
    /// The keys of the ordered operations under way on it.
    held: Vec<SessionKey>,
    holder: Holder,
}

enum Holder {
    /// A caller, for an operation of its own.
    Caller,
    /// A task, for batch after batch.
    Driver(Arc<Pulse>),
    /// The lane was given back or passed on.
    Nobody,
}

impl Holder {
    fn driver(&self) -> Option<&Arc<Pulse>> {
        match self {
            Holder::Driver(pulse) => Some(pulse),
            Holder::Caller | Holder::Nobody => None,
        }
    }
}

impl<O: Operations> Lane<O> {
    /// The lane on which the queue let `op` out.
    fn with(shared: &Arc<Shared<O>>, op: &O::Op) -> Lane<O> {
        let held = if O::ORDERED { vec![O::key(op).clone()] } else { Vec::new() };
        Lane { shared: Arc::clone(shared), held, holder: Holder::Caller }
    }

    /// The lane by which the queue is relieved.
    fn surplus(shared: &Arc<Shared<O>>) -> Lane<O> {
        Lane { shared: Arc::clone(shared), held: Vec::new(), holder: Holder::Caller }
    }

    /// The operation under way is over: goes on with what waits, in a task of its own.
    fn go_on(mut self) {
        if self.next() {
            self.drive();
        }
    }

    /// Ends what is under way. True if something waits; otherwise the lane is given back.
    fn next(&mut self) -> bool {
        let mut queue = self.shared.queue();
        for key in self.held.drain(..) {
            queue.release(&key);
        }
        let keeps = queue.keeps_lane(self.holder.driver());
        if !keeps {
            self.holder = Holder::Nobody;
        }
        keeps
    }

    /// Carries batches, until nothing waits, in a task on the current runtime. Without one, the lane goes to the
    /// next caller.
    fn drive(mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let pulse = Arc::new(Pulse::default());
        self.shared.queue().driver_starts(&pulse);
        self.holder = Holder::Driver(Arc::clone(&pulse));
        runtime.spawn(Beating::new(pulse, async move {
            while self.carry().await {
                // The callers just answered come back first, so that the next batch is as large as this one.
                tokio::task::yield_now().await;
            }
        }));
        // A worker keeps the task that it spawned last for itself, and may be busy for long with what comes after this
        // call. This one makes room: the driver goes to where other workers find it.
        runtime.spawn(std::future::ready(()));
    }

    /// Carries one batch. False if nothing waits any more.
    async fn carry(&mut self) -> bool {
        let waiting = self.shared.queue().take();
        if waiting.is_empty() {
            return self.next();
        }
        if O::ORDERED {
            self.held.extend(waiting.iter().map(|waiting| O::key(&waiting.op).clone()));
        }
        let shared = Arc::clone(&self.shared);
        Batch::new(waiting).run(&shared.store, shared.deadline, self).await;
        true
    }

    /// Everything under way is over. To be called before the callers learn it, so that their next writes need not
    /// queue.
    pub(super) fn release_all(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let mut queue = self.shared.queue();
        for key in self.held.drain(..) {
            queue.release(&key);
        }
    }

    /// One operation under way is over.
    pub(super) fn release(&mut self, key: &SessionKey) {
        if let Some(position) = self.held.iter().position(|held| held == key) {
            self.held.swap_remove(position);
            self.shared.queue().release(key);
        }
    }
}

impl<O: Operations> Drop for Lane<O> {
    fn drop(&mut self) {
        // Given up half-way: the caller went away, the store panicked, or the runtime is shutting down. There may
        // be no runtime here to go on with, so a waiting caller takes the lane.
        if let Holder::Driver(pulse) = &self.holder {
            self.shared.queue().driver_ends(pulse);
            self.holder = Holder::Caller;
        }
        while matches!(self.holder, Holder::Caller) && self.next() {
            let next = self.shared.queue().pop();
            let Some(Waiting { op, caller, .. }) = next else { continue };
            let lane = Lane::with(&self.shared, &op);
            match caller.send(Reply::Go(op, lane)) {
                // If it is dropped unread, that lane's own drop goes on here.
                Ok(()) => self.holder = Holder::Nobody,
                // It has just gone away. This is the lane again, not one more.
                Err(Reply::Go(_, mut lane)) => {
                    lane.holder = Holder::Nobody;
                    self.held.append(&mut lane.held);
                }
                Err(Reply::Done(_)) => {}
            }
        }
    }
}
