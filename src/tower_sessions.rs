//! The stores as stores of [tower-sessions](https://docs.rs/tower-sessions).
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use session_store::MemoryStore;
//! use session_store::tower_sessions::{TowerStore, field};
//!
//! let store = TowerStore::builder(MemoryStore::new()).principal(field("user")).build()?;
//! let store = TowerStore::from(store);
//! // let layer = tower_sessions::SessionManagerLayer::new(store.clone());
//! store.sessions().destroy_principal("alice").await?; // sign out everywhere
//! # Ok(()) }
//! ```
//!
//! # What differs from tower-sessions' own stores
//! A save of a session that is gone (signed out, expired) does not bring it back: it writes nothing. A create whose
//! id is taken draws another one. tower-sessions itself writes a whole session back at the end of a request, so of two
//! parallel requests that change one session the later one wins; use [`SessionStore::modify`] on
//! [`TowerStore::sessions`] where that matters.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use session_core::{
    Error, ErrorKind, Result, SessionId, SessionStore, SessionStoreBuilder, Store, TimeToLive, Timestamp,
    Updated,
};

/// What tower-sessions keeps in a session: values by name, stored as one JSON object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values {
    values: HashMap<String, Value>,
    /// tower-sessions decides when a session expires; the table's own column holds it.
    #[serde(skip, default = "never")]
    expires_at: Timestamp,
}

fn never() -> Timestamp {
    Timestamp::NEVER
}

impl Values {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// All values by name.
    pub fn values_mut(&mut self) -> &mut HashMap<String, Value> {
        &mut self.values
    }
}

/// Names the value that says whom a session belongs to, for [`SessionStoreBuilder::principal`]: a text, or a number
/// in decimal digits. Any other value means nobody.
pub fn field(name: impl Into<String>) -> impl Fn(&Values) -> Option<String> + Send + Sync + 'static {
    let name = name.into();
    move |values| match values.get(&name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A store for tower-sessions' `SessionManagerLayer`, over any backend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TowerStore {
    sessions: SessionStore<Values>,
}

impl TowerStore {
    /// A store with every option at its default.
    pub fn new(store: impl Store) -> TowerStore {
        match TowerStore::builder(store).build() {
            Ok(sessions) => TowerStore { sessions },
            Err(_) => unreachable!("the defaults suit every backend"),
        }
    }

    /// Options for a store; turn what it builds into one with [`From`]. tower-sessions decides when sessions
    /// expire, so leave [`time_to_live`](SessionStoreBuilder::time_to_live) as it is.
    pub fn builder(store: impl Store) -> SessionStoreBuilder<Values> {
        SessionStore::builder(store)
            .time_to_live(TimeToLive::until(|_, values: &Values, _| Some(values.expires_at)))
    }

    /// The handle, for all that tower-sessions does not know: listing, signing out everywhere, the sweeper.
    pub fn sessions(&self) -> &SessionStore<Values> {
        &self.sessions
    }

    async fn create_new(&self, mut draw: impl FnMut() -> String, values: &Values) -> Result<()> {
        // tower-sessions' ids have 128 random bits: the first one always succeeds.
        for _ in 0..3 {
            if self.sessions.create_with_id(&SessionId::new(draw())?, values).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Backend, "every id that was drawn is taken; the random numbers repeat"))
    }

    async fn save_existing(&self, id: String, values: &Values) -> Result<()> {
        if self.sessions.update(&SessionId::new(id)?, values, None).await? == Updated::Gone {
            // Logout wins. The request that comes too late is not at fault, so it gets no error.
            tracing::debug!("a session was gone when it was saved; nothing was written");
        }
        Ok(())
    }
}

impl From<SessionStore<Values>> for TowerStore {
    fn from(sessions: SessionStore<Values>) -> TowerStore {
        TowerStore { sessions }
    }
}

