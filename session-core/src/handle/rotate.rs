//! Moving a session to a new id.

use super::Sessions;
use super::call::{Call, outpaced};
use super::session::{NewSession, RotateOutcome, Session};
use super::write::{ID_DRAWS, no_free_id};
use crate::contract::{Payload, Rotate, Rotated};
use crate::mutants::broken;
use crate::{Event, Operation, Principal, Result, SessionId, Timestamp, Version};

/// What a rotation does besides moving.
struct Change {
    payload: Option<Payload>,
    principal: Option<Principal>,
    expected: Option<Version>,
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Moves a live session to a new id, renews its expiry and keeps everything else: what to do at every sign-in,
    /// so that an id that somebody planted is worth nothing. `None` if the session is absent or dead.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let visitor = sessions.create(&1).await?;
    /// let signed_in = sessions.rotate(&visitor.id).await?.expect("alive"); // its id goes into the cookie
    /// assert!(sessions.load(&visitor.id).await?.is_none());
    /// assert_eq!(sessions.load(&signed_in.id).await?.unwrap().data, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`touch`](Self::touch); [`Conflict`](crate::ErrorKind::Conflict) if others changed the session in every
    /// round until the deadline; [`Unsupported`](crate::ErrorKind::Unsupported) where the backend cannot do it in
    /// one atomic step.
    pub async fn rotate(&self, id: &SessionId) -> Result<Option<NewSession>> {
        let call = self.core.begin(Operation::Rotate);
        call.run(async {
            self.core.checked.require_rotation()?;
            let key = self.key(id)?;
            let mut round = 0;
            loop {
                let Some(mut record) = self.fetch_record(&call, key.clone()).await? else { return Ok(None) };
                if broken("handle: a rotation begins a new lifetime") {
                    record.created_at = None;
                }
                let change = Change {
                    payload: None,
                    principal: record.principal.clone(),
                    expected: self
                        .capabilities()
                        .versions
                        .then_some(record.version)
                        .filter(|_| !broken("handle: a rotation expects no version")),
                };
                let expiry =
                    |new: &SessionId, now| Ok((self.policy.expiry_of(new, &record, now)?, record.expires_at));
                match self.readable(&call, self.rotate_once(&call, id, change, expiry).await)? {
                    Some(RotateOutcome::Rotated(new)) => return Ok(Some(new)),
                    // The time to live may depend on data that cannot be read.
                    Some(RotateOutcome::Gone) | None => return Ok(None),
                    Some(RotateOutcome::Stale) => {}
                }
                round += 1;
                if !call.pause(round).await
                    || broken("handle: a rotation that came too late is not made again")
                {
                    return Err(outpaced());
                }
            }
        })
        .await
    }

    /// Moves a live session to a new id and replaces its data in the same step; with `expected`, only if it has that
    /// version. The outcome tells the new one as that of [`update`](Self::update) does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, RotateOutcome, Sessions};
    /// let sessions: Sessions<String> = Sessions::new(MemoryStore::new());
    /// let visitor = sessions.create(&"nobody".to_owned()).await?;
    /// match sessions.rotate_with(&visitor.id, &"ann".to_owned(), Some(visitor.version)).await? {
    ///     RotateOutcome::Rotated(signed_in) => println!("{}", signed_in.id.expose().len()), // its id goes into the cookie
    ///     RotateOutcome::Stale => println!("somebody changed it meanwhile: load it, and decide again"),
    ///     RotateOutcome::Gone => println!("it has ended"),
    /// }
    /// # assert_eq!(sessions.fate(&visitor.id).await?, session_core::Fate::RotatedAway);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`update`](Self::update); [`Unsupported`](crate::ErrorKind::Unsupported) where the backend cannot do it in
    /// one atomic step.
    pub async fn rotate_with(
        &self,
        id: &SessionId,
        data: &T,
        expected: Option<Version>,
    ) -> Result<RotateOutcome> {
        let call = self.core.begin(Operation::Rotate);
        call.run(async {
            self.core.checked.require_rotation()?;
            self.check_expected(expected)?;
            let draft = self.policy.draft(data)?;
            // What the new expiry follows from, beside the data.
            let mut stored = None;
            if self.policy.max_lifetime.is_some() || self.policy.may_keep_expiry() {
                stored = self.fetch_record(&call, self.key(id)?).await?;
                if stored.is_none() {
                    return Ok(RotateOutcome::Gone);
                }
            }
            let change = Change { payload: Some(draft.payload), principal: draft.principal, expected };
            let expiry = |new: &SessionId, now| {
                let created_at = stored.as_ref().and_then(|record| record.created_at);
                let created_at =
                    created_at.filter(|_| !broken("handle: a rotation with data begins a new lifetime"));
                let kept = stored.as_ref().map_or(now, |record| record.expires_at);
                Ok((self.policy.expiry(new, data, created_at, now)?, kept))
            };
            self.rotate_once(&call, id, change, expiry).await
        })
        .await
    }

