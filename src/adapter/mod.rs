//! What the adapters for session middlewares have in common: sessions that are loaded whole and saved whole, by hosts that
//! do not say what they changed.

mod base;
mod values;

pub use values::{Values, field};
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
pub use values::{axum_login_user, axum_login_user_in};

use session_core::contract::Store;
use session_core::{Result, SessionId, Sessions, SessionsBuilder, TimeToLive, Timestamp, Updated, Version};

use base::{Base, Changes};

/// Merges what parallel requests save.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    sessions: Sessions<Values>,
}

impl Adapter {
    pub(crate) fn new(sessions: Sessions<Values>) -> Adapter {
        Adapter { sessions }
    }

    /// A handle whose expiries the host decides.
    pub(crate) fn builder(store: impl Store) -> SessionsBuilder<Values> {
        Sessions::builder(store).time_to_live(TimeToLive::external(Values::expires_at))
    }

    pub(crate) fn sessions(&self) -> &Sessions<Values> {
        &self.sessions
    }

    /// Makes a new session, and puts its base into the values. False if the id is taken.
    pub(crate) async fn create(&self, id: &SessionId, values: &mut Values) -> Result<bool> {
        Base::take(id, values.values_mut());
        let Some(new) = self.sessions.create_with_id(id, values).await? else { return Ok(false) };
        Base::new(id, values.all(), new.version, new.expires_at).put(values.values_mut());
        Ok(true)
    }

    /// A live session, with its base, and when it expires.
    pub(crate) async fn load(&self, id: &SessionId) -> Result<Option<(Values, Timestamp)>> {
        let Some(session) = self.sessions.load(id).await? else { return Ok(None) };
        let (version, expires_at) = (session.version(), session.expires_at());
        let mut values = session.data;
        Base::new(id, values.all(), version, expires_at).put(values.values_mut());
        Ok(Some((values, expires_at)))
    }

    /// Writes what the request changed onto what others wrote since it loaded the session. False if the session is gone:
    /// then nothing is written.
    pub(crate) async fn save(&self, id: &SessionId, mut values: Values) -> Result<bool> {
        let Some(base) = Base::take(id, values.values_mut()) else {
            // The request cleared or made it, so that nothing of what others wrote is to stay.
            return Ok(self.sessions.update(id, &values, None).await? != Updated::Gone);
        };
        let changes = base.changes(values.all());
        if changes.is_empty() {
            return self.move_expiry(id, &base, &values).await;
        }
        if base.version() == Version::NONE {
            // A table without versions cannot tell what others wrote.
            return Ok(self.sessions.update(id, &values, None).await? != Updated::Gone);
        }
        // Mostly nobody else did: then this is one statement, without a read.
        match self.sessions.update(id, &values, Some(base.version())).await? {
            Updated::Saved(_) => Ok(true),
            Updated::Gone => Ok(false),
            Updated::Stale => self.write_onto(id, &changes, &values).await,
        }
    }

    /// Whether a session that is gone was never here. A record that has a base was.
    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    pub(crate) async fn is_unknown(&self, id: &SessionId, values: &Values) -> Result<bool> {
        Ok(!Base::is_in(id, values.all()) && self.sessions.fate(id).await? == session_core::Fate::Unknown)
    }

    /// Whether a record is a clone of one that was handed out: somebody keeps records for longer than a request.
    #[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
    pub(crate) fn is_copy(record: &std::collections::HashMap<String, serde_json::Value>) -> bool {
        Base::is_copy(record)
    }

    async fn write_onto(&self, id: &SessionId, changes: &Changes, values: &Values) -> Result<bool> {
        let modified = self.sessions.modify(id, |theirs| {
            changes.apply(theirs.values_mut());
            theirs.expire_like(values);
        });
        Ok(modified.await?.is_some())
    }

    async fn move_expiry(&self, id: &SessionId, base: &Base, values: &Values) -> Result<bool> {
        match values.expires_at(self.sessions.now().await?) {
            Some(expires_at) if expires_at != base.expires_at() => {
                self.sessions.touch_until(id, expires_at).await
            }
            _ => Ok(true),
        }
    }
}
