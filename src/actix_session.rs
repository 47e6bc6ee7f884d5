//! The stores as stores of [actix-session](https://docs.rs/actix-session).
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use session_store::MemoryStore;
//! use session_store::actix_session::{ActixStore, field};
//!
//! let store = ActixStore::from(ActixStore::builder(MemoryStore::new()).principal(field("user_id")).build()?);
//! // App::new().wrap(actix_session::SessionMiddleware::new(store.clone(), key))
//! store.sessions().destroy_principal("ferris").await?; // sign out everywhere
//! # Ok(()) }
//! ```
//!
//! # What differs from actix-session's own stores
//! - **Parallel requests lose nothing.** An update writes what this request changed, entry by entry, onto what others
//!   wrote since it loaded the session. Of two requests that change one entry the later one wins. For this a loaded
//!   session has an entry `session-store.base`, which is never stored; `Session::entries` shows it.
//! - **Logout wins.** An update of a session that is gone (purged, expired) writes nothing, makes no session and is no
//!   error. Redis' store makes a new one, which signs in again who has just signed out.
//! - Expiry is exact to the millisecond, and actix-session's to decide: a call on [`ActixStore::sessions`] (`modify`,
//!   `rotate`, `touch`) never moves it.
//! - Entries are stored as JSON values, not as texts of JSON, so that a [`field`] can be the principal.
//!
//! # What actix-session does not allow
//! - It saves nothing if the handler returns an error of the framework or panics.
//! - `Session::renew` deletes the session and then saves it under another key: two steps, so that a failure between
//!   them signs the user out. A session that was signed out elsewhere just before cannot be told from another, so that the
//!   user is signed in under the new key.

use std::collections::HashMap;

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use serde_json::Value;
use session_core::contract::Store;
use session_core::{Error, ErrorKind, Result, SessionId, Sessions, SessionsBuilder};
use time::Duration;

use crate::adapter::Adapter;
pub use crate::adapter::{Values, field};

/// What actix-session keeps: texts of JSON by name.
type State = HashMap<String, String>;

/// A store for actix-session's `SessionMiddleware`, over any backend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ActixStore {
    adapter: Adapter,
}

impl ActixStore {
    /// A store with every option at its default.
    pub fn new(store: impl Store) -> ActixStore {
        match ActixStore::builder(store).build() {
            Ok(sessions) => ActixStore::from(sessions),
            Err(_) => unreachable!("the defaults suit every backend"),
        }
    }

    /// Options for a store; turn what it builds into one with [`From`]. actix-session decides when sessions
    /// expire, so leave [`time_to_live`](SessionsBuilder::time_to_live) as it is.
    pub fn builder(store: impl Store) -> SessionsBuilder<Values> {
        Adapter::builder(store)
    }

    /// The handle, for all that actix-session does not know: listing, signing out everywhere, the sweeper.
    pub fn sessions(&self) -> &Sessions<Values> {
        self.adapter.sessions()
    }

    async fn create(&self, state: State, ttl: &Duration) -> Result<SessionKey> {
        let mut values = values_of(state, ttl)?;
        // With 256 random bits the first one always succeeds.
        for _ in 0..3 {
            let id = SessionId::random()?;
            if self.adapter.create(&id, &mut values).await? {
                return key_of(&id);
            }
        }
        Err(Error::new(ErrorKind::Backend, "every id that was drawn is taken; the random numbers repeat"))
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<State>> {
        // A key that no id can be is nobody's.
        let Ok(id) = SessionId::new(key.as_ref()) else { return Ok(None) };
        let Some((values, _)) = self.adapter.load(&id).await? else { return Ok(None) };
        let state = values.into_values().into_iter().map(|(name, value)| (name, value.to_string()));
        Ok(Some(state.collect()))
    }

    async fn save_changes(&self, key: &SessionKey, state: State, ttl: &Duration) -> Result<()> {
        let id = SessionId::new(key.as_ref())?;
        if !self.adapter.save(&id, values_of(state, ttl)?).await? {
            // Logout wins. The request that comes too late is not at fault, so it gets no error.
            tracing::debug!("a session was gone when it was saved; nothing was written");
        }
        Ok(())
    }
}

impl From<Sessions<Values>> for ActixStore {
    fn from(sessions: Sessions<Values>) -> ActixStore {
        ActixStore { adapter: Adapter::new(sessions) }
    }
}

fn values_of(state: State, ttl: &Duration) -> Result<Values> {
    let values: Result<HashMap<String, Value>> = state
        .into_iter()
        .map(|(name, text)| match serde_json::from_str(&text) {
            Ok(value) => Ok((name, value)),
            Err(error) => {
                Err(Error::invalid_input("an entry of the session is not JSON; use `Session::insert`")
                    .with_source(error))
            }
        })
        .collect();
    // What is negative ends the session with this write.
    let span = std::time::Duration::try_from(*ttl).unwrap_or_default();
    Ok(Values::living(values?, span))
}

fn key_of(id: &SessionId) -> Result<SessionKey> {
    // The middleware's limit is what a cookie can hold, and an id has 43 characters.
    SessionKey::try_from(id.expose().to_owned())
        .map_err(|_| Error::new(ErrorKind::Backend, "actix-session takes no key of 43 characters"))
}

impl SessionStore for ActixStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        self.find(key).await.map_err(|error| match error.kind() {
            ErrorKind::Corrupt => LoadError::Deserialization(error.into()),
            _ => LoadError::Other(error.into()),
        })
    }

    async fn save(&self, state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        self.create(state, ttl).await.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::TooLarge => SaveError::Serialization(error.into()),
            _ => SaveError::Other(error.into()),
        })
    }

    async fn update(&self, key: SessionKey, state: State, ttl: &Duration) -> Result<SessionKey, UpdateError> {
        match self.save_changes(&key, state, ttl).await {
            Ok(()) => Ok(key),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidInput | ErrorKind::TooLarge => UpdateError::Serialization(error.into()),
                _ => UpdateError::Other(error.into()),
            }),
        }
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Duration) -> Result<(), anyhow::Error> {
        let id = SessionId::new(key.as_ref())?;
        let span = std::time::Duration::try_from(*ttl).unwrap_or_default();
        let expires_at = self.sessions().now().await?.saturating_add(span);
        self.sessions().touch_until(&id, expires_at).await?;
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.sessions().destroy(&SessionId::new(key.as_ref())?).await?;
        Ok(())
    }
}
