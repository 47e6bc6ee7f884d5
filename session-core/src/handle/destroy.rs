//! Ending sessions, and removing what is left of them.

use std::num::NonZeroU32;

use super::SessionStore;
use super::call::Call;
use crate::{
    Destroy, Error, ErrorKind, Event, Operation, Principal, Result, SessionId, SessionKey, Write, Written,
};

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Ends a session; `false` if it is absent or dead already.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold this one.
    pub async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.destroy_at(|| self.key(id)).await
    }

    /// Ends a session by the key that a listing gave; `false` if it is absent or dead already.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is of another table's
    /// [format](crate::KeyFormat).
    pub async fn destroy_key(&self, key: &SessionKey) -> Result<bool> {
        self.destroy_at(|| Ok(key.clone())).await
    }

    /// Ends several sessions and returns how many of them were live. Each ends for itself: after an error some may
    /// have ended.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy). What is wrong with one session does not keep the others from ending.
    pub async fn destroy_many(&self, ids: &[SessionId]) -> Result<u64> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let mut keys = ids.iter().map(|id| self.key(id)).collect::<Result<Vec<_>>>()?;
            keys.sort();
            keys.dedup();
            let mode = self.core.destroy_mode;
            let writes: Vec<Write> =
                keys.into_iter().map(|key| Write::Destroy(Destroy { key, mode })).collect();
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
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not a principal,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) in a table without principals.
    pub async fn destroy_principal(&self, principal: &str) -> Result<u64> {
        self.destroy_all_but(principal, None).await
    }

    /// Ends every session of a principal but one, in one atomic step: sign out everywhere else. Returns how many
    /// were live.
    ///
    /// # Errors
    /// As [`destroy_principal`](Self::destroy_principal).
    pub async fn destroy_others(&self, principal: &str, keep: &SessionId) -> Result<u64> {
        self.destroy_all_but(principal, Some(keep)).await
    }

    /// Removes every session, live or dead, and returns how many rows there were.
    pub async fn clear(&self) -> Result<u64> {
        let call = self.core.begin(Operation::Clear);
        call.run(async {
            call.admit().await?;
            let count = call.write(|| self.core.store.clear()).await?;
            self.core.tell(&Event::Cleared { count });
            Ok(count)
        })
        .await
    }

    /// Removes up to `limit` sessions whose expiry has passed, and returns how many. The [`sweeper`](Self::sweeper)
    /// does this by itself.
    pub async fn purge(&self, limit: NonZeroU32) -> Result<u64> {
        self.core.purge(self.core.begin(Operation::Purge), limit).await
    }

    async fn destroy_at(&self, key: impl FnOnce() -> Result<SessionKey>) -> Result<bool> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let destroy = Destroy { key: key()?, mode: self.core.destroy_mode };
            let now = call.now().await?;
            let was_live = call.write(|| self.core.store.destroy(&destroy, now)).await?;
            if was_live {
                self.core.tell(&Event::Destroyed { key: &destroy.key });
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
        let now = call.now().await?;
        let outcomes = call.write(|| self.core.store.write_many(batch, now)).await?;
        if outcomes.len() != batch.len() {
            return Err(Error::new(
                ErrorKind::Backend,
                format!("write_many gave {} outcomes for {}; mend the backend", outcomes.len(), batch.len()),
            ));
        }
        let mut ended = 0;
        for (write, outcome) in batch.iter().zip(outcomes) {
            let outcome = match (write, outcome) {
                // One that lost against another transaction is tried again like any other call.
                (Write::Destroy(destroy), Err(error)) if error.kind() == ErrorKind::Conflict => {
                    call.write(|| self.core.store.destroy(destroy, now)).await.map(Written::Destroyed)
                }
                (_, outcome) => outcome,
            };
            match outcome {
                Ok(Written::Destroyed(true)) => {
                    self.core.tell(&Event::Destroyed { key: write.key() });
                    ended += 1;
                }
                Ok(_) => {}
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        Ok(ended)
    }

    async fn destroy_all_but(&self, principal: &str, keep: Option<&SessionId>) -> Result<u64> {
        let call = self.core.begin(Operation::Destroy);
        call.run(async {
            let principal = Principal::new(principal)?;
            let except = keep.map(|id| self.key(id)).transpose()?;
            let mode = self.core.destroy_mode;
            let now = call.now().await?;
            let count = call
                .write(|| self.core.store.destroy_principal(&principal, except.as_ref(), mode, now))
                .await?;
            self.core.tell(&Event::PrincipalDestroyed { principal: &principal, count });
            Ok(count)
        })
        .await
    }
}
