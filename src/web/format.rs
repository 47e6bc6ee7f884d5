//! What the engine asks of a kind of cookie.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use session_core::{Result, SessionId, Timestamp};

use super::state::Shared;

/// How a session's id travels in a cookie.
pub(crate) trait Format<T>: fmt::Debug + Send + Sync + 'static {
    /// The ids that a request carries, in the order in which they are to be tried. What cannot be one is left out.
    fn read(&self, headers: &HeaderMap) -> Vec<SessionId>;

    /// The header for a session that is live at the end of a request; `None` if the browser has all that it needs.
    fn write(&self, kept: &Kept<'_, T>) -> Result<Option<HeaderValue>>;

    /// The header that takes the cookie out of the browser; `None` if it may stay.
    fn remove(&self) -> Option<HeaderValue>;
}

/// What became of a session in a request.
#[derive(Debug)]
pub(crate) struct Kept<'a, T> {
    pub(crate) session: &'a Shared<T>,
    pub(crate) now: Timestamp,
    /// The browser does not know its id.
    pub(crate) is_new: bool,
    /// Its data were changed.
    #[cfg_attr(not(feature = "express"), expect(dead_code, reason = "other cookies do not depend on it"))]
    pub(crate) is_changed: bool,
    /// Its expiry was moved.
    pub(crate) is_moved: bool,
}
