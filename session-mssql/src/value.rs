//! Values as SQL Server holds them, to and from those of a statement.

use std::borrow::Cow;

use session_core::contract::{Listed, Payload, Record};
use session_core::{Error, ErrorKind, KeyFormat, Principal, Result, SessionKey};
use session_sql::value::{self, Column};
use session_sql::{Bound, Value};
use tiberius::{ColumnData, IntoSql, Query};

/// A statement and its values, as tiberius sends them.
///
/// # Errors
/// [`Backend`](ErrorKind::Backend) for a value that no statement of this crate binds.
pub(crate) fn query<'a>(statement: Bound<'a>) -> Result<Query<'a>> {
    let mut query = Query::new(statement.sql());
    for value in statement.values() {
        query.bind(parameter(value)?);
    }
    Ok(query)
}

/// A value on its way to the server.
struct Parameter<'a>(ColumnData<'a>);

impl<'a> IntoSql<'a> for Parameter<'a> {
    fn into_sql(self) -> ColumnData<'a> {
        self.0
    }
}

fn parameter(value: Value<'_>) -> Result<Parameter<'_>> {
    Ok(Parameter(match value {
        Value::Bytes(bytes) => ColumnData::Binary(bytes.map(Cow::Borrowed)),
        Value::Text(text) => ColumnData::String(text.map(Cow::Borrowed)),
        Value::Bigint(number) => ColumnData::I64(number),
        Value::Datetime { days, steps } => {
            ColumnData::DateTime(Some(tiberius::time::DateTime::new(days, steps)))
        }
        other => {
            let what = format!("no statement for SQL Server binds such a value: {other:?}");
            return Err(Error::new(ErrorKind::Backend, what).with_in_doubt(false));
        }
    }))
}

/// A principal to bind: empty if there is none, as no principal is. A text that is NULL goes over the wire without a
/// type, which Babelfish refuses.
pub(crate) fn principal(principal: Option<&Principal>) -> Value<'_> {
    principal.map_or("", Principal::as_str).into()
}

/// A payload to bind, for the same reason empty if there is none. A flag beside it tells that from an empty one.
pub(crate) fn payload(payload: Option<&Payload>) -> Value<'_> {
    payload.map_or("", Payload::as_str).into()
}

/// A flag to bind.
pub(crate) fn flag(flag: bool) -> Value<'static> {
    i64::from(flag).into()
}

/// What a statement gave: one set of rows for each part of it that gives rows.
pub(crate) type Sets = Vec<Vec<Row>>;

/// A row as the server sent it. Every value comes out by its type: nothing here can panic, and no error quotes a value.
#[derive(Debug)]
pub(crate) struct Row {
    cells: Vec<ColumnData<'static>>,
    /// Where texts stand that came as the bytes of their UTF-16, and are UTF-8 now.
    decoded: &'static [usize],
}

impl Row {
    pub(crate) fn new(row: tiberius::Row) -> Row {
        Row { cells: row.into_iter().collect(), decoded: &[] }
    }

    #[cfg(test)]
    pub(crate) fn of_cells(cells: impl IntoIterator<Item = ColumnData<'static>>) -> Row {
        Row { cells: cells.into_iter().collect(), decoded: &[] }
    }

    /// The same row, of which the texts in these places came as the bytes of their UTF-16. What is no UTF-16 becomes
    /// what is no UTF-8, so that it is found out where texts are read.
    pub(crate) fn decoding(mut self, places: &'static [usize]) -> Row {
        for place in places {
            if let Some(ColumnData::Binary(Some(bytes))) = self.cells.get_mut(*place) {
                *bytes = Cow::Owned(utf8(bytes));
            }
        }
        Row { decoded: places, ..self }
    }

    /// The first columns.
    pub(crate) fn columns<const N: usize>(&self) -> [Column<'_>; N] {
        std::array::from_fn(|place| match self.cells.get(place) {
            Some(ColumnData::Binary(Some(bytes))) if self.decoded.contains(&place) => Column::Text(bytes),
            Some(cell) => column(cell),
            None => Column::Foreign,
        })
    }

    /// The number in the first column.
    pub(crate) fn number(&self, name: &str) -> Result<i64> {
        let [number] = self.columns();
        value::bigint(name, number)
    }
}

