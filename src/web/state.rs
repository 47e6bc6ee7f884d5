//! What a request knows of its session.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{Session, SessionId, Version};

/// Shared by all clones of a request's [`Session`](super::Session).
pub(super) struct State<T> {
    /// Held by whoever finds out which session it is, or changes that. What is in the session is guarded by its version.
    pub(super) gate: tokio::sync::Mutex<()>,
    /// Held by whoever changes what is in the session, so that the clones of one request do not make each other stale.
    pub(super) turn: tokio::sync::Mutex<()>,
    known: Mutex<Known<T>>,
}

/// Which session it is, and what has become of it in this request.
#[derive(Clone)]
pub(super) struct Known<T> {
    /// The ids in the request's cookies.
    pub(super) carried: Vec<SessionId>,
    pub(super) current: Current<T>,
    /// The browser does not know the session's id.
    pub(super) is_new: bool,
    /// The session was changed.
    pub(super) is_changed: bool,
    /// Its expiry was moved.
    pub(super) is_moved: bool,
    /// The cookie is to go.
    pub(super) is_signed_out: bool,
    /// Somebody asked for the session: the answer may depend on it.
    pub(super) is_asked: bool,
    /// The head of the answer has gone out.
    pub(super) is_answered: bool,
}

/// A session whose data the [cache](session_core::SessionsBuilder::cache) may have, too. Cheap to clone.
pub(super) type Shared<T> = Session<Arc<T>>;

#[derive(Clone)]
pub(super) enum Current<T> {
    /// Nobody has asked for it.
    Unread,
    /// There is none.
    None,
    /// It is live, as far as this request knows.
    Live(Shared<T>),
    /// It is live, and what is stored is not a `T`.
    Unreadable,
    /// It was live in this request, and somebody else has ended it.
    Ended,
}

impl<T> State<T> {
    pub(super) fn new(carried: Vec<SessionId>) -> State<T> {
        let current = if carried.is_empty() { Current::None } else { Current::Unread };
        State {
            gate: tokio::sync::Mutex::new(()),
            turn: tokio::sync::Mutex::new(()),
            known: Mutex::new(Known {
                carried,
                current,
                is_new: false,
                is_changed: false,
                is_moved: false,
                is_signed_out: false,
                is_asked: false,
                is_answered: false,
            }),
        }
    }

    /// Never held across an await.
    pub(super) fn known(&self) -> MutexGuard<'_, Known<T>> {
        // Nothing panics between two changes that belong together.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Known<T> {
    /// The live session.
    pub(super) fn live(&self) -> Option<&Shared<T>> {
        match &self.current {
            Current::Live(session) => Some(session),
            _ => None,
        }
    }

    /// The session under this id, which was in hand, is not there any more. False if this request itself has given it
    /// another one meanwhile.
    pub(super) fn end(&mut self, id: &SessionId) -> bool {
        if self.live().is_some_and(|live| live.id() != id) {
            return false;
        }
        self.current = Current::Ended;
        true
    }

    /// Takes note of a session as it is now, unless something newer is known.
    pub(super) fn update(&mut self, session: Shared<T>) {
        if let Current::Live(live) = &mut self.current
            && live.id() == session.id()
            && (live.version() <= session.version() || session.version() == Version::NONE)
        {
            *live = session;
        }
    }

    /// The session has an id that the browser does not know. Hands it back if it cannot be told any more.
    pub(super) fn renew(&mut self, session: Shared<T>) -> Option<Shared<T>> {
        if self.is_answered {
            return Some(session);
        }
        self.current = Current::Live(session);
        self.is_new = true;
        self.is_signed_out = false;
        None
    }

    /// There is no session any more, by this request's own will.
    pub(super) fn sign_out(&mut self, takes_cookie: bool) {
        self.current = Current::None;
        self.is_signed_out = takes_cookie && !self.carried.is_empty();
        self.carried.clear();
        (self.is_new, self.is_changed, self.is_moved) = (false, false, false);
    }
}

impl<T> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        let current = match known.current {
            Current::Unread => "unread",
            Current::None => "none",
            Current::Live(_) => "live",
            Current::Unreadable => "unreadable",
            Current::Ended => "ended",
        };
        f.debug_struct("State")
            .field("session", &current)
            .field("is_new", &known.is_new)
            .finish_non_exhaustive()
    }
}
