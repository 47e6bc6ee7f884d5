//! Logins: each goes on in a task of its own, whoever waits for it or leaves.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use session_core::{Error, Result};
use tiberius::Config;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::connect::{Connection, Settings, Source, open};
use crate::error;

/// After so long without an outcome a login is begun a second time beside the first, if the pool has a place for it: the
/// server may be slow, and then the first one completes, or the network may have lost it, and then the second one does.
const PATIENCE: Duration = Duration::from_secs(3);

/// Without a place beside it, a login is given up for a new one after this.
const HANGING: Duration = Duration::from_secs(10);

/// How often somebody who waits looks whether the pool has a place by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the logins of one pool have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay {
    /// How many are under way, or have an outcome that nobody has taken.
    count: Arc<AtomicUsize>,
    /// One of them succeeded once.
    succeeded: Arc<AtomicBool>,
}

impl UnderWay {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// One login under way, or its outcome that nobody has taken yet. Dropping it ends it.
pub(crate) struct Login {
    since: Instant,
    outcome: oneshot::Receiver<Result<Connection>>,
    task: AbortHandle,
    under_way: UnderWay,
}

impl Login {
    /// Begins to log in, for `within` at most.
    pub(crate) fn begin(
        mut config: Config,
        credentials: Source,
        settings: Settings,
        within: Duration,
        under_way: &UnderWay,
    ) -> Login {
        let (sender, outcome) = oneshot::channel();
        let succeeded = Arc::clone(&under_way.succeeded);
        // On the heap, as tiberius's future is larger than a good part of a thread's stack.
        let opening = Box::pin(async move {
            if let Some(method) = credentials.method().await? {
                config.authentication(method);
            }
            let opened = open(config, settings).await;
            if opened.is_ok() {
                succeeded.store(true, Ordering::Relaxed);
            }
            opened.map_err(|error| match succeeded.load(Ordering::Relaxed) {
                true => error::connecting_again(error),
                false => error::connecting(error),
            })
        });
        // tiberius traces what it sends and receives.
        let opening = opening.with_subscriber(NoSubscriber::default());
        let task = tokio::spawn(async move {
            let opened = timeout(within, opening).await;
            // Nobody may want it any more.
            drop(sender.send(opened.unwrap_or_else(|_| Err(broken(io::ErrorKind::TimedOut)))));
        });
        under_way.count.fetch_add(1, Ordering::SeqCst);
        Login { since: Instant::now(), outcome, task: task.abort_handle(), under_way: under_way.clone() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Connection>> {
        // The task ends without a word only with its runtime.
        let ended = || Err(broken(io::ErrorKind::Interrupted));
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| outcome.unwrap_or_else(|_| ended()))
    }
}

fn broken(kind: io::ErrorKind) -> Error {
    error::connecting(io::Error::from(kind).into())
}

impl Drop for Login {
    fn drop(&mut self) {
        self.task.abort();
        self.under_way.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The way to one connection: one login, or two where the first one takes long and the pool has room for both.
pub(crate) struct Opening {
    first: Option<Login>,
    beside: Option<Spare>,
}

/// A login beside another one. It stands in a place of the pool that nobody has taken, so whoever comes to take that place
/// takes it over.
#[derive(Clone)]
pub(crate) struct Spare(Arc<Mutex<Option<Login>>>);

impl Spare {
    pub(crate) fn of(login: Login) -> Spare {
        Spare(Arc::new(Mutex::new(Some(login))))
    }

    /// `None` if it was taken over, or nobody wants it any more.
    pub(crate) fn take(&self) -> Option<Login> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// True if nobody but its keeper knows of it.
    pub(crate) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn since(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|login| login.since)
    }

    /// Its outcome, after which it is over.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<(Instant, Result<Connection>)> {
        let mut login = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(polled) = login.as_mut().map(|login| (login.since, login.poll(cx))) else {
            return Poll::Pending;
        };
        let (since, Poll::Ready(outcome)) = polled else { return Poll::Pending };
        *login = None;
        Poll::Ready((since, outcome))
    }
}

impl Opening {
    pub(crate) fn of(login: Login) -> Opening {
        Opening { first: Some(login), beside: None }
    }

    /// True if nothing of it is under way.
    pub(crate) fn is_over(&self) -> bool {
        self.first.is_none() && self.beside.as_ref().is_none_or(|spare| spare.since().is_none())
    }

    /// The first connection that a login gives, or the error of the newest one, which tells of the server as it is now.
    /// With it comes when that login began. `spare` begins one in a place of its own, if there is any.
    ///
    /// # Cancel safety
    /// The logins go on, and the next call has their outcome.
    pub(crate) async fn finish(
        &mut self,
        begin: impl Fn() -> Login,
        spare: impl Fn() -> Option<Spare>,
    ) -> (Instant, Result<Connection>) {
        loop {
            let beside = self.beside.as_ref().and_then(Spare::since);
            let first = match &self.first {
                Some(login) => login.since,
                None => {
                    let login = self.beside.take().and_then(|spare| spare.take()).unwrap_or_else(&begin);
                    let since = login.since;
                    self.first = Some(login);
                    since
                }
            };
            let age = beside.unwrap_or(first).elapsed();
            if age >= PATIENCE {
                // The one beside hangs, too, and makes place for the next.
                drop(self.beside.take().and_then(|spare| spare.take()));
                self.beside = spare();
                if self.beside.is_none() && first.elapsed() >= HANGING {
                    self.first = None;
                }
                if self.beside.is_some() || self.first.is_none() {
                    continue;
                }
            }
            let patience = if age < PATIENCE { PATIENCE - age } else { LOOK_AGAIN };
            if let Ok(outcome) = timeout(patience, self.next()).await {
                return outcome;
            }
        }
    }

    async fn next(&mut self) -> (Instant, Result<Connection>) {
        poll_fn(|cx| {
            if let Some(Poll::Ready(outcome)) = self.beside.as_ref().map(|spare| spare.poll(cx)) {
                self.beside = None;
                return Poll::Ready(outcome);
            }
            let Some((since, Poll::Ready(outcome))) =
                self.first.as_mut().map(|login| (login.since, login.poll(cx)))
            else {
                return Poll::Pending;
            };
            self.first = None;
            let newer = self.beside.take().and_then(|spare| spare.take());
            match newer {
                // The newer one tells of the server as it is now.
                Some(newer) if outcome.is_err() => {
                    self.first = Some(newer);
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                newer => {
                    drop(newer);
                    Poll::Ready((since, outcome))
                }
            }
        })
        .await
    }
}
