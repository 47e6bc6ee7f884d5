//! Sessions with hashed ids.

use session_core::{Create, KeyFormat, Payload, SessionId, SessionKey, Update, Version};

use crate::support::LATER;

pub(crate) fn key(name: &str) -> SessionKey {
    SessionId::new(name).unwrap().key(KeyFormat::Hashed).unwrap()
}

pub(crate) fn create(name: &str, payload: impl Into<Payload>) -> Create {
    Create { key: key(name), payload: payload.into(), expires_at: LATER, principal: None }
}

pub(crate) fn update(name: &str, payload: impl Into<Payload>, expected: Option<i64>) -> Update {
    Update {
        key: key(name),
        payload: payload.into(),
        expires_at: LATER,
        principal: None,
        expected: expected.map(Version::new),
    }
}
