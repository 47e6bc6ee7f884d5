//! A statement with its values, as diesel takes it, and a row as it comes back.

use diesel::mysql::{Mysql, MysqlType, MysqlValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::{Field, Row};
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Untyped};
use diesel_async::{AsyncConnectionCore, AsyncMysqlConnection};
use session_core::SessionKey;

use crate::convert::Value;

pub(super) type MysqlRow = <AsyncMysqlConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A statement, complete with its `?`, and the values in their order.
///
/// diesel prepares what it knows by its type alone, or else by its text and the types of its values: the latter is
/// this, as the table's name is known at run time only. Unlike `sql_query` it is prepared once for a connection.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    pub(super) values: &'a [Bind<'a>],
}

/// A value to bind. Its `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub(super) enum Bind<'a> {
    Bytes(&'a [u8]),
    OptionalBytes(Option<&'a [u8]>),
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Bigint(i64),
    OptionalBigint(Option<i64>),
}

impl<'a> Bind<'a> {
    pub(super) fn key(key: &'a SessionKey) -> Bind<'a> {
        Bind::Bytes(key.as_bytes())
    }
}

impl std::fmt::Debug for Bind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl QueryFragment<Mysql> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(self.sql);
        for value in self.values {
            match value {
                Bind::Bytes(value) => out.push_bind_param_value_only::<Binary, _>(*value)?,
                Bind::OptionalBytes(value) => {
                    out.push_bind_param_value_only::<Nullable<Binary>, _>(value)?;
                }
                Bind::Text(value) => out.push_bind_param_value_only::<Text, _>(*value)?,
                Bind::OptionalText(value) => out.push_bind_param_value_only::<Nullable<Text>, _>(value)?,
                Bind::Bigint(value) => out.push_bind_param_value_only::<BigInt, _>(value)?,
                Bind::OptionalBigint(value) => {
                    out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?
                }
            }
        }
        Ok(())
    }
}

impl QueryId for Statement<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

/// The first columns of a row.
pub(super) fn columns<const N: usize, T>(row: &MysqlRow, read: impl FnOnce([Value<'_>; N]) -> T) -> T {
    let fields: [_; N] = std::array::from_fn(|index| row.get(index));
    read(fields.each_ref().map(|field| match field {
        Some(field) => value(field.value()),
        None => Value::Foreign,
    }))
}

fn value(value: Option<MysqlValue<'_>>) -> Value<'_> {
    let Some(value) = value else { return Value::Null };
    let bytes = value.as_bytes();
    match value.value_type() {
        // diesel-async hands every whole number over with 8 bytes, and a text protocol its digits.
        MysqlType::Tiny | MysqlType::Short | MysqlType::Long | MysqlType::LongLong => {
            bytes.try_into().map_or(Value::Bytes(bytes), |bytes| Value::Signed(i64::from_le_bytes(bytes)))
        }
        MysqlType::UnsignedTiny
        | MysqlType::UnsignedShort
        | MysqlType::UnsignedLong
        | MysqlType::UnsignedLongLong => {
            bytes.try_into().map_or(Value::Bytes(bytes), |bytes| Value::Unsigned(u64::from_le_bytes(bytes)))
        }
        MysqlType::Numeric | MysqlType::String | MysqlType::Blob | MysqlType::Enum => Value::Bytes(bytes),
        _ => Value::Foreign,
    }
}
