//! Moving a session's expiry.

use std::borrow::Borrow;

use super::Sessions;
use super::call::{Call, outpaced};
use super::session::{Session, TouchOutcome};
use crate::contract::{Touch, Touched};
use crate::mutants::broken;
use crate::{Operation, Result, SessionId, SessionKey, Timestamp, Version};

/// What is known of a session that is to be touched.
struct Stored {
    key: SessionKey,
    expires_at: Timestamp,
    /// The version whose data the new expiry follows from; `None` if it follows from no data.
    expected: Option<Version>,
}

impl<T: Send + Sync + 'static> Sessions<T> {
    /// Renews the expiry of a live session. With [`TimeToLive::external`](crate::TimeToLive::external) it writes nothing.
    ///
    /// It reads the session first if the time to live depends on its data, or if a
    /// [throttle](crate::SessionsBuilder::touch_throttle) or a
    /// [maximum lifetime](crate::SessionsBuilder::max_lifetime) is set; [`refresh`](Self::refresh) knows all that
    /// already. If the time to live depends on the data, and somebody changes the session in between, it reads again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions, TouchOutcome};
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let new = sessions.create(&1).await?;
    /// match sessions.touch(&new.id).await? {
    ///     TouchOutcome::Moved(until) | TouchOutcome::Throttled(until) => assert!(until >= new.expires_at),
    ///     TouchOutcome::Gone => println!("it has ended"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the time to live depends on data that cannot be read;
    /// [`Conflict`](crate::ErrorKind::Conflict) if others changed the session in every round until the deadline.
    pub async fn touch(&self, id: &SessionId) -> Result<TouchOutcome> {
        let call = self.core.begin(Operation::Touch);
        call.run(async {
            let key = self.key(id)?;
            if self.policy.expiry_of_any(Timestamp::MIN).is_none() {
                return self.touch_as_stored(&call, id, key).await;
            }
            let touch_at = |now| {
                let expires_at = self.policy.expiry_of_any(now).unwrap_or(Timestamp::NEVER);
                let touch = Touch { key: key.clone(), expires_at, expected: None };
                async move { Ok((self.core.store.touch(&touch, now).await?, expires_at)) }
            };
            Ok(match call.write(touch_at).await? {
                (Touched::Moved, expires_at) => TouchOutcome::Moved(expires_at),
                (Touched::Stale | Touched::Gone, _) => TouchOutcome::Gone,
            })
        })
        .await
    }

    /// Renews the expiry of a session that was loaded. With a
    /// [throttle](crate::SessionsBuilder::touch_throttle) it writes nothing while the expiry would hardly move. If
    /// the time to live depends on the data, and somebody changed the session since, what is stored decides.
    ///
    /// # Errors
    /// As [`touch`](Self::touch), and [`InvalidInput`](crate::ErrorKind::InvalidInput) if the time to live cannot be
    /// counted.
    pub async fn refresh<D: Borrow<T>>(&self, session: &mut Session<D>) -> Result<TouchOutcome> {
        let call = self.core.begin(Operation::Touch);
        call.run(async {
            let key = self.key(session.id())?;
            let stored = Stored {
                key: key.clone(),
                expires_at: session.expires_at(),
                expected: self.decided_by(session.version()),
            };
            let expiry =
                |now| self.policy.expiry(session.id(), session.data.borrow(), session.created_at(), now);
            let touched = match self.renew(&call, stored, expiry).await? {
                Some(touched) => touched,
                None => self.touch_as_stored(&call, session.id(), key).await?,
            };
            if let TouchOutcome::Moved(expires_at) | TouchOutcome::Throttled(expires_at) = touched {
                session.info.expires_at = expires_at;
            }
            Ok(touched)
        })
        .await
    }

    /// Moves the expiry of a live session to a moment that the caller decides, whatever the time to live says, but not
    /// beyond its [maximum lifetime](crate::SessionsBuilder::max_lifetime). False if the session is absent or dead.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> session_core::Result<()> {
    /// # use session_core::{MemoryStore, Sessions};
    /// # use std::time::Duration;
    /// let sessions: Sessions<u32> = Sessions::new(MemoryStore::new());
    /// let new = sessions.create(&1).await?;
    /// let in_a_week = sessions.now().await?.saturating_add(Duration::from_secs(7 * 86_400));
    /// assert!(sessions.touch_until(&new.id, in_a_week).await?);
    /// assert_eq!(sessions.load(&new.id).await?.unwrap().expires_at(), in_a_week);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a table with plain ids cannot hold this one.
    pub async fn touch_until(&self, id: &SessionId, expires_at: Timestamp) -> Result<bool> {
        let call = self.core.begin(Operation::Touch);
        call.run(async {
            let key = self.key(id)?;
            let Some(created_at) = self.created_at(&call, &key).await? else { return Ok(false) };
            let capped = self.policy.cap(expires_at, created_at);
            let expires_at =
                if broken("handle: a touch has no maximum lifetime") { expires_at } else { capped };
            let touch = Touch { key, expires_at, expected: None };
            Ok(call.write(|now| self.core.store.touch(&touch, now)).await? == Touched::Moved)
        })
        .await
    }

    /// Reads a session, decides by what it reads, and begins anew if that has changed meanwhile.
    async fn touch_as_stored(
        &self,
        call: &Call<'_>,
        id: &SessionId,
        key: SessionKey,
    ) -> Result<TouchOutcome> {
        let mut round = 0;
        loop {
            let Some(record) = self.fetch_record(call, key.clone()).await? else {
                return Ok(TouchOutcome::Gone);
            };
            let stored = Stored {
                key: key.clone(),
                expires_at: record.expires_at,
                expected: self.decided_by(record.version),
            };
            let expiry = |now| self.policy.expiry_of(id, &record, now);
            match self.readable(call, self.renew(call, stored, expiry).await)? {
                // The time to live depends on data that cannot be read.
                None => return Ok(TouchOutcome::Gone),
                Some(Some(touched)) => return Ok(touched),
                Some(None) => {}
            }
            round += 1;
            if !call.pause(round).await {
                return Err(outpaced());
            }
        }
    }

    /// The version that a touch must expect: whoever changes the data may change the time to live with it.
    fn decided_by(&self, version: Version) -> Option<Version> {
        self.known(version)
            .filter(|_| self.policy.depends_on_data() && !broken("handle: a touch expects no version"))
    }

    /// Moves the expiry if that is far enough. `None` if the session has another version.
    async fn renew(
        &self,
        call: &Call<'_>,
        stored: Stored,
        expiry: impl Fn(Timestamp) -> Result<Option<Timestamp>>,
    ) -> Result<Option<TouchOutcome>> {
        let Stored { key, expires_at: old, expected } = stored;
        if self.policy.may_skip_touches() {
            let now = call.now().await?;
            // An expiry that is somebody else's to move stays.
            let stays = expiry(now)?.is_none_or(|new| self.policy.is_throttled(old, new, now));
            if stays && now < old {
                return Ok(Some(TouchOutcome::Throttled(old)));
            }
        }
        let touch = Touch { key, expires_at: old, expected };
        let touch_at = |now| {
            let mut touch = touch.clone();
            let expiry = &expiry;
            async move {
                touch.expires_at = expiry(now)?.unwrap_or(old);
                Ok((self.core.store.touch(&touch, now).await?, touch.expires_at))
            }
        };
        Ok(match call.write(touch_at).await? {
            (Touched::Moved, expires_at) => Some(TouchOutcome::Moved(expires_at)),
            (Touched::Gone, _) => Some(TouchOutcome::Gone),
            (Touched::Stale, _) => None,
        })
    }
}
