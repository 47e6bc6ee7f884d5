//! Logins that outlast the calls that need them.

mod end;
mod waiter;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use deadpool::managed::{Manager, Pool, WeakPool};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use self::end::End;
use self::waiter::Waiter;
use super::alive::Alive;
use super::stamp::Stamp;
use crate::Limits;

/// A login that takes longer may hang for good, on a host or a network that has gone: another one is begun beside it,
/// if the pool has a place for it.
const SLOW: Duration = Duration::from_secs(3);

/// How long a server may take to end a connection that was closed.
const ENDING: Duration = Duration::from_millis(100);

/// A login without a place beside it is given up for a new one after this.
const HANGING: Duration = Duration::from_secs(10);

/// Makes a connection.
pub type Login<M> = dyn Fn() -> BoxFuture<'static, Outcome<M>> + Send + Sync;

/// A connection, or why there is none.
pub type Outcome<M> = Result<<M as Manager>::Type, <M as Manager>::Error>;

/// Makes connections in tasks of their own. A caller who gives up leaves its login to the next one: a server whose login
/// takes longer than a call's deadline would never be reached otherwise, and each call would begin one more.
pub(super) struct Logins<M: Manager + 'static>(Arc<Shared<M>>);

struct Shared<M: Manager + 'static> {
    login: Box<Login<M>>,
    /// An error in these words.
    error: fn(String) -> M::Error,
    limits: Limits,
    /// When an abandoned connection of the pool was last closed.
    closed: Stamp,
    /// Whose places the connections take.
    pool: OnceLock<WeakPool<M>>,
    state: Mutex<State<M>>,
}

struct State<M: Manager + 'static> {
    /// In the order of their coming.
    waiting: VecDeque<Waiting<M>>,
    under_way: Vec<UnderWay>,
    /// Made for callers who had gone.
    ready: Vec<(M::Type, Instant)>,
    /// Sent to a caller who has not taken it yet.
    in_delivery: usize,
    logins: u64,
}

struct Waiting<M: Manager + 'static> {
    since: Instant,
    reply: oneshot::Sender<Outcome<M>>,
}

struct UnderWay {
    number: u64,
    since: Instant,
    task: Option<AbortHandle>,
}

impl<M: Manager + 'static> State<M> {
    fn begin(&mut self) -> (u64, Instant) {
        self.logins += 1;
        let login = UnderWay { number: self.logins, since: Instant::now(), task: None };
        let begun = (login.number, login.since);
        self.under_way.push(login);
        begun
    }
}

impl<M: Manager + 'static> Logins<M>
where
    M::Type: Alive,
{
    pub(super) fn new(
        login: Box<Login<M>>,
        limits: Limits,
        error: fn(String) -> M::Error,
        closed: Stamp,
    ) -> Logins<M> {
        let state = State {
            waiting: VecDeque::new(),
            under_way: Vec::new(),
            ready: Vec::new(),
            in_delivery: 0,
            logins: 0,
        };
        Logins(Arc::new(Shared {
            login,
            error,
            limits,
            closed,
            pool: OnceLock::new(),
            state: Mutex::new(state),
        }))
    }

    pub(super) fn serve(&self, pool: &Pool<M>) {
        // Set once, by who made both.
        _ = self.0.pool.set(pool.weak());
    }

    /// One connection: one that is there already, or the next that is made.
    ///
    /// # Cancel safety
    /// Its login goes on.
    pub(super) async fn connection(&self) -> Outcome<M> {
        while let Some(connection) = self.0.spare() {
            if let Some(connection) = self.0.proven(connection).await {
                return Ok(connection);
            }
        }
        let mut waiter = Shared::wait(&self.0);
        loop {
            match timeout(SLOW, waiter.reply()).await {
                Ok(outcome) => return outcome,
                Err(_) => Shared::begin_anew(&self.0),
            }
        }
    }
}

impl<M: Manager + 'static> Shared<M>
where
    M::Type: Alive,
{
    fn spare(&self) -> Option<(M::Type, Instant)> {
        self.state().ready.pop()
    }

    async fn proven(&self, (mut connection, since): (M::Type, Instant)) -> Option<M::Type> {
        if since.elapsed() < self.limits.check_after {
            return Some(connection);
        }
        if self.limits.idle.is_some_and(|limit| since.elapsed() >= limit) {
            return None;
        }
        let proof = timeout(self.limits.check_within, connection.sign_of_life()).await;
        matches!(proof, Ok(true)).then_some(connection)
    }

    fn wait(self: &Arc<Self>) -> Waiter<M> {
        let (reply, outcome) = oneshot::channel();
        self.state().waiting.push_back(Waiting { since: Instant::now(), reply });
        let waiter = Waiter::new(Arc::clone(self), outcome);
        self.begin_for_all();
        self.begin_anew();
        waiter
    }

    /// One login for each caller who waits, and no more.
    fn begin_for_all(self: &Arc<Self>) {
        let mut begun = Vec::new();
        let mut state = self.state();
        state.waiting.retain(|waiting| !waiting.reply.is_closed());
        while state.under_way.len() < state.waiting.len() {
            begun.push(state.begin());
        }
        drop(state);
        for (number, since) in begun {
            self.spawn(number, since);
        }
    }

    /// Begins one more where all that are under way hang.
    fn begin_anew(self: &Arc<Self>) {
        let room = self.pool.get().and_then(WeakPool::upgrade).map_or(0, |pool| {
            let status = pool.status();
            status.max_size.saturating_sub(status.size)
        });
        let mut state = self.state();
        state.waiting.retain(|waiting| !waiting.reply.is_closed());
        let newest = state.under_way.iter().map(|login| login.since.elapsed()).min();
        let Some(newest) = newest.filter(|age| *age >= SLOW && !state.waiting.is_empty()) else { return };
        let given_up = if state.under_way.len() + state.in_delivery + state.ready.len() < room {
            None
        } else if newest >= HANGING {
            state.under_way.remove(0).task
        } else {
            return;
        };
        let (number, since) = state.begin();
        drop(state);
        if let Some(task) = given_up {
            task.abort();
        }
        self.spawn(number, since);
    }

    /// Runs a login that was begun. Not under the lock: a runtime that ends drops the task at once.
    fn spawn(self: &Arc<Self>, number: u64, since: Instant) {
        let end = End::of(Arc::clone(self), number, since);
        let task = tokio::spawn(async move {
            let shared = Arc::clone(end.shared());
            let limit = shared.limits.login;
            let closed = &shared.closed;
            if closed.is_set() {
                // The server may be busy with the end of the one whose place this one takes.
                sleep(ENDING.saturating_sub(closed.elapsed())).await;
            }
            let outcome = timeout(limit, (shared.login)()).await.unwrap_or_else(|_| {
                let what = format!("no login within {limit:?}, see the option `login_timeout`");
                Err((shared.error)(what))
            });
            end.with(outcome);
        });
        if let Some(login) = self.state().under_way.iter_mut().find(|login| login.number == number) {
            login.task = Some(task.abort_handle());
        }
    }

    fn deliver(&self, state: &mut State<M>, connection: M::Type) {
        let mut connection = Ok(connection);
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.reply.send(connection) {
                Ok(()) => {
                    state.in_delivery += 1;
                    return;
                }
                Err(back) => connection = back,
            }
        }
        if let Ok(connection) = connection {
            state.ready.push((connection, Instant::now()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State<M>> {
        // Nothing under the lock panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Manager + 'static> Clone for Logins<M> {
    fn clone(&self) -> Logins<M> {
        Logins(Arc::clone(&self.0))
    }
}
