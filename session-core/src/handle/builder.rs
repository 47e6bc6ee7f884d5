//! The options of a handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SessionStore;
use super::clock::DatabaseClock;
use super::common::{Core, ErrorHandler, Reaction};
use super::connection::Connection;
use super::policy::{Policy, PrincipalOf};
use crate::codec::Json;
use crate::time_to_live::check;
use crate::{
    Clock, Codec, DestroyMode, Error, Gathered, Gathering, Observer, Result, Store, SystemClock, TimeToLive,
};

/// A deadline beyond this is none. It is as far as the runtime's timer reaches.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Options for a [`SessionStore`]. Every one has a default.
#[must_use = "options do nothing until `build`"]
pub struct SessionStoreBuilder<T> {
    store: Arc<dyn Store>,
    time_to_live: TimeToLive<T>,
    codec: Box<dyn Codec<T>>,
    principal: Option<Box<PrincipalOf<T>>>,
    max_lifetime: Option<Duration>,
    cleanup_limit: u32,
    destroy_mode: Option<DestroyMode>,
    on_error: Option<Arc<ErrorHandler>>,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    database_clock: Option<Duration>,
    payload_limit: usize,
    touch_throttle: u8,
    deadline: Duration,
    conflict_retries: u32,
    connect_retries: u32,
    connect_delay: Duration,
    gathering: Gathering,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SessionStoreBuilder<T> {
    pub(super) fn new(store: Arc<dyn Store>) -> SessionStoreBuilder<T> {
        SessionStoreBuilder {
            gathering: store.gathering(),
            store,
            time_to_live: TimeToLive::default(),
            codec: Box::new(Json),
            principal: None,
            max_lifetime: None,
            cleanup_limit: 0,
            destroy_mode: None,
            on_error: None,
            observer: None,
            clock: Arc::new(SystemClock),
            database_clock: None,
            payload_limit: 1024 * 1024,
            touch_throttle: 0,
            deadline: Duration::from_secs(5),
            conflict_retries: 5,
            connect_retries: 0,
            connect_delay: Duration::from_secs(1),
        }
    }
}

impl<T: Send + Sync + 'static> SessionStoreBuilder<T> {
    /// How long a session lives after each write and touch. Defaults to one day.
    pub fn time_to_live(mut self, time_to_live: TimeToLive<T>) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// How long a session lives at most, counted from its creation and however often it is used; a rotation does not
    /// begin anew. Defaults to no limit. The table must hold when a session was created.
    ///
    /// A session that was last written without this limit, or with a longer one, meets it at its next write or touch.
    pub fn max_lifetime(mut self, span: Duration) -> Self {
        self.max_lifetime = Some(span);
        self
    }

    /// With each new session, up to so many expired ones are removed, after the create and in what is left of its
    /// [deadline](Self::deadline). Its failure never fails the create; the [error handler](Self::on_error) and the
    /// [observer](Self::observer) hear of it. Defaults to 0: none.
    pub fn cleanup_limit(mut self, rows: u32) -> Self {
        self.cleanup_limit = rows;
        self
    }

    /// What becomes of the row of a destroyed session. Defaults to [`DestroyMode::Soft`] where the table can keep
    /// it, so that [`SessionStore::set`] can never bring it back, and to [`DestroyMode::Hard`] elsewhere.
    pub fn destroy_mode(mut self, mode: DestroyMode) -> Self {
        self.destroy_mode = Some(mode);
        self
    }

