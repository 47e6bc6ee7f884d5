//! Values as SQLite holds them, to and from those of a statement.

use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, ValueRef};
use session_sql::Value;
use session_sql::value::Column;

/// A value to bind, which SQLite copies.
pub(crate) fn bound<'a>(value: &Value<'a>) -> rusqlite::Result<ToSqlOutput<'a>> {
    let value = match *value {
        Value::Bytes(bytes) => bytes.map(ValueRef::Blob),
        Value::Text(text) => text.map(|text| ValueRef::Text(text.as_bytes())),
        Value::Bigint(number) => number.map(ValueRef::Integer),
        other => {
            let what = format!("no statement of SQLite's binds such a value: {other:?}");
            return Err(rusqlite::Error::ToSqlConversionFailure(what.into()));
        }
    };
    Ok(ToSqlOutput::Borrowed(value.unwrap_or(ValueRef::Null)))
}

/// The first columns of a row.
pub(crate) fn columns<'row, const N: usize>(row: &'row Row<'_>) -> [Column<'row>; N] {
    std::array::from_fn(|index| match row.get_ref(index) {
        Ok(ValueRef::Null) => Column::Null,
        Ok(ValueRef::Integer(number)) => Column::Signed(number),
        Ok(ValueRef::Text(bytes)) => Column::Text(bytes),
        Ok(ValueRef::Blob(bytes)) => Column::Bytes(bytes),
        Ok(ValueRef::Real(_)) | Err(_) => Column::Foreign,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn each_kind_of_value_is_bound_as_what_it_is() {
        let db = Connection::open_in_memory().unwrap();
        let kinds = [
            (Value::Bytes(Some(b"\xff")), "blob"),
            (Value::Text(Some("a")), "text"),
            (Value::Bigint(Some(i64::MIN)), "integer"),
            (Value::Bytes(None), "null"),
            (Value::Text(None), "null"),
            (Value::Bigint(None), "null"),
        ];
        for (value, kind) in kinds {
            let found: String =
                db.query_row("SELECT typeof(?1)", [bound(&value).unwrap()], |row| row.get(0)).unwrap();
            assert_eq!(found, kind);
        }
        assert!(bound(&Value::BigintArray(&[])).is_err());
    }

    #[test]
    fn a_column_that_a_row_lacks_is_foreign() {
        let db = Connection::open_in_memory().unwrap();
        db.query_row("SELECT 1, 1.5, NULL", [], |row| {
            let found = columns::<4>(row);
            assert!(matches!(found, [Column::Signed(1), Column::Foreign, Column::Null, Column::Foreign]));
            Ok(())
        })
        .unwrap();
    }
}
