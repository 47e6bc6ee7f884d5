//! A store whose writes meet with something: somebody else was faster, the database gave one up, or its answer was lost.
//! So what needs two hosts and luck happens each time, and on a store that never waits, too.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Error, ErrorKind, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey,
    Timestamp, Updated,
};

use crate::around::store_around;

/// What somebody else does.
type Deed = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a write meets with.
enum Fortune {
    /// Somebody else is faster.
    Meanwhile(Deed),
    /// It is given up, and nothing was changed.
    Refused(Error),
    /// It is done, and its caller does not learn that.
    AnswerLost(Error),
    /// It gets no answer, and is not done.
    Silence,
}

/// What is going to happen, one piece for each write that reaches the store.
#[derive(Default)]
pub(crate) struct Plot {
    next: Mutex<VecDeque<Fortune>>,
    writes: AtomicUsize,
    loads_break: AtomicBool,
}

impl Plot {
    fn then(&self, fortune: Fortune) {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).push_back(fortune);
    }

    /// Somebody else acts right before the next write.
    pub(crate) fn meanwhile(&self, deed: impl Future<Output = Result<()>> + Send + 'static) {
        self.then(Fortune::Meanwhile(Box::pin(deed)));
    }

    /// The next write is given up in favour of another transaction.
    pub(crate) fn conflict(&self) {
        let error = Error::new(ErrorKind::Conflict, "the case gives this write up").with_in_doubt(false);
        self.then(Fortune::Refused(error));
    }

    /// The connection of the next write is found to be closed before anything was sent.
    pub(crate) fn closed_connection(&self) {
        let error =
            Error::unavailable("the case closed this connection").with_unreachable().with_in_doubt(false);
        self.then(Fortune::Refused(error));
    }

    /// The connection of the next write breaks once it is done.
    pub(crate) fn lost_answer(&self) {
        let error = Error::unavailable("the case cut this connection").with_unreachable().with_in_doubt(true);
        self.then(Fortune::AnswerLost(error));
    }

    /// The next write gets no answer.
    pub(crate) fn silence(&self) {
        self.then(Fortune::Silence);
    }

    /// From now on each load fails half-way, as if its connection broke.
    pub(crate) fn break_loads(&self) {
        self.loads_break.store(true, Ordering::SeqCst);
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Ends the plot: true if all of it has happened.
    pub(crate) fn is_over(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take(&self) -> Option<Fortune> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl fmt::Debug for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plot").field("writes", &self.writes()).finish_non_exhaustive()
    }
}

/// A store around another, with a plot.
pub(crate) struct Meddled {
    store: Arc<dyn Store>,
    plot: Arc<Plot>,
}

impl Meddled {
    pub(crate) fn new(store: Arc<dyn Store>) -> (Meddled, Arc<Plot>) {
        let plot = Arc::new(Plot::default());
        (Meddled { store, plot: Arc::clone(&plot) }, plot)
    }

    async fn pass(&self) -> &dyn Store {
        &*self.store
    }

    async fn pass_write(&self) -> Result<&dyn Store> {
        self.meet(async { Ok(()) }).await?;
        Ok(&*self.store)
    }

    async fn meet<T>(&self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.plot.take() {
            None => {}
            Some(Fortune::Meanwhile(deed)) => deed.await?,
            Some(Fortune::Refused(error)) => return Err(error),
            Some(Fortune::AnswerLost(error)) => {
                write.await?;
                return Err(error);
            }
            Some(Fortune::Silence) => std::future::pending().await,
        }
        write.await
    }
}

store_around!(Meddled, {
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.meet(self.store.create(create, now)).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        if self.plot.loads_break.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the case cut this connection").with_in_doubt(true));
        }
        self.store.load(load, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.meet(self.store.update(update, now)).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.meet(self.store.touch(touch, now)).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.meet(self.store.destroy(destroy, now)).await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.store.load_many(loads, now).await
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.meet(self.store.write_many(writes, now)).await
    }
});