    /// Decides what an error means for the store as a whole; the caller gets the error in any case. It hears of every
    /// error once, but not of the refusals while disconnected. It runs inline; a panic in it counts as
    /// [`Reaction::Continue`].
    ///
    /// Defaults to [`Reaction::Disconnect`] for errors that [mean that the database cannot be
    /// reached](Error::is_unreachable), and to [`Reaction::Continue`] for all others. After three calls in a row
    /// without an answer the next call asks the database first whether it is there at all, and disconnects if it
    /// is not: a lock on one row never refuses work on others.
    ///
    /// While disconnected, calls are refused at once, without touching the database. After a back-off of 100 ms,
    /// doubled up to 5 s, the next call asks the database first, for at most 1 s, and goes on if it answers.
    pub fn on_error(mut self, handler: impl Fn(&Error) -> Reaction + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(handler));
        self
    }

    /// Gets every event. Defaults to none.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The clock that decides about expiry. Defaults to the operating system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Goes by the database's clock: corrects the [clock](Self::clock) by the difference to the server's, measured at
    /// first use and then every `refresh`, such as 10 minutes. For hosts whose clocks cannot be trusted to agree.
    /// Defaults to off.
    ///
    /// One call in each `refresh` makes the round trip; all others go by the last difference. A refresh that fails is
    /// reported and tried again a second later.
    pub fn database_clock(mut self, refresh: Duration) -> Self {
        self.database_clock = Some(refresh);
        self
    }

    /// The most bytes of text that a session's data may have, checked before anything is sent. Defaults to 1 MiB.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// A touch writes nothing while the expiry would move by less than so many percent of the time to live. With 10
    /// and a day, a session that is used all the time is written every 2.4 hours, and one that is not used any more may
    /// die 2.4 hours early. At most 90. Defaults to 0: every touch writes.
    pub fn touch_throttle(mut self, percent: u8) -> Self {
        self.touch_throttle = percent;
        self
    }

    /// How long a call may take, waiting for a connection, all of its statements and retries included. Defaults to
    /// 5 s.
    pub fn deadline(mut self, span: Duration) -> Self {
        self.deadline = span;
        self
    }

    /// How often a statement is tried again after a deadlock or a serialization failure, with a growing wait of
    /// 1 to 64 ms and within the [deadline](Self::deadline). Defaults to 5.
    pub fn conflict_retries(mut self, retries: u32) -> Self {
        self.conflict_retries = retries;
        self
    }

    /// How often [`SessionStore::connect`] tries again after its first attempt, and how long it waits: `delay` before
    /// the first retry, two times `delay` before the second, three times before the third. Each attempt has the
    /// [deadline](Self::deadline) for itself. Defaults to 0 retries and 1 s.
    pub fn connect_retries(mut self, retries: u32, delay: Duration) -> Self {
        self.connect_retries = retries;
        self.connect_delay = delay;
        self
    }

    /// Whom a session belongs to, from its data; `None` for a session without a user. Asked at each write. Defaults
    /// to nobody.
    pub fn principal(mut self, principal: impl Fn(&T) -> Option<String> + Send + Sync + 'static) -> Self {
        self.principal = Some(Box::new(principal));
        self
    }

    /// How concurrent calls are gathered into one statement. Defaults to what the backend
    /// [recommends](Store::gathering); [`Gathering::OFF`] sends each call on its own.
    pub fn gathering(mut self, gathering: Gathering) -> Self {
        self.gathering = gathering;
        self
    }

    /// How data becomes text. Defaults to JSON.
    pub fn codec(mut self, codec: impl Codec<T>) -> Self {
        self.codec = Box::new(codec);
        self
    }

    /// The handle. It connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an option out of its range,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for one that the table cannot carry out.
    pub fn build(self) -> Result<SessionStore<T>> {
        let can = self.store.capabilities();
        let unsupported = |what: &str| Err(Error::unsupported(what).with_backend(self.store.backend()));
        if let Some(span) = self.max_lifetime {
            check(span)?;
            if !can.created_at {
                return unsupported(
                    "this table does not hold when a session was created; leave out `max_lifetime`",
                );
            }
        }
        if self.destroy_mode == Some(DestroyMode::Soft) && !can.tombstones {
            return unsupported("this table keeps no destroyed sessions; use `DestroyMode::Hard`");
        }
        if self.principal.is_some() && !can.principals {
            return unsupported("this table does not hold principals; leave out `principal`");
        }
        if self.payload_limit == 0 {
            return Err(Error::invalid_input(
                "a payload limit of 0 bytes refuses every session; give at least 2",
            ));
        }
        if self.touch_throttle > 90 {
            return Err(Error::invalid_input(format!(
                "a touch throttle of {} percent of the time to live lets sessions die that are in use; give 0 to 90",
                self.touch_throttle
            )));
        }
        if self.deadline.is_zero() {
            return Err(Error::invalid_input("a deadline of zero refuses every call; give for example 5 s"));
        }
        if self.database_clock.is_some_and(|refresh| refresh.is_zero()) {
            return Err(Error::invalid_input(
                "a refresh of zero asks for the database's time with every call; give for example 10 minutes",
            ));
        }
        if self.gathering.max_batch == 0 {
            return Err(Error::invalid_input(
                "a batch of 0 operations does nothing; give `Gathering::max_batch` at least 1",
            ));
        }
        Ok(self.build_with_defaults())
    }

    /// The handle, from options that need no check.
    pub(super) fn build_with_defaults(self) -> SessionStore<T> {
        let soft_or_hard =
            if self.store.capabilities().tombstones { DestroyMode::Soft } else { DestroyMode::Hard };
        let deadline = self.deadline.min(NO_DEADLINE);
        let store: Arc<dyn Store> = match self.gathering {
            Gathering { read_lanes: 0, write_lanes: 0, .. } => Arc::clone(&self.store),
            gathering => Arc::new(Gathered::new(Arc::clone(&self.store), gathering).with_deadline(deadline)),
        };
        SessionStore {
            core: Arc::new(Core {
                backend: self.store,
                store,
                clock: self.clock,
                database_clock: self.database_clock.map(DatabaseClock::new),
                deadline,
                conflict_retries: self.conflict_retries,
                connect_retries: self.connect_retries,
                connect_delay: self.connect_delay,
                cleanup_limit: self.cleanup_limit,
                destroy_mode: self.destroy_mode.unwrap_or(soft_or_hard),
                observer: self.observer,
                on_error: self.on_error,
                connection: Connection::new(),
            }),
            policy: Arc::new(Policy {
                time_to_live: self.time_to_live,
                max_lifetime: self.max_lifetime,
                touch_throttle: self.touch_throttle,
                payload_limit: self.payload_limit,
                codec: self.codec,
                principal: self.principal,
            }),
        }
    }
}

impl<T> fmt::Debug for SessionStoreBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStoreBuilder")
            .field("store", &self.store)
            .field("time_to_live", &self.time_to_live)
            .finish_non_exhaustive()
    }
}
