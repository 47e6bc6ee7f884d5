//! What a store tells an observer.

use std::fmt;

use crate::{Error, Principal, SessionKey};

/// Something that happened in a [`Sessions`](crate::Sessions).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The database answered for the first time, or again after [`Event::Disconnected`].
    Connected,
    /// The database cannot be reached. Until [`Event::Connected`], work is refused at once.
    Disconnected {
        /// What showed it.
        error: &'a Error,
    },
    /// An operation failed; [`Error::operation`] names it. Each failure is told once, and work that is refused while
    /// disconnected is not told again.
    Error {
        /// The error, as the caller gets it, or that of a clean-up or a clock's refresh whose failure nobody else sees.
        error: &'a Error,
    },
    /// A session was created.
    Created {
        /// Its key.
        key: &'a SessionKey,
    },
    /// A session was destroyed.
    Destroyed {
        /// Its key.
        key: &'a SessionKey,
    },
    /// Sessions of one principal were destroyed together.
    PrincipalDestroyed {
        /// Whose sessions.
        principal: &'a Principal,
        /// How many; may be 0.
        count: u64,
    },
    /// A session moved to a new key.
    Rotated {
        /// The key that is dead now.
        from: &'a SessionKey,
        /// The key that is live now.
        to: &'a SessionKey,
    },
    /// A purge removed rows whose expiry had passed.
    Purged {
        /// How many; may be 0.
        count: u64,
    },
    /// Every row was removed.
    Cleared {
        /// How many, live or dead; may be 0.
        count: u64,
    },
}

/// Gets every [`Event`] of a store. Any `Fn(&Event)` is an observer.
///
/// It runs inline, in the task of the caller whose operation caused the event: keep it short, and hand anything long to
/// a channel. A panic in it is caught and dropped.
///
/// [`Event::Connected`] and [`Event::Disconnected`] come one at a time, in their order: never wait for an operation of
/// the same store in here. Other events of different callers come as they happen, and may overlap.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use session_core::{Event, Observer};
///
/// #[derive(Default)]
/// struct Metrics { created: AtomicU64, failed: AtomicU64 }
///
/// impl Observer for Metrics {
///     fn observe(&self, event: &Event<'_>) {
///         match event {
///             Event::Created { .. } => _ = self.created.fetch_add(1, Ordering::Relaxed),
///             Event::Error { .. } => _ = self.failed.fetch_add(1, Ordering::Relaxed),
///             _ => {}
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Takes note of an event.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
