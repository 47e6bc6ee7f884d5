//! The pool: opening connections, and lending them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use deadpool::managed::{self, Metrics, QueueMode, RecycleError, RecycleResult, WeakPool};
use session_core::{Error, Result};
use session_sql::Limits;
use tiberius::Config;
use tokio::time::{Instant, timeout};

use crate::connect::{Connection, Settings, Source};
use crate::login::{Login, Opening, Spare, UnderWay};

/// A pool of connections to one SQL Server database.
pub type Pool = managed::Pool<Manager>;

/// Opens connections for a [`Pool`].
///
/// It resolves named instances (`host\instance`) through the SQL Browser, and follows the address that Azure's
/// gateway answers a login with. A pooled connection that the server has closed is found without a round trip and
/// replaced, and one that was idle for a second proves itself by one round trip before it is lent. If it does not within
/// a second, all others that are idle are replaced, too. A login goes on in the background when its caller has left, and
/// serves the next one: a deadline shorter than a login on a busy server delays calls, but does not keep them out for
/// ever.
pub struct Manager {
    config: Config,
    /// Who logs in, in place of the configuration's.
    credentials: Source,
    limits: Limits,
    /// What callers began to open and did not wait for.
    unfinished: Mutex<Vec<Opening>>,
    /// Logins beside others, in places of the pool that nobody has taken yet.
    spares: Mutex<Vec<Spare>>,
    under_way: UnderWay,
    /// Whose places the connections take, once it has lent one to a store.
    pool: OnceLock<WeakPool<Manager>>,
    /// A connection that has not worked since then has gone the way of one that turned out to be lost.
    lost: Mutex<Option<Instant>>,
    since: Instant,
    /// When idle connections are next looked through, in milliseconds from `since`.
    next_look: AtomicU64,
}

impl Manager {
    /// Opens connections as this configuration says.
    pub fn new(config: Config) -> Manager {
        // What the application does on its connections may take as long as it likes.
        let limits = Limits { statement: None, lock: None, ..Limits::default() };
        Manager::with_limits(config, Source::default(), limits)
    }

    fn with_limits(config: Config, credentials: Source, limits: Limits) -> Manager {
        Manager {
            config,
            credentials,
            limits,
            unfinished: Mutex::default(),
            spares: Mutex::default(),
            under_way: UnderWay::default(),
            pool: OnceLock::new(),
            lost: Mutex::default(),
            since: Instant::now(),
            next_look: AtomicU64::new(0),
        }
    }

    fn login(&self) -> Login {
        let (config, credentials) = (self.config.clone(), self.credentials.clone());
        Login::begin(config, credentials, Settings::of(&self.limits), self.limits.login, &self.under_way)
    }

    /// A login beside another, if the pool has a place for it: the server never sees more connections than the pool has
    /// places.
    fn spare(&self) -> Option<Spare> {
        let status = self.pool.get()?.upgrade()?.status();
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.retain(|spare| !spare.is_forgotten());
        if status.size + self.under_way.count() >= status.max_size {
            return None;
        }
        let spare = Spare::of(self.login());
        spares.push(spare.clone());
        Some(spare)
    }

    /// What a caller left unfinished, or what is under way beside another's login: it stands in this place of the pool.
    fn begun(&self) -> Option<Opening> {
        let left = {
            let mut unfinished = self.unfinished();
            // The oldest is the likeliest to be ready.
            (!unfinished.is_empty()).then(|| unfinished.remove(0))
        };
        left.or_else(|| {
            let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = spares.drain(..).collect::<Vec<_>>();
            let mut login = None;
            for spare in taken {
                match login {
                    None => login = spare.take(),
                    Some(_) => spares.push(spare),
                }
            }
            login.map(Opening::of)
        })
    }

    /// The connection of the login that is done first.
    async fn open(&self) -> Result<Connection> {
        let arrived = Instant::now();
        let mut held = Held { manager: self, opening: self.begun() };
        loop {
            let opening = held.opening.get_or_insert_with(|| Opening::of(self.login()));
            match opening.finish(|| self.login(), || self.spare()).await {
                (since, Ok(mut connection)) => {
                    // A second login beside it is not wanted any more.
                    held.opening = None;
                    let idle = connection.idle();
                    if since >= arrived || self.refuses(&mut connection, idle).await.is_none() {
                        return Ok(connection);
                    }
                }
                (since, Err(error)) if since >= arrived => return Err(error),
                // What failed meanwhile tells nothing of the server as it is now: once more.
                (_, Err(_)) => {}
            }
        }
    }

    fn unfinished(&self) -> MutexGuard<'_, Vec<Opening>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a connection that was idle for so long is not lent.
    async fn refuses(&self, connection: &mut Connection, idle: Duration) -> Option<&'static str> {
        if self.limits.idle.is_some_and(|most| idle >= most) {
            return Some("the connection was idle for too long");
        }
        if !connection.is_quiet() {
            return Some("the server has closed the connection");
        }
        if idle < self.limits.check_after {
            return None;
        }
        if self.lost().is_some_and(|lost| connection.last_worked() < lost) {
            return Some("another connection of its time was lost");
        }
        // On the heap: tiberius's future is large, and this one is part of each call's.
        let proof = Box::pin(connection.prove());
        if let Ok(Ok(())) = timeout(self.limits.check_within, proof).await {
            return None;
        }
        *self.lost() = Some(Instant::now());
        Some("the connection was lost while it was idle")
    }

    fn lost(&self) -> MutexGuard<'_, Option<Instant>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what is idle for too long: the pool lends the connection that was used last, and so never looks at others.
    pub(crate) fn look_through(&self, pool: &Pool) {
        const OFTEN: u32 = 4;
        self.pool.get_or_init(|| pool.weak());
        let Some(most) = self.limits.idle else { return };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (now, next) = (millis(self.since.elapsed()), self.next_look.load(Ordering::Relaxed));
        let then = now.saturating_add(millis(most / OFTEN).max(1));
        let is_due = now >= next
            && self.next_look.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due {
            drop(pool.retain(|connection, metrics| idle(connection, metrics) < most));
        }
    }
}

/// How long a connection was idle: the application may have used it past this crate.
fn idle(connection: &Connection, metrics: Metrics) -> Duration {
    connection.idle().min(metrics.last_used())
}

/// An opening in the hands of a caller, which goes back to the manager if the caller leaves.
struct Held<'a> {
    manager: &'a Manager,
    opening: Option<Opening>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take().filter(|opening| !opening.is_over()) {
            self.manager.unfinished().push(opening);
        }
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection> {
        // On the heap: it is rare, and part of each call's future.
        Box::pin(self.open()).await
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<Error> {
        let idle = idle(connection, *metrics);
        match self.refuses(connection, idle).await {
            None => Ok(()),
            Some(why) => Err(RecycleError::message(why)),
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds the password.
        f.debug_struct("Manager").field("address", &self.config.get_addr()).finish_non_exhaustive()
    }
}

/// A pool of our own.
pub(crate) fn pool_of(
    config: Config,
    credentials: Source,
    connections: usize,
    limits: Limits,
) -> Result<Pool> {
    if connections == 0 {
        return Err(Error::invalid_input("a pool of no connections serves nobody; give it at least one"));
    }
    let manager = Manager::with_limits(config, credentials, limits);
    // The connection that was used last has its statements and tables at hand.
    let pool = Pool::builder(manager).queue_mode(QueueMode::Lifo).max_size(connections);
    pool.build()
        .map_err(|error| Error::invalid_input("the pool could not be built").with_source(error.to_string()))
}
