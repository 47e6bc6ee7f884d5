//! Sessions with hashed ids.

use session_core::contract::{Create, Destroy, Load, Payload, Record, Store as _, Touch, Update};
use session_core::{DestroyMode, KeyFormat, Principal, SessionId, SessionKey, Timestamp, Version};
use session_sqlite::SqliteStore;

use super::LATER;

pub(crate) fn key(name: &str) -> SessionKey {
    SessionId::new(name).unwrap().key(KeyFormat::Hashed).unwrap()
}

pub(crate) fn create(name: &str, payload: impl Into<Payload>) -> Create {
    Create {
        key: key(name),
        payload: payload.into(),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

pub(crate) fn update(name: &str, payload: impl Into<Payload>, expected: Option<i64>) -> Update {
    Update {
        key: key(name),
        payload: payload.into(),
        expires_at: Some(LATER),
        principal: None,
        expected: expected.map(Version::new),
    }
}

pub(crate) fn create_for(name: &str, principal: &str) -> Create {
    Create { principal: Some(Principal::new(principal).unwrap()), ..create(name, "{}") }
}

pub(crate) fn touch(name: &str, expires_at: Timestamp) -> Touch {
    Touch { key: key(name), expires_at, expected: None }
}

pub(crate) fn destroy(name: &str, mode: DestroyMode) -> Destroy {
    Destroy { key: key(name), mode }
}

/// The session, if it is live.
pub(crate) async fn load(store: &SqliteStore, name: &str, now: Timestamp) -> Option<Record> {
    store.load(&Load::new(key(name)), now).await.unwrap().record()
}
