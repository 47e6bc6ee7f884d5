//! A connection on loan from a pool.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{Hook, HookError, Manager, Object, Pool, PoolError, QueueMode};
use diesel::ConnectionResult;
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError as DieselPoolError, PoolableConnection,
    RecyclingMethod,
};
use futures_util::future::BoxFuture;
use session_core::{Error, Result};

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

/// The pool that a builder was given, or one of the connections that its URL names.
pub(crate) fn pool_of<C, F>(
    pool: Option<Pool<Diesel<C>>>,
    url: Option<String>,
    size: usize,
    connect: impl FnOnce(&str) -> Result<F>,
) -> Result<Pool<Diesel<C>>>
where
    C: PoolableConnection + SimpleAsyncConnection + Send + 'static,
    Diesel<C>: Manager<Type = C, Error = DieselPoolError>,
    F: Fn() -> BoxFuture<'static, ConnectionResult<C>> + Send + Sync + 'static,
{
    let url = match (pool, url) {
        (Some(pool), None) => return Ok(pool),
        (None, Some(url)) => url,
        (None, None) => {
            return Err(Error::invalid_input(
                "there is no database to use; give the builder a URL or a pool",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid_input(
                "there are two databases to use; give a URL or a pool, not both",
            ));
        }
    };
    let connect = connect(&url)?;
    let mut config = ManagerConfig::default();
    // The default asks for a sign of life before each statement.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| connect());
    // The URL stays with `connect`: nothing of it can be printed by the pool.
    Pool::builder(Diesel::new_with_config("", config))
        .max_size(size.max(1))
        // The connection used last is the one that both sides still have in their caches.
        .queue_mode(QueueMode::Lifo)
        .pre_recycle(idle_check())
        .build()
        .map_err(|error| Error::invalid_input("the connection pool cannot be built").with_source(error))
}

/// Asks a connection that was idle for long for a sign of life before it is lent again: servers, proxies and firewalls
/// close such connections, and a write over a closed one ends in doubt.
fn idle_check<C>() -> Hook<Diesel<C>>
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
