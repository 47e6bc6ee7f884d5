//! Values as diesel takes them, and a row as it comes back.

use diesel::mysql::{Mysql, MysqlType, MysqlValue};
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::{Error, QueryResult};
use diesel::row::{Field, Row};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel_async::{AsyncConnectionCore, AsyncMysqlConnection};
use mysql_async::consts::ColumnType;
use session_sql::Value;
use session_sql::value::Column;

use crate::sendable::{Hidden, Sendable, as_diesel_s};

/// A row of each kind of connection.
pub(super) enum MysqlRow {
    Own(mysql_async::Row),
    Given(<AsyncMysqlConnection as AsyncConnectionCore>::Row<'static, 'static>),
}

as_diesel_s! { Mysql;
    Nullable<Binary>: Bytes as Option<&[u8]>,
    Nullable<Text>: Text as Option<&str>,
    Nullable<BigInt>: Bigint as Option<i64>,
}

impl QueryFragment<Mysql> for Sendable<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(self.sql());
        for value in self.values() {
            match value.0 {
                Value::Bytes(_) => out.push_bind_param_value_only::<Nullable<Binary>, _>(value)?,
                Value::Text(_) => out.push_bind_param_value_only::<Nullable<Text>, _>(value)?,
                Value::Bigint(_) => out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?,
                other => {
                    let what = format!("no statement of MySQL's dialect binds such a value: {other:?}");
                    return Err(Error::QueryBuilderError(what.into()));
                }
            }
        }
        Ok(())
    }
}

/// The first columns of a row.
pub(super) fn columns<const N: usize, T>(row: &MysqlRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
    match row {
        MysqlRow::Own(row) => read(std::array::from_fn(|index| own_column(row, index))),
        MysqlRow::Given(row) => {
            let fields: [_; N] = std::array::from_fn(|index| row.get(index));
            read(fields.each_ref().map(|field| match field {
                Some(field) => column(field.value()),
                None => Column::Foreign,
            }))
        }
    }
}

fn own_column(row: &mysql_async::Row, index: usize) -> Column<'_> {
    use mysql_async::Value;

    let foreign = [ColumnType::MYSQL_TYPE_BIT, ColumnType::MYSQL_TYPE_GEOMETRY];
    let described = row.columns_ref().get(index);
    match row.as_ref(index) {
        Some(Value::NULL) => Column::Null,
        Some(Value::Int(number)) => Column::Signed(*number),
        Some(Value::UInt(number)) => Column::Unsigned(*number),
        // The protocol tells text and bytes apart by collation only, and sends decimal numbers as their digits.
        Some(Value::Bytes(bytes)) if described.is_some_and(|it| !foreign.contains(&it.column_type())) => {
            Column::Text(bytes)
        }
        _ => Column::Foreign,
    }
}

fn column(value: Option<MysqlValue<'_>>) -> Column<'_> {
    let Some(value) = value else { return Column::Null };
    let bytes = value.as_bytes();
    match value.value_type() {
        // diesel-async hands every whole number over with 8 bytes, and a text protocol its digits.
        MysqlType::Tiny | MysqlType::Short | MysqlType::Long | MysqlType::LongLong => {
            bytes.try_into().map_or(Column::Text(bytes), |bytes| Column::Signed(i64::from_le_bytes(bytes)))
        }
        MysqlType::UnsignedTiny
        | MysqlType::UnsignedShort
        | MysqlType::UnsignedLong
        | MysqlType::UnsignedLongLong => {
            bytes.try_into().map_or(Column::Text(bytes), |bytes| Column::Unsigned(u64::from_le_bytes(bytes)))
        }
        // The protocol tells text and bytes apart by collation only, which does not get here.
        MysqlType::Numeric | MysqlType::String | MysqlType::Blob | MysqlType::Enum => Column::Text(bytes),
        _ => Column::Foreign,
    }
}
