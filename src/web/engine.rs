//! From a request's headers to a session, and from the session to the answer's headers: for any framework.

use std::fmt::{self, Display};
use std::sync::Arc;

use http::{HeaderMap, header};
use session_core::{Clock as _, Fate, Sessions, SystemClock, Timestamp, TouchOutcome};

use super::caching;
use super::config::{Config, WhileAway};
use super::format::{Format, Kept};
use super::state::{Current, Known, Shared};
use super::{Result, Session};

/// What stands between the headers of HTTP and a [`Sessions`], without a framework: [`begin`](Engine::begin) gives a
/// request its [`Session`], and [`finish`](Engine::finish) sets the answer's headers. A
/// [`SessionLayer`](super::SessionLayer) does no more than call the two, and so does a shell for anything else:
///
/// ```
/// # use http::{Request, Response};
/// # use session_store::web::{Engine, Result, Session};
/// async fn answer(engine: &Engine<Vec<String>>, request: Request<()>) -> Result<Response<String>> {
///     let session = engine.begin(request.headers());
///     let mut response = Response::new(format!("{:?}", session.get().await?));
///     engine.finish(&session, response.headers_mut()).await?;
///     Ok(response)
/// }
/// ```
///
/// Cheap to clone. Take one out of a [`SessionLayer`](super::SessionLayer::engine).
pub struct Engine<T>(Arc<Config<T>>);

impl<T: Clone + Send + Sync + 'static> Engine<T> {
    pub(crate) fn new(
        sessions: Sessions<T>,
        format: impl Format<T>,
        while_away: WhileAway,
        renews_unread: bool,
    ) -> Engine<T> {
        Engine(Arc::new(Config { sessions, format: Box::new(format), while_away, renews_unread }))
    }

    /// The sessions behind it.
    pub fn sessions(&self) -> &Sessions<T> {
        &self.0.sessions
    }

    /// The session of a request with these headers. Nothing is read yet.
    pub fn begin(&self, headers: &HeaderMap) -> Session<T> {
        Session::new(Arc::clone(&self.0), self.0.format.read(headers))
    }

    /// Ends the part of a request in which cookies can be set, and adds to the answer's headers: the cookie if the browser
    /// does not have it, or has it for too short a time, and what keeps a cache from handing it to somebody else.
    ///
    /// It renews the expiry of a session that was read and not changed, which may take one statement. If that fails the
    /// session lives until the expiry that it has, and `tracing` gets a warning.
    ///
    /// # Errors
    /// Only if the session's id cannot be told to the browser: with the cookies of
    /// [`SessionLayer`](super::SessionLayer), never.
    pub async fn finish(&self, session: &Session<T>, headers: &mut HeaderMap) -> Result<()> {
        let mut known = session.answer();
        let seen = self.renew(&mut known).await;
        let cookie = match &known.current {
            Current::Live(session) if seen != Seen::Gone => {
                let Known { is_new, is_changed, is_moved, .. } = known;
                let kept = Kept { session, now: self.now().await, is_new, is_changed, is_moved };
                match self.0.format.write(&kept)? {
                    // An answer that comes late must not put an id back that a sign-in has replaced meanwhile.
                    Some(_) if seen == Seen::Before && !self.is_live(session).await => None,
                    cookie => cookie,
                }
            }
            _ if known.is_signed_out => self.0.format.remove(),
            _ => None,
        };
        caching::guard(headers, known.is_asked, cookie.is_some());
        if let Some(cookie) = cookie {
            headers.append(header::SET_COOKIE, cookie);
        }
        Ok(())
    }

    /// Renews the expiry of a session that was not changed.
    async fn renew(&self, known: &mut Known<T>) -> Seen {
        match &mut known.current {
            // Nobody but this request knows its id.
            Current::Live(_) if known.is_new => Seen::Now,
            Current::Live(_) if known.is_changed => Seen::Before,
            Current::Live(session) => match note_failure(self.0.sessions.refresh(session).await) {
                Some(TouchOutcome::Moved(_)) => {
                    known.is_moved = true;
                    Seen::Now
                }
                Some(TouchOutcome::Throttled(_)) | None => Seen::Before,
                Some(TouchOutcome::Gone) => Seen::Gone,
            },
            Current::Unread if self.0.renews_unread => {
                for id in &known.carried {
                    if note_failure(self.0.sessions.touch(id).await) != Some(TouchOutcome::Gone) {
                        break;
                    }
                }
                Seen::Before
            }
            _ => Seen::Gone,
        }
    }

    async fn is_live(&self, session: &Shared<T>) -> bool {
        note_failure(self.0.sessions.fate(session.id()).await) == Some(Fate::Live)
    }

    /// The time that the sessions go by; the host's if they cannot tell it now.
    async fn now(&self) -> Timestamp {
        let now = self.0.sessions.now().await;
        now.unwrap_or_else(|_| SystemClock.now())
    }
}

/// When a session was last seen to be live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Now,
    Before,
    Gone,
}

/// Of something that harms nobody when it fails.
fn note_failure<R>(renewal: std::result::Result<R, impl Display>) -> Option<R> {
    renewal.inspect_err(|error| tracing::warn!(%error, "the session's expiry was not renewed")).ok()
}

impl<T> Clone for Engine<T> {
    fn clone(&self) -> Engine<T> {
        Engine(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Engine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("sessions", &self.0.sessions)
            .field("cookie", &self.0.format)
            .field("while_away", &self.0.while_away)
            .finish_non_exhaustive()
    }
}
