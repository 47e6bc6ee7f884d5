//! A connection on loan from a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use deadpool::managed::{Manager, Object, Pool};
use futures_util::FutureExt;
use session_core::mutants::broken;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::alive::{Ask, Asking, Cancel, SignOfLife};
use super::stamp::Stamp;

/// How a connection is lent.
pub(super) struct Terms<M: Manager + 'static> {
    pub(super) pool: Pool<M>,
    /// How long a server may still work for a caller who has gone away.
    pub(super) abandoned: Duration,
    pub(super) alive: SignOfLife<M::Type>,
    pub(super) cancel: Box<Cancel<M>>,
    /// When an abandoned connection was last closed.
    pub(super) closed: Stamp,
}

/// A connection on loan from a pool, of which the answer is read to the end or not at all.
///
/// It goes back by [`give_back`](Loan::give_back) alone. Closed, or dropped by a cancelled future, it is closed, so
/// that nobody ever meets the rest of an answer. If it is dropped, it keeps its place in the pool until the server has
/// let go of it: the pool's size is what the server bears, whatever its callers do.
pub struct Loan<'a, M: Manager + 'static> {
    // Some until it is given back, closed or dropped.
    object: Option<Object<M>>,
    terms: &'a Terms<M>,
}

impl<'a, M: Manager + 'static> Loan<'a, M> {
    pub(super) fn new(object: Object<M>, terms: &'a Terms<M>) -> Loan<'a, M> {
        Loan { object: Some(object), terms }
    }

    /// True if the connection served an earlier call, and so may have been closed by the server since.
    pub fn is_reused(&self) -> bool {
        self.object.as_ref().is_some_and(|object| Object::metrics(object).recycle_count > 0)
    }

    /// Gives the connection back: its last answer was read to the end.
    pub fn give_back(mut self) {
        if broken("pool: never gives a connection back") {
            std::mem::forget(self.object.take());
        }
        drop(self.object.take());
    }

    /// Closes the connection: the server has answered, or has gone away.
    pub fn close(mut self) {
        if broken("pool: takes back a connection that failed") {
            return drop(self.object.take());
        }
        if let Some(object) = self.object.take() {
            close(object);
        }
    }
}

impl<M: Manager + 'static> Deref for Loan<'_, M> {
    type Target = M::Type;

    fn deref(&self) -> &M::Type {
        self.object.as_ref().expect("it is there until it is given back")
    }
}

impl<M: Manager + 'static> DerefMut for Loan<'_, M> {
    fn deref_mut(&mut self) -> &mut M::Type {
        self.object.as_mut().expect("it is there until it is given back")
    }
}

impl<M: Manager + 'static> Drop for Loan<'_, M> {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        if broken("pool: takes back a connection in the middle of an answer") {
            return;
        }
        if broken("pool: frees the place of a dropped call at once") {
            return close(object);
        }
        let Ok(runtime) = Handle::try_current() else { return close(object) };
        // The server gives up by itself at its own limit, which began with the loan.
        let lent = Object::metrics(&object).last_used();
        let patience = self.terms.abandoned.saturating_sub(lent).max(LEAST_PATIENCE);
        let Asking { ask, last } = (self.terms.cancel)(&mut object, &self.terms.pool);
        let (alive, closed) = (self.terms.alive, self.terms.closed.clone());
        runtime.spawn(async move {
            let mut abandoned = Abandoned(Some(object));
            // Closed in any case.
            let has_let_go = timeout(patience, abandoned.let_go(alive, ask)).await.is_ok();
            if let Some(last) = last.filter(|_| !has_let_go) {
                // Whoever has this place next would otherwise come beside what is still under way.
                _ = timeout(LAST_PATIENCE, last()).await;
            }
            closed.set();
        });
    }
}

/// What nobody waits for any more. It is closed, even if its runtime ends.
struct Abandoned<M: Manager + 'static>(Option<Object<M>>);

impl<M: Manager + 'static> Abandoned<M> {
    /// Returns when the server has let go, as far as can be told.
    async fn let_go(&mut self, alive: SignOfLife<M::Type>, ask: Ask) {
        let Some(connection) = &mut self.0 else { return };
        let cancelled = async {
            // A cancellation that comes before its statement is lost, so it is asked for again.
            while ask().await {
                sleep(AGAIN).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            // Whatever is answered, it is answered behind what was abandoned. A client library that is asked in the
            // middle of an answer may panic.
            _ = AssertUnwindSafe(alive(connection)).catch_unwind() => {}
            () = cancelled => {}
        }
    }
}

impl<M: Manager + 'static> Drop for Abandoned<M> {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            close(object);
        }
    }
}

/// Closes a connection, and frees its place in the pool.
fn close<M: Manager + 'static>(object: Object<M>) {
    drop(Object::take(object));
}

/// A cancellation takes a round trip or several.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);

/// A login and a statement, on a server that is there.
const LAST_PATIENCE: Duration = Duration::from_millis(1500);

/// How long a server that was asked to give up may take to say so, before it is asked again.
const AGAIN: Duration = Duration::from_millis(250);

impl<M: Manager + 'static> fmt::Debug for Loan<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use deadpool::managed::{Metrics, RecycleResult};

    use super::*;

    struct Maker;

    /// A connection that never answers again.
    struct Deaf;

    impl Manager for Maker {
        type Type = Deaf;
        type Error = ();

        async fn create(&self) -> Result<Deaf, ()> {
            Ok(Deaf)
        }

        async fn recycle(&self, _: &mut Deaf, _: &Metrics) -> RecycleResult<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_could_not_be_cancelled_is_ended_before_its_place_is_free() {
        let pool = Pool::builder(Maker).max_size(1).build().unwrap();
        let (asked, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (ask_count, end_count, seen) = (Arc::clone(&asked), Arc::clone(&ended), pool.clone());
        let cancel: Box<Cancel<Maker>> = Box::new(move |_, _| {
            let (ask_count, end_count, seen) = (Arc::clone(&ask_count), Arc::clone(&end_count), seen.clone());
            let ask: Ask = Box::new(move || {
                ask_count.fetch_add(1, Ordering::SeqCst);
                std::future::ready(false).boxed()
            });
            let last: Ask = Box::new(move || {
                assert_eq!(seen.status().size, 1, "the place is not free yet");
                end_count.fetch_add(1, Ordering::SeqCst);
                std::future::ready(true).boxed()
            });
            Asking { ask, last: Some(last) }
        });
        let terms = Terms {
            pool: pool.clone(),
            abandoned: Duration::ZERO,
            alive: |_| std::future::pending().boxed(),
            cancel,
            closed: Stamp::default(),
        };
        drop(Loan::new(pool.get().await.unwrap(), &terms));
        // The only place comes free.
        drop(timeout(Duration::from_secs(10), pool.get()).await.expect("in time").unwrap());
        assert_eq!((asked.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (1, 1));
    }
}
