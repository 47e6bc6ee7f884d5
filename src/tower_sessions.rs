//! The stores as stores of [tower-sessions](https://docs.rs/tower-sessions).
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use session_store::MemoryStore;
//! use session_store::tower_sessions::{TowerStore, field};
//!
//! let store = TowerStore::from(TowerStore::builder(MemoryStore::new()).principal(field("user")).build()?);
//! // let layer = tower_sessions::SessionManagerLayer::new(store.clone());
//! store.sessions().destroy_principal("alice").await?; // sign out everywhere
//! # Ok(()) }
//! ```
//!
//! # What differs from tower-sessions' own stores
//! - **Parallel requests lose nothing.** A save writes what this request changed, member by member, onto what others
//!   wrote since it loaded the session. Of two requests that change one and the same member the later one wins. In a
//!   table without versions (a Node layout) the whole session is replaced, as elsewhere.
//! - **Logout wins.** A save of a session that is gone (signed out, expired) writes nothing and is no error.
//! - **A save that changed nothing** moves the expiry, without a payload, or does nothing if that stays too.
//! - **Expiry** is tower-sessions' to decide. A call on [`TowerStore::sessions`] (`modify`, `rotate`, `touch`) never
//!   moves it.
//! - A create whose id is taken draws another one.
//!
//! # What tower-sessions does not allow
//! - It saves nothing when the answer is a 5xx, nor what changes after the handler returned.
//! - `cycle_id` deletes the session at once and creates it again with the answer: sign-in is two steps, and a handler
//!   that fails in between has signed its user out. A request with the old cookie that writes something meanwhile makes
//!   a session of its own, and its answer replaces the new cookie.
//! - A create whose old session was signed out elsewhere just before `cycle_id` deletes it cannot be told from another,
//!   so that the user is signed in under the new id.
//!
//! # No cache in front
//! A `CachingSessionStore` keeps copies of sessions that nobody else can end, so it cannot keep the promise that logout
//! wins. **It is refused**: saving a copy, or creating a session of one, is an error that says so, and writes nothing,
//! neither here nor into the cache. With the layer the answer is a 500 as soon as a session is changed that came out of the
//! cache. What nobody changes cannot be refused: a cache shows sessions that were signed out elsewhere until then, or until
//! it forgets them. Leave it out: calls that come together are gathered into one statement anyway.
//!
//! A host that hands out copies and keeps none for longer than a request says so by [`TowerStore::takes_copies`].

use std::collections::HashMap;
use std::num::NonZeroU32;

use serde_json::Value;
use session_core::contract::Store;
use session_core::{Error, ErrorKind, Result, SessionId, Sessions, SessionsBuilder, Timestamp};
use time::OffsetDateTime;

use crate::adapter::Adapter;
pub use crate::adapter::{Values, axum_login_user, axum_login_user_in, field};

/// How many expired sessions one statement of `delete_expired` removes.
const BATCH: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

/// A store for tower-sessions' `SessionManagerLayer`, over any backend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TowerStore {
    adapter: Adapter,
    creates_on_save: bool,
    takes_copies: bool,
}

impl TowerStore {
    /// A store with every option at its default.
    pub fn new(store: impl Store) -> TowerStore {
        match TowerStore::builder(store).build() {
            Ok(sessions) => TowerStore::from(sessions),
            Err(_) => unreachable!("the defaults suit every backend"),
        }
    }

    /// Options for a store; turn what it builds into one with [`From`]. tower-sessions decides when sessions
    /// expire, so leave [`time_to_live`](SessionsBuilder::time_to_live) as it is.
    pub fn builder(store: impl Store) -> SessionsBuilder<Values> {
        Adapter::builder(store)
    }

    /// For hosts that save a new session without creating it, as those do which wrap a store and forward `save`, `load`
    /// and `delete` alone (cot 0.7): a save of an id that was never seen makes the session. A session that was
    /// destroyed, or has expired, stays dead while its row is there. Defaults to false: such a save is an error that
    /// names this option.
    #[must_use]
    pub fn creates_on_save(mut self, creates: bool) -> TowerStore {
        self.creates_on_save = creates;
        self
    }

    /// For hosts that clone the record between `load` and `save`, and keep no copy for longer than a request. Defaults to
    /// false: a copy is refused with an error that names this option, as it may come out of a cache, which knows nothing of
    /// a sign-out elsewhere.
    ///
    /// It is told by the spare room of a text in the record: a clone has none.
    #[must_use]
    pub fn takes_copies(mut self, takes: bool) -> TowerStore {
        self.takes_copies = takes;
        self
    }

