//! The lanes: how operations come to the store, and how a lane passes from one to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::operations::Operations;
use super::queue::{Admission, Queue, Reply, Waiting};
use crate::{Error, Gathering, Result, SessionKey, Store, Timestamp};

/// How long a queue waits for lanes that are in the hands of callers alone. A caller that does not poll its call (it
/// awaits something else inside a `select!` or a loop over buffered futures, perhaps another call of this very store)
/// must not stop everybody.
const PATIENCE: Duration = Duration::from_millis(100);

/// The lanes for one kind of operations.
pub(super) struct Lanes<O: Operations>(Arc<Shared<O>>);

struct Shared<O: Operations> {
    store: Arc<dyn Store>,
    /// No lanes: nothing is gathered.
    off: bool,
    deadline: Duration,
    queue: Mutex<Queue<O>>,
}

impl<O: Operations> Lanes<O> {
    pub(super) fn new(
        store: Arc<dyn Store>,
        lanes: usize,
        gathering: Gathering,
        deadline: Duration,
    ) -> Lanes<O> {
        let queue = Mutex::new(Queue::new(lanes, gathering));
        Lanes(Arc::new(Shared { store, off: lanes == 0, deadline, queue }))
    }

    /// Does one operation, alone or in company.
    pub(super) async fn call(&self, op: O::Op, now: Timestamp) -> Result<O::Answer> {
        let shared = &self.0;
        if shared.off {
            return O::one(&*shared.store, &op, now).await;
        }
        let admission = shared.queue().admit(op, now);
        let (op, lane) = match admission {
            Admission::Alone(op) => {
                let lane = Lane::new(shared, &op);
                (op, lane)
            }
            Admission::Queued { reply, watch } => match shared.wait(reply, watch).await? {
                Reply::Done(outcome) => return outcome,
                Reply::Go(op, lane) => (op, lane),
            },
        };
        let outcome = O::one(&*shared.store, &op, now).await;
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

    async fn wait(self: &Arc<Self>, mut reply: oneshot::Receiver<Reply<O>>, watch: bool) -> Result<Reply<O>> {
        if watch && Handle::try_current().is_ok() {
            if let Ok(reply) = tokio::time::timeout(PATIENCE, &mut reply).await {
                return reply.map_err(|_| self.abandoned());
            }
            // Bound first: the lane locks the queue itself.
            let relieved = self.queue().relieve();
            if relieved {
                Lane { shared: Arc::clone(self), held: Vec::new(), idle: false }.drive();
            }
        }
        reply.await.map_err(|_| self.abandoned())
    }

    fn abandoned(&self) -> Error {
        Error::unavailable("the runtime that drove this call's batch was shut down; try again")
            .with_backend(self.store.backend())
            .with_indeterminate(!O::REPEATABLE)
    }
}

/// The right to have one operation or one batch under way. Whoever drops it passes it on.
pub(super) struct Lane<O: Operations> {
    shared: Arc<Shared<O>>,
    /// The keys of the ordered operations under way on it.
    held: Vec<SessionKey>,
    /// It was given back.
    idle: bool,
}

impl<O: Operations> Lane<O> {
    /// The lane on which the queue let `op` out.
    fn new(shared: &Arc<Shared<O>>, op: &O::Op) -> Lane<O> {
        let held = if O::ORDERED { vec![O::key(op).clone()] } else { Vec::new() };
        Lane { shared: Arc::clone(shared), held, idle: false }
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
        self.idle = !queue.keeps_lane();
        !self.idle
    }

    /// Carries batches, until nothing waits, in a task on the current runtime. Without one, the lane goes to the
    /// next caller.
    fn drive(self) {
        let Ok(runtime) = Handle::try_current() else { return };
        self.shared.queue().driver_starts();
        let mut driver = Driver(self);
        runtime.spawn(async move {
            while driver.carry().await {
                // The callers just answered come back first, so that the next batch is as large as this one.
                tokio::task::yield_now().await;
            }
        });
    }
}

impl<O: Operations> Drop for Lane<O> {
    fn drop(&mut self) {
        // Given up half-way: the caller went away, the store panicked, or the runtime is shutting down. There may
        // be no runtime here to go on with, so a waiting caller takes the lane.
        while !self.idle && self.next() {
            let Some(Waiting { op, caller, .. }) = self.shared.queue().pop() else { continue };
            let lane = Lane::new(&self.shared, &op);
            // If it is dropped unread, or came too late, the next one has its turn.
            match caller.send(Reply::Go(op, lane)) {
                Ok(()) => self.idle = true,
                Err(Reply::Go(_, mut lane)) => {
                    // This lane again, not one more.
                    lane.idle = true;
                    self.held = std::mem::take(&mut lane.held);
                }
                Err(Reply::Done(_)) => {}
            }
        }
    }
}

/// A lane in the hands of a task of its own.
struct Driver<O: Operations>(Lane<O>);

impl<O: Operations> Driver<O> {
    /// Carries one batch. False if nothing waits any more.
    async fn carry(&mut self) -> bool {
        let lane = &mut self.0;
        let waiting = lane.shared.queue().take();
        if waiting.is_empty() {
            return lane.next();
        }
        if O::ORDERED {
            lane.held.extend(waiting.iter().map(|waiting| O::key(&waiting.op).clone()));
        }
        let shared = Arc::clone(&lane.shared);
        let batch = Batch::new(waiting);
        batch.run(&*shared.store, shared.deadline, lane).await;
        true
    }
}

impl<O: Operations> Drop for Driver<O> {
    fn drop(&mut self) {
        self.0.shared.queue().driver_ends();
    }
}

impl<O: Operations> Lane<O> {
    /// All operations under way are over, before their callers learn it: their next writes need not queue.
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
