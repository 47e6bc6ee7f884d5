//! One statement on a connection. It is prepared once for each.

use std::future::ready;

use rusqlite::{CachedStatement, Connection, Row};
use session_core::Result;
use session_sql::Bound;
use session_sql::sqlite::Step;
use session_sql::value::Column;

use crate::error::{Answer, Failure};
use crate::value;

/// A connection that blocks: a future of it is done when it is made.
pub(crate) struct Blocking<'db>(pub(crate) &'db Connection);

impl Step for Blocking<'_> {
    type Row<'r> = Row<'r>;
    type Error = Failure;

    fn columns<const N: usize, T>(row: &Row<'_>, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
        read(value::columns(row))
    }

    fn all<T: Send>(
        &mut self,
        statement: Bound<'_>,
        read: impl Fn(&Row<'_>) -> Result<T> + Send,
    ) -> impl Future<Output = Answer<Vec<T>>> + Send {
        ready(all(self.0, statement, read))
    }

    fn first<T: Send>(
        &mut self,
        statement: Bound<'_>,
        read: impl Fn(&Row<'_>) -> Result<T> + Send,
    ) -> impl Future<Output = Answer<Option<T>>> + Send {
        ready(first(self.0, statement, read))
    }

    fn execute(&mut self, statement: Bound<'_>) -> impl Future<Output = Answer<u64>> + Send {
        ready(execute(self.0, statement))
    }
}

/// Changes rows, and counts them.
fn execute(db: &Connection, statement: Bound<'_>) -> Answer<u64> {
    let rows = prepare(db, statement)?.raw_execute()?;
    // No machine has more than `u64::MAX`.
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// Reads the first row, if there is one.
fn first<T>(
    db: &Connection,
    statement: Bound<'_>,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Answer<Option<T>> {
    let mut prepared = prepare(db, statement)?;
    let mut rows = prepared.raw_query();
    Ok(rows.next()?.map(read).transpose()?)
}

/// Reads all rows.
fn all<T>(db: &Connection, statement: Bound<'_>, read: impl Fn(&Row<'_>) -> Result<T>) -> Answer<Vec<T>> {
    let mut prepared = prepare(db, statement)?;
    let mut rows = prepared.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn prepare<'db>(db: &'db Connection, statement: Bound<'_>) -> Answer<CachedStatement<'db>> {
    let mut prepared = db.prepare_cached(statement.sql())?;
    for (index, value) in statement.value_refs().enumerate() {
        prepared.raw_bind_parameter(index + 1, value::bound(value)?)?;
    }
    Ok(prepared)
}
