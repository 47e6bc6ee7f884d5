//! What every room of this dialect uses.

use session_core::contract::Payload;
use session_core::{Error, KeyFormat, Result, SessionKey};

use super::sqlstate;
use crate::{Bound, Dialect, Run, Statement, Value, value};

pub(super) fn statement(template: impl AsRef<str>) -> Statement {
    Statement::new(Dialect::Postgres, template)
}

/// What Postgres' text cannot hold, refused before anything is sent.
pub(super) fn check_payload(payload: &Payload) -> Result<()> {
    if payload.as_str().contains('\0') {
        return Err(Error::invalid_input(sqlstate::NUL_IN_TEXT));
    }
    Ok(())
}

/// The one number that a statement answers with, if it does.
pub(super) async fn number<R: Run>(run: &R, statement: Bound<'_>) -> Result<Option<i64>> {
    let read = |row: &R::Row| R::columns(row, |[number]| value::bigint("number", number));
    run.read(statement, read).await?.into_iter().next().transpose()
}

/// Keys of one format, to bind as one value: an array.
#[derive(Debug)]
pub(super) enum Keys<'a> {
    Hashed(Vec<&'a [u8]>),
    Plain(Vec<Option<&'a str>>),
}

impl<'a> Keys<'a> {
    pub(super) fn new(format: KeyFormat, keys: impl IntoIterator<Item = &'a SessionKey>) -> Keys<'a> {
        match format {
            KeyFormat::Hashed => Keys::Hashed(keys.into_iter().map(SessionKey::as_bytes).collect()),
            KeyFormat::Plain => Keys::Plain(keys.into_iter().map(SessionKey::as_text).collect()),
        }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Keys::Hashed(keys) => Value::BytesArray(keys),
            Keys::Plain(keys) => Value::TextArray(keys),
        }
    }
}

/// A key before every other: none is empty.
pub(super) fn before_all_keys(format: KeyFormat) -> Value<'static> {
    match format {
        KeyFormat::Hashed => Value::Bytes(Some(&[])),
        KeyFormat::Plain => Value::Text(Some("")),
    }
}
