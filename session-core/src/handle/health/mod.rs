//! Whether the database is there: who is let through, who finds out, and who hears of it.

mod breaker;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use self::breaker::{Admission, Breaker};
use crate::contract::Store;
use crate::{Error, ErrorKind, Event, Observer, Result};

/// What [`SessionsBuilder::on_error`](crate::SessionsBuilder::on_error) makes of an error.
///
/// Exhaustive: there is no third way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorAction {
    /// The caller gets the error, and work goes on.
    Continue,
    /// The caller gets the error, and the store counts as disconnected until a probe succeeds.
    Disconnect,
}

pub(super) type ErrorHandler = dyn Fn(&Error) -> ErrorAction + Send + Sync;

/// The state of the database as the calls of one handle show it.
pub(super) struct Health {
    backend: &'static str,
    breaker: Breaker,
    observer: Option<Arc<dyn Observer>>,
    on_error: Option<Arc<ErrorHandler>>,
}

impl Health {
    pub(super) fn new(
        backend: &'static str,
        observer: Option<Arc<dyn Observer>>,
        on_error: Option<Arc<ErrorHandler>>,
    ) -> Health {
        Health { backend, breaker: Breaker::new(), observer, on_error }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.breaker.is_connected()
    }

    /// Lets a call through, refuses it, or lets it find out for all whether the database is there. Such a probe has the
    /// time of the call that makes it: a login over a long distance takes several round trips.
    pub(super) async fn admit(&self, store: &dyn Store, deadline: Instant) -> Result<()> {
        let probe = match self.breaker.admit() {
            Admission::Go => return Ok(()),
            Admission::Refused(error) => return Err(error),
            Admission::Probe(probe) => probe,
        };
        let source = match timeout_at(deadline, store.server_time()).await {
            Ok(Ok(_)) => {
                self.change(|_| probe.succeeded());
                return Ok(());
            }
            Ok(Err(source)) => Some(source),
            Err(_) => None,
        };
        let turn = self.breaker.turn();
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

    /// Notes that the database can be reached.
    pub(super) fn connected(&self) {
        self.change(Breaker::connect);
    }

    /// Notes that the database did what it was asked.
    pub(super) fn answered(&self) {
        if !self.breaker.expects_answers() {
            self.change(Breaker::answered);
        }
    }

    /// Notes that the database answered something, be it an error.
    pub(super) fn heard(&self) {
        self.breaker.heard();
    }

    /// Tells of an error, and draws the conclusion for the store as a whole.
    pub(super) fn failed(&self, error: &Error) {
        self.tell(&Event::Error { error });
        let action = match &self.on_error {
            // A handler's panic is its own affair.
            Some(handler) => {
                catch_unwind(AssertUnwindSafe(|| handler(error))).unwrap_or(ErrorAction::Continue)
            }
            None if error.is_unreachable() => ErrorAction::Disconnect,
            None => {
                if error.kind() == ErrorKind::Unavailable {
                    self.breaker.silent();
                }
                ErrorAction::Continue
            }
        };
        if action == ErrorAction::Disconnect {
            let _turn = self.breaker.turn();
            if self.breaker.disconnect() {
                self.tell_disconnected(error);
            }
        }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            // An observer's panic is its own affair.
            _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }

    fn change(&self, change: impl FnOnce(&Breaker) -> bool) {
        let _turn = self.breaker.turn();
        if change(&self.breaker) {
            tracing::debug!(backend = self.backend, "connected");
            self.tell(&Event::Connected);
        }
    }

    fn tell_disconnected(&self, error: &Error) {
        tracing::warn!(backend = self.backend, %error, "disconnected; work is refused until the database answers");
        self.tell(&Event::Disconnected { error });
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}
