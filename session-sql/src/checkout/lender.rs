//! A pool, and what is known of all of its connections.

use std::fmt;
use std::time::Duration;

use deadpool::managed::{Manager, Pool, PoolError};

use super::alive::{Cancel, SignOfLife};
use super::loan::{Loan, Terms};
use super::stamp::Stamp;
use crate::Limits;

/// A pool that lends connections.
pub struct Lender<M: Manager + 'static> {
    pool: Pool<M>,
    terms: Terms<M>,
    /// How long a connection may be idle, if the pool is our own.
    idle: Option<Duration>,
    /// When connections that are too old were last looked for.
    swept: Stamp,
}

impl<M: Manager + 'static> Lender<M> {
    /// `limits` are those of a pool of our own.
    pub(super) fn new(
        pool: Pool<M>,
        limits: Option<&Limits>,
        alive: SignOfLife<M::Type>,
        cancel: Box<Cancel<M>>,
        closed: Stamp,
    ) -> Lender<M> {
        let abandoned = limits.map_or_else(|| Limits::default().abandoned(), Limits::abandoned);
        let idle = limits.and_then(|limits| limits.idle);
        let terms = Terms { pool: pool.clone(), abandoned, alive, cancel, closed };
        Lender { pool, terms, idle, swept: Stamp::default() }
    }

    /// The application's pool.
    pub fn given(pool: Pool<M>, alive: SignOfLife<M::Type>, cancel: Box<Cancel<M>>) -> Lender<M> {
        Lender::new(pool, None, alive, cancel, Stamp::default())
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// Those of the pool.
    ///
    /// # Cancel safety
    /// Nothing is taken; a login goes on.
    pub async fn checkout(&self) -> Result<Loan<'_, M>, PoolError<M::Error>> {
        self.sweep();
        Ok(Loan::new(self.pool.get().await?, &self.terms))
    }

    /// Closes the connections that nobody uses: after a fault of one they are likely to have it too.
    pub fn forget_idle(&self) {
        drop(self.pool.retain(|_, _| false));
    }

    /// Closes those that were idle for too long, now and then.
    fn sweep(&self) {
        let Some(idle) = self.idle else { return };
        if self.swept.elapsed() > idle / 4 {
            self.swept.set();
            drop(self.pool.retain(|_, metrics| metrics.last_used() < idle));
        }
    }
}

impl<M: Manager + 'static> fmt::Debug for Lender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lender").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}
