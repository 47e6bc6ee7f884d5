//! The options of a handle.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Sessions;
use super::cached::{CloneOf, Copies};
use super::clock::DatabaseClock;
use super::core::Core;
use super::fitting::Fitting;
use super::health::{ErrorAction, ErrorHandler, Health};
use super::policy::{Policy, PrincipalOf, Unreadable};
use crate::codec::Json;
use crate::contract::{Checked, Gathered, Store};
use crate::time_to_live::check;
use crate::{
    CacheSize, Clock, Codec, DestroyMode, Error, Gathering, Observer, Result, SystemClock, TimeToLive,
};

/// A deadline beyond this is none. It is as far as the runtime's timer reaches.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Options for a [`Sessions`]. Every one has a default.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// # use session_core::{MemoryStore, Sessions, TimeToLive};
/// # use std::time::Duration;
/// /// What a session holds is any type that serializes.
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Visit { user: Option<String>, basket: Vec<String> }
///
/// let sessions = Sessions::<Visit>::builder(MemoryStore::new())
///     .principal(|visit| visit.user.clone())                               // who is signed out everywhere
///     .time_to_live(TimeToLive::fixed(Duration::from_secs(14 * 86_400))?)  // two weeks after the last use
///     .max_lifetime(Duration::from_secs(90 * 86_400))                      // and three months in all
///     .touch_throttle(10)                                                  // saves most writes of a busy site
///     .deadline(Duration::from_secs(2))
///     .build()?;
/// # assert!(sessions.is_connected());
/// # Ok(()) }
/// ```
#[must_use = "options do nothing until `build`"]
pub struct SessionsBuilder<T> {
    store: Arc<dyn Store>,
    time_to_live: TimeToLive<T>,
    codec: Arc<dyn Codec<T>>,
    principal: Option<Arc<PrincipalOf<T>>>,
    max_lifetime: Option<Duration>,
    cleanup_limit: u32,
    destroy_mode: Option<DestroyMode>,
    on_error: Option<Arc<ErrorHandler>>,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    database_clock: Option<Duration>,
    payload_limit: usize,
    verify_writes: bool,
    unreadable: Unreadable,
    touch_throttle: Option<u8>,
    deadline: Duration,
    conflict_retries: u32,
    connect_retries: u32,
    connect_delay: Duration,
    gathering: Gathering,
    cache: Option<(CacheSize, CloneOf<T>)>,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SessionsBuilder<T> {
    pub(super) fn new(store: Arc<dyn Store>) -> SessionsBuilder<T> {
        SessionsBuilder {
            gathering: store.gathering(),
            store,
            time_to_live: TimeToLive::default(),
            codec: Arc::new(Json),
            principal: None,
            max_lifetime: None,
            cleanup_limit: 0,
            destroy_mode: None,
            on_error: None,
            observer: None,
            clock: Arc::new(SystemClock),
            database_clock: None,
            payload_limit: 1024 * 1024,
            verify_writes: true,
            unreadable: Unreadable::Error,
            touch_throttle: None,
            deadline: Duration::from_secs(5),
            conflict_retries: 5,
            connect_retries: 0,
            connect_delay: Duration::from_secs(1),
            cache: None,
        }
    }
}

impl<T: Clone + Send + Sync + 'static> SessionsBuilder<T> {
    /// Keeps decoded sessions that were read, so that a load of one that nobody changed since costs neither its data on the
    /// network nor their decoding. Defaults to off.
    ///
    /// It is never out of date. Each load asks the database, gathered with others as ever, whether the session is live and
    /// still has the version that is kept; only then is the kept data the answer, with the expiry as it is. So every
    /// guarantee holds as without it, beside other handles and processes. [`load_shared`](Sessions::load_shared) gives what
    /// is kept without a copy, [`load`](Sessions::load) and [`modify`](Sessions::modify) copy it.
    ///
    /// It is worth its memory where sessions of some KiB are read more often than they are changed. What is kept is
    /// forgotten when the session ends through this handle, else when it is next asked for, or when room is needed: until
    /// then data of an ended session may be in the memory of this process. Every handle that is built has a cache of its own,
    /// which its clones share; [`over`](Sessions::over) has none.
    ///
    /// Two things must hold. `T` does not change behind a shared reference: no `Mutex`, `Cell` or atomic in it. And whoever
    /// changes rows past this library, by hand or by script, counts their `version` up.
    ///
    /// # Errors
    /// [`build`](Self::build) refuses a size of 0, and a table without versions.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{CacheSize, MemoryStore, Sessions};
    /// let sessions = Sessions::<Vec<String>>::builder(MemoryStore::new())
    ///     .cache(CacheSize::bytes(64 * 1024 * 1024))
    ///     .build()?;
    /// let new = sessions.create(&vec!["apples".to_owned()]).await?;
    /// assert_eq!(sessions.load_shared(&new.id).await?.unwrap().data[0], "apples");
    /// # Ok(()) }
    /// ```
    pub fn cache(mut self, size: CacheSize) -> Self {
        self.cache = Some((size, T::clone));
        self
    }
}

