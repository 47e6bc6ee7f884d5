//! Sessions.

use session_core::contract::{Create, Destroy, Load, Payload, Record, Rotate, Store as _, Touch, Update};
use session_core::{DestroyMode, KeyFormat, SessionId, SessionKey, Timestamp, Version};
use session_mssql::MssqlStore;

use super::{LATER, NOW};

pub(crate) fn key(id: &str, format: KeyFormat) -> SessionKey {
    SessionId::new(id).unwrap().key(format).unwrap()
}

pub(crate) fn create(key: &SessionKey, payload: impl Into<Payload>) -> Create {
    Create {
        key: key.clone(),
        payload: payload.into(),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

pub(crate) fn update(key: &SessionKey, payload: impl Into<Payload>, expected: Option<i64>) -> Update {
    Update {
        key: key.clone(),
        payload: payload.into(),
        expires_at: Some(Timestamp::NEVER),
        principal: None,
        expected: expected.map(Version::new),
    }
}

pub(crate) fn touch(key: &SessionKey, expected: Option<i64>) -> Touch {
    Touch { key: key.clone(), expires_at: Timestamp::NEVER, expected: expected.map(Version::new) }
}

pub(crate) fn destroy(key: &SessionKey, mode: DestroyMode) -> Destroy {
    Destroy { key: key.clone(), mode }
}

/// With the old payload and expiry.
pub(crate) fn rotate(from: &SessionKey, to: &SessionKey, mode: DestroyMode) -> Rotate {
    Rotate {
        from: from.clone(),
        to: to.clone(),
        payload: None,
        expires_at: None,
        principal: None,
        expected: None,
        mode,
    }
}

/// The session, if it is live.
pub(crate) async fn load(store: &MssqlStore, key: &SessionKey) -> Option<Record> {
    store.load(&Load::new(key.clone()), NOW).await.unwrap().record()
}
