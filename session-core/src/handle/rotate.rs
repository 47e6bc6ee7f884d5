//! Moving a session to a new id.

use super::SessionStore;
use super::call::{Call, outpaced};
use super::session::{NewSession, RotateOutcome};
use super::write::{ID_DRAWS, no_free_id};
use crate::{
    Error, Event, Operation, Payload, Principal, Result, Rotate, Rotated, SessionId, Timestamp, Version,
};

/// What a rotation does besides moving.
struct Change {
    payload: Option<Payload>,
    principal: Option<Principal>,
    expected: Option<Version>,
}

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Moves a live session to a new id, renews its expiry and keeps everything else: what to do at every sign-in,
    /// so that an id that somebody planted is worth nothing. `None` if the session is absent or dead.
    ///
    /// # Errors
    /// As [`touch`](Self::touch); [`Conflict`](crate::ErrorKind::Conflict) if others changed the session in every
    /// round until the deadline; [`Unsupported`](crate::ErrorKind::Unsupported) where the backend cannot do it in
    /// one atomic step.
    pub async fn rotate(&self, id: &SessionId) -> Result<Option<NewSession>> {
        let call = self.core.begin(Operation::Rotate);
        call.run(async {
            self.require_rotation()?;
            let key = self.key(id)?;
            let mut round = 0;
            loop {
                let Some(record) = self.fetch_record(&call, &key).await? else { return Ok(None) };
                let change = Change {
                    payload: None,
                    principal: record.principal.clone(),
                    expected: self.capabilities().versions.then_some(record.version),
                };
                let expiry = |new: &SessionId, now| self.policy.expiry_of(new, &record, now);
                match self.rotate_once(&call, id, change, expiry).await? {
                    RotateOutcome::Rotated(new) => return Ok(Some(new)),
                    RotateOutcome::Gone => return Ok(None),
                    RotateOutcome::Stale => {}
                }
                round += 1;
                if !call.pause(round).await {
                    return Err(outpaced());
                }
            }
        })
        .await
    }

    /// Moves a live session to a new id and replaces its data in the same step; with `expected`, only if it has that
    /// version. The outcome tells the new one as that of [`update`](Self::update) does.
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
            self.require_rotation()?;
            self.check_expected(expected)?;
            let draft = self.policy.draft(data)?;
            let Some(created_at) = self.created_at(&call, &self.key(id)?).await? else {
                return Ok(RotateOutcome::Gone);
            };
            let change = Change { payload: Some(draft.payload), principal: draft.principal, expected };
            let expiry = |new: &SessionId, now| self.policy.expiry(new, data, created_at, now);
            self.rotate_once(&call, id, change, expiry).await
        })
        .await
    }

    async fn rotate_once(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        change: Change,
        expiry: impl Fn(&SessionId, Timestamp) -> Result<Timestamp>,
    ) -> Result<RotateOutcome> {
        for _ in 0..ID_DRAWS {
            let new = SessionId::random()?;
            let now = call.now().await?;
            let rotate = Rotate {
                from: self.key(id)?,
                to: self.key(&new)?,
                payload: change.payload.clone(),
                expires_at: expiry(&new, now)?,
                principal: change.principal.clone(),
                expected: change.expected,
                mode: self.core.destroy_mode,
            };
            match call.write(|| self.core.store.rotate(&rotate, now)).await? {
                Rotated::Rotated(version) => {
                    self.core.tell(&Event::Rotated { from: &rotate.from, to: &rotate.to });
                    let expires_at = rotate.expires_at;
                    return Ok(RotateOutcome::Rotated(NewSession { id: new, version, expires_at }));
                }
                Rotated::Stale => return Ok(RotateOutcome::Stale),
                Rotated::Gone => return Ok(RotateOutcome::Gone),
                Rotated::KeyTaken => {}
            }
        }
        Err(no_free_id())
    }

    /// Refuses before anything is read.
    fn require_rotation(&self) -> Result<()> {
        if self.capabilities().rotation {
            return Ok(());
        }
        Err(Error::unsupported(
            "this table cannot move a session to another id in one step; destroy it and create a new one",
        ))
    }
}
