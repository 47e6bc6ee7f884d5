//! One statement on a connection: the border to a client library.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use session_core::{Error, Result};

use crate::Bound;
use crate::value::Column;

/// What came of a statement, or of an operation.
pub type Answer<T, S> = Result<T, <S as Step>::Error>;

/// Runs statements on one open connection, each prepared once for it.
///
/// # Cancel safety
/// A future that is dropped leaves its transaction open: the connection is to be closed.
pub trait Step {
    /// A row as the client library has it.
    type Row<'r>;
    /// The client library's error, or one of ours.
    type Error: From<Error> + Send;

    /// The first columns of a row.
    fn columns<const N: usize, T>(row: &Self::Row<'_>, read: impl FnOnce([Column<'_>; N]) -> T) -> T;

    /// Reads all rows.
    fn all<T: Send>(
        &mut self,
        statement: Bound<'_>,
        read: impl Fn(&Self::Row<'_>) -> Result<T> + Send,
    ) -> impl Future<Output = Answer<Vec<T>, Self>> + Send;

    /// Reads the first row, if there is one.
    fn first<T: Send>(
        &mut self,
        statement: Bound<'_>,
        read: impl Fn(&Self::Row<'_>) -> Result<T> + Send,
    ) -> impl Future<Output = Answer<Option<T>, Self>> + Send;

    /// Changes rows, and counts them.
    fn execute(&mut self, statement: Bound<'_>) -> impl Future<Output = Answer<u64, Self>> + Send;
}

/// What came of a future that never waits: an operation over a client library that blocks.
///
/// # Panics
/// If it waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a client library that blocks has made a future that waits"),
    }
}
