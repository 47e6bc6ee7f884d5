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
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::call::{Core, jitter};
use crate::{Error, Result};

type Veto = dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;
type Report = dyn Fn(Result<u64, &Error>) + Send + Sync;

/// Options for a [`Sweeper`].
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
    /// at once. Defaults to 10 minutes.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many sessions to remove in one statement; each purge takes as many statements as it needs. Defaults to
    /// 1,000: measured, 50,000 rows in one statement delay a concurrent write by 250 to 430 ms on MariaDB and
    /// SQLite, in batches of 1,000 by 24 to 44 ms.
    pub fn batch(mut self, rows: NonZeroU32) -> Self {
        self.batch = rows;
        self
    }

    /// Runs before each purge, which waits for it and is left out if it returns `false` or panics.
    pub fn before<F, Fut>(mut self, veto: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.before = Some(Box::new(move || Box::pin(veto())));
        self
    }

    /// Runs after each purge, exactly once, with the number of sessions it removed or the error that ended it.
    pub fn after(mut self, report: impl Fn(Result<u64, &Error>) + Send + Sync + 'static) -> Self {
        self.after = Some(Box::new(report));
        self
    }

    /// Starts the task. The first purge comes after one interval.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Sweeper {
        let (stop, stopped) = watch::channel(false);
        Sweeper { stop, task: tokio::spawn(self.run(stopped)) }
    }

    async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            let pause = self.interval.mul_f64(0.9 + 0.2 * jitter());
            // A dropped `Sweeper` ends the wait too.
            if timeout(pause, stopped.wait_for(|stop| *stop)).await.is_ok() {
                return;
            }
            self.sweep(&stopped).await;
        }
    }

    async fn sweep(&self, stopped: &watch::Receiver<bool>) {
        if !self.may_purge().await {
            return;
        }
        let mut removed = 0;
        let result = loop {
            let count = match self.core.purge(self.batch).await {
                Ok(count) => count,
                Err(error) => break Err(error),
            };
            removed += count;
            let is_stopped = *stopped.borrow() || stopped.has_changed().is_err();
            if is_stopped || count < u64::from(self.batch.get()) {
                break Ok(removed);
            }
        };
        if let Some(report) = &self.after {
            // A callback's panic is its own affair.
            _ = catch_unwind(AssertUnwindSafe(|| report(result.as_ref().map(|count| *count))));
        }
    }

    async fn may_purge(&self) -> bool {
        let Some(veto) = &self.before else { return true };
        let Ok(answer) = catch_unwind(AssertUnwindSafe(veto)) else { return false };
        AssertUnwindSafe(answer).catch_unwind().await.unwrap_or(false)
    }
}

impl fmt::Debug for SweeperBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SweeperBuilder")
            .field("interval", &self.interval)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// A running task that removes expired sessions. No error ends it; dropping it or [`stop`](Sweeper::stop) does.
#[derive(Debug)]
#[must_use = "a sweeper that is dropped stops"]
pub struct Sweeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Ends the task, and waits for the statement that is under way.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // The task catches its callbacks' panics; what else could end it early has been reported by the runtime.
        _ = self.task.await;
    }
}