impl<T: Send + Sync + 'static> SessionsBuilder<T> {
    /// How long a session lives after each write and touch. Defaults to one day.
    pub fn time_to_live(mut self, time_to_live: TimeToLive<T>) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// How long a session lives at most after its creation, however often it is used. A rotation does not restart it.
    /// Defaults to no limit. The table must hold when a session was created.
    ///
    /// A session that was last written without this limit, or with a longer one, meets it at its next write or touch.
    pub fn max_lifetime(mut self, span: Duration) -> Self {
        self.max_lifetime = Some(span);
        self
    }

    /// How many expired sessions each create removes at most, in what is left of its [deadline](Self::deadline). If the
    /// removal fails, the create succeeds all the same, and the [error handler](Self::on_error) and the
    /// [observer](Self::observer) are told. Defaults to 0: none.
    pub fn cleanup_limit(mut self, rows: u32) -> Self {
        self.cleanup_limit = rows;
        self
    }

    /// What becomes of the row of a destroyed session. Defaults to [`DestroyMode::Forget`] if the table can keep the
    /// row, so [`Sessions::set`] can never bring the session back, and else to [`DestroyMode::Remove`].
    pub fn destroy_mode(mut self, mode: DestroyMode) -> Self {
        self.destroy_mode = Some(mode);
        self
    }

    /// Decides what an error means for the whole store. The caller gets the error in any case. The handler is called once
    /// for every error, but not for refusals while disconnected. It runs inline. If it panics, that counts as
    /// [`ErrorAction::Continue`].
    ///
    /// Defaults to [`ErrorAction::Disconnect`] for errors that [mean that the database cannot be
    /// reached](Error::is_unreachable), and to [`ErrorAction::Continue`] for all others. After three calls in a row
    /// without an answer the next call asks the database first whether it is there at all, and disconnects if it
    /// is not: a lock on one row never refuses work on others.
    ///
    /// While disconnected, calls are refused at once, without touching the database. After a back-off of 100 ms,
    /// doubled up to 5 s, the next call asks the database first, within its own deadline, and goes on if it answers.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{ErrorAction, MemoryStore, Sessions};
    /// let sessions: Sessions<u32> = Sessions::builder(MemoryStore::new())
    ///     .on_error(|error| {
    ///         eprintln!("{error}");
    ///         if error.is_unreachable() { ErrorAction::Disconnect } else { ErrorAction::Continue }
    ///     })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn on_error(mut self, handler: impl Fn(&Error) -> ErrorAction + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(handler));
        self
    }

    /// Gets every event. Defaults to none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use session_core::Event;
    /// let sessions: Sessions<String> = Sessions::builder(MemoryStore::new())
    ///     .observer(|event: &Event<'_>| {
    ///         if let Event::Disconnected { error } = event {
    ///             eprintln!("sessions are away: {error}");
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The clock that decides about expiry. Defaults to the operating system's. If it goes back, time stands still until
    /// it has caught up: no call uses an earlier time than a call before it.
    ///
    /// In a test, time passes when the test says so:
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::{sync::Arc, time::Duration};
    /// # use session_core::{ManualClock, TimeToLive, Timestamp};
    /// let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    /// let sessions: Sessions<u32> = Sessions::builder(MemoryStore::new())
    ///     .clock(Arc::clone(&clock))
    ///     .time_to_live(TimeToLive::fixed(Duration::from_secs(60))?)
    ///     .build()?;
    /// let new = sessions.create(&1).await?;
    /// clock.advance(Duration::from_secs(60));
    /// assert!(sessions.load(&new.id).await?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Uses the database's clock, for hosts whose clocks may disagree. The handle asks it at first use and then every
    /// `refresh`, such as 10 minutes. In between it counts the time since the last answer, so setting the host's clock
    /// changes nothing. Defaults to off.
    ///
    /// One call in each `refresh` makes the round trip, and one after the host's [clock](Self::clock) was set. A refresh
    /// that fails is reported, and tried again a second later.
    pub fn database_clock(mut self, refresh: Duration) -> Self {
        self.database_clock = Some(refresh);
        self
    }

    /// The most bytes of text that a session's data may have, checked before anything is sent. Defaults to 1 MiB.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Whether data is read back from its text before it is written, and refused if it cannot be. Otherwise a NaN or more
    /// than 127 nested arrays in JSON would be written and lock their user out. Costs the time of decoding once; for
    /// [`serde_json::Value`] and a map of them, one look at the nesting. Defaults to true.
    pub fn verify_writes(mut self, verify: bool) -> Self {
        self.verify_writes = verify;
        self
    }

    /// What to do with stored data that is not a `T`, as after a release whose `T` has one more field. Defaults to
    /// [`Unreadable::Error`]. With [`Unreadable::NoSession`] there is no session for [`load`](Sessions::load),
    /// [`reload`](Sessions::reload), [`modify`](Sessions::modify), [`touch`](Sessions::touch) and
    /// [`rotate`](Sessions::rotate), and its user signs in again. [`update`](Sessions::update), [`set`](Sessions::set)
    /// and [`rotate_with`](Sessions::rotate_with) replace the data.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions, Unreadable};
    /// # use std::sync::Arc;
    /// let store = Arc::new(MemoryStore::new());
    /// let old: Sessions<String> = Sessions::new(Arc::clone(&store));
    /// let id = old.create(&"of the last release".to_owned()).await?.id;
    /// let sessions = Sessions::<u32>::builder(store).unreadable(Unreadable::NoSession).build()?;
    /// assert!(sessions.load(&id).await?.is_none()); // the user signs in again
    /// # Ok(()) }
    /// ```
    pub fn unreadable(mut self, unreadable: Unreadable) -> Self {
        self.unreadable = unreadable;
        self
    }

    /// How far a touch must move the expiry before it writes, in percent of the time to live. Below that, a touch writes
    /// nothing, and a [`modify`](Sessions::modify) leaves the expiry alone. With 10 and a day, a session in constant use
    /// is renewed every 2.4 hours, and a session may end up to 2.4 hours early. At most 90. Defaults to 0: every touch
    /// writes.
    pub fn touch_throttle(mut self, percent: u8) -> Self {
        self.touch_throttle = Some(percent);
        self
    }

    /// How long a call may take at most, with its wait for a connection, its statements and its retries. Defaults to 5 s.
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

    /// How often [`Sessions::connect`] tries again, and how long it waits before that: `delay` before the first retry, two
    /// times `delay` before the second, three times before the third. Each attempt has a [deadline](Self::deadline) of
    /// its own. Defaults to 0 retries and 1 s.
    pub fn connect_retries(mut self, retries: u32, delay: Duration) -> Self {
        self.connect_retries = retries;
        self.connect_delay = delay;
        self
    }

    /// Tells from a session's data whom it belongs to. Return `None` or an empty text for a session without a user. Asked
    /// at each write. Any text works: over 255 bytes it is [represented by its digest](crate::Principal::of). Defaults
    /// to nobody.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions = Sessions::<Option<String>>::builder(MemoryStore::new()).principal(|user| user.clone()).build()?;
    /// sessions.create(&Some("ann".to_owned())).await?;
    /// sessions.create(&None).await?; // a visitor
    /// assert_eq!(sessions.count(Some("ann")).await?, 1);
    /// # Ok(()) }
    /// ```
    pub fn principal(mut self, principal: impl Fn(&T) -> Option<String> + Send + Sync + 'static) -> Self {
        self.principal = Some(Arc::new(principal));
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
        self.codec = Arc::new(codec);
        self
    }

    /// Makes the handle. It connects to nothing yet.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an option out of its range,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for one that the table cannot carry out.
    pub fn build(self) -> Result<Sessions<T>> {
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
        if self.destroy_mode.is_some_and(|mode| mode != DestroyMode::Remove) && !can.tombstones {
            return unsupported("this table keeps no destroyed sessions; use `DestroyMode::Remove`");
        }
        if self.principal.is_some() && !can.principals {
            return unsupported("this table does not hold principals; leave out `principal`");
        }
        if let Some((size, _)) = self.cache {
            size.check()?;
            if !can.versions {
                return unsupported("this table holds no versions to ask for; leave out `cache`");
            }
        }
        if self.payload_limit == 0 {
            return Err(Error::invalid_input(
                "a payload limit of 0 bytes refuses every session; give at least 2",
            ));
        }
        self.touch_throttle.map_or(Ok(()), check_throttle)?;
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
    pub(super) fn build_with_defaults(self) -> Sessions<T> {
        let forget_or_remove =
            if self.store.capabilities().tombstones { DestroyMode::Forget } else { DestroyMode::Remove };
        let deadline = self.deadline.min(NO_DEADLINE);
        let checked = Checked::new(Arc::clone(&self.store));
        let store = Gathered::over(checked.clone(), self.gathering).with_deadline(deadline);
        Sessions {
            core: Arc::new(Core {
                backend: self.store,
                checked,
                health: Health::new(store.backend(), self.observer, self.on_error),
                store,
                clock: self.clock,
                database_clock: self.database_clock.map(DatabaseClock::new).map(Arc::new),
                latest: Arc::new(AtomicI64::new(i64::MIN)),
                purging: Fitting::new(),
                server_time: Mutex::new(None),
                deadline,
                conflict_retries: self.conflict_retries,
                connect_retries: self.connect_retries,
                connect_delay: self.connect_delay,
                cleanup_limit: self.cleanup_limit,
                destroy_mode: self.destroy_mode.unwrap_or(forget_or_remove),
            }),
            policy: Arc::new(Policy {
                time_to_live: self.time_to_live,
                max_lifetime: self.max_lifetime,
                touch_throttle: self.touch_throttle,
                payload_limit: self.payload_limit,
                verify_writes: self.verify_writes,
                unreadable: self.unreadable,
                codec: self.codec,
                principal: self.principal,
            }),
            kept: self.cache.map(|(size, copy)| Arc::new(Copies::new(size, copy))),
        }
    }
}

pub(super) fn check_throttle(percent: u8) -> Result<()> {
    if percent > 90 {
        return Err(Error::invalid_input(format!(
            "a touch throttle of {percent} percent of the time to live lets sessions die that are in use; give 0 to 90"
        )));
    }
    Ok(())
}

impl<T> fmt::Debug for SessionsBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("store", &self.store)
            .field("time_to_live", &self.time_to_live)
            .finish_non_exhaustive()
    }
}
