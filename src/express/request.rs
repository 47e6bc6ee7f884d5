//! The session of a request, with what express-session calls its parts.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use session_core::SessionId;

use super::{Cookie, ExpressSession};
use crate::web::{Result, Session};

/// The session of a request: what [`ExpressLayer`](crate::express::ExpressLayer) puts into its extensions. Cheap to
/// clone; all clones are the same session.
///
/// It is read when it is first asked for. From then on its data are in memory, and what is done to them is written at
/// once, if it makes a difference. What others did to other members meanwhile stays. A request without a live session
/// has a new one, of which nothing is kept until it is given data.
///
/// # Errors
/// Those of [`web::Session`](Session): a database that is away does not mean that nobody is signed in, and a session that
/// was signed out meanwhile is not written. Stored data that are no session are none, and what is written next
/// takes their place.
///
/// # Cancel safety
/// A future that is dropped leaves the session as it was, or as it was to become.
#[derive(Clone, Debug)]
pub struct RequestSession {
    session: Session<ExpressSession>,
    /// The cookie of a new session.
    cookie: Arc<Cookie>,
}

impl RequestSession {
    pub(super) fn new(session: Session<ExpressSession>, cookie: Arc<Cookie>) -> RequestSession {
        RequestSession { session, cookie }
    }

    /// A member's value, or `None` if there is none of this name.
    ///
    /// # Errors
    /// As [`ExpressSession::get`].
    pub async fn get<V: DeserializeOwned>(&self, name: &str) -> Result<Option<V>> {
        Ok(self.read(|data| data.get(name)).await??)
    }

    /// Sets a member.
    ///
    /// # Errors
    /// As [`ExpressSession::insert`].
    pub async fn insert<V: Serialize + ?Sized>(&self, name: &str, value: &V) -> Result<()> {
        Ok(self.write(|data| data.insert(name, value)).await??)
    }

    /// Removes a member. Returns whether it was there.
    pub async fn remove(&self, name: &str) -> Result<bool> {
        self.write(|data| data.remove(name)).await
    }

    /// Looks at the data.
    pub async fn read<R>(&self, look: impl FnOnce(&ExpressSession) -> R) -> Result<R> {
        Ok(look(&self.data().await?))
    }

    /// Changes the data: any number of members in one statement. Nothing is written if they do not differ then.
    pub async fn write<R>(&self, change: impl FnOnce(&mut ExpressSession) -> R) -> Result<R> {
        let before = self.data().await?;
        let mut mine = before.clone();
        let value = change(&mut mine);
        if !mine.same_data(&before) {
            self.save(|latest| mine.replay(&before, latest)).await?;
        }
        Ok(value)
    }

    /// The id of the session; `None` if it is new.
    pub async fn id(&self) -> Result<Option<SessionId>> {
        self.session.id().await
    }

    /// Gives the session a new id, and ends the old one: what to do at every sign-in, so that an id that somebody planted
    /// is worth nothing. A new session has a new id in any case.
    ///
    /// Where the backend cannot do both in one step, the old id is ended first: if something fails between the two,
    /// the user has to sign in again.
    pub async fn rotate(&self) -> Result<()> {
        self.session.rotate().await.map(|_| ())
    }

    /// Ends the session. Returns `false` if there was none. As in express-session, the browser keeps its cookie, which
    /// is worth nothing any more.
    ///
    /// What is written afterwards begins a new session, under a new id: express-session's `regenerate`.
    pub async fn destroy(&self) -> Result<bool> {
        self.session.sign_out().await
    }

    /// Gives a session that was stored without a cookie one, if this request has read it.
    pub(super) async fn mend(&self) -> Result<()> {
        if self.session.peek(ExpressSession::was_without_cookie) == Some(true) {
            tracing::warn!(
                "a stored session has no `cookie`, and no Node application can read it; mending it"
            );
            self.save(|_| ()).await?;
        }
        Ok(())
    }

    pub(super) fn session(&self) -> &Session<ExpressSession> {
        &self.session
    }

    async fn data(&self) -> Result<ExpressSession> {
        Ok(self.session.get().await?.unwrap_or_else(|| self.blank()))
    }

    async fn save(&self, mut change: impl FnMut(&mut ExpressSession)) -> Result<()> {
        let now = self.session.sessions().now().await?;
        let change_and_touch = |latest: &mut ExpressSession| {
            change(latest);
            latest.touch_for_save(now);
        };
        self.session.modify_or_else(|| self.blank(), change_and_touch).await
    }

    fn blank(&self) -> ExpressSession {
        ExpressSession::new((*self.cookie).clone())
    }
}
