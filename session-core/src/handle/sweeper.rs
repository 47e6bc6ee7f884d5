//! A task that removes expired sessions from time to time.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use super::call::jitter;
use super::core::Core;
use crate::{Error, ErrorKind, Operation, Result};

/// The pause between two purges stays between these, so that it can be counted and others get a turn.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 365 * 86_400);

const LONGEST_FIRST_PAUSE: Duration = Duration::from_secs(60);

type Veto = dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;
type Report = dyn Fn(Result<u64, &Error>) + Send + Sync;

/// Options for a [`Sweeper`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// # use session_core::{MemoryStore, Sessions};
/// # use std::time::Duration;
/// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
/// let sweeper = sessions
///     .sweeper()
///     .interval(Duration::from_secs(300))
///     .before(|| async { true }) // false leaves this purge out: another host is at it
///     .after(|removed| match removed {
///         Ok(rows) => println!("{rows} expired sessions removed"),
///         Err(error) => eprintln!("the purge failed: {error}"),
///     })
///     .start();
/// sweeper.stop().await;
/// # Ok(()) }
/// ```
#[must_use = "options do nothing until `start`"]
pub struct SweeperBuilder {
    core: Arc<Core>,
    interval: Duration,
    batch: NonZeroU32,
    before: Option<Box<Veto>>,
    after: Option<Box<Report>>,
}

impl SweeperBuilder {
    pub(super) fn new(core: Arc<Core>) -> SweeperBuilder {
        SweeperBuilder {
            core,
            interval: Duration::from_secs(600),
            batch: NonZeroU32::MIN.saturating_add(999),
            before: None,
            after: None,
        }
    }

    /// The pause between two purges, give or take a tenth, so that the instances of an application do not purge all
    /// at once. At least 1 ms. Defaults to 10 minutes.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self
    }

    /// How many sessions to remove in one statement; each purge takes as many statements as it needs. Where the server
    /// gives up a statement for want of time, half as many are removed at once, and more again once that goes well.
    /// Defaults to 1,000: measured, 50,000 rows in one statement delay a concurrent write by 250 to 430 ms on MariaDB and
    /// SQLite, in batches of 1,000 by 24 to 44 ms.
    pub fn batch(mut self, rows: NonZeroU32) -> Self {
        self.batch = rows;
        self
    }

    /// Runs before each purge, which waits for it and is left out if it returns `false` or panics. The sweeper can be
    /// stopped meanwhile: what the callback waits for is then dropped. Defaults to none.
    pub fn before<F, Fut>(mut self, veto: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.before = Some(Box::new(move || Box::pin(veto())));
        self
    }

    /// Runs after each purge, exactly once, with the number of sessions it removed or the error that ended it. It runs
    /// inline in the sweeper's task; a panic in it is caught and dropped. Defaults to none.
    pub fn after(mut self, report: impl Fn(Result<u64, &Error>) + Send + Sync + 'static) -> Self {
        self.after = Some(Box::new(report));
        self
    }

    /// Starts the task. The first purge comes at a random moment of the first tenth of the interval, of the first minute
    /// at most: programs that live shorter than an interval purge too, and several that start together do not purge
    /// together.
    ///
    /// Purges go through the handle: they have its deadline for each statement, its observer hears of them, and they
    /// are refused while it is disconnected.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Sweeper {
        let (stop, stopped) = watch::channel(false);
        Sweeper { stop, task: tokio::spawn(self.run(stopped)) }
    }

    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut pause = (self.interval / 10).min(LONGEST_FIRST_PAUSE).mul_f64(jitter());
        loop {
            let round = async {
                sleep(pause).await;
                self.may_purge().await
            };
            let may_purge = tokio::select! {
                biased;
                // A dropped `Sweeper` ends the wait too.
                _ = stopped.wait_for(|stop| *stop) => return,
                may_purge = round => may_purge,
            };
            pause = self.interval.mul_f64(0.9 + 0.2 * jitter());
            if may_purge {
                let result = self.purge(&stopped).await;
                if let Some(report) = &self.after {
                    // A callback's panic is its own affair.
                    _ = catch_unwind(AssertUnwindSafe(|| report(result.as_ref().map(|count| *count))));
                }
            }
        }
    }

    async fn may_purge(&self) -> bool {
        let Some(veto) = &self.before else { return true };
        let Ok(answer) = catch_unwind(AssertUnwindSafe(veto)) else { return false };
        AssertUnwindSafe(answer).catch_unwind().await.unwrap_or(false)
    }

    /// Removes what has expired, batch by batch, until nothing is left or somebody stops it.
    async fn purge(&self, stopped: &watch::Receiver<bool>) -> Result<u64> {
        let mut removed = 0;
        let mut bound = None;
        loop {
            let call = self.core.begin(Operation::Purge);
            let purge = AssertUnwindSafe(self.core.purge(call, self.batch, &mut bound)).catch_unwind();
            // Nobody would notice that the task is gone.
            let purged = purge.await.unwrap_or_else(|_| Err(panicked()))?;
            removed += purged.count;
            let is_stopped = *stopped.borrow() || stopped.has_changed().is_err();
            if is_stopped || !purged.more {
                return Ok(removed);
            }
            yield_now().await;
        }
    }
}

fn panicked() -> Error {
    Error::new(ErrorKind::Backend, "the backend panicked; mend what its message on standard error names")
        .with_operation(Operation::Purge)
}

impl fmt::Debug for SweeperBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SweeperBuilder")
            .field("interval", &self.interval)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// A running task that removes expired sessions. No error ends it; dropping it or [`stop`](Sweeper::stop) does, after
/// the statement under way.
#[derive(Debug)]
#[must_use = "a sweeper that is dropped stops"]
pub struct Sweeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Ends the task, and waits for the statement that is under way and its [`after`](SweeperBuilder::after).
    ///
    /// # Cancel safety
    /// The task ends even if this is dropped; only the wait is cut short.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // The task catches all panics, so it ends well unless the runtime ends with it.
        _ = self.task.await;
    }
}
