//! A column as the server sends it, in the protocol's binary form.

use crate::value::Column;

/// A column of a type, by its number, that is not NULL.
pub fn column(of: u32, bytes: &[u8]) -> Column<'_> {
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

    match of {
        INT8 => bytes.try_into().map_or(Column::Foreign, |bytes| Column::Signed(i64::from_be_bytes(bytes))),
        INT4 => {
            bytes.try_into().map_or(Column::Foreign, |bytes| Column::Signed(i32::from_be_bytes(bytes).into()))
        }
        INT2 => {
            bytes.try_into().map_or(Column::Foreign, |bytes| Column::Signed(i16::from_be_bytes(bytes).into()))
        }
        BOOL => Column::Signed(i64::from(bytes == [1])),
        BYTEA => Column::Bytes(bytes),
        NAME | TEXT | JSON | BPCHAR | VARCHAR => Column::Text(bytes),
        _ => Column::Foreign,
    }
}
