//! What an engine and the sessions of its requests go by.

use session_core::Sessions;

use super::format::Format;

pub(super) struct Config<T> {
    pub(super) sessions: Sessions<T>,
    pub(super) format: Box<dyn Format<T>>,
    pub(super) while_away: WhileAway,
    pub(super) renews_unread: bool,
}

/// What a visitor is while the database cannot be asked.
///
/// Exhaustive: there is no third way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhileAway {
    /// Reading the session fails, so that the answer is a 503 and nobody seems to be signed out.
    #[default]
    Refused,
    /// Nobody: reading gives no session, for pages that are worth something without one. The cookie stays, and whoever
    /// wants to change the session is refused in any case.
    Nobody,
}
