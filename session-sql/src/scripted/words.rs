//! What the tests of both dialects say and hear.

use session_core::contract::{Create, Destroy, Payload, Touch, Update, Write};
use session_core::{DestroyMode, SessionKey, Timestamp, Version};

use super::{Answer, Cell, Row};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(2_000);

pub(crate) fn key(byte: u8) -> SessionKey {
    SessionKey::from_digest([byte; 32])
}

pub(crate) fn create(byte: u8) -> Write {
    Write::Create(Create {
        key: key(byte),
        payload: Payload::from("{}"),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    })
}

pub(crate) fn update(byte: u8, expected: Option<i64>) -> Write {
    Write::Update(Update {
        key: key(byte),
        payload: Payload::from("{}"),
        expires_at: None,
        principal: None,
        expected: expected.map(Version::new),
    })
}

pub(crate) fn touch(byte: u8, expected: Option<i64>) -> Write {
    Write::Touch(Touch { key: key(byte), expires_at: LATER, expected: expected.map(Version::new) })
}

pub(crate) fn destroy(byte: u8, mode: DestroyMode) -> Write {
    Write::Destroy(Destroy { key: key(byte), mode })
}

/// Rows of whole numbers; `None` is NULL.
pub(crate) fn rows<const N: usize>(rows: impl IntoIterator<Item = [Option<i64>; N]>) -> Answer {
    let cell = |number: Option<i64>| number.map_or(Cell::Null, Cell::Number);
    Answer::Rows(rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect())
}

/// The columns of a record: this payload, these numbers, nobody's.
pub(crate) fn record(payload: Cell, version: i64) -> Row {
    vec![payload, LATER.as_millis().into(), 500.into(), version.into(), Cell::Null]
}
