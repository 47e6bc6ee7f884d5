//! How a login ends: who gets its connection, or its error.

use std::sync::Arc;

use deadpool::managed::Manager;
use tokio::time::Instant;

use super::{Alive, Outcome, Shared};

/// The end of a login, also where its runtime ends before it.
pub(super) struct End<M: Manager + 'static>
where
    M::Type: Alive,
{
    shared: Arc<Shared<M>>,
    number: u64,
    since: Instant,
    outcome: Option<Outcome<M>>,
}

impl<M: Manager + 'static> End<M>
where
    M::Type: Alive,
{
    pub(super) fn of(shared: Arc<Shared<M>>, number: u64, since: Instant) -> End<M> {
        End { shared, number, since, outcome: None }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }

    pub(super) fn with(mut self, outcome: Outcome<M>) {
        self.outcome = Some(outcome);
    }
}

impl<M: Manager + 'static> Drop for End<M>
where
    M::Type: Alive,
{
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let under_way = state.under_way.len();
        state.under_way.retain(|login| login.number != self.number);
        let counted = state.under_way.len() < under_way;
        match self.outcome.take() {
            Some(Ok(connection)) => self.shared.deliver(&mut state, connection),
            // Given up for a newer one.
            None if !counted => {}
            failed => {
                let ended = failed.is_none();
                let error = failed.and_then(Result::err).unwrap_or_else(|| {
                    (self.shared.error)("the runtime of a login was shut down".to_owned())
                });
                state.waiting.retain(|waiting| !waiting.reply.is_closed());
                // Who came later has not seen this one fail.
                if state.waiting.front().is_some_and(|waiting| ended || waiting.since <= self.since) {
                    let waiting = state.waiting.pop_front();
                    if waiting.is_some_and(|waiting| waiting.reply.send(Err(error)).is_ok()) {
                        state.in_delivery += 1;
                    }
                } else if !ended {
                    drop(state);
                    self.shared.begin_for_all();
                }
            }
        }
    }
}
