//! What is asked of a connection besides statements.

use std::fmt;

use deadpool::managed::{Manager, Pool};
use futures_util::future::BoxFuture;

/// A connection that can be asked.
pub trait Alive: Send + 'static {
    /// Asks the server whether anybody is there. False if nobody is.
    fn sign_of_life(&mut self) -> impl Future<Output = bool> + Send;
}

/// The same as a function, for a connection whose type is another crate's.
pub type SignOfLife<C> = for<'a> fn(&'a mut C) -> BoxFuture<'a, bool>;

/// Asks the server, as often as it is called, to give up what one connection runs. False if it could not be asked.
pub type Ask = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The ways of asking so for one connection.
pub struct Asking {
    /// Asked as often as it may help.
    pub ask: Ask,
    /// By a connection of its own, where asking did not help in time. Asked once.
    pub last: Option<Ask>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("last", &self.last.is_some()).finish_non_exhaustive()
    }
}

/// What can ask so for a connection of a pool.
pub type Cancel<M> = dyn Fn(&mut <M as Manager>::Type, &Pool<M>) -> Asking + Send + Sync;
