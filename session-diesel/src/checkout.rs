//! A connection on loan from a pool.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{Hook, HookError, Manager, Object, Pool, PoolError};
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;

use crate::statements::SIGN_OF_LIFE;

type Diesel<C> = AsyncDieselConnectionManager<C>;

/// A connection on loan from a pool.
///
/// It goes back by [`give_back`](Checkout::give_back) alone. Dropped before that, by a cancelled future or after a
/// fault of the connection, it is closed, so that nobody ever meets the rest of an answer.
pub(crate) struct Checkout<C>
where
    Diesel<C>: Manager<Type = C>,
{
    // Some until it is given back or dropped.
    object: Option<Object<Diesel<C>>>,
}

impl<C> Checkout<C>
where
    Diesel<C>: Manager<Type = C>,
{
    pub(crate) async fn from(
        pool: &Pool<Diesel<C>>,
    ) -> Result<Checkout<C>, PoolError<<Diesel<C> as Manager>::Error>> {
        Ok(Checkout { object: Some(pool.get().await?) })
    }

    /// True if the connection served an earlier call, and so may have been closed by the server since.
    pub(crate) fn is_reused(&self) -> bool {
        self.object.as_ref().is_some_and(|object| Object::metrics(object).recycle_count > 0)
    }

    /// Gives the connection back: its last answer was read to the end.
    pub(crate) fn give_back(mut self) {
        drop(self.object.take());
    }
}

/// Asks a connection that was idle for long for a sign of life before it is lent again: servers, proxies and firewalls
/// close such connections, and a write over a closed one ends in doubt.
pub(crate) fn idle_check<C>() -> Hook<Diesel<C>>
where
    C: SimpleAsyncConnection + Send + 'static,
    Diesel<C>: Manager<Type = C>,
{
    const IDLE: Duration = Duration::from_secs(60);
    Hook::async_fn(|connection: &mut C, metrics| {
        Box::pin(async move {
            if metrics.last_used() < IDLE {
                return Ok(());
            }
            connection.batch_execute(SIGN_OF_LIFE).await.map_err(|_| HookError::message("closed while idle"))
        })
    })
}

/// Closes the connections that nobody uses: after a fault of one they are likely to have it too.
pub(crate) fn forget_idle<C>(pool: &Pool<Diesel<C>>)
where
    Diesel<C>: Manager<Type = C>,
{
    drop(pool.retain(|_, _| false));
}

impl<C> Deref for Checkout<C>
where
    Diesel<C>: Manager<Type = C>,
{
    type Target = C;

    fn deref(&self) -> &C {
        self.object.as_ref().expect("it is there until it is given back")
    }
}

impl<C> DerefMut for Checkout<C>
where
    Diesel<C>: Manager<Type = C>,
{
    fn deref_mut(&mut self) -> &mut C {
        self.object.as_mut().expect("it is there until it is given back")
    }
}

impl<C> Drop for Checkout<C>
where
    Diesel<C>: Manager<Type = C>,
{
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}
