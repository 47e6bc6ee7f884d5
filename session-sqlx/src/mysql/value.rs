//! Values as sqlx takes them, and a row as it comes back.

use session_sql::value::Column;
use session_sql::{Bound, Value};
use sqlx::error::BoxDynError;
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{Arguments, Row, TypeInfo, ValueRef};

/// The values of a statement.
pub(super) fn arguments(bound: &Bound<'_>) -> Result<MySqlArguments, BoxDynError> {
    let mut arguments = MySqlArguments::default();
    for value in bound.values() {
        match value {
            Value::Bytes(bytes) => arguments.add(bytes)?,
            Value::Text(text) => arguments.add(text)?,
            Value::Bigint(number) => arguments.add(number)?,
            other => {
                return Err(format!("no statement of MySQL's dialect binds such a value: {other:?}").into());
            }
        }
    }
    Ok(arguments)
}

/// The first columns of a row.
pub(super) fn columns<const N: usize, T>(row: &MySqlRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
    read(std::array::from_fn(|index| column(row, index).unwrap_or(Column::Foreign)))
}

fn column(row: &MySqlRow, index: usize) -> Option<Column<'_>> {
    let value = row.try_get_raw(index).ok()?;
    if value.is_null() {
        return Some(Column::Null);
    }
    let described = value.type_info();
    Some(match described.name() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            Column::Signed(row.try_get_unchecked(index).ok()?)
        }
        name if name.ends_with(" UNSIGNED") => Column::Unsigned(row.try_get_unchecked(index).ok()?),
        "FLOAT" | "DOUBLE" | "TIMESTAMP" | "DATE" | "TIME" | "DATETIME" | "YEAR" | "BIT" | "GEOMETRY" => {
            Column::Foreign
        }
        // The protocol tells text and bytes apart by collation only, and sends decimal numbers as their digits.
        _ => Column::Text(row.try_get_unchecked(index).ok()?),
    })
}
