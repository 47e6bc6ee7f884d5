//! A pool's connections that this crate makes itself: straight over the database's client library, which gives an error's
//! code and shows no bound value, neither of which holds through diesel-async.

use std::fmt;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use session_core::{Error, Result};

use super::alive::Alive;
use super::logins::Logins;

/// A connection of our own.
pub trait Own: Alive {
    /// True if it is known to be closed. Costs nothing.
    fn is_closed(&self) -> bool;
}

/// Makes connections of our own for a pool. Its errors are the contract's.
pub struct Maker<C: Own>(Logins<Maker<C>>);

impl<C: Own> Maker<C> {
    pub(super) fn new(logins: Logins<Maker<C>>) -> Maker<C> {
        Maker(logins)
    }
}

impl<C: Own> Manager for Maker<C> {
    type Type = C;
    type Error = Error;

    async fn create(&self) -> Result<C> {
        self.0.connection().await
    }

    async fn recycle(&self, connection: &mut C, _: &Metrics) -> RecycleResult<Error> {
        match connection.is_closed() {
            true => Err(RecycleError::message("closed while idle")),
            false => Ok(()),
        }
    }
}

impl<C: Own> fmt::Debug for Maker<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maker").finish_non_exhaustive()
    }
}
