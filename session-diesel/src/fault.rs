//! What a fault says of the call and of its connection, and what becomes of a call that gets no connection.

use deadpool::managed::{PoolError, TimeoutType};
use diesel::ConnectionError;
use diesel_async::pooled_connection::PoolError as DieselPoolError;
use session_core::Error;

/// An error, and what to do with the connection that it came from.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: Error,
    pub(crate) connection: Connection,
}

impl Fault {
    pub(crate) fn with_backend(self, backend: &'static str) -> Fault {
        Fault { error: self.error.with_backend(backend), ..self }
    }

    pub(crate) fn into_error(self) -> Error {
        self.error
    }
}

/// What a fault says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It answered, and can answer again.
    Sound,
    /// It is to be closed, and a new one may do better.
    Unfit,
    /// It is to be closed, and so are the idle ones: the server went away, or is not the one that writes any more.
    Lost,
}

/// Classifies why there is no connection, with the dialect's own classes for what the server or its client say. Nothing
/// was sent yet.
pub(crate) fn of_pool(
    error: PoolError<DieselPoolError>,
    of_connecting: impl FnOnce(ConnectionError) -> Error,
    of_query: impl FnOnce(diesel::result::Error) -> Fault,
) -> Error {
    let error = match error {
        PoolError::Timeout(TimeoutType::Wait) => Error::unavailable(
            "no connection came free in the pool's time; make the pool larger, or look for calls that never end",
        ),
        PoolError::Timeout(_) => Error::unavailable("no connection could be made in the pool's time"),
        PoolError::Closed => Error::unavailable("the connection pool is closed; build the store anew"),
        PoolError::NoRuntimeSpecified => {
            Error::invalid_input("the pool has time-outs and no runtime; build it with `Runtime::Tokio1`")
        }
        PoolError::PostCreateHook(error) => {
            Error::unavailable("the pool's hook refused a new connection").with_source(error)
        }
        PoolError::Backend(DieselPoolError::ConnectionError(error)) => of_connecting(error),
        PoolError::Backend(DieselPoolError::QueryError(error)) => of_query(error).error,
    };
    error.with_indeterminate(false)
}
