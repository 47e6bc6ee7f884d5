//! How the server is asked to give up what nobody waits for.

use std::sync::Arc;

use deadpool::managed::Object;
use futures_util::FutureExt;
use session_sql::checkout::{Asking, Cancel, Maker, Own};

/// A connection of our own through which another one's statement can be given up. sqlx has no request of the protocol for
/// it.
pub(crate) trait Cancels: Own {
    /// The server's number of a connection.
    type Number: Copy + Send + Sync + 'static;

    /// The number of this one.
    fn number(&self) -> Self::Number;

    /// Asks the server to give up what another one runs. False if it could not be asked.
    fn cancel(&mut self, number: Self::Number) -> impl Future<Output = bool> + Send;
}

/// Asks over another connection of the pool, as soon as one is free: one more beside them would be a backend beyond the
/// pool's size, just when the server has enough of them.
pub(crate) fn own<C: Cancels>() -> Box<Cancel<Maker<C>>> {
    Box::new(|client: &mut C, pool| {
        let (number, pool) = (client.number(), Arc::new(pool.weak()));
        let ask = Box::new(move || {
            let pool = Arc::clone(&pool);
            async move {
                let Some(pool) = pool.upgrade() else { return false };
                let Ok(object) = pool.get().await else { return false };
                Messenger(Some(object)).cancel(number).await
            }
            .boxed()
        });
        Asking { ask, last: None }
    })
}

/// A connection of the pool, which goes back if it was heard to the end.
struct Messenger<C: Cancels>(Option<Object<Maker<C>>>);

impl<C: Cancels> Messenger<C> {
    async fn cancel(&mut self, number: C::Number) -> bool {
        let Some(client) = &mut self.0 else { return false };
        let cancelled = client.cancel(number).await;
        if cancelled {
            drop(self.0.take());
        }
        cancelled
    }
}

impl<C: Cancels> Drop for Messenger<C> {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}
