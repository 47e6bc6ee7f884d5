//! Connections: how they are made, lent, checked and given up.

use std::fmt;

use deadpool::managed::{Manager, Pool};
use diesel::ConnectionError;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolError as DieselPoolError};
use futures_util::future::BoxFuture;
use session_core::{Error, Result};
pub(crate) use session_sql::checkout::{
    Alive, Asking, Cancel, Maker, Own, SignOfLife, of_lost, one_database,
};
use session_sql::checkout::{Lender, Loan, no_connection};
use session_sql::{Fault, Limits};

/// diesel-async's pool, which makes a connection of its own kind.
pub(crate) type Diesel<D> = AsyncDieselConnectionManager<D>;

/// Where connections come from: `O` is a connection of our own, `D` one of diesel-async.
pub(crate) enum Pools<O: Own, D>
where
    D: Send + 'static,
    Diesel<D>: Manager<Type = D, Error = DieselPoolError>,
{
    /// Made from a URL.
    Own(Lender<Maker<O>>),
    /// The application's.
    Given(Lender<Diesel<D>>),
}

impl<O: Own, D> Pools<O, D>
where
    D: Send + 'static,
    Diesel<D>: Manager<Type = D, Error = DieselPoolError>,
{
    /// A pool of the connections that `login` makes.
    pub(crate) fn own(
        login: impl Fn() -> BoxFuture<'static, Result<O>> + Send + Sync + 'static,
        size: usize,
        limits: Limits,
        cancel: Box<Cancel<Maker<O>>>,
    ) -> Result<Pools<O, D>> {
        Lender::own(Box::new(login), size, limits, cancel).map(Pools::Own)
    }

    /// The application's pool.
    pub(crate) fn given(
        pool: Pool<Diesel<D>>,
        alive: SignOfLife<D>,
        cancel: Box<Cancel<Diesel<D>>>,
    ) -> Pools<O, D> {
        Pools::Given(Lender::given(pool, alive, cancel))
    }

    /// True if the connections are our own.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Pools::Own(_))
    }

    /// Takes a connection. `of_connecting` and `of_query` classify what diesel says of one.
    pub(crate) async fn get(
        &self,
        of_connecting: impl FnOnce(ConnectionError) -> Error,
        of_query: impl FnOnce(diesel::result::Error) -> Fault,
    ) -> Result<Checkout<'_, O, D>> {
        match self {
            Pools::Own(lender) => {
                let taken = lender.checkout().await;
                taken.map(Checkout::Own).map_err(|error| no_connection(error, |error| error))
            }
            Pools::Given(lender) => {
                let taken = lender.checkout().await;
                taken.map(Checkout::Given).map_err(|error| {
                    no_connection(error, |error| match error {
                        DieselPoolError::ConnectionError(error) => of_connecting(error),
                        DieselPoolError::QueryError(error) => of_query(error).into_error(),
                    })
                })
            }
        }
    }

    /// Closes the connections that nobody uses: after a fault of one they are likely to have it too.
    pub(crate) fn forget_idle(&self) {
        match self {
            Pools::Own(lender) => lender.forget_idle(),
            Pools::Given(lender) => lender.forget_idle(),
        }
    }
}

impl<O: Own, D> fmt::Debug for Pools<O, D>
where
    D: Send + 'static,
    Diesel<D>: Manager<Type = D, Error = DieselPoolError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pools::Own(lender) => f.debug_tuple("Own").field(lender).finish(),
            Pools::Given(lender) => f.debug_tuple("Given").field(lender).finish(),
        }
    }
}

/// A connection on loan from one of the pools.
pub(crate) enum Checkout<'a, O: Own, D>
where
    D: Send + 'static,
    Diesel<D>: Manager<Type = D, Error = DieselPoolError>,
{
    Own(Loan<'a, Maker<O>>),
    Given(Loan<'a, Diesel<D>>),
}

impl<O: Own, D> Checkout<'_, O, D>
where
    D: Send + 'static,
    Diesel<D>: Manager<Type = D, Error = DieselPoolError>,
{
    /// True if the connection served an earlier call, and so may have been closed by the server since.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Checkout::Own(loan) => loan.is_reused(),
            Checkout::Given(loan) => loan.is_reused(),
        }
    }

    /// Gives the connection back: its last answer was read to the end.
    pub(crate) fn give_back(self) {
        match self {
            Checkout::Own(loan) => loan.give_back(),
            Checkout::Given(loan) => loan.give_back(),
        }
    }

    /// Closes the connection: the server has answered, or has gone away.
    pub(crate) fn close(self) {
        match self {
            Checkout::Own(loan) => loan.close(),
            Checkout::Given(loan) => loan.close(),
        }
    }
}
