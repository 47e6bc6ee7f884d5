//! Who waits for a login.

use std::sync::Arc;

use deadpool::managed::Manager;
use tokio::sync::oneshot;

use super::{Alive, Outcome, Shared};

/// A caller who waits for a login. What comes when it has gone is for the next one.
pub(super) struct Waiter<M: Manager + 'static>
where
    M::Type: Alive,
{
    shared: Arc<Shared<M>>,
    outcome: oneshot::Receiver<Outcome<M>>,
    taken: bool,
}

impl<M: Manager + 'static> Waiter<M>
where
    M::Type: Alive,
{
    pub(super) fn new(shared: Arc<Shared<M>>, outcome: oneshot::Receiver<Outcome<M>>) -> Waiter<M> {
        Waiter { shared, outcome, taken: false }
    }

    pub(super) async fn reply(&mut self) -> Outcome<M> {
        let outcome = (&mut self.outcome).await;
        self.taken = true;
        match outcome {
            Ok(outcome) => {
                self.shared.state().in_delivery -= 1;
                outcome
            }
            Err(_) => Err((self.shared.error)("the login was given up".to_owned())),
        }
    }
}

impl<M: Manager + 'static> Drop for Waiter<M>
where
    M::Type: Alive,
{
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        self.outcome.close();
        if let Ok(outcome) = self.outcome.try_recv() {
            let mut state = self.shared.state();
            state.in_delivery -= 1;
            if let Ok(connection) = outcome {
                self.shared.deliver(&mut state, connection);
            }
        }
    }
}
