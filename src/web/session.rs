//! The session of a request, as a handler has it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use session_core::{ErrorKind, Fate, SessionId, SessionInfo, TouchOutcome};

use super::config::{Config, WhileAway};
use super::state::{Current, Known, Shared, State};
use super::{Error, Result};

/// So long a change waits for another of the same request: for one whose future is polled no more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The session of a request, with data of the application's own type. Cheap to clone; all clones are the same session.
///
/// It is read when it is first asked for, and at most once. **What is changed is written at once**: when
/// [`modify`](Session::modify) returns it is done, whether the handler then answers, fails, panics, streams or talks
/// over a WebSocket. A visitor for whom nothing is written has no session, no row and no cookie.
///
/// # After the answer has begun
/// While a body streams, and in a WebSocket, everything works on a session that is there: [`reload`](Session::reload)
/// shows what others changed. The cookie's `Max-Age` stays as it is: see [`renew`](Session::renew). What needs a cookie, to
/// begin a session or to give it another id, fails with [`TooLate`](Error::TooLate).
///
/// # Errors
/// Every method fails with [`Store`](Error::Store) if the store does. While the database is away that is a 503, and not
/// "nobody is signed in". Stored data that cannot be read are no session: the
/// [observer](session_core::SessionsBuilder::observer) hears of it, and what is written next takes their place.
///
/// # Cancel safety
/// A future that is dropped leaves the session as it was, or as it was to become. One that is about to begin a session
/// may leave it in the table without a cookie. Do not keep a future that was polled and is not polled on: others of
/// the same request may wait for it.
pub struct Session<T> {
    config: Arc<Config<T>>,
    state: Arc<State<T>>,
}

