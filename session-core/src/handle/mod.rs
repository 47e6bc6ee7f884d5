//! The handle that applications use: every policy, over any backend.
//!
//! [`call`] is what surrounds every operation, [`health`] what all of them find out about the database, [`policy`] what
//! is decided from the data. The operations stand by subject in [`read`], [`write`], [`touch`], [`rotate`], [`destroy`]
//! and [`purge`].

mod builder;
mod cached;
mod call;
mod clock;
mod core;
mod destroy;
mod doctor;
mod fitting;
mod health;
mod policy;
mod purge;
mod read;
mod rotate;
mod session;
mod sweeper;
mod touch;
mod write;

pub use builder::SessionsBuilder;
pub use health::ErrorAction;
pub use policy::Unreadable;
pub use session::{
    ListedSession, Modified, NewSession, Reloaded, RotateOutcome, Session, SessionInfo, SetOutcome,
    StoredSession, TouchOutcome,
};
pub use sweeper::{Sweeper, SweeperBuilder};

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::core::Core;
use cached::Copies;
use policy::Policy;

use crate::contract::Store;
use crate::{Capabilities, Result, SessionId, SessionKey, Version};

/// The sessions of an application: a handle over any [`Store`], cheap to clone.
///
/// `T` is what the application keeps in a session: anything that serde reads and writes. It decides ids, expiry,
/// limits, deadlines and retries; the backend only does as it is told.
///
/// # Logout wins
/// A session that was destroyed, rotated away or has expired is dead for ever. Whatever arrives late for it
/// ([`update`](Self::update), [`save`](Self::save), [`modify`](Self::modify), [`set`](Self::set),
/// [`touch`](Self::touch)) is told that it is gone, and changes nothing.
///
/// # Errors
/// Every method may fail with [`Unavailable`](crate::ErrorKind::Unavailable) (not reachable, or no answer within the
/// [deadline](SessionsBuilder::deadline)), [`Conflict`](crate::ErrorKind::Conflict) (after the
/// [retries](SessionsBuilder::conflict_retries)) and [`Backend`](crate::ErrorKind::Backend). Each method names further
/// kinds. A statement that changes something is repeated only if it certainly changed nothing.
///
/// # Cancel safety
/// Any future may be dropped at any time: each statement then happened wholly or not at all, and so did the operation,
/// unless its documentation says otherwise.
///
/// # Runtime
/// A tokio runtime with its timer enabled.
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
/// use session_core::{MemoryStore, Sessions};
///
/// let sessions: Sessions<Vec<String>> = Sessions::new(MemoryStore::new());
/// let new = sessions.create(&vec!["apples".to_owned()]).await?;
/// sessions.modify(&new.id, |basket| basket.push("pears".to_owned())).await?;
/// assert_eq!(sessions.load(&new.id).await?.unwrap().data, ["apples", "pears"]);
///
/// sessions.destroy(&new.id).await?;
/// assert!(sessions.modify(&new.id, |basket| basket.clear()).await?.is_none());
/// # Ok(()) }
/// ```
pub struct Sessions<T = serde_json::Value> {
    core: Arc<Core>,
    policy: Arc<Policy<T>>,
    /// What was read and is kept.
    kept: Option<Arc<Copies<T>>>,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Sessions<T> {
    /// A handle with every option at its default.
    pub fn new(store: impl Store) -> Sessions<T> {
        Sessions::builder(store).build_with_defaults()
    }

    /// Options for a handle.
    pub fn builder(store: impl Store) -> SessionsBuilder<T> {
        SessionsBuilder::new(Arc::new(store))
    }
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Asks the database for an answer, trying again as
    /// [`connect_retries`](SessionsBuilder::connect_retries) says. Not needed before other calls: it tells early
    /// what they would tell late.
    ///
    /// # Errors
    /// Those of the last attempt. An error that trying again cannot mend ends it at once.
    pub async fn connect(&self) -> Result<()> {
        self.core.connect().await
    }

    /// A task that purges expired sessions from time to time. Nothing runs until it is
    /// [started](SweeperBuilder::start).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::time::Duration;
    /// let sessions: Sessions<String> = Sessions::new(MemoryStore::new());
    /// let sweeper = sessions.sweeper().interval(Duration::from_secs(60)).start();
    /// // … the application runs …
    /// sweeper.stop().await;
    /// # Ok(()) }
    /// ```
    pub fn sweeper(&self) -> SweeperBuilder {
        SweeperBuilder::new(Arc::clone(&self.core))
    }

    /// False while work is refused because the database cannot be reached. The next call after the back-off finds
    /// out whether it is back.
    pub fn is_connected(&self) -> bool {
        self.core.health.is_connected()
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> Capabilities {
        self.core.store.capabilities()
    }

    /// The same sessions with another [throttle](SessionsBuilder::touch_throttle), for one part of an application.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is over 90.
    pub fn with_touch_throttle(&self, percent: u8) -> Result<Sessions<T>> {
        builder::check_throttle(percent)?;
        let policy = Policy { touch_throttle: Some(percent), ..(*self.policy).clone() };
        Ok(Sessions { core: Arc::clone(&self.core), policy: Arc::new(policy), kept: self.kept.clone() })
    }

    /// The same sessions over another store of the same table: one within a transaction of the application's, as a driver
    /// gives it. Options and clock are this handle's. Calls go one by one; none is tried again, as an error ends a
    /// transaction; none cleans up; and nothing is [kept](SessionsBuilder::cache).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if that store's table holds ids in another way.
    pub fn over(&self, store: impl Store) -> Result<Sessions<T>> {
        if store.key_format() != self.core.store.key_format() {
            return Err(crate::Error::invalid_input(
                "the other store's table holds ids in another way; give a store of the same table",
            ));
        }
        // What a transaction reads may be undone, and its version then belongs to other data.
        let core = Arc::new(self.core.over(Arc::new(store)));
        Ok(Sessions { core, policy: Arc::clone(&self.policy), kept: None })
    }

    /// The [throttle](SessionsBuilder::touch_throttle) in percent of the time to live; `None` if nobody set one.
    pub fn touch_throttle(&self) -> Option<u8> {
        self.policy.touch_throttle
    }

    /// Whom a session with this data belongs to, by the [rule](SessionsBuilder::principal) of this handle.
    pub fn principal_of(&self, data: &T) -> Option<String> {
        self.policy.principal_of(data)
    }

    /// The key under which the database holds the session with this id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold it.
    pub fn key(&self, id: &SessionId) -> Result<SessionKey> {
        id.key(self.core.store.key_format())
    }

    /// A version that a statement can go by.
    fn known(&self, version: Version) -> Option<Version> {
        Some(version).filter(|version| self.capabilities().versions && *version != Version::NONE)
    }

    /// The backend behind this handle, as it was given: what is called here goes past every policy.
    pub fn backend(&self) -> &Arc<dyn Store> {
        &self.core.backend
    }
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Sessions<T> {
        Sessions { core: Arc::clone(&self.core), policy: Arc::clone(&self.policy), kept: self.kept.clone() }
    }
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Sessions");
        self.core.describe(&mut debug);
        if let Some(kept) = &self.kept {
            debug.field("kept", kept);
        }
        debug.finish_non_exhaustive()
    }
}
