//! A statement with its values, as diesel takes it, and a row as it comes back.

use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::{Field, Row};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text, Untyped};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use session_core::{KeyFormat, SessionKey};

use crate::convert::Value;

pub(super) type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A statement, complete with its `$n`, and the values in their order.
///
/// diesel prepares what it knows by its type alone, or else by its text and the types of its values: the latter is
/// this, as the table's name is known at run time only. Unlike `sql_query` it is prepared once for a connection.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) sql: &'a str,
    pub(super) values: &'a [Bind<'a>],
}

/// A value to bind. Its `Debug` shows nothing of it.
pub(super) enum Bind<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Bigint(i64),
    OptionalBigint(Option<i64>),
    BytesArray(Vec<&'a [u8]>),
    TextArray(Vec<&'a str>),
    OptionalTextArray(Vec<Option<&'a str>>),
    BigintArray(Vec<i64>),
    OptionalBigintArray(Vec<Option<i64>>),
}

impl<'a> Bind<'a> {
    pub(super) fn key(key: &'a SessionKey) -> Bind<'a> {
        match key.as_text() {
            Some(text) => Bind::Text(text),
            None => Bind::Bytes(key.as_bytes()),
        }
    }

    pub(super) fn keys(format: KeyFormat, keys: impl IntoIterator<Item = &'a SessionKey>) -> Bind<'a> {
        match format {
            KeyFormat::Hashed => Bind::BytesArray(keys.into_iter().map(SessionKey::as_bytes).collect()),
            KeyFormat::Plain => {
                Bind::TextArray(keys.into_iter().map(|key| key.as_text().unwrap_or_default()).collect())
            }
        }
    }

    /// A key before every other: none is empty.
    pub(super) fn before_all_keys(format: KeyFormat) -> Bind<'static> {
        match format {
            KeyFormat::Hashed => Bind::Bytes(&[]),
            KeyFormat::Plain => Bind::Text(""),
        }
    }
}

impl std::fmt::Debug for Bind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.sql);
        for value in self.values {
            match value {
                Bind::Bytes(value) => out.push_bind_param_value_only::<Binary, _>(*value)?,
                Bind::Text(value) => out.push_bind_param_value_only::<Text, _>(*value)?,
                Bind::OptionalText(value) => out.push_bind_param_value_only::<Nullable<Text>, _>(value)?,
                Bind::Bigint(value) => out.push_bind_param_value_only::<BigInt, _>(value)?,
                Bind::OptionalBigint(value) => {
                    out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?
                }
                Bind::BytesArray(values) => out.push_bind_param_value_only::<Array<Binary>, _>(values)?,
                Bind::TextArray(values) => out.push_bind_param_value_only::<Array<Text>, _>(values)?,
                Bind::OptionalTextArray(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<Text>>, _>(values)?;
                }
                Bind::BigintArray(values) => out.push_bind_param_value_only::<Array<BigInt>, _>(values)?,
                Bind::OptionalBigintArray(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<BigInt>>, _>(values)?;
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
pub(super) fn columns<const N: usize, T>(row: &PgRow, read: impl FnOnce([Value<'_>; N]) -> T) -> T {
    let fields: [_; N] = std::array::from_fn(|index| row.get(index));
    read(fields.each_ref().map(|field| match field {
        Some(field) => value(field.value()),
        None => Value::Foreign,
    }))
}

fn value(value: Option<PgValue<'_>>) -> Value<'_> {
    // The numbers of the types in pg_type, which never change.
    const BOOL: u32 = 16;
    const BYTEA: u32 = 17;
    const NAME: u32 = 19;
    const INT8: u32 = 20;
    const INT2: u32 = 21;
    const INT4: u32 = 23;
    const TEXT: u32 = 25;
    const JSON: u32 = 114;
    const BPCHAR: u32 = 1042;
    const VARCHAR: u32 = 1043;

    let Some(value) = value else { return Value::Null };
    let bytes = value.as_bytes();
    match value.get_oid().get() {
        INT8 => bytes.try_into().map_or(Value::Foreign, |bytes| Value::Signed(i64::from_be_bytes(bytes))),
        INT4 => {
            bytes.try_into().map_or(Value::Foreign, |bytes| Value::Signed(i32::from_be_bytes(bytes).into()))
        }
        INT2 => {
            bytes.try_into().map_or(Value::Foreign, |bytes| Value::Signed(i16::from_be_bytes(bytes).into()))
        }
        BOOL => Value::Signed(i64::from(bytes == [1])),
        BYTEA | NAME | TEXT | JSON | BPCHAR | VARCHAR => Value::Bytes(bytes),
        _ => Value::Foreign,
    }
}