fn to_timestamp(time: OffsetDateTime) -> Timestamp {
    // The library's range is some 10,000 years either way, so milliseconds fit; rounding down ends no session late.
    let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(millis).map_or(Timestamp::NEVER, Timestamp::from_millis)
}

fn from_timestamp(timestamp: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(timestamp.as_millis()) * 1_000_000;
    let latest = time::PrimitiveDateTime::MAX.assume_utc();
    let earliest = time::PrimitiveDateTime::MIN.assume_utc();
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(if timestamp.as_millis() > 0 {
        latest
    } else {
        earliest
    })
}

/// The same trait stands in two versions of tower-sessions-core that cargo does not unify.
macro_rules! implement {
    ($core:ident) => {
        #[async_trait::async_trait]
        impl $core::SessionStore for TowerStore {
            async fn create(&self, record: &mut $core::session::Record) -> $core::session_store::Result<()> {
                let values =
                    Values { values: record.data.clone(), expires_at: to_timestamp(record.expiry_date) };
                let mut id = record.id;
                let mut first = true;
                let draw = || {
                    if !std::mem::take(&mut first) {
                        id = $core::session::Id::default();
                    }
                    id.to_string()
                };
                self.create_new(draw, &values).await.map_err($core::session_store::Error::from_ours)?;
                record.id = id;
                Ok(())
            }

            async fn save(&self, record: &$core::session::Record) -> $core::session_store::Result<()> {
                let values =
                    Values { values: record.data.clone(), expires_at: to_timestamp(record.expiry_date) };
                self.save_existing(record.id.to_string(), &values)
                    .await
                    .map_err($core::session_store::Error::from_ours)
            }

            async fn load(
                &self,
                id: &$core::session::Id,
            ) -> $core::session_store::Result<Option<$core::session::Record>> {
                let key = SessionId::new(id.to_string()).map_err($core::session_store::Error::from_ours)?;
                let session =
                    self.sessions.load(&key).await.map_err($core::session_store::Error::from_ours)?;
                Ok(session.map(|session| $core::session::Record {
                    id: *id,
                    expiry_date: from_timestamp(session.expires_at()),
                    data: session.data.values,
                }))
            }

            async fn delete(&self, id: &$core::session::Id) -> $core::session_store::Result<()> {
                let id = SessionId::new(id.to_string()).map_err($core::session_store::Error::from_ours)?;
                self.sessions.destroy(&id).await.map_err($core::session_store::Error::from_ours)?;
                Ok(())
            }
        }

        impl FromOurs for $core::session_store::Error {
            fn from_ours(error: Error) -> Self {
                let text = in_full(&error);
                match error.kind() {
                    ErrorKind::InvalidInput | ErrorKind::TooLarge => Self::Encode(text),
                    ErrorKind::Corrupt => Self::Decode(text),
                    _ => Self::Backend(text),
                }
            }
        }
    };
}

/// tower-sessions' errors hold nothing but text.
trait FromOurs {
    fn from_ours(error: Error) -> Self;
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(feature = "tower-sessions")]
implement!(tower_sessions_core);

#[cfg(feature = "tower-sessions-0-14")]
implement!(tower_sessions_core_0_14);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_beyond_the_library_s_calendar_are_its_last_moment() {
        assert_eq!(from_timestamp(Timestamp::NEVER).year(), 9999);
        assert_eq!(from_timestamp(Timestamp::MIN).year(), -9999);
        let exact = Timestamp::from_millis(1_795_324_200_123);
        assert_eq!(to_timestamp(from_timestamp(exact)), exact);
    }

    #[test]
    fn the_payload_is_the_object_of_the_values_alone() {
        let values =
            Values { values: HashMap::from([("user".to_owned(), Value::from(7))]), expires_at: never() };
        assert_eq!(serde_json::to_string(&values).unwrap(), r#"{"user":7}"#);
        assert_eq!(field("user")(&values).as_deref(), Some("7"));
        assert_eq!(field("name")(&values), None);
    }
}