    /// The handle, for all that tower-sessions does not know: listing, signing out everywhere, the sweeper.
    pub fn sessions(&self) -> &Sessions<Values> {
        self.adapter.sessions()
    }

    /// Refuses a record that may come out of a cache. Before anything is awaited: a `CachingSessionStore` asks its cache
    /// to save the record while this store is at it, and does not if this store has failed by then.
    fn refuse_copy(&self, record: &HashMap<String, Value>) -> Result<()> {
        if self.takes_copies || !Adapter::is_copy(record) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Backend,
            "a copy of a session was to be saved, as a cache in front of this store hands them out, which knows nothing \
             of a sign-out elsewhere; put no `CachingSessionStore` in front, or, if the host copies records and keeps \
             none, use `TowerStore::takes_copies(true)`",
        )
        .with_in_doubt(false))
    }

    /// Makes a new session, and puts its base into the values.
    async fn create_new(&self, mut draw: impl FnMut() -> String, values: &mut Values) -> Result<()> {
        // tower-sessions' ids have 128 random bits: the first one always succeeds.
        for _ in 0..3 {
            if self.adapter.create(&SessionId::new(draw())?, values).await? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Backend, "every id that was drawn is taken; the random numbers repeat"))
    }

    async fn save_existing(&self, id: String, values: Values) -> Result<()> {
        let id = SessionId::new(id)?;
        if self.adapter.save(&id, values.clone()).await? || !self.adapter.is_unknown(&id, &values).await? {
            // Logout wins. The request that comes too late is not at fault, so it gets no error.
            return Ok(());
        }
        if self.creates_on_save {
            // Should the id be taken just now, it was not unknown to somebody else: then it is his.
            self.adapter.create(&id, &mut values.clone()).await?;
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Backend,
            "a session was saved that was never created; if the host never calls `create`, use \
             `TowerStore::creates_on_save(true)`",
        )
        .with_in_doubt(false))
    }

    async fn purge(&self) -> Result<()> {
        while self.sessions().purge(BATCH).await? >= u64::from(BATCH.get()) {}
        Ok(())
    }
}

impl From<Sessions<Values>> for TowerStore {
    fn from(sessions: Sessions<Values>) -> TowerStore {
        TowerStore { adapter: Adapter::new(sessions), creates_on_save: false, takes_copies: false }
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
                self.refuse_copy(&record.data).map_err($core::session_store::Error::from_ours)?;
                let mut values = Values::until(record.data.clone(), to_timestamp(record.expiry_date));
                let mut id = record.id;
                let mut first = true;
                let draw = || {
                    if !std::mem::take(&mut first) {
                        id = $core::session::Id::default();
                    }
                    id.to_string()
                };
                self.create_new(draw, &mut values).await.map_err($core::session_store::Error::from_ours)?;
                record.id = id;
                record.data = values.into_values();
                Ok(())
            }

            async fn save(&self, record: &$core::session::Record) -> $core::session_store::Result<()> {
                self.refuse_copy(&record.data).map_err($core::session_store::Error::from_ours)?;
                let values = Values::until(record.data.clone(), to_timestamp(record.expiry_date));
                self.save_existing(record.id.to_string(), values)
                    .await
                    .map_err($core::session_store::Error::from_ours)
            }

            async fn load(
                &self,
                id: &$core::session::Id,
            ) -> $core::session_store::Result<Option<$core::session::Record>> {
                let key = SessionId::new(id.to_string()).map_err($core::session_store::Error::from_ours)?;
                let loaded = self.adapter.load(&key).await.map_err($core::session_store::Error::from_ours)?;
                Ok(loaded.map(|(values, expires_at)| $core::session::Record {
                    id: *id,
                    expiry_date: from_timestamp(expires_at),
                    data: values.into_values(),
                }))
            }

            async fn delete(&self, id: &$core::session::Id) -> $core::session_store::Result<()> {
                let id = SessionId::new(id.to_string()).map_err($core::session_store::Error::from_ours)?;
                self.sessions().destroy(&id).await.map_err($core::session_store::Error::from_ours)?;
                Ok(())
            }
        }

        #[async_trait::async_trait]
        impl $core::ExpiredDeletion for TowerStore {
            async fn delete_expired(&self) -> $core::session_store::Result<()> {
                self.purge().await.map_err($core::session_store::Error::from_ours)
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
}
