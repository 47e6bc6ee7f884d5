//! Values as sqlx takes them, and a row as it comes back.

use session_sql::postgres::wire;
use session_sql::value::Column;
use session_sql::{Bound, Value};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Row, ValueRef};

/// The values of a statement, each with its type, also if it is NULL.
pub(super) fn arguments(bound: &Bound<'_>) -> Result<PgArguments, BoxDynError> {
    let mut arguments = PgArguments::default();
    for value in bound.values() {
        match value {
            Value::Bytes(bytes) => arguments.add(bytes)?,
            Value::Text(text) => arguments.add(text)?,
            Value::Bigint(number) => arguments.add(number)?,
            Value::BytesArray(values) => arguments.add(values)?,
            Value::TextArray(values) => arguments.add(values)?,
            Value::BigintArray(values) => arguments.add(values)?,
            other => {
                return Err(format!("no statement of Postgres' dialect binds such a value: {other:?}").into());
            }
        }
    }
    Ok(arguments)
}

/// The first columns of a row.
pub(super) fn columns<const N: usize, T>(row: &PgRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
    read(std::array::from_fn(|index| match row.try_get_raw(index) {
        Ok(value) if value.is_null() => Column::Null,
        Ok(value) => match (value.type_info().oid(), value.as_bytes()) {
            (Some(oid), Ok(bytes)) => wire::column(oid.0, bytes),
            _ => Column::Foreign,
        },
        Err(_) => Column::Foreign,
    }))
}
