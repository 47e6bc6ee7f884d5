//! Ending sessions.

use super::Sessions;
use super::call::Call;
use super::read::named_principal;
use crate::cache::Cache;
use crate::contract::{Destroy, DestroyPrincipal, Store as _, Write, Written};
use crate::mutants::broken;
use crate::{Error, ErrorKind, Event, Operation, Result, SessionId, SessionKey, Timestamp};

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Ends a session; `false` if it is absent or dead already.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let id = sessions.create(&1).await?.id;
    /// assert!(sessions.destroy(&id).await?);
    /// assert!(!sessions.destroy(&id).await?); // it was dead
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold this one.
    pub async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.destroy_at(|| self.key(id)).await
    }

    /// Ends a session by the key that a listing gave; `false` if it is absent or dead already.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::num::NonZeroU32;
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// sessions.create(&"ann".to_owned()).await?;
    /// let page = sessions.list(Some("ann"), None, NonZeroU32::new(10).unwrap()).await?;
    /// assert!(sessions.destroy_key(&page[0].key).await?); // sign out on this device
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is of another table's
    /// [format](crate::KeyFormat).
    pub async fn destroy_key(&self, key: &SessionKey) -> Result<bool> {
        self.destroy_at(|| Ok(key.clone())).await
    }

    /// Ends several sessions and returns how many of them were live. This is not one atomic step: after an error some may
    /// have ended.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy). An error of one session does not keep the others from ending.
    pub async fn destroy_many(&self, ids: &[SessionId]) -> Result<u64> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let mut keys = ids.iter().map(|id| self.key(id)).collect::<Result<Vec<_>>>()?;
            keys.sort();
            keys.dedup();
            let mode = self.core.destroy_mode;
            let writes: Vec<Write> = keys
                .into_iter()
                .skip(usize::from(broken("handle: destroying several leaves one")))
                .map(|key| Write::Destroy(Destroy { key, mode }))
                .collect();
            let mut ended = 0;
            let mut failure = None;
            // The backend knows how many keys its statements can hold.
            for batch in writes.chunks(self.core.backend.gathering().max_batch.max(1)) {
                ended += self.destroy_batch(&call, batch, &mut failure).await?;
            }
            failure.map_or(Ok(ended), Err)
        })
        .await
    }

    /// Ends every session of a principal: sign out everywhere. Returns how many were live.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// let phone = sessions.create(&"ann".to_owned()).await?;
    /// sessions.create(&"ann".to_owned()).await?;
    /// assert_eq!(sessions.destroy_principal("ann").await?, 2);
    /// assert!(sessions.load(&phone.id).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not a principal,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) in a table without principals.
    pub async fn destroy_principal(&self, principal: &str) -> Result<u64> {
        self.destroy_theirs(principal, None, None).await
    }

    /// Ends every session of a principal but one, in one atomic step: sign out everywhere else. Returns how many
    /// were live.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// let here = sessions.create(&"ann".to_owned()).await?;
    /// let there = sessions.create(&"ann".to_owned()).await?;
    /// assert_eq!(sessions.destroy_others("ann", &here.id).await?, 1);
    /// assert!(sessions.load(&here.id).await?.is_some() && sessions.load(&there.id).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`destroy_principal`](Self::destroy_principal).
    pub async fn destroy_others(&self, principal: &str, keep: &SessionId) -> Result<u64> {
        self.destroy_theirs(principal, Some(keep), None).await
    }

    /// Ends every session of a principal that was created before a time, in one atomic step: everything before this
    /// password change. A rotation does not make a session younger. Returns how many were live.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::time::Duration;
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// sessions.create(&"ann".to_owned()).await?;
    /// let password_changed = sessions.now().await?.saturating_add(Duration::from_millis(1));
    /// assert_eq!(sessions.destroy_created_before("ann", password_changed).await?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`destroy_principal`](Self::destroy_principal); [`Unsupported`](crate::ErrorKind::Unsupported) also in a table
    /// that does not hold when a session was created.
    pub async fn destroy_created_before(&self, principal: &str, created_before: Timestamp) -> Result<u64> {
        self.destroy_theirs(principal, None, Some(created_before)).await
    }

    /// Wipes everything that the table holds of a principal, in one atomic step: ends the live sessions, and removes data
    /// and principal from the rows that are left of dead ones. Returns how many rows it wiped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions = Sessions::builder(MemoryStore::new()).principal(|user: &String| Some(user.clone())).build()?;
    /// sessions.create(&"ann".to_owned()).await?;
    /// sessions.forget_principal("ann").await?; // ann asked to be forgotten
    /// assert_eq!(sessions.count(Some("ann")).await?, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`destroy_principal`](Self::destroy_principal).
    pub async fn forget_principal(&self, principal: &str) -> Result<u64> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let principal = named_principal(principal)?;
            let forgotten = call.write(|now| self.core.store.forget_principal(&principal, now)).await;
            self.forget(|cache| cache.forget_principal(&principal, None));
            let count = forgotten?;
            self.core.health.tell(&Event::PrincipalDestroyed { principal: &principal, count });
            Ok(count)
        })
        .await
    }

    /// Removes every session, live or dead, and returns how many rows there were.
    ///
    /// # Errors
    /// Only those that stand at [`Sessions`].
    pub async fn clear(&self) -> Result<u64> {
        let call = self.core.begin(Operation::Clear);
        call.run(async {
            let cleared = call.write(|_| self.core.store.clear()).await;
            self.forget(Cache::forget_all);
            let count = cleared?;
            self.core.health.tell(&Event::Cleared { count });
            Ok(count)
        })
        .await
    }

    async fn destroy_at(&self, key: impl FnOnce() -> Result<SessionKey>) -> Result<bool> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let destroy = Destroy { key: key()?, mode: self.core.destroy_mode };
            let was_live = call.write(|now| self.core.store.destroy(&destroy, now)).await;
            self.forget(|cache| cache.forget(&destroy.key));
            let was_live = was_live?;
            if was_live {
                self.core.health.tell(&Event::Destroyed { key: &destroy.key });
            }
            Ok(was_live)
        })
        .await
    }

    /// Ends the sessions of one statement. An error of a single one goes to `failure`.
    async fn destroy_batch(
        &self,
        call: &Call<'_>,
        batch: &[Write],
        failure: &mut Option<Error>,
    ) -> Result<u64> {
        let outcomes = call.write(|now| self.core.store.write_many(batch, now)).await;
        batch.iter().for_each(|write| self.forget(|cache| cache.forget(write.key())));
        let outcomes = outcomes?;
        let mut ended = 0;
        for (write, outcome) in batch.iter().zip(outcomes) {
            let outcome = match (write, outcome) {
                // One that lost against another transaction is tried again like any other call.
                (Write::Destroy(destroy), Err(error)) if error.kind() == ErrorKind::Conflict => {
                    call.write(|now| self.core.store.destroy(destroy, now)).await.map(Written::Destroyed)
                }
                (_, outcome) => outcome,
            };
            match outcome {
                Ok(Written::Destroyed(true)) => {
                    self.core.health.tell(&Event::Destroyed { key: write.key() });
                    ended += u64::from(!broken("handle: destroying several counts none"));
                }
                Ok(_) => {}
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        Ok(ended)
    }

    async fn destroy_theirs(
        &self,
        principal: &str,
        keep: Option<&SessionId>,
        created_before: Option<Timestamp>,
    ) -> Result<u64> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let destroy = DestroyPrincipal {
                principal: named_principal(principal)?,
                except: keep
                    .filter(|_| !broken("handle: signing out everywhere else spares nobody"))
                    .map(|id| self.key(id))
                    .transpose()?,
                created_before: created_before
                    .filter(|_| !broken("handle: signing out before a time takes no notice of it")),
                mode: self.core.destroy_mode,
            };
            let destroyed = call.write(|now| self.core.store.destroy_principal(&destroy, now)).await;
            self.forget(|cache| cache.forget_principal(&destroy.principal, destroy.except.as_ref()));
            let count = destroyed?;
            self.core.health.tell(&Event::PrincipalDestroyed { principal: &destroy.principal, count });
            Ok(count)
        })
        .await
    }
}
