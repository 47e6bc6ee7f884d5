//! Connections: how they are made, lent and given up, of a pool of our own and of the application's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use session_core::{Error, Result};
use session_sql::checkout::{Lender, Loan, Maker, Own, closed, no_connection, no_place};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Pool};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::transaction::{Held, Lent};

/// Where connections come from: `O` is a connection of our own.
pub(crate) enum Pools<O: Own, D: Database> {
    /// Made from a URL.
    Own(Lender<Maker<O>>),
    /// The application's.
    Given(Pool<D>),
    /// One connection, with a transaction of the application's.
    Within(Lent<D>),
}

impl<O: Own, D: Database> Pools<O, D> {
    /// True if the connections are our own.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Pools::Own(_))
    }

    /// True if there is a transaction around all that is done.
    pub(crate) fn is_within(&self) -> bool {
        matches!(self, Pools::Within(_))
    }

    /// Takes a connection. `of_connecting` classifies why sqlx's pool has none.
    pub(crate) async fn get(
        &self,
        of_connecting: impl FnOnce(sqlx::Error) -> Error,
    ) -> Result<Checkout<'_, O, D>> {
        match self {
            Pools::Own(lender) => {
                let taken = lender.checkout().await;
                taken.map(Checkout::Own).map_err(|error| no_connection(error, |error| error))
            }
            Pools::Within(lent) => lent.hold().await.map(Checkout::Within),
            Pools::Given(pool) => match pool.acquire().await {
                Ok(connection) => Ok(Checkout::Given(Borrowed(Some(connection)))),
                Err(error) => Err(match error {
                    // Also of a server that refuses connections, which sqlx's pool asks until its time has passed.
                    sqlx::Error::PoolTimedOut => no_place(),
                    sqlx::Error::PoolClosed => closed(),
                    error => of_connecting(error),
                }
                .with_in_doubt(false)),
            },
        }
    }

    /// Closes the connections of our own that nobody uses: after a fault of one they are likely to have it too.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) fn forget_idle(&self) {
        if let Pools::Own(lender) = self {
            lender.forget_idle();
        }
    }
}

impl<O: Own, D: Database> fmt::Debug for Pools<O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pools::Own(lender) => f.debug_tuple("Own").field(lender).finish(),
            Pools::Given(pool) => f.debug_tuple("Given").field(&pool.size()).finish(),
            Pools::Within(_) => f.write_str("Within"),
        }
    }
}

/// A connection on loan from one of the pools.
pub(crate) enum Checkout<'a, O: Own, D: Database> {
    Own(Loan<'a, Maker<O>>),
    Given(Borrowed<D>),
    Within(Held<D>),
}

impl<O: Own, D: Database> Checkout<'_, O, D> {
    /// True if the connection served an earlier call, and so may have been closed by the server since; never if another one
    /// cannot do in its stead.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Checkout::Own(loan) => loan.is_reused(),
            // sqlx does not say.
            Checkout::Given(_) => true,
            Checkout::Within(_) => false,
        }
    }

    /// Gives the connection back: its last answer was read to the end.
    pub(crate) fn give_back(self) {
        match self {
            Checkout::Own(loan) => loan.give_back(),
            Checkout::Given(mut borrowed) => drop(borrowed.0.take()),
            Checkout::Within(held) => held.give_back(),
        }
    }

    /// Closes the connection: the server has answered, or has gone away.
    pub(crate) fn close(self) {
        match self {
            Checkout::Own(loan) => loan.close(),
            Checkout::Given(mut borrowed) => borrowed.close(),
            // As it is dropped.
            Checkout::Within(_) => {}
        }
    }
}

/// A connection on loan from the application's pool, of which the answer is read to the end or not at all.
///
/// It goes back by [`Checkout::give_back`] alone. Dropped by a cancelled future, it keeps its place in the pool until the
/// server has let go of it, and is then closed.
pub(crate) struct Borrowed<D: Database>(Option<PoolConnection<D>>);

impl<D: Database> Borrowed<D> {
    /// Closes it at once, and frees its place.
    fn close(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl<D: Database> Deref for Borrowed<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        self.0.as_ref().expect("it is there until it is given back")
    }
}

impl<D: Database> DerefMut for Borrowed<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        self.0.as_mut().expect("it is there until it is given back")
    }
}

impl<D: Database> Drop for Borrowed<D> {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return self.close() };
        let Some(connection) = self.0.take() else { return };
        runtime.spawn(async move {
            let mut abandoned = Borrowed(Some(connection));
            if let Some(connection) = &mut abandoned.0 {
                // Whatever is answered, it is answered behind what was abandoned.
                _ = timeout(PATIENCE, connection.ping()).await;
            }
            abandoned.close();
        });
    }
}

/// A connection that was idle for longer proves itself before it is lent.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) const CHECK_AFTER: Duration = Duration::from_millis(100);

/// How long a server may still work for a caller who has gone away.
const PATIENCE: Duration = Duration::from_millis(5500);
