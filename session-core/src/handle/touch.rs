//! Moving a session's expiry.

use super::SessionStore;
use super::call::Call;
use super::session::{Session, Touched};
use crate::{Operation, Result, SessionId, SessionKey, Timestamp, Touch};

impl<T: Send + Sync + 'static> SessionStore<T> {
    /// Renews the expiry of a live session.
    ///
    /// It reads the session first if the time to live depends on its data, or if a
    /// [throttle](crate::SessionStoreBuilder::touch_throttle) or a
    /// [maximum lifetime](crate::SessionStoreBuilder::max_lifetime) is set; [`refresh`](Self::refresh) knows all that
    /// already.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the time to live depends on data that cannot be read.
    pub async fn touch(&self, id: &SessionId) -> Result<Touched> {
        let call = self.core.begin(Operation::Touch);
        call.run(async {
            let key = self.key(id)?;
            let now = call.now().await?;
            if let Some(expires_at) = self.policy.expiry_of_any(now) {
                return self.move_expiry(&call, key, expires_at, now).await;
            }
            let Some(record) = self.fetch_record(&call, &key).await? else { return Ok(Touched::Gone) };
            let expires_at = self.policy.expiry_of(id, &record, now)?;
            self.renew(&call, key, record.expires_at, expires_at, now).await
        })
        .await
    }

    /// Renews the expiry of a session that was loaded. With a
    /// [throttle](crate::SessionStoreBuilder::touch_throttle) it writes nothing while the expiry would hardly move.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the time to live cannot be counted.
    pub async fn refresh(&self, session: &mut Session<T>) -> Result<Touched> {
        let call = self.core.begin(Operation::Touch);
        call.run(async {
            let key = self.key(session.id())?;
            let now = call.now().await?;
            let expires_at = self.policy.expiry(session.id(), &session.data, session.created_at(), now)?;
            let touched = self.renew(&call, key, session.expires_at(), expires_at, now).await?;
            if let Touched::Moved(expires_at) = touched {
                session.meta.expires_at = expires_at;
            }
            Ok(touched)
        })
        .await
    }

    /// Moves the expiry from `old` to `new` if that is far enough.
    async fn renew(
        &self,
        call: &Call<'_>,
        key: SessionKey,
        old: Timestamp,
        new: Timestamp,
        now: Timestamp,
    ) -> Result<Touched> {
        if now < old && self.policy.is_throttled(old, new, now) {
            return Ok(Touched::Throttled(old));
        }
        self.move_expiry(call, key, new, now).await
    }

    async fn move_expiry(
        &self,
        call: &Call<'_>,
        key: SessionKey,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Touched> {
        let touch = Touch { key, expires_at };
        let is_live = call.write(|| self.core.store.touch(&touch, now)).await?;
        Ok(if is_live { Touched::Moved(expires_at) } else { Touched::Gone })
    }
}
