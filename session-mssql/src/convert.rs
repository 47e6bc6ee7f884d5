//! Between the contract's types and the driver's: parameters on the way in, rows on the way out.

use std::borrow::Cow;

use session_core::{
    Error, KeyFormat, Listed, Payload, Principal, Record, Result, SessionKey, Timestamp, Version,
};
use tiberius::{ColumnData, Row, ToSql};

use crate::BACKEND;
use crate::datetime::{self, LocalTime};
use crate::error;

/// A key as a parameter: varbinary for a hashed one, nvarchar for a plain one.
#[derive(Debug)]
pub(crate) struct KeyParam<'a>(pub(crate) &'a SessionKey);

impl ToSql for KeyParam<'_> {
    fn to_sql(&self) -> ColumnData<'_> {
        match self.0.as_text() {
            Some(text) => ColumnData::String(Some(Cow::Borrowed(text))),
            None => ColumnData::Binary(Some(Cow::Borrowed(self.0.as_bytes()))),
        }
    }
}

/// A principal as a parameter: empty if there is none, as no principal is.
pub(crate) fn name(principal: Option<&Principal>) -> &str {
    principal.map_or("", Principal::as_str)
}

/// Refuses a key of the other format before any I/O.
pub(crate) fn check_key(format: KeyFormat, key: &SessionKey) -> Result<()> {
    if key.format() == format {
        return Ok(());
    }
    Err(Error::invalid_input("the key's format is not this table's; make keys with the store's `key_format`")
        .with_backend(BACKEND))
}

/// The cells of a row, taken from left to right. Every value comes out by its type, and what has another type is an
/// error: nothing here can panic, and no error quotes a value.
pub(crate) struct Cells(std::vec::IntoIter<ColumnData<'static>>);

impl Cells {
    pub(crate) fn of(row: Row) -> Cells {
        // Collected, as the row's own iterator has no name.
        Cells(row.into_iter().collect::<Vec<_>>().into_iter())
    }

    pub(crate) fn key(&mut self, format: KeyFormat) -> Result<SessionKey> {
        match (self.0.next(), format) {
            (Some(ColumnData::Binary(Some(bytes))), KeyFormat::Hashed) => {
                <[u8; 32]>::try_from(bytes.as_ref())
                    .map(SessionKey::from_digest)
                    .map_err(|_| unreadable("key"))
            }
            (Some(ColumnData::String(Some(text))), KeyFormat::Plain) => {
                Ok(SessionKey::from_text(text.into_owned()))
            }
            _ => Err(unreadable("key")),
        }
    }

    /// An entry of a listing, whose texts may have come as bytes. `record` reads what is behind the key.
    pub(crate) fn listed(
        mut self,
        format: KeyFormat,
        record: impl FnOnce(&mut Cells) -> Result<Record>,
    ) -> Result<Listed> {
        if format == KeyFormat::Plain
            && let Some(ColumnData::Binary(Some(bytes))) = self.0.as_slice().first()
        {
            let (key, is_whole) = match utf16(bytes) {
                Some(text) => (text, true),
                // No id is like it, so nobody can ask for the row. What is nearest to it says which one it is.
                None => (lossy_utf16(bytes), false),
            };
            self.0.next();
            let record = if is_whole { record(&mut self) } else { Err(unreadable("key")) };
            return Ok(Listed { key: SessionKey::from_text(key), record });
        }
        Ok(Listed { key: self.key(format)?, record: record(&mut self) })
    }

    /// `payload, expires_at, created_at, version, principal`.
    pub(crate) fn record(&mut self) -> Result<Record> {
        Ok(Record {
            payload: Payload::from(self.text("payload")?),
            expires_at: Timestamp::from_millis(self.number("expires_at")?),
            created_at: Some(Timestamp::from_millis(self.number("created_at")?)),
            version: self.version()?,
            principal: match self.optional_text("principal")? {
                Some(name) => Some(Principal::new(name).map_err(|_| unreadable("principal"))?),
                None => None,
            },
        })
    }

    pub(crate) fn version(&mut self) -> Result<Version> {
        self.number("version").map(Version::new)
    }

    pub(crate) fn text(&mut self, column: &'static str) -> Result<String> {
        self.optional_text(column)?.ok_or_else(|| unreadable(column))
    }

    fn optional_text(&mut self, column: &'static str) -> Result<Option<String>> {
        match self.0.next() {
            Some(ColumnData::String(text)) => Ok(text.map(Cow::into_owned)),
            Some(ColumnData::Binary(None)) => Ok(None),
            Some(ColumnData::Binary(Some(bytes))) => {
                utf16(&bytes).map(Some).ok_or_else(|| unreadable(column))
            }
            _ => Err(unreadable(column)),
        }
    }

    pub(crate) fn datetime(
        &mut self,
        column: &'static str,
        local_time: Option<&LocalTime>,
    ) -> Result<Timestamp> {
        match self.0.next() {
            Some(ColumnData::DateTime(Some(value))) => Ok(datetime::read(value, local_time)),
            _ => Err(unreadable(column)),
        }
    }

    pub(crate) fn number(&mut self, column: &'static str) -> Result<i64> {
        match self.0.next() {
            Some(ColumnData::I64(Some(number))) => Ok(number),
            Some(ColumnData::I32(Some(number))) => Ok(i64::from(number)),
            _ => Err(unreadable(column)),
        }
    }
}

/// A count of rows, as a statement gives it in its last set.
pub(crate) fn count(sets: Vec<Vec<Row>>) -> Result<u64> {
    let row = sets.into_iter().next_back().and_then(|set| set.into_iter().next());
    let count = row.map(|row| Cells::of(row).number("rows")).transpose()?;
    count.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| {
        error::unexpected("the server gave no count of rows; check that the table has no triggers")
    })
}

/// The text that has these bytes, if they are UTF-16 of whole characters.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.ok().filter(|_| rest.is_empty())
}

fn lossy_utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn unreadable(column: &'static str) -> Error {
    Error::corrupt(format!(
        "the column `{column}` holds nothing that can be read; destroy the session, or mend the row"
    ))
    .with_backend(BACKEND)
}
