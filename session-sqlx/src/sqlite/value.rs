//! Values as sqlx takes them, and a row as it comes back.

use session_sql::value::Column;
use session_sql::{Bound, Value};
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Row, TypeInfo, ValueRef};

/// The values of a statement.
pub(super) fn arguments(bound: &Bound<'_>) -> Result<SqliteArguments, BoxDynError> {
    let mut arguments = SqliteArguments::default();
    for value in bound.values() {
        match value {
            Value::Bytes(bytes) => arguments.add(bytes)?,
            Value::Text(text) => arguments.add(text)?,
            Value::Bigint(number) => arguments.add(number)?,
            other => {
                return Err(format!("no statement of SQLite's dialect binds such a value: {other:?}").into());
            }
        }
    }
    Ok(arguments)
}

/// The first columns of a row.
pub(super) fn columns<const N: usize, T>(row: &SqliteRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
    read(std::array::from_fn(|index| column(row, index).unwrap_or(Column::Foreign)))
}

fn column(row: &SqliteRow, index: usize) -> Option<Column<'_>> {
    let value = row.try_get_raw(index).ok()?;
    if value.is_null() {
        return Some(Column::Null);
    }
    // The type of the value, whatever the column's.
    let of = value.type_info();
    Some(match of.name() {
        "INTEGER" => Column::Signed(row.try_get_unchecked(index).ok()?),
        "TEXT" => Column::Text(row.try_get_unchecked(index).ok()?),
        "BLOB" => Column::Bytes(row.try_get_unchecked(index).ok()?),
        _ => Column::Foreign,
    })
}
