//! Values as each client takes them, and a row as it comes back.

use std::error::Error as StdError;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::{Error, QueryResult};
use diesel::row::{Field, Row};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use session_sql::Value;
use session_sql::postgres::wire;
use session_sql::value::Column;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::sendable::{Hidden, Sendable, as_diesel_s};

/// A row of each kind of connection.
pub(super) enum PgRow {
    Own(tokio_postgres::Row),
    Given(<AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>),
}

/// The type that a statement is prepared with for a value. What no statement binds is refused when it is sent.
pub(super) fn pg_type(value: &Value<'_>) -> Type {
    match value {
        Value::Bytes(_) => Type::BYTEA,
        Value::Text(_) => Type::TEXT,
        Value::Bigint(_) => Type::INT8,
        Value::BytesArray(_) => Type::BYTEA_ARRAY,
        Value::TextArray(_) => Type::TEXT_ARRAY,
        Value::BigintArray(_) => Type::INT8_ARRAY,
        _ => Type::UNKNOWN,
    }
}

impl ToSql for Hidden<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Bytes(value) => ToSql::to_sql(value, of, out),
            Value::Text(value) => ToSql::to_sql(value, of, out),
            Value::Bigint(value) => ToSql::to_sql(value, of, out),
            Value::BytesArray(values) => ToSql::to_sql(values, of, out),
            Value::TextArray(values) => ToSql::to_sql(values, of, out),
            Value::BigintArray(values) => ToSql::to_sql(values, of, out),
            _ => Err("no statement of Postgres' dialect binds such a value".into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The statement was prepared with the values' own types.
        true
    }

    to_sql_checked!();
}

as_diesel_s! { Pg;
    Nullable<Binary>: Bytes as Option<&[u8]>,
    Nullable<Text>: Text as Option<&str>,
    Nullable<BigInt>: Bigint as Option<i64>,
    Array<Binary>: BytesArray as &[&[u8]],
    Array<Nullable<Text>>: TextArray as &[Option<&str>],
    Array<Nullable<BigInt>>: BigintArray as &[Option<i64>],
}

impl QueryFragment<Pg> for Sendable<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.sql());
        for value in self.values() {
            match value.0 {
                Value::Bytes(_) => out.push_bind_param_value_only::<Nullable<Binary>, _>(value)?,
                Value::Text(_) => out.push_bind_param_value_only::<Nullable<Text>, _>(value)?,
                Value::Bigint(_) => out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?,
                Value::BytesArray(_) => out.push_bind_param_value_only::<Array<Binary>, _>(value)?,
                Value::TextArray(_) => out.push_bind_param_value_only::<Array<Nullable<Text>>, _>(value)?,
                Value::BigintArray(_) => {
                    out.push_bind_param_value_only::<Array<Nullable<BigInt>>, _>(value)?
                }
                other => {
                    let what = format!("no statement of Postgres' dialect binds such a value: {other:?}");
                    return Err(Error::QueryBuilderError(what.into()));
                }
            }
        }
        Ok(())
    }
}

/// The first columns of a row.
pub(super) fn columns<const N: usize, T>(row: &PgRow, read: impl FnOnce([Column<'_>; N]) -> T) -> T {
    match row {
        PgRow::Own(row) => read(std::array::from_fn(|index| match row.columns().get(index) {
            Some(described) => match row.try_get::<_, Option<Raw<'_>>>(index) {
                Ok(Some(Raw(bytes))) => wire::column(described.type_().oid(), bytes),
                Ok(None) => Column::Null,
                Err(_) => Column::Foreign,
            },
            None => Column::Foreign,
        })),
        PgRow::Given(row) => {
            let fields: [_; N] = std::array::from_fn(|index| row.get(index));
            read(fields.each_ref().map(|field| match field {
                Some(field) => match field.value() {
                    Some(value) => wire::column(value.get_oid().get(), value.as_bytes()),
                    None => Column::Null,
                },
                None => Column::Foreign,
            }))
        }
    }
}

/// The bytes of a column, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Raw<'a>, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(bytes))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