fn column<'a>(cell: &'a ColumnData<'static>) -> Column<'a> {
    match cell {
        ColumnData::I64(number) => number.map_or(Column::Null, Column::Signed),
        ColumnData::I32(number) => signed(*number),
        ColumnData::I16(number) => signed(*number),
        ColumnData::U8(number) => signed(*number),
        ColumnData::Bit(flag) => signed(*flag),
        ColumnData::String(text) => text.as_ref().map_or(Column::Null, |text| Column::Text(text.as_bytes())),
        ColumnData::Binary(bytes) => bytes.as_ref().map_or(Column::Null, |bytes| Column::Bytes(bytes)),
        ColumnData::DateTime(time) => time.map_or(Column::Null, |time| Column::Datetime {
            days: time.days(),
            steps: time.seconds_fragments(),
        }),
        _ => Column::Foreign,
    }
}

fn signed(number: Option<impl Into<i64>>) -> Column<'static> {
    number.map_or(Column::Null, |number| Column::Signed(number.into()))
}

/// A text in UTF-8. A byte that no UTF-8 has stands for each half of a character, and for half a code unit.
fn utf8(utf16: &[u8]) -> Vec<u8> {
    const NO_UTF8: u8 = 0xFF;
    let (units, rest) = utf16.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    let mut text = Vec::with_capacity(utf16.len());
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(_) => text.push(NO_UTF8),
        }
    }
    text.extend(rest.iter().map(|_| NO_UTF8));
    text
}

/// An entry of a listing. A plain key that is no text is one, too: no id is like it, so nobody can ask for the row, and
/// what is nearest to it says which one it is.
pub(crate) fn listed(format: KeyFormat, key: Column<'_>, record: Result<Record>) -> Result<Listed> {
    match (value::key(format, key), key) {
        (Ok(key), _) => Ok(Listed { key, record }),
        (Err(error), Column::Text(bytes)) if format == KeyFormat::Plain => {
            let key = SessionKey::from_text(String::from_utf8_lossy(bytes).into_owned());
            Ok(Listed { key, record: Err(error) })
        }
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use session_core::Timestamp;

    use super::*;

    fn bytes(units: &[u16]) -> ColumnData<'static> {
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        ColumnData::Binary(Some(bytes.into()))
    }

    #[test]
    fn each_kind_of_value_is_sent_as_what_it_is() {
        let sent = |value| parameter(value).unwrap().0;
        assert_eq!(sent(Value::Bytes(Some(b"\xff"))), ColumnData::Binary(Some(Cow::Borrowed(b"\xff"))));
        assert_eq!(sent("a".into()), ColumnData::String(Some("a".into())));
        assert_eq!(sent(Timestamp::MIN.into()), ColumnData::I64(Some(i64::MIN)));
        assert_eq!(sent(Value::Bigint(None)), ColumnData::I64(None));
        assert_eq!(sent(principal(None)), ColumnData::String(Some("".into())));
        assert_eq!(sent(flag(true)), ColumnData::I64(Some(1)));
        assert!(parameter(Value::BigintArray(&[])).is_err());
    }

    #[test]
    fn each_type_of_a_column_of_ours_is_read_and_no_other() {
        let cells = vec![
            ColumnData::I64(Some(i64::MIN)),
            ColumnData::I32(Some(-1)),
            ColumnData::Bit(Some(true)),
            ColumnData::I64(None),
            ColumnData::String(Some("é".into())),
            ColumnData::F64(Some(1.0)),
        ];
        let row = Row::of_cells(cells);
        let found = row.columns::<7>();
        assert!(matches!(
            found[..4],
            [Column::Signed(i64::MIN), Column::Signed(-1), Column::Signed(1), Column::Null]
        ));
        assert_eq!(value::text("t", found[4]).unwrap(), "é");
        assert!(matches!(found[5..], [Column::Foreign, Column::Foreign]));
    }

    #[test]
    fn texts_that_came_as_bytes_are_read_as_texts_and_others_as_bytes() {
        let whole: Vec<u16> = "{\"\u{1f980}\"}".encode_utf16().collect();
        let row = Row::of_cells(vec![
            bytes(&whole),
            bytes(&[0x61, 0xD83E, 0x62]),
            bytes(&whole),
            ColumnData::Binary(None),
        ]);
        let row = row.decoding(&[0, 1, 3]);
        let [text, half, other, none] = row.columns();
        assert_eq!(value::text("t", text).unwrap(), "{\"\u{1f980}\"}");
        assert_eq!(value::text("t", half).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(matches!((other, none), (Column::Bytes(_), Column::Null)));
        let listed = listed(KeyFormat::Plain, half, Err(Error::corrupt("x"))).unwrap();
        assert_eq!(listed.key, SessionKey::from_text("a\u{fffd}b"));
    }

    #[test]
    fn half_a_code_unit_is_no_text() {
        assert_eq!(utf8(&[0x61, 0, 0x62]), b"a\xff");
    }
}
