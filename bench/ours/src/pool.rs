//! A pool as simple as can be: for the bare drivers.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Connections that callers take and give back. Waiting callers are served in order.
pub(crate) struct Pool<C> {
    idle: Mutex<Vec<C>>,
    free: Semaphore,
}

/// A connection that goes back when this is dropped.
pub(crate) struct Lent<'a, C> {
    connection: Option<C>,
    pool: &'a Pool<C>,
    _permit: SemaphorePermit<'a>,
}

impl<C> Pool<C> {
    pub(crate) fn new(connections: Vec<C>) -> Pool<C> {
        Pool { free: Semaphore::new(connections.len()), idle: Mutex::new(connections) }
    }

    pub(crate) async fn get(&self) -> harness::Result<Lent<'_, C>> {
        let permit = self.free.acquire().await?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Lent { connection, pool: self, _permit: permit })
    }
}

impl<C> Deref for Lent<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.connection.as_ref().expect("there is a connection for each permit")
    }
}

impl<C> DerefMut for Lent<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect("there is a connection for each permit")
    }
}

impl<C> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}
