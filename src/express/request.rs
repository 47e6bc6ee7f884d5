//! The session of a request, from the cookie to the answer.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use session_core::{
    Error, ErrorKind, Operation, Result, RotateOutcome, Session, SessionId, Timestamp, Touched, Updated,
};
use tokio::sync::{Mutex, MutexGuard};

use super::layer::Config;
use super::{Cookie, ExpressSession};

/// After so many rounds in which somebody else changed the session first, a save gives up.
const ROUNDS: u32 = 16;

/// The session of a request: what [`ExpressLayer`](crate::express::ExpressLayer) puts into its extensions. Cheap to
/// clone; all clones are the same session.
///
/// It is read when it is first asked for; from then on its data are in memory, and what was done to them is kept when
/// the request is answered. A request without a live session has a new one, of which nothing is kept until it is given
/// data.
///
/// # Errors
/// Every method fails if the session cannot be read: with [`Unavailable`](ErrorKind::Unavailable) while the database
/// is, which does not mean that nobody is signed in, and with [`Corrupt`](ErrorKind::Corrupt) if what is stored is no
/// session.
///
/// # Cancel safety
/// A future that is dropped leaves the session as it was, or as it was to become.
#[derive(Clone, Debug)]
pub struct RequestSession {
    config: Config,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The id that the cookie names, until somebody asks for the session.
    unread: Option<SessionId>,
    /// The session as it was read; `None` for a new one.
    stored: Option<Session<ExpressSession>>,
    /// The data as they are now.
    data: ExpressSession,
    /// Whether a stored session gets a new id.
    rotate: bool,
}

impl RequestSession {
    pub(super) fn new(config: Config, id: Option<SessionId>) -> RequestSession {
        let state = State { unread: id, ..State::blank(&config.cookie) };
        RequestSession { config, state: Arc::new(Mutex::new(state)) }
    }

    /// A member's value, or `None` if there is none of this name.
    ///
    /// # Errors
    /// As [`ExpressSession::get`].
    pub async fn get<V: DeserializeOwned>(&self, name: &str) -> Result<Option<V>> {
        self.read(|data| data.get(name)).await?
    }

    /// Sets a member.
    ///
    /// # Errors
    /// As [`ExpressSession::insert`].
    pub async fn insert<V: Serialize + ?Sized>(&self, name: &str, value: &V) -> Result<()> {
        self.write(|data| data.insert(name, value)).await?
    }

    /// Removes a member. Returns whether it was there.
    pub async fn remove(&self, name: &str) -> Result<bool> {
        self.write(|data| data.remove(name)).await
    }

    /// Looks at the data.
    pub async fn read<R>(&self, look: impl FnOnce(&ExpressSession) -> R) -> Result<R> {
        Ok(look(&self.state().await?.data))
    }

    /// Changes the data. They are saved with the answer, if they differ then from what was read.
    pub async fn write<R>(&self, change: impl FnOnce(&mut ExpressSession) -> R) -> Result<R> {
        Ok(change(&mut self.state().await?.data))
    }

    /// The id that came with the request; `None` if it is not a live session's.
    pub async fn id(&self) -> Result<Option<SessionId>> {
        Ok(self.state().await?.stored.as_ref().map(|stored| stored.id().clone()))
    }

    /// Gives the session a new id with the answer, and ends the old one: what to do at every sign-in, so that an id
    /// that somebody planted is worth nothing. A new session has a new id in any case.
    ///
    /// Where the backend cannot do both in one step, the old id is ended first: if something fails between the two,
    /// the user has to sign in again.
    pub async fn rotate(&self) -> Result<()> {
        self.state().await?.rotate = true;
        Ok(())
    }

    /// Ends the session at once. Returns `false` if there was none. As in express-session, the browser keeps its
    /// cookie, which is worth nothing any more.
    ///
    /// What is written afterwards begins a new session, under a new id: express-session's `regenerate`.
    pub async fn destroy(&self) -> Result<bool> {
        let mut state = self.state.lock().await;
        let id = state.unread.as_ref().or(state.stored.as_ref().map(Session::id)).cloned();
        let destroyed = match id {
            Some(id) => self.config.store.destroy(&id).await?,
            None => false,
        };
        *state = State::blank(&self.config.cookie);
        Ok(destroyed)
    }

    /// The state, with the session read.
    async fn state(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock().await;
        if let Some(id) = &state.unread {
            let stored = self.config.store.load(id).await?;
            *state = stored.map_or_else(|| State::blank(&self.config.cookie), State::read);
        }
        Ok(state)
    }

