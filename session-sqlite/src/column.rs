//! Values as SQLite holds them, to and from the contract's types.

use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use session_core::{Error, KeyFormat, Payload, Principal, SessionKey, Timestamp};

/// A key to bind: a BLOB of 32 bytes, or the id as TEXT.
pub(crate) fn key(key: &SessionKey) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match key.as_text() {
        Some(text) => ValueRef::Text(text.as_bytes()),
        None => ValueRef::Blob(key.as_bytes()),
    })
}

/// What sorts before every key of this format, as no key is empty.
pub(crate) fn before_all_keys(format: KeyFormat) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(match format {
        KeyFormat::Hashed => Value::Blob(Vec::new()),
        KeyFormat::Plain => Value::Text(String::new()),
    })
}

/// Reads a key of either format.
pub(crate) fn read_key(row: &Row<'_>, index: usize) -> Result<SessionKey, Error> {
    match value(row, index, "key")? {
        ValueRef::Blob(bytes) => match bytes.try_into() {
            Ok(digest) => Ok(SessionKey::from_digest(digest)),
            Err(_) => Err(corrupt("key", "not 32 bytes long")),
        },
        ValueRef::Text(bytes) => utf8(bytes, "key").map(SessionKey::from_text),
        other => Err(odd_type("key", other, "a BLOB or TEXT")),
    }
}

pub(crate) fn read_integer(row: &Row<'_>, index: usize, column: &str) -> Result<i64, Error> {
    match value(row, index, column)? {
        ValueRef::Integer(integer) => Ok(integer),
        other => Err(odd_type(column, other, "an INTEGER")),
    }
}

pub(crate) fn read_timestamp(row: &Row<'_>, index: usize, column: &str) -> Result<Timestamp, Error> {
    read_integer(row, index, column).map(Timestamp::from_millis)
}

pub(crate) fn read_payload(row: &Row<'_>, index: usize, column: &str) -> Result<Payload, Error> {
    match value(row, index, column)? {
        ValueRef::Text(bytes) => utf8(bytes, column).map(Payload::from),
        other => Err(odd_type(column, other, "TEXT")),
    }
}

pub(crate) fn read_principal(row: &Row<'_>, index: usize, column: &str) -> Result<Option<Principal>, Error> {
    match value(row, index, column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => match Principal::new(utf8(bytes, column)?) {
            Ok(principal) => Ok(Some(principal)),
            Err(_) => Err(corrupt(column, "not a principal: empty, over 255 bytes, or with a U+0000")),
        },
        other => Err(odd_type(column, other, "TEXT or NULL")),
    }
}

fn value<'row>(row: &'row Row<'_>, index: usize, column: &str) -> Result<ValueRef<'row>, Error> {
    row.get_ref(index).map_err(|error| corrupt(column, "not to be read").with_source(error))
}

fn utf8<'row>(bytes: &'row [u8], column: &str) -> Result<&'row str, Error> {
    std::str::from_utf8(bytes).map_err(|error| corrupt(column, "not UTF-8").with_source(error))
}

fn odd_type(column: &str, found: ValueRef<'_>, expected: &str) -> Error {
    corrupt(column, &format!("of type {} and should be {expected}", found.data_type()))
}

fn corrupt(column: &str, what: &str) -> Error {
    Error::corrupt(format!(
        "the column \"{column}\" of this session is {what}; destroy the session or mend the row"
    ))
}
