//! Writing a session's data: create, update, save, modify, set.

use std::num::NonZeroU32;

use super::SessionStore;
use super::call::{Call, outpaced};
use super::policy::Draft;
use super::session::{Modified, NewSession, Session, SetOutcome};
use crate::{
    Create, Created, Error, ErrorKind, Event, Operation, Result, SessionId, SessionKey, Timestamp, Update,
    Updated, Version,
};

/// A new session whose id is taken draws another one so often. With 256 random bits the first one always succeeds.
pub(super) const ID_DRAWS: u32 = 3;

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Makes a session and draws its id.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over the payload limit, [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// if the data does not serialize, its principal is not one, or its time to live cannot be counted.
    pub async fn create(&self, data: &T) -> Result<NewSession> {
        let call = self.core.begin(Operation::Create);
        let new = call.run(async {
            let draft = self.policy.draft(data)?;
            for _ in 0..ID_DRAWS {
                if let Some(new) = self.create_once(&call, &SessionId::random()?, &draft).await? {
                    return Ok(new);
                }
            }
            Err(no_free_id())
        });
        let new = new.await?;
        self.clean_up(&call).await;
        Ok(new)
    }

    /// Makes a session under an id that the caller drew; `None` if the id is taken, by a live session or a dead one.
    ///
    /// # Errors
    /// As [`create`](Self::create), and [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids
    /// cannot hold this one.
    pub async fn create_with_id(&self, id: &SessionId, data: &T) -> Result<Option<NewSession>> {
        let call = self.core.begin(Operation::Create);
        let new = call.run(async {
            let draft = self.policy.draft(data)?;
            self.create_once(&call, id, &draft).await
        });
        let new = new.await?;
        if new.is_some() {
            self.clean_up(&call).await;
        }
        Ok(new)
    }

    /// Replaces the data of a live session and renews its expiry; with `expected`, only if it has that version. Without
    /// it the outcome tells the new version on most databases, and [`Version::NONE`] on MySQL.
    ///
    /// With a [maximum lifetime](crate::SessionStoreBuilder::max_lifetime) it reads the time of creation first;
    /// [`save`](Self::save) knows it already.
    ///
    /// # Errors
    /// As [`create_with_id`](Self::create_with_id); [`Unsupported`](crate::ErrorKind::Unsupported) with `expected` in
    /// a table without versions; [`InvalidInput`](crate::ErrorKind::InvalidInput) if [`Version::NONE`] is expected.
    pub async fn update(&self, id: &SessionId, data: &T, expected: Option<Version>) -> Result<Updated> {
        let call = self.core.begin(Operation::Update);
        call.run(async {
            self.check_expected(expected)?;
            let draft = self.policy.draft(data)?;
            self.update_unread(&call, id, &draft, expected).await
        })
        .await
    }

    /// Writes back a session that was loaded, if nobody updated it since. On success the session has its new version
    /// and expiry and can be saved again.
    ///
    /// In a table without versions it replaces whatever is there.
    ///
    /// # Errors
    /// As [`create`](Self::create). The session is then as it was, and can be saved again; if the error is
    /// [indeterminate](crate::Error::is_indeterminate), that may find it [`Stale`](Updated::Stale) by its own hand.
    pub async fn save(&self, session: &mut Session<T>) -> Result<Updated> {
        let call = self.core.begin(Operation::Update);
        call.run(async {
            let draft = self.policy.draft(&session.data)?;
            let expected = self.capabilities().versions.then_some(session.version());
            let (updated, expires_at) =
                self.update_once(&call, session.id(), &draft, expected, session.created_at()).await?;
            if let Updated::Saved(version) = updated {
                let principal = draft.principal;
                session.meta.version = version;
                session.meta.expires_at = expires_at;
                session.meta.principal = principal;
            }
            Ok(updated)
        })
        .await
    }

    /// Changes a live session's data where it stands: an atomic read-modify-write. `None` if the session is absent
    /// or dead.
    ///
    /// The closure runs again on fresh data whenever somebody else was faster, so let it do nothing but change the
    /// data. The whole of it ends with the deadline.
    ///
    /// # Errors
    /// As [`update`](Self::update); [`Corrupt`](crate::ErrorKind::Corrupt) if what is stored is not a `T`;
    /// [`Conflict`](crate::ErrorKind::Conflict) if others were faster until the deadline;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) in a table without versions.
    pub async fn modify<R>(
        &self,
        id: &SessionId,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<Option<Modified<R>>> {
        let call = self.core.begin(Operation::Modify);
        call.run(async {
            if !self.capabilities().versions {
                return Err(Error::unsupported(
                    "this table holds no versions; use `update`, or a native table",
                ));
            }
            let mut round = 0;
            loop {
                let Some(mut session) = self.fetch(&call, id).await? else { return Ok(None) };
                let value = change(&mut session.data);
                let draft = self.policy.draft(&session.data)?;
                let (expected, created_at) = (Some(session.version()), session.created_at());
                match self.update_once(&call, id, &draft, expected, created_at).await? {
                    (Updated::Saved(version), expires_at) => {
                        return Ok(Some(Modified { value, version, expires_at }));
                    }
                    (Updated::Gone, _) => return Ok(None),
                    (Updated::Stale, _) => {}
                }
                round += 1;
                if !call.pause(round).await {
                    return Err(outpaced());
                }
            }
        })
        .await
    }

    /// Creates or updates, as the Node stores' `set` does, but never brings a dead id back to life.
    ///
    /// An id is dead while its row is there: a destroyed one until a purge after its expiry, or not at all in a table
    /// that keeps no tombstones, where it cannot be told from a new one.
    ///
    /// # Errors
    /// As [`create_with_id`](Self::create_with_id).
    pub async fn set(&self, id: &SessionId, data: &T) -> Result<SetOutcome> {
        let call = self.core.begin(Operation::Set);
        let outcome = call.run(async {
            let draft = self.policy.draft(data)?;
            // Whoever comes second in the race for a new id finds the key taken, and then the session live.
            for may_create in [true, false] {
                if let Updated::Saved(version) = self.update_unread(&call, id, &draft, None).await? {
                    return Ok(SetOutcome::Updated(version));
                }
                if may_create && let Some(new) = self.create_once(&call, id, &draft).await? {
                    return Ok(SetOutcome::Created(new.version));
                }
            }
            Ok(SetOutcome::Gone)
        });
        let outcome = outcome.await?;
        if let SetOutcome::Created(_) = outcome {
            self.clean_up(&call).await;
        }
        Ok(outcome)
    }

    async fn create_once(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        draft: &Draft<'_, T>,
    ) -> Result<Option<NewSession>> {
        let key = self.key(id)?;
        let now = call.now().await?;
        let expires_at = self.policy.expiry(id, draft.data, Some(now), now)?;
        let (payload, principal) = (draft.payload.clone(), draft.principal.clone());
        let create = Create { key, payload, expires_at, principal };
        if call.write(|| self.core.store.create(&create, now)).await? == Created::KeyTaken {
            return Ok(None);
        }
        self.core.tell(&Event::Created { key: &create.key });
        let version = if self.capabilities().versions { Version::FIRST } else { Version::NONE };
        Ok(Some(NewSession { id: id.clone(), version, expires_at }))
    }

    /// A version that an outcome left open would be stale for ever.
    pub(super) fn check_expected(&self, expected: Option<Version>) -> Result<()> {
        if expected == Some(Version::NONE) && self.capabilities().versions {
            return Err(Error::invalid_input(
                "the session's version is not known: load the session, and expect the version that it has then",
            ));
        }
        Ok(())
    }

    /// An update of a session that nothing is known of.
    async fn update_unread(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        draft: &Draft<'_, T>,
        expected: Option<Version>,
    ) -> Result<Updated> {
        let Some(created_at) = self.created_at(call, &self.key(id)?).await? else {
            return Ok(Updated::Gone);
        };
        Ok(self.update_once(call, id, draft, expected, created_at).await?.0)
    }

    async fn update_once(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        draft: &Draft<'_, T>,
        expected: Option<Version>,
        created_at: Option<Timestamp>,
    ) -> Result<(Updated, Timestamp)> {
        let key = self.key(id)?;
        let now = call.now().await?;
        let expires_at = self.policy.expiry(id, draft.data, created_at, now)?;
        let (payload, principal) = (draft.payload.clone(), draft.principal.clone());
        let update = Update { key, payload, expires_at, principal, expected };
        let updated = call.write(|| self.core.store.update(&update, now)).await?;
        Ok((updated, expires_at))
    }

    /// When a session was created, where the maximum lifetime makes that matter. `None` if the session is gone.
    pub(super) async fn created_at(
        &self,
        call: &Call<'_>,
        key: &SessionKey,
    ) -> Result<Option<Option<Timestamp>>> {
        if self.policy.max_lifetime.is_none() {
            return Ok(Some(None));
        }
        // A session keeps its time of creation for life, so nothing can change it between here and the write.
        Ok(self.fetch_record(call, key).await?.map(|record| record.created_at))
    }

    /// Removes a few expired sessions along with a create, in the time that this left. Only the error handler and the
    /// observer hear of a failure.
    async fn clean_up(&self, create: &Call<'_>) {
        if let Some(limit) = NonZeroU32::new(self.core.cleanup_limit) {
            let call = self.core.begin_until(Operation::Purge, create.deadline());
            _ = self.core.purge(call, limit).await;
        }
    }
}

pub(super) fn no_free_id() -> Error {
    Error::new(
        ErrorKind::Backend,
        "every id that was drawn is taken; see why the operating system's random numbers repeat",
    )
    .with_indeterminate(false)
}
