//! Everything of a handle that does not depend on the type of its data.

use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::call::{Call, traced};
use super::clock::DatabaseClock;
use super::connection::{Admission, Connection};
use crate::{Clock, DestroyMode, Error, ErrorKind, Event, Observer, Operation, Result, Store};

/// A probe that takes longer than this has failed, even if calls may take longer.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// What [`SessionStoreBuilder::on_error`](crate::SessionStoreBuilder::on_error) makes of an error.
///
/// Exhaustive: there is no third way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The caller gets the error, and work goes on.
    Continue,
    /// The caller gets the error, and the store counts as disconnected until a probe succeeds.
    Disconnect,
}

pub(super) type ErrorHandler = dyn Fn(&Error) -> Reaction + Send + Sync;

/// The shared part of all clones of a handle.
pub(super) struct Core {
    /// The store as the application gave it.
    pub(super) backend: Arc<dyn Store>,
    /// The same, behind the gatherer if there is one: what every call goes to.
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) database_clock: Option<DatabaseClock>,
    pub(super) deadline: Duration,
    pub(super) conflict_retries: u32,
    pub(super) connect_retries: u32,
    pub(super) connect_delay: Duration,
    pub(super) cleanup_limit: u32,
    pub(super) destroy_mode: DestroyMode,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) on_error: Option<Arc<ErrorHandler>>,
    pub(super) connection: Connection,
}

impl Core {
    /// Asks the database for its time until it answers, as often as the options say.
    pub(super) async fn connect(&self) -> Result<()> {
        let attempts = async {
            let mut attempt = 0;
            loop {
                let error = match timeout(self.deadline, self.store.server_time()).await {
                    Ok(Ok(_)) => {
                        self.connected(Connection::connect);
                        return Ok(());
                    }
                    Ok(Err(error)) => error,
                    Err(_) => self.late().with_unreachable(),
                };
                if attempt == self.connect_retries || !error.is_transient() {
                    let error = self.named(error.with_indeterminate(false), Operation::Connect);
                    self.failed(&error);
                    return Err(error);
                }
                attempt += 1;
                sleep(self.connect_delay.saturating_mul(attempt)).await;
            }
        };
        traced(Operation::Connect, self.store.backend(), attempts).await
    }

    /// Lets a call through, refuses it, or lets it find out for all whether the database is there.
    pub(super) async fn admit(&self, deadline: Instant) -> Result<()> {
        let probe = match self.connection.admit() {
            Admission::Go => return Ok(()),
            Admission::Refused(error) => return Err(error),
            Admission::Probe(probe) => probe,
        };
        let deadline = deadline.min(Instant::now() + PROBE_DEADLINE);
        let source = match timeout_at(deadline, self.store.server_time()).await {
            Ok(Ok(_)) => {
                self.connected(|_| probe.succeeded());
                return Ok(());
            }
            Ok(Err(source)) => Some(source),
            Err(_) => None,
        };
        let turn = self.connection.turn();
        let (is_news, error) = probe.failed();
        let error = match source {
            Some(source) => error.with_source(source),
            None => error,
        };
        if is_news {
            self.tell_disconnected(&error);
        }
        drop(turn);
        Err(error)
    }

    /// Removes up to `limit` expired sessions.
    pub(super) async fn purge(&self, call: Call<'_>, limit: NonZeroU32) -> Result<u64> {
        let purge = async {
            let now = call.now().await?;
            let count = call.write(|| self.store.purge_expired(now, limit)).await?;
            self.tell(&Event::Purged { count });
            Ok(count)
        };
        call.run(purge).await
    }

    /// Notes that the database did what it was asked.
    pub(super) fn answered(&self) {
        if !self.connection.expects_answers() {
            self.connected(Connection::answered);
        }
    }

    fn connected(&self, change: impl FnOnce(&Connection) -> bool) {
        let _turn = self.connection.turn();
        if change(&self.connection) {
            tracing::debug!(backend = self.store.backend(), "connected");
            self.tell(&Event::Connected);
        }
    }

    /// Tells of an error, and draws the conclusion for the store as a whole.
    pub(super) fn failed(&self, error: &Error) {
        self.tell(&Event::Error { error });
        let reaction = match &self.on_error {
            // A handler's panic is its own affair.
            Some(handler) => catch_unwind(AssertUnwindSafe(|| handler(error))).unwrap_or(Reaction::Continue),
            None if error.is_unreachable() => Reaction::Disconnect,
            None => {
                if error.kind() == ErrorKind::Unavailable {
                    self.connection.silent();
                }
                Reaction::Continue
            }
        };
        if reaction == Reaction::Disconnect {
            let _turn = self.connection.turn();
            if self.connection.disconnect() {
                self.tell_disconnected(error);
            }
        }
    }

    fn tell_disconnected(&self, error: &Error) {
        tracing::warn!(backend = self.store.backend(), %error, "disconnected; work is refused until the database answers");
        self.tell(&Event::Disconnected { error });
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            // An observer's panic is its own affair.
            _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }

    /// The error of a call that ran out of time.
    pub(super) fn late(&self) -> Error {
        Error::unavailable(format!(
            "no answer within the deadline of {:?}; the database is overloaded or a lock is held, see \
             `SessionStoreBuilder::deadline`",
            self.deadline
        ))
    }

    pub(super) fn named(&self, error: Error, operation: Operation) -> Error {
        error.with_operation(operation).with_backend(self.store.backend())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore")
            .field("store", &self.backend)
            .field("connected", &self.connection.is_connected())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
