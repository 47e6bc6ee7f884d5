//! A statement with its values, as diesel takes it.

use std::fmt;

use diesel::query_builder::{Query, QueryId};
use diesel::sql_types::Untyped;
use session_sql::{Bound, Value};

/// A bound value, of a type to which the client libraries' traits can be given. Its `Debug`, which tokio-postgres logs and
/// diesel hands to an application's instrumentation, shows nothing of it, as that of [`Value`] does not.
#[derive(Clone, Copy)]
pub(crate) struct Hidden<'a>(pub(crate) &'a Value<'a>);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A statement with its values, for diesel.
///
/// diesel prepares what it knows by its type alone, or else by its text and the types of its values: the latter is
/// this, as the table's name is known at run time only. Unlike `sql_query` it is prepared once for a connection.
pub(crate) struct Sendable<'a> {
    bound: Bound<'a>,
    values: Vec<Hidden<'a>>,
}

impl<'a> Sendable<'a> {
    pub(crate) fn new(bound: Bound<'a>) -> Sendable<'a> {
        Sendable { bound, values: bound.value_refs().map(Hidden).collect() }
    }

    pub(crate) fn sql(&self) -> &str {
        self.bound.sql()
    }

    pub(crate) fn values(&self) -> &[Hidden<'a>] {
        &self.values
    }
}

impl QueryId for Sendable<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sendable<'_> {
    type SqlType = Untyped;
}

/// How a hidden value is sent to one of diesel's backends.
macro_rules! as_diesel_s {
    ($backend:ty; $($of:ty: $variant:ident as $taken:ty),* $(,)?) => {$(
        impl diesel::serialize::ToSql<$of, $backend> for Hidden<'_> {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, $backend>,
            ) -> diesel::serialize::Result {
                match self.0 {
                    Value::$variant(value) => {
                        <$taken as diesel::serialize::ToSql<$of, $backend>>::to_sql(value, out)
                    }
                    _ => Err("a value of another type".into()),
                }
            }
        }
    )*};
}

pub(crate) use as_diesel_s;