    /// Moves a session that was loaded to a new id and changes its data, in one atomic step: sign-in. `None` if it is
    /// gone. The closure runs again on fresh data whenever somebody else was faster. On success the session has its new
    /// id; in any other case its data may be changed and not saved, so load it anew.
    ///
    /// In a table without versions it replaces whatever is there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// let sessions: Sessions<Option<String>> = Sessions::new(MemoryStore::new());
    /// let mut session = sessions.start(None).await?;
    /// let planted = session.id().clone();
    /// sessions.rotate_session(&mut session, |user| *user = Some("ann".to_owned())).await?.expect("alive");
    /// assert!(sessions.load(&planted).await?.is_none());
    /// assert_eq!(sessions.load(session.id()).await?.unwrap().data.as_deref(), Some("ann"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`modify_session`](Self::modify_session); [`Unsupported`](crate::ErrorKind::Unsupported) where the backend
    /// cannot do it in one atomic step.
    pub async fn rotate_session<R>(
        &self,
        session: &mut Session<T>,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<Option<R>> {
        let call = self.core.begin(Operation::Rotate);
        call.run(async {
            self.core.checked.require_rotation()?;
            let mut round = 0;
            loop {
                let value = change(&mut session.data);
                let draft = self.policy.draft(&session.data)?;
                let step = Change {
                    payload: Some(draft.payload),
                    principal: draft.principal.clone(),
                    expected: self
                        .capabilities()
                        .versions
                        .then_some(session.version())
                        .filter(|_| !broken("handle: a rotation with a change expects no version")),
                };
                let (created_at, kept) = (session.created_at(), session.expires_at());
                let created_at =
                    created_at.filter(|_| !broken("handle: a rotation with a change begins a new lifetime"));
                let expiry = |new: &SessionId, now| {
                    Ok((self.policy.expiry(new, &session.data, created_at, now)?, kept))
                };
                match self.rotate_once(&call, session.id(), step, expiry).await? {
                    RotateOutcome::Rotated(new) => {
                        session.rotated(new, draft.principal);
                        return Ok(Some(value));
                    }
                    RotateOutcome::Gone => return Ok(None),
                    RotateOutcome::Stale => {}
                }
                round += 1;
                if !call.pause(round).await {
                    return Err(outpaced());
                }
                match self.fetch(&call, session.id()).await? {
                    Some(latest) => *session = latest,
                    None => return Ok(None),
                }
            }
        })
        .await
    }

    /// Rotates once. `expiry` tells the new expiry, if it moves, and the one that stays otherwise.
    async fn rotate_once(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        change: Change,
        expiry: impl Fn(&SessionId, Timestamp) -> Result<(Option<Timestamp>, Timestamp)>,
    ) -> Result<RotateOutcome> {
        for _ in 0..ID_DRAWS {
            let new = SessionId::random()?;
            let rotate = Rotate {
                from: self.key(id)?,
                to: self.key(&new)?,
                payload: change.payload.clone(),
                expires_at: None,
                principal: change.principal.clone(),
                expected: change
                    .expected
                    .filter(|_| !broken("handle: no rotation expects the version that it is told")),
                mode: self.core.destroy_mode,
            };
            let rotate_at = |now| {
                let (mut rotate, new, expiry) = (rotate.clone(), &new, &expiry);
                async move {
                    let (moved, kept) = expiry(new, now)?;
                    rotate.expires_at = moved;
                    Ok((self.core.store.rotate(&rotate, now).await?, moved.unwrap_or(kept)))
                }
            };
            let rotated = call.write(rotate_at).await;
            // A rotation that was not made, or of which nobody knows, costs one decoding more.
            self.forget(|cache| cache.forget(&rotate.from));
            let (rotated, expires_at) = rotated?;
            match rotated {
                Rotated::Rotated(version) => {
                    self.core.health.tell(&Event::Rotated { from: &rotate.from, to: &rotate.to });
                    return Ok(RotateOutcome::Rotated(NewSession { id: new, version, expires_at }));
                }
                Rotated::Stale => return Ok(RotateOutcome::Stale),
                Rotated::Gone => return Ok(RotateOutcome::Gone),
                Rotated::KeyTaken => {}
            }
        }
        Err(no_free_id())
    }
}