impl<T: Clone + Send + Sync + 'static> Session<T> {
    pub(super) fn new(config: Arc<Config<T>>, carried: Vec<SessionId>) -> Session<T> {
        Session { config, state: Arc::new(State::new(carried)) }
    }

    /// The data, as they are known in this request; `None` for a visitor without a session.
    pub async fn get(&self) -> Result<Option<T>> {
        self.read(T::clone).await
    }

    /// Looks at the data without copying them; `None` for a visitor without a session.
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn greet(session: Session<Visit>) -> Result<String> {
    ///     let count = session.read(|visit| visit.basket.len()).await?.unwrap_or(0);
    ///     Ok(format!("{count} things in the basket"))
    /// }
    /// ```
    pub async fn read<R>(&self, look: impl FnOnce(&T) -> R) -> Result<Option<R>> {
        self.find(|session| look(&session.data)).await
    }

    /// The data as they are in the store now: for streams and WebSockets, which live longer than what they have read.
    /// Nothing crosses the network but a version if nobody changed them.
    pub async fn reload(&self) -> Result<Option<T>> {
        self.look_up().await?;
        let Some(mut session) = self.state.known().live().cloned() else { return Ok(None) };
        if self.sessions().reload(&mut session).await? == session_core::Reloaded::Gone {
            self.state.known().end(session.id());
        }
        self.state.known().update(session);
        self.get().await
    }

    /// Changes the data where they stand, in one atomic step that is done when this returns. A visitor without a session
    /// gets one, with data by [`Default`].
    ///
    /// The closure runs again on fresh data whenever another request was faster, so let it do nothing but change the data.
    /// Changes of one request are made one after the other.
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn add(session: Session<Visit>, item: String) -> Result<String> {
    ///     let count = session.modify(|visit| {
    ///         visit.basket.push(item.clone());
    ///         visit.basket.len()
    ///     });
    ///     Ok(format!("{} things in the basket", count.await?))
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Ended`](Error::Ended) if the session was signed out meanwhile, or if the request carries an id that a sign-in
    /// has replaced: whoever has that is nobody, and gets no session and no cookie by it.
    /// [`TooLate`](Error::TooLate) if there is no session and the answer has begun.
    pub async fn modify<R>(&self, change: impl FnMut(&mut T) -> R) -> Result<R>
    where
        T: Default,
    {
        self.modify_or_else(T::default, change).await
    }

    pub(crate) async fn modify_or_else<R>(
        &self,
        first: impl FnOnce() -> T,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R> {
        loop {
            if self.is_unsettled() {
                let _gate = self.state.gate.lock().await;
                self.look_up_behind_gate().await?;
                if self.is_none() {
                    // Whoever carries an id that was rotated away gets no other by a mere change: his answer would take
                    // the place of the cookie that the sign-in has set.
                    if self.is_replaced().await? {
                        return Err(Error::Ended);
                    }
                    return self.begin(first, change).await;
                }
            }
            // Whoever waits in vain goes on: the version sees to it that nothing is lost.
            let _turn = tokio::time::timeout(PATIENCE, self.state.turn.lock()).await;
            let Some(session) = self.state.known().live().cloned() else { return Err(Error::Ended) };
            let mut session = session.into_owned();
            let (id, expires_at) = (session.id().clone(), session.expires_at());
            if let Some(modified) = self.sessions().modify_session(&mut session, &mut change).await? {
                let mut known = self.state.known();
                known.is_changed = true;
                known.is_moved |= modified.expires_at != expires_at;
                known.update(session.into_shared());
                return Ok(modified.value);
            }
            if self.state.known().end(&id) {
                return Err(Error::Ended);
            }
        }
    }

    /// Signs in: gives the session a new id and changes its data, in one atomic step, so that an id that somebody planted
    /// or saw before is worth nothing. What the visitor had in the session stays. A visitor without a session gets one,
    /// with data by [`Default`].
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn sign_in(session: Session<Visit>, name: String) -> Result<()> {
    ///     // … look at the password first …
    ///     session.sign_in(|visit| visit.user = Some(name.clone())).await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TooLate`](Error::TooLate) if the answer has begun.
    pub async fn sign_in<R>(&self, mut change: impl FnMut(&mut T) -> R) -> Result<R>
    where
        T: Default,
    {
        let _gate = self.state.gate.lock().await;
        self.look_up_behind_gate().await?;
        match self.change_id(&mut change).await? {
            Some(value) => Ok(value),
            None => self.begin(T::default, change).await,
        }
    }

    /// Gives the session a new id and keeps its data: before a step that asks for more trust. Returns false if there is no
    /// session.
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn confirm_password(session: Session<Visit>) -> Result<()> {
    ///     // … look at the password first …
    ///     session.rotate().await.map(|_| ())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TooLate`](Error::TooLate) if the answer has begun.
    pub async fn rotate(&self) -> Result<bool> {
        let _gate = self.state.gate.lock().await;
        self.look_up_behind_gate().await?;
        Ok(self.change_id(&mut |_: &mut T| ()).await?.is_some())
    }

    /// Signs out: ends the session, and takes its cookie. Returns false if there was none.
    ///
    /// What is written afterwards begins a new session.
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn sign_out(session: Session<Visit>) -> Result<&'static str> {
    ///     let was_there = session.sign_out().await?;
    ///     Ok(if was_there { "signed out" } else { "nobody was signed in" })
    /// }
    /// ```
    pub async fn sign_out(&self) -> Result<bool> {
        let _gate = self.state.gate.lock().await;
        Ok(self.end_all_here().await? > 0)
    }

    /// Signs the session's [principal](session_core::SessionsBuilder::principal) out on every device, this one included,
    /// in one atomic step. Returns how many sessions ended. Without a principal it is [`sign_out`](Session::sign_out).
    ///
    /// # Errors
    /// `Unsupported` in a table without principals.
    pub async fn sign_out_everywhere(&self) -> Result<u64> {
        let _gate = self.state.gate.lock().await;
        self.look_up_behind_gate().await?;
        let principal = self.principal();
        let mut ended = 0;
        if let Some(principal) = principal {
            ended = self.sessions().destroy_principal(&principal).await?;
        }
        // It is gone, unless it was another's by the time of its last write.
        Ok(ended + self.end_all_here().await?)
    }

    /// Signs the session's [principal](session_core::SessionsBuilder::principal) out on every other device, in one atomic
    /// step. Returns how many sessions ended.
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// async fn change_password(session: Session<Visit>) -> Result<String> {
    ///     // … store the new password first …
    ///     session.rotate().await?;
    ///     Ok(format!("signed out on {} other devices", session.sign_out_elsewhere().await?))
    /// }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` in a table without principals.
    pub async fn sign_out_elsewhere(&self) -> Result<u64> {
        let Some(id) = self.id().await? else { return Ok(0) };
        let Some(principal) = self.principal() else { return Ok(0) };
        Ok(self.sessions().destroy_others(&principal, &id).await?)
    }

    /// Renews the session's expiry now: for streams and WebSockets, which are used after their answer has begun. Returns
    /// false if there is no session.
    ///
    /// Then the cookie's `Max-Age` cannot follow: the browser keeps the cookie for as long as the last answer said that set
    /// it, which may be for less long than the session lives. A page that lives on a WebSocket for days does better with a
    /// request of its own now and then in place of this call, or with a cookie that
    /// [ends with the browser](super::Cookie::with_end_of_browser).
    ///
    /// ```
    /// # use session_store::web::{Result, Session};
    /// # #[derive(Clone, Default)] struct Visit { user: Option<String>, basket: Vec<String> }
    /// /// Every minute, in a task beside a WebSocket.
    /// async fn keep_alive(session: &Session<Visit>) -> Result<()> {
    ///     let is_there = session.renew().await?;
    ///     if !is_there {
    ///         println!("it was signed out: close the socket");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn renew(&self) -> Result<bool> {
        self.look_up().await?;
        let Some(mut session) = self.state.known().live().cloned() else { return Ok(false) };
        let outcome = self.sessions().refresh(&mut session).await?;
        let mut known = self.state.known();
        known.is_moved |= matches!(outcome, TouchOutcome::Moved(_));
        if outcome == TouchOutcome::Gone {
            known.end(session.id());
        }
        known.update(session);
        Ok(outcome != TouchOutcome::Gone)
    }

    /// The session's id; `None` for a visitor without a session. It is as secret as the cookie.
    pub async fn id(&self) -> Result<Option<SessionId>> {
        self.find(|session| session.id().clone()).await
    }

    /// What the store knows of the session beside its data: since when, until when, whose.
    pub async fn info(&self) -> Result<Option<SessionInfo>> {
        self.find(|session| session.info().clone()).await
    }

    /// The sessions that all requests share.
    pub fn sessions(&self) -> &session_core::Sessions<T> {
        &self.config.sessions
    }

    /// Ends, when it is dropped, the part of the request in which a session can be begun: also if there is no answer, as the
    /// browser has gone. A clone in a task of its own would begin one that nobody is told of.
    pub(crate) fn until_answered(&self) -> Answered<T> {
        Answered(Arc::clone(&self.state))
    }

    /// The answer's head goes out.
    pub(super) fn answer(&self) -> Known<T> {
        let mut known = self.state.known();
        known.is_answered = true;
        known.clone()
    }

    /// The data, if this request has read them.
    #[cfg(feature = "express")]
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.state.known().live().map(|session| look(&session.data))
    }

    /// Whom the session belongs to, by its data.
    pub(super) fn principal(&self) -> Option<String> {
        self.state.known().live().and_then(|session| self.sessions().principal_of(&session.data))
    }

    /// It is not known yet, or there is none.
    fn is_unsettled(&self) -> bool {
        let mut known = self.state.known();
        known.is_asked = true;
        !matches!(known.current, Current::Live(_) | Current::Ended)
    }

    fn is_none(&self) -> bool {
        matches!(self.state.known().current, Current::None | Current::Unreadable)
    }

    async fn find<R>(&self, look: impl FnOnce(&Shared<T>) -> R) -> Result<Option<R>> {
        match self.look_up().await {
            Ok(()) => Ok(self.state.known().live().map(look)),
            Err(error)
                if self.config.while_away == WhileAway::Nobody && error.kind() == ErrorKind::Unavailable =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds out which session it is, once.
    async fn look_up(&self) -> session_core::Result<()> {
        self.state.known().is_asked = true;
        if matches!(self.state.known().current, Current::Unread) {
            let _gate = self.state.gate.lock().await;
            self.look_up_behind_gate().await?;
        }
        Ok(())
    }

    async fn look_up_behind_gate(&self) -> session_core::Result<()> {
        let carried = {
            let mut known = self.state.known();
            known.is_asked = true;
            if !matches!(known.current, Current::Unread) {
                return Ok(());
            }
            known.carried.clone()
        };
        let mut found = Current::None;
        for id in &carried {
            match self.sessions().load_shared(id).await {
                Ok(None) => {}
                Ok(Some(session)) => {
                    found = Current::Live(session);
                    break;
                }
                // The observer has heard of it.
                Err(error) if error.kind() == ErrorKind::Corrupt => found = Current::Unreadable,
                Err(error) => return Err(error),
            }
        }
        self.state.known().current = found;
        Ok(())
    }

    /// One of the ids in the cookies was rotated away.
    async fn is_replaced(&self) -> Result<bool> {
        let carried = self.state.known().carried.clone();
        for id in &carried {
            if self.sessions().fate(id).await? == Fate::RotatedAway {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves the session to a new id; `None` if there is none, or none any more. Behind the gate.
    async fn change_id<R>(&self, change: &mut impl FnMut(&mut T) -> R) -> Result<Option<R>> {
        let Some(session) = self.not_answered()?.live().cloned() else { return Ok(None) };
        let mut session = session.into_owned();
        let old = session.id().clone();
        let value = if self.sessions().capabilities().rotation {
            self.sessions().rotate_session(&mut session, &mut *change).await?
        } else if self.sessions().destroy(&old).await? {
            // Of several that end the old id at once, one goes on. Should the next step fail, the visitor signs in again.
            self.state.known().end(&old);
            let value = change(&mut session.data);
            session = self.sessions().start(session.data).await?;
            Some(value)
        } else {
            None
        };
        match value {
            Some(value) => self.install(session.into_shared()).await.map(|()| Some(value)),
            None => {
                self.state.known().end(&old);
                Ok(None)
            }
        }
    }

    /// Begins a session. Behind the gate.
    async fn begin<R>(&self, first: impl FnOnce() -> T, mut change: impl FnMut(&mut T) -> R) -> Result<R> {
        let carried = self.not_answered()?.carried.clone();
        let mut data = first();
        let value = change(&mut data);
        for id in &carried {
            // What is live and no session cannot be read: it is replaced.
            if self.sessions().fate(id).await? == Fate::Live {
                self.sessions().destroy(id).await?;
            }
        }
        self.install(self.sessions().start(data).await?.into_shared()).await?;
        Ok(value)
    }

    /// Takes a session whose id the browser does not know. If it cannot be told any more, nobody could ever use it.
    async fn install(&self, session: Shared<T>) -> Result<()> {
        let refused = self.state.known().renew(session);
        match refused {
            None => Ok(()),
            Some(session) => {
                self.sessions().destroy(session.id()).await?;
                Err(Error::TooLate)
            }
        }
    }

    fn not_answered(&self) -> Result<std::sync::MutexGuard<'_, Known<T>>> {
        let known = self.state.known();
        if known.is_answered { Err(Error::TooLate) } else { Ok(known) }
    }

    /// Ends whatever session the request's cookies name. Behind the gate.
    async fn end_all_here(&self) -> Result<u64> {
        let ids = {
            let mut known = self.state.known();
            known.is_asked = true;
            let mut ids = known.carried.clone();
            ids.extend(known.live().map(|session| session.id().clone()));
            ids
        };
        let ended = if ids.is_empty() { 0 } else { self.sessions().destroy_many(&ids).await? };
        // A cookie that a sign-in has set meanwhile is not this request's to take.
        let takes_cookie = ended > 0 || !self.is_replaced().await?;
        self.state.known().sign_out(takes_cookie);
        Ok(ended)
    }
}

/// See [`Session::until_answered`].
pub(crate) struct Answered<T>(Arc<State<T>>);

impl<T> Drop for Answered<T> {
    fn drop(&mut self) {
        self.0.known().is_answered = true;
    }
}

impl<T> Clone for Session<T> {
    fn clone(&self) -> Session<T> {
        Session { config: Arc::clone(&self.config), state: Arc::clone(&self.state) }
    }
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("state", &self.state).finish_non_exhaustive()
    }
}
