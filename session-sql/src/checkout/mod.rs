//! A pool of connections that a driver makes itself: how they are made, lent, checked and given up.
//!
//! It knows no client library. A driver says how a connection is made ([`Login`]), what one can be asked ([`Alive`],
//! [`Own`]), and how the server is asked to give up a statement ([`Cancel`]).

mod alive;
mod idle;
mod lender;
mod loan;
mod logins;
mod maker;
mod stamp;

use deadpool::managed::{HookError, Pool, PoolError, QueueMode, TimeoutType};
use futures_util::FutureExt;
use session_core::{Error, Result};

pub use self::alive::{Alive, Ask, Asking, Cancel, SignOfLife};
pub use self::lender::Lender;
pub use self::loan::Loan;
use self::logins::Logins;
pub use self::logins::{Login, Outcome};
pub use self::maker::{Maker, Own};
use self::stamp::Stamp;
use crate::{Fault, Limits, Link};

impl<O: Own> Lender<Maker<O>> {
    /// A pool of the connections that `login` makes.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is no runtime.
    pub fn own(
        login: Box<Login<Maker<O>>>,
        size: usize,
        limits: Limits,
        cancel: Box<Cancel<Maker<O>>>,
    ) -> Result<Lender<Maker<O>>> {
        let closed = Stamp::default();
        let error = |what| Error::unavailable(what).with_unreachable().with_in_doubt(false);
        let logins = Logins::<Maker<O>>::new(login, limits, error, closed.clone());
        let pool = Pool::builder(Maker::new(logins.clone()))
            .max_size(size.max(1))
            // The connection used last is the one that both sides still have in their caches.
            .queue_mode(QueueMode::Lifo)
            .pre_recycle(idle::check(limits))
            .build()
            .map_err(|error| {
                Error::invalid_input("the connection pool cannot be built").with_source(error)
            })?;
        logins.serve(&pool);
        Ok(Lender::new(pool, Some(&limits), |connection| connection.sign_of_life().boxed(), cancel, closed))
    }
}

/// Classifies why there is no connection. Nothing was sent yet.
pub fn no_connection<E>(error: PoolError<E>, of_backend: impl FnOnce(E) -> Error) -> Error {
    let error = match error {
        PoolError::Timeout(TimeoutType::Wait) => no_place(),
        PoolError::Timeout(_) => Error::unavailable("no connection could be made in the pool's time"),
        PoolError::Closed => closed(),
        PoolError::NoRuntimeSpecified => {
            Error::invalid_input("the pool has time-outs and no runtime; build it with `Runtime::Tokio1`")
        }
        PoolError::PostCreateHook(HookError::Backend(error)) => of_backend(error),
        PoolError::PostCreateHook(_) => Error::unavailable("the pool's hook refused a new connection"),
        PoolError::Backend(error) => of_backend(error),
    };
    error.with_in_doubt(false)
}

/// What is said where a pool lends none of its connections in time.
pub fn no_place() -> Error {
    Error::unavailable(
        "no connection came free in the pool's time; make the pool larger, or look for calls that never end",
    )
}

/// What is said of a pool that lends nothing any more.
pub fn closed() -> Error {
    Error::unavailable("the connection pool is closed; build the store anew")
}

/// What a call came to whose connection is lost. If it is in doubt, this one connection broke under it: that the database
/// is not there is for the next login to say, and no reason to refuse work.
pub fn of_lost(fault: Fault) -> Fault {
    let broke = fault.link == Link::Lost && fault.error.is_in_doubt();
    let error = if broke { fault.error.of_one_connection() } else { fault.error };
    Fault::new(error, fault.link)
}

/// What a builder has to have: one database.
///
/// # Errors
/// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if there is none, or two.
pub fn one_database<P, U>(pool: Option<P>, url: Option<U>) -> Result<Result<P, U>> {
    match (pool, url) {
        (Some(pool), None) => Ok(Ok(pool)),
        (None, Some(url)) => Ok(Err(url)),
        (None, None) => {
            Err(Error::invalid_input("there is no database to use; give the builder a URL or a pool"))
        }
        (Some(_), Some(_)) => {
            Err(Error::invalid_input("there are two databases to use; give a URL or a pool, not both"))
        }
    }
}
