//! Writing a session's data: create, update, save, modify, set.

use super::Sessions;
use super::call::{Call, outpaced};
use super::policy::Draft;
use super::session::{Modified, NewSession, Session, SessionInfo, SetOutcome};
use crate::contract::{Create, Created, Update};
use crate::mutants::broken;
use crate::{Error, ErrorKind, Event, Operation, Result, SessionId, SessionKey, Timestamp, Updated, Version};

/// A new session whose id is taken draws another one so often. With 256 random bits the first one always succeeds.
pub(super) const ID_DRAWS: u32 = 3;

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Makes a session and draws its id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions: Sessions<Vec<String>> = Sessions::new(MemoryStore::new());
    /// let new = sessions.create(&vec!["apples".to_owned()]).await?;
    /// let cookie = new.id.expose(); // as secret as a password
    /// # assert_eq!(cookie.len(), 43);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over the payload limit, [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// if the data does not serialize, its principal is not one, or its time to live cannot be counted.
    pub async fn create(&self, data: &T) -> Result<NewSession> {
        let call = self.core.begin(Operation::Create);
        let new = call.run(async {
            let draft = self.policy.draft(data)?;
            Ok(self.create_under_any_id(&call, &draft).await?.0)
        });
        let new = new.await?;
        self.core.clean_up(&call).await;
        Ok(new)
    }

    /// As [`create`](Self::create), and gives the session as [`load`](Self::load) would.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let mut session = sessions.start(1).await?;
    /// session.data += 1;
    /// sessions.save(&mut session).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn start(&self, data: T) -> Result<Session<T>> {
        let call = self.core.begin(Operation::Create);
        let started = call.run(async {
            let draft = self.policy.draft(&data)?;
            let (new, now) = self.create_under_any_id(&call, &draft).await?;
            let info = SessionInfo {
                version: new.version,
                created_at: self.capabilities().created_at.then_some(now),
                expires_at: new.expires_at,
                principal: draft.principal.filter(|_| self.capabilities().principals),
            };
            Ok((new.id, info))
        });
        let (id, info) = started.await?;
        self.core.clean_up(&call).await;
        Ok(Session::new(id, data, info))
    }

    /// Makes a session under an id that the caller drew; `None` if the id is taken, by a live session or a dead one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, SessionId, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let id = SessionId::random()?;
    /// assert!(sessions.create_with_id(&id, &1).await?.is_some());
    /// assert!(sessions.create_with_id(&id, &2).await?.is_none()); // taken: nothing is overwritten
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create), and [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids
    /// cannot hold this one.
    pub async fn create_with_id(&self, id: &SessionId, data: &T) -> Result<Option<NewSession>> {
        let call = self.core.begin(Operation::Create);
        let new = call.run(async {
            let draft = self.policy.draft(data)?;
            Ok(self.create_once(&call, id, &draft).await?.map(|(new, _)| new))
        });
        let new = new.await?;
        if new.is_some() {
            self.core.clean_up(&call).await;
        }
        Ok(new)
    }

    /// Replaces the data of a live session and renews its expiry; with `expected`, only if it has that version. Without
    /// it the outcome tells the new version on most databases, and [`Version::NONE`] on MySQL.
    ///
    /// With a [maximum lifetime](crate::SessionsBuilder::max_lifetime) it reads the time of creation first;
    /// [`save`](Self::save) knows it already.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions, Updated};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let new = sessions.create(&1).await?;
    /// assert!(matches!(sessions.update(&new.id, &2, Some(new.version)).await?, Updated::Saved(_)));
    /// assert_eq!(sessions.update(&new.id, &3, Some(new.version)).await?, Updated::Stale);
    /// # Ok(()) }
    /// ```
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
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions, Updated};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let id = sessions.create(&1).await?.id;
    /// let mut first = sessions.load(&id).await?.expect("alive");
    /// let mut second = first.clone();
    /// (first.data, second.data) = (2, 3);
    /// assert!(matches!(sessions.save(&mut first).await?, Updated::Saved(_)));
    /// assert_eq!(sessions.save(&mut second).await?, Updated::Stale); // load it anew
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create). The session is then as it was, and can be saved again; if the error is
    /// [in_doubt](crate::Error::is_in_doubt), that may find it [`Stale`](Updated::Stale) by its own hand.
    pub async fn save(&self, session: &mut Session<T>) -> Result<Updated> {
        let call = self.core.begin(Operation::Update);
        call.run(async {
            let draft = self.policy.draft(&session.data)?;
            let versions = self.capabilities().versions && !broken("handle: a save expects no version");
            let expected = versions.then_some(session.version());
            let (updated, expires_at) =
                self.update_once(&call, session.id(), &draft, expected, session.created_at(), None).await?;
            if let Updated::Saved(version) = updated {
                let principal = draft.principal;
                if !broken("handle: a saved session keeps its old version") {
                    session.info.version = version;
                }
                session.info.expires_at = expires_at.unwrap_or(session.info.expires_at);
                session.info.principal = principal;
            }
            Ok(updated)
        })
        .await
    }

    /// Changes a live session's data where it stands: an atomic read-modify-write. `None` if the session is absent
    /// or dead.
    ///
    /// The closure runs again on fresh data whenever somebody else was faster, so let it do nothing but change the
    /// data. The whole of it ends with the deadline. It renews the expiry, unless that is
    /// [throttled](crate::SessionsBuilder::touch_throttle).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let id = sessions.create(&1).await?.id;
    /// let count = |number: &mut u32| {
    ///     *number += 1;
    ///     *number
    /// };
    /// let (one, other) = tokio::join!(sessions.modify(&id, count), sessions.modify(&id, count));
    /// assert_eq!(one?.expect("alive").value + other?.expect("alive").value, 2 + 3); // neither is lost
    /// # Ok(()) }
    /// ```
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
            self.core.checked.require_versions()?;
            match self.fetch(&call, id).await? {
                Some(mut session) => self.modify_from(&call, &mut session, &mut change).await,
                None => Ok(None),
            }
        })
        .await
    }

    /// As [`modify`](Self::modify), for a session that was loaded: it reads nothing unless somebody else was faster. The
    /// closure must find the data as they were loaded. On success the session is up to date; in any other case its data
    /// may be changed and not saved, so load it anew.
    ///
    /// In a table without versions it replaces whatever is there.
    ///
    /// # Errors
    /// As [`save`](Self::save); [`Corrupt`](crate::ErrorKind::Corrupt) if somebody stored what is not a `T`;
    /// [`Conflict`](crate::ErrorKind::Conflict) if others were faster until the deadline.
    pub async fn modify_session<R>(
        &self,
        session: &mut Session<T>,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<Option<Modified<R>>> {
        let call = self.core.begin(Operation::Modify);
        call.run(self.modify_from(&call, session, &mut change)).await
    }

    /// Creates or updates, as the Node stores' `set` does, but never brings a dead id back to life.
    ///
    /// An id is dead while its row is there: a destroyed one until a purge after its expiry, or not at all in a table
    /// that keeps no tombstones, where it cannot be told from a new one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, SessionId, Sessions, SetOutcome};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let id = SessionId::random()?;
    /// assert!(matches!(sessions.set(&id, &1).await?, SetOutcome::Created(_)));
    /// assert!(matches!(sessions.set(&id, &2).await?, SetOutcome::Updated(_)));
    /// sessions.destroy(&id).await?;
    /// assert_eq!(sessions.set(&id, &3).await?, SetOutcome::Gone);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`create_with_id`](Self::create_with_id).
    pub async fn set(&self, id: &SessionId, data: &T) -> Result<SetOutcome> {
        let call = self.core.begin(Operation::Set);
        let outcome = call.run(async {
            let draft = self.policy.draft(data)?;
            // Whoever comes second in the race for a new id finds the key taken, and then the session live.
            for may_create in [true, broken("handle: a set creates twice")] {
                if let Updated::Saved(version) = self.update_unread(&call, id, &draft, None).await? {
                    return Ok(SetOutcome::Updated(version));
                }
                if may_create && let Some((new, _)) = self.create_once(&call, id, &draft).await? {
                    return Ok(SetOutcome::Created(new.version));
                }
            }
            Ok(SetOutcome::Gone)
        });
        let outcome = outcome.await?;
        if let SetOutcome::Created(_) = outcome {
            self.core.clean_up(&call).await;
        }
        Ok(outcome)
    }

    /// Changes and writes, and begins anew with what is there whenever somebody else was faster.
    async fn modify_from<R>(
        &self,
        call: &Call<'_>,
        session: &mut Session<T>,
        change: &mut impl FnMut(&mut T) -> R,
    ) -> Result<Option<Modified<R>>> {
        let mut round = 0;
        loop {
            let value = change(&mut session.data);
            let draft = self.policy.draft(&session.data)?;
            let versions = self.capabilities().versions && !broken("handle: a change expects no version");
            let expected = versions.then_some(session.version());
            let (created_at, old) = (session.created_at(), Some(session.expires_at()));
            match self.update_once(call, session.id(), &draft, expected, created_at, old).await? {
                (Updated::Saved(version), moved) => {
                    let principal = draft.principal;
                    session.info.version = version;
                    session.info.expires_at = moved.unwrap_or(session.info.expires_at);
                    session.info.principal = principal;
                    let expires_at = session.info.expires_at;
                    return Ok(Some(Modified { value, version, expires_at }));
                }
                (Updated::Gone, _) => return Ok(None),
                (Updated::Stale, _) => {}
            }
            round += 1;
            if !call.pause(round).await || broken("handle: a change that came too late is not made again") {
                return Err(outpaced());
            }
            match self.fetch(call, session.id()).await? {
                Some(latest) if broken("handle: a change is made again on the old data") => {
                    session.info = latest.info
                }
                Some(latest) => *session = latest,
                None => return Ok(None),
            }
        }
    }

    /// Makes a session under an id that nobody has, and tells when.
    async fn create_under_any_id(
        &self,
        call: &Call<'_>,
        draft: &Draft<'_, T>,
    ) -> Result<(NewSession, Timestamp)> {
        for _ in 0..ID_DRAWS {
            if let Some(new) = self.create_once(call, &SessionId::random()?, draft).await? {
                return Ok(new);
            }
        }
        Err(no_free_id())
    }

    /// Makes a session, and tells when; `None` if its id is taken.
    async fn create_once(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        draft: &Draft<'_, T>,
    ) -> Result<Option<(NewSession, Timestamp)>> {
        let (payload, principal) = (draft.payload.clone(), draft.principal.clone());
        let create = Create {
            key: self.key(id)?,
            payload,
            expires_at: Timestamp::NEVER,
            principal,
            version: if broken("handle: every session begins at the first version") {
                Version::FIRST
            } else {
                Version::random()?
            },
        };
        let create_at = |now| {
            let mut create = create.clone();
            async move {
                create.expires_at = self.policy.first_expiry(id, draft.data, now)?;
                Ok((self.core.store.create(&create, now).await?, create.expires_at, now))
            }
        };
        let (created, expires_at, now) = call.write(create_at).await?;
        if created == Created::KeyTaken && !broken("handle: a taken id is taken for a new one") {
            return Ok(None);
        }
        self.core.health.tell(&Event::Created { key: &create.key });
        let version = if self.capabilities().versions { create.version } else { Version::NONE };
        Ok(Some((NewSession { id: id.clone(), version, expires_at }, now)))
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
        Ok(self.update_once(call, id, draft, expected, created_at, None).await?.0)
    }

    /// Updates a session, and tells its new expiry, if that is known. If the `old` one is, a throttle counts.
    async fn update_once(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        draft: &Draft<'_, T>,
        expected: Option<Version>,
        created_at: Option<Timestamp>,
        old: Option<Timestamp>,
    ) -> Result<(Updated, Option<Timestamp>)> {
        let (payload, principal) = (draft.payload.clone(), draft.principal.clone());
        let update = Update { key: self.key(id)?, payload, expires_at: None, principal, expected };
        let update_at = |now| {
            let mut update = update.clone();
            async move {
                let moved = self.policy.expiry(id, draft.data, created_at, now)?;
                let is_throttled = |new| old.is_some_and(|old| self.policy.is_throttled(old, new, now));
                update.expires_at = moved.filter(|new| {
                    !is_throttled(*new) || broken("handle: an update takes no notice of the throttle")
                });
                Ok((self.core.store.update(&update, now).await?, update.expires_at))
            }
        };
        call.write(update_at).await
    }

    /// When a session was created, where the maximum lifetime makes that matter. `None` if the session is gone.
    pub(super) async fn created_at(
        &self,
        call: &Call<'_>,
        key: &SessionKey,
    ) -> Result<Option<Option<Timestamp>>> {
        if self.policy.max_lifetime.is_none() || broken("handle: an update has no maximum lifetime") {
            return Ok(Some(None));
        }
        // A session keeps its time of creation for life, so nothing can change it between here and the write.
        Ok(self.fetch_record(call, key.clone()).await?.map(|record| record.created_at))
    }
}

pub(super) fn no_free_id() -> Error {
    Error::new(
        ErrorKind::Backend,
        "every id that was drawn is taken; see why the operating system's random numbers repeat",
    )
    .with_in_doubt(false)
}
