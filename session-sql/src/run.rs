//! What runs a dialect's statements: the border to a client library.

use std::fmt;
use std::pin::Pin;

use session_core::{Error, Result};

use crate::statement::Bound;
use crate::value::Column;

/// Runs statements on the connections of a client library. A dialect is written against this trait, and a driver is this
/// trait and the way to a connection.
///
/// Each call takes a connection for itself. Errors are classified by the dialect, with the database's own code as
/// [`Error::code`].
///
/// ```
/// use session_core::Result;
/// use session_sql::value::Column;
/// use session_sql::{Bound, Run};
/// # #[derive(Debug)]
/// # struct Client;
/// # impl Client {
/// #     async fn query<V>(&self, sql: &str, values: Vec<V>) -> Result<Vec<Row>> { Ok(Vec::new()) }
/// #     async fn change<V>(&self, sql: &str, values: Vec<V>) -> Result<u64> { Ok(0) }
/// # }
///
/// /// A row of the client library's: here, texts and NULLs.
/// type Row = Vec<Option<String>>;
///
/// /// A client library, with its connections. Its errors are classified in `query` and `change`.
/// #[derive(Debug)]
/// struct Yours(Client);
///
/// impl Run for Yours {
///     type Row = Row;
///
///     fn columns<const N: usize, T>(row: &Row, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
///         read(std::array::from_fn(|index| match &row[index] {
///             Some(text) => Column::Text(text.as_bytes()),
///             None => Column::Null,
///         }))
///     }
///
///     async fn read<T: Send>(
///         &self,
///         statement: Bound<'_>,
///         row: impl Fn(&Row) -> T + Copy + Send + Sync,
///     ) -> Result<Vec<T>> {
///         // Again over a new connection, if this one turns out to be closed.
///         let rows = self.0.query(statement.sql(), statement.values().collect()).await?;
///         Ok(rows.iter().map(row).collect())
///     }
///
///     async fn write<T: Send>(
///         &self,
///         statement: Bound<'_>,
///         row: impl Fn(&Row) -> T + Send + Sync,
///     ) -> Result<Vec<T>> {
///         let rows = self.0.query(statement.sql(), statement.values().collect()).await?;
///         Ok(rows.iter().map(row).collect())
///     }
///
///     async fn execute(&self, statement: Bound<'_>) -> Result<u64> {
///         self.0.change(statement.sql(), statement.values().collect()).await
///     }
///
///     async fn script(&self, sql: &str) -> Result<()> {
///         self.0.change(sql, Vec::<session_sql::Value<'_>>::new()).await.map(drop)
///     }
/// }
/// ```
///
/// # Cancel safety
/// A future may be dropped at any await. The statement was then done wholly or not at all, and its connection is never
/// used again.
pub trait Run: fmt::Debug + Send + Sync + 'static {
    /// A row as the client library has it.
    type Row;

    /// True if each error comes with its SQLSTATE or number from the client library. Otherwise it is told by its message,
    /// which is to be in English.
    fn gives_codes(&self) -> bool {
        true
    }

    /// The first columns of a row.
    fn columns<const N: usize, T>(row: &Self::Row, read: impl FnOnce([Column<'_>; N]) -> T) -> T;

    /// Runs a statement that only reads. If its connection turns out to be closed, it is sent over a new one.
    fn read<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&Self::Row) -> T + Copy + Send + Sync,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// Runs a statement that writes and answers with rows, once.
    fn write<T: Send>(
        &self,
        statement: Bound<'_>,
        row: impl Fn(&Self::Row) -> T + Send + Sync,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// Runs a statement that writes, once, and counts the rows that it changed.
    fn execute(&self, statement: Bound<'_>) -> impl Future<Output = Result<u64>> + Send;

    /// Runs statements without values, which are not prepared: in one transaction where the database has such for
    /// changes of a schema.
    fn script(&self, sql: &str) -> impl Future<Output = Result<()>> + Send;
}

/// What a dialect asks for besides, if one of its operations is a transaction of several statements.
pub trait Transact: Run {
    /// Locks rows, decides by them on a change, and makes it, in one transaction: nobody sees anything of it before it
    /// is whole. Only an error of its COMMIT leaves doubt, and that only if there was a change.
    ///
    /// `decide` gives a statement whose values live outside of it: fill a variable of the caller's, and bind that.
    /// It is in a box: it is rare, and the compiler cannot see through its lifetimes otherwise.
    fn lock_then_change<'f, T: Send + 'f, O: Send + 'f>(
        &'f self,
        lock: Bound<'f>,
        row: impl Fn(&Self::Row) -> T + Send + Sync + 'f,
        decide: impl FnOnce(Vec<T>) -> (Option<Bound<'f>>, O) + Send + 'f,
    ) -> Pin<Box<dyn Future<Output = Result<O>> + Send + 'f>>;
}

/// An error, and what it says of the connection that it came from.
#[derive(Debug)]
pub struct Fault {
    /// For the caller.
    pub error: Error,
    /// For the pool.
    pub link: Link,
}

impl Fault {
    /// A fault.
    pub fn new(error: Error, link: Link) -> Fault {
        Fault { error, link }
    }

    /// The error alone, once the connection was seen to.
    pub fn into_error(self) -> Error {
        self.error
    }
}

/// What a fault says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It answered, and can answer again.
    Sound,
    /// It is to be closed, and a new one may do better.
    Unfit,
    /// It is to be closed, and so are the idle ones: the server went away, or is not the one that writes any more.
    Lost,
}
