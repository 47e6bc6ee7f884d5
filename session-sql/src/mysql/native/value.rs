//! Keys and principals as the table holds them.

use session_core::{Principal, SessionKey};

use crate::Value;

/// A key of either format: the column is binary.
pub(super) fn key(key: &SessionKey) -> Value<'_> {
    Value::Bytes(Some(key.as_bytes()))
}

/// A principal: the column is binary.
pub(super) fn principal(principal: Option<&Principal>) -> Value<'_> {
    Value::Bytes(principal.map(|principal| principal.as_str().as_bytes()))
}
