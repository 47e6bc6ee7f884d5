//! The handle that applications use: every policy, over any backend.
//!
//! [`call`] is what surrounds every operation, [`connection`] the state that all share, [`policy`] what is decided from
//! the data. The operations stand by subject in [`read`], [`write`], [`touch`], [`rotate`] and [`destroy`].

mod builder;
mod call;
mod clock;
mod common;
mod connection;
mod destroy;
mod doctor;
mod policy;
mod read;
mod rotate;
mod session;
mod sweeper;
mod touch;
mod write;

pub use builder::SessionStoreBuilder;
pub use common::Reaction;
pub use session::{
    ListedSession, Meta, Modified, NewSession, RotateOutcome, Session, SetOutcome, StoredSession, Touched,
};
pub use sweeper::{Sweeper, SweeperBuilder};

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use common::Core;
use policy::Policy;

use crate::{Capabilities, Result, SessionId, SessionKey, Store};

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
/// [deadline](SessionStoreBuilder::deadline)), [`Conflict`](crate::ErrorKind::Conflict) (after the
/// [retries](SessionStoreBuilder::conflict_retries)) and [`Backend`](crate::ErrorKind::Backend). Further kinds stand at
/// the method. A statement that changes something is repeated only if it certainly changed nothing.
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
/// use session_core::{MemoryStore, SessionStore};
///
/// let sessions: SessionStore<Vec<String>> = SessionStore::new(MemoryStore::new());
/// let new = sessions.create(&vec!["apples".to_owned()]).await?;
/// sessions.modify(&new.id, |basket| basket.push("pears".to_owned())).await?;
/// assert_eq!(sessions.load(&new.id).await?.unwrap().data, ["apples", "pears"]);
///
/// sessions.destroy(&new.id).await?;
/// assert!(sessions.modify(&new.id, |basket| basket.clear()).await?.is_none());
/// # Ok(()) }
/// ```
pub struct SessionStore<T = serde_json::Value> {
    core: Arc<Core>,
    policy: Arc<Policy<T>>,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> SessionStore<T> {
    /// A handle with every option at its default.
    pub fn new(store: impl Store) -> SessionStore<T> {
        SessionStore::builder(store).build_with_defaults()
    }

    /// Options for a handle.
    pub fn builder(store: impl Store) -> SessionStoreBuilder<T> {
        SessionStoreBuilder::new(Arc::new(store))
    }
}

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Asks the database for an answer, trying again as
    /// [`connect_retries`](SessionStoreBuilder::connect_retries) says. Not needed before other calls: it tells early
    /// what they would tell late.
    ///
    /// # Errors
    /// Those of the last attempt. An error that trying again cannot mend ends it at once.
    pub async fn connect(&self) -> Result<()> {
        self.core.connect().await
    }

    /// A task that purges expired sessions from time to time. Nothing runs until it is
    /// [started](SweeperBuilder::start).
    pub fn sweeper(&self) -> SweeperBuilder {
        SweeperBuilder::new(Arc::clone(&self.core))
    }

    /// False while work is refused because the database cannot be reached. The next call after the back-off finds
    /// out whether it is back.
    pub fn is_connected(&self) -> bool {
        self.core.connection.is_connected()
    }

    /// What the backend can do.
    pub fn capabilities(&self) -> Capabilities {
        self.core.store.capabilities()
    }

    /// The key under which the database holds the session with this id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold it.
    pub fn key(&self, id: &SessionId) -> Result<SessionKey> {
        id.key(self.core.store.key_format())
    }

    /// The backend behind this handle, as it was given: what is called here goes past every policy.
    pub fn backend(&self) -> &Arc<dyn Store> {
        &self.core.backend
    }
}

impl<T> Clone for SessionStore<T> {
    fn clone(&self) -> SessionStore<T> {
        SessionStore { core: Arc::clone(&self.core), policy: Arc::clone(&self.policy) }
    }
}

impl<T> fmt::Debug for SessionStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