    /// Keeps what became of the session. Returns the `Set-Cookie` header, if there is one to send.
    pub(super) async fn commit(&self) -> Result<Option<String>> {
        let config = &self.config;
        // Only what nobody has asked for can fail to be read here, and then nothing is lost.
        if config.rolling && note_failure(self.state().await).is_none() {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        if let Some(id) = &state.unread {
            note_failure(config.store.touch(id).await);
            return Ok(None);
        }
        let now = config.clock.now();
        let State { stored, data, rotate, .. } = &mut *state;
        match stored {
            None => config.keep_new(data, now).await,
            Some(stored) if *rotate || data.was_without_cookie() || !data.same_data(&stored.data) => {
                config.keep_changed(stored, data, *rotate, now).await
            }
            Some(stored) => config.keep_unchanged(stored, now).await,
        }
    }
}

impl State {
    /// A new session.
    fn blank(cookie: &Cookie) -> State {
        State { unread: None, stored: None, data: ExpressSession::new(cookie.clone()), rotate: false }
    }

    /// A session that was read.
    fn read(stored: Session<ExpressSession>) -> State {
        if stored.data.was_without_cookie() {
            tracing::warn!(
                "a stored session has no `cookie`, and no Node application can read it; mending it"
            );
        }
        State { unread: None, data: stored.data.clone(), stored: Some(stored), rotate: false }
    }
}

/// What came of an attempt to save.
enum Saved {
    Under(SessionId),
    Stale,
    Gone,
}

impl Config {
    async fn keep_new(&self, data: &mut ExpressSession, now: Timestamp) -> Result<Option<String>> {
        if data.same_data(&ExpressSession::new((*self.cookie).clone())) {
            return Ok(None);
        }
        data.touch(now);
        let new = self.store.create(data).await?;
        self.set_cookie(&new.id, data).map(Some)
    }

    async fn keep_unchanged(
        &self,
        stored: &mut Session<ExpressSession>,
        now: Timestamp,
    ) -> Result<Option<String>> {
        let touched = note_failure(self.store.refresh(stored).await);
        if !self.rolling || matches!(touched, Some(Touched::Gone)) {
            return Ok(None);
        }
        let mut data = stored.data.clone();
        data.touch(now);
        self.set_cookie(stored.id(), &data).map(Some)
    }

    async fn keep_changed(
        &self,
        stored: &mut Session<ExpressSession>,
        data: &ExpressSession,
        rotate: bool,
        now: Timestamp,
    ) -> Result<Option<String>> {
        let (before, mut next) = (stored.data.clone(), data.clone());
        for _ in 0..ROUNDS {
            next.touch(now);
            let saved =
                if rotate { self.rotate(stored, &next).await } else { self.save(stored, &next).await };
            match saved? {
                Saved::Under(id) => {
                    let send = rotate || self.rolling || !next.cookie().has_no_date();
                    return send.then(|| self.set_cookie(&id, &next)).transpose();
                }
                Saved::Gone => return Ok(None),
                Saved::Stale => {}
            }
            // Somebody else was faster: do the same to what is there now.
            let Some(latest) = self.store.load(stored.id()).await? else { return Ok(None) };
            next = latest.data.clone();
            data.replay(&before, &mut next);
            *stored = latest;
        }
        Err(Error::new(ErrorKind::Conflict, "others changed this session in every round; try again later")
            .with_operation(Operation::Update))
    }

    async fn save(&self, stored: &mut Session<ExpressSession>, data: &ExpressSession) -> Result<Saved> {
        stored.data = data.clone();
        Ok(match self.store.save(stored).await? {
            Updated::Saved(_) => Saved::Under(stored.id().clone()),
            Updated::Stale => Saved::Stale,
            Updated::Gone => Saved::Gone,
        })
    }

    async fn rotate(&self, stored: &Session<ExpressSession>, data: &ExpressSession) -> Result<Saved> {
        let able = self.store.capabilities();
        if !able.rotation {
            // Of several that end the old id at once, one may go on.
            if !self.store.destroy(stored.id()).await? {
                return Ok(Saved::Gone);
            }
            return Ok(Saved::Under(self.store.create(data).await?.id));
        }
        let expected = able.versions.then_some(stored.version());
        Ok(match self.store.rotate_with(stored.id(), data, expected).await? {
            RotateOutcome::Rotated(new) => Saved::Under(new.id),
            RotateOutcome::Stale => Saved::Stale,
            RotateOutcome::Gone => Saved::Gone,
        })
    }

    fn set_cookie(&self, id: &SessionId, data: &ExpressSession) -> Result<String> {
        data.cookie().render(&self.name, &self.secrets.sign(id.expose()))
    }
}

/// Of a renewal that failed: the session is as it was, and lives until the expiry that it has.
fn note_failure<T>(renewal: Result<T, impl Display>) -> Option<T> {
    renewal.inspect_err(|error| tracing::warn!(%error, "the session's expiry was not renewed")).ok()
}
