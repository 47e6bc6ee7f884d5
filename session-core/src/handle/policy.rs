//! What is decided from a session's data: its text, its principal, and when it dies.

use std::time::Duration;

use crate::{Codec, Error, ErrorKind, Payload, Principal, Record, Result, SessionId, TimeToLive, Timestamp};

/// The part of a handle that looks into the data.
pub(super) struct Policy<T> {
    pub(super) time_to_live: TimeToLive<T>,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) touch_throttle: u8,
    pub(super) payload_limit: usize,
    pub(super) codec: Box<dyn Codec<T>>,
    pub(super) principal: Option<Box<PrincipalOf<T>>>,
}

pub(super) type PrincipalOf<T> = dyn Fn(&T) -> Option<String> + Send + Sync;

/// Data that is fit to be written.
pub(super) struct Draft<'a, T> {
    pub(super) data: &'a T,
    pub(super) payload: Payload,
    pub(super) principal: Option<Principal>,
}

impl<T: 'static> Policy<T> {
    /// Checks the data. Comes before anything is sent.
    pub(super) fn draft<'a>(&self, data: &'a T) -> Result<Draft<'a, T>> {
        let text = self.codec.encode(data)?;
        if text.len() > self.payload_limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the session's data has {} bytes and may have {}; keep less in it, or raise \
                     `SessionStoreBuilder::payload_limit`",
                    text.len(),
                    self.payload_limit
                ),
            ));
        }
        let principal = self.principal.as_ref().and_then(|principal| principal(data));
        let principal = principal.map(Principal::new).transpose()?;
        Ok(Draft { data, payload: text.into(), principal })
    }

    pub(super) fn decode(&self, payload: &Payload) -> Result<T> {
        self.codec.decode(payload.as_str())
    }

    /// When a session dies that is written or touched now.
    pub(super) fn expiry(
        &self,
        id: &SessionId,
        data: &T,
        created_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Timestamp> {
        Ok(self.cap(self.time_to_live.expiry(id, data, now)?, created_at))
    }

    /// The same for a session as it is stored. Looks into its data only if the time to live depends on it.
    pub(super) fn expiry_of(&self, id: &SessionId, record: &Record, now: Timestamp) -> Result<Timestamp> {
        let idle = match self.time_to_live.without_data(now) {
            Some(expiry) => expiry,
            None => self.time_to_live.expiry(id, &self.decode(&record.payload)?, now)?,
        };
        Ok(self.cap(idle, record.created_at))
    }

    /// The same for any session, if nothing has to be known of it to touch it.
    pub(super) fn expiry_of_any(&self, now: Timestamp) -> Option<Timestamp> {
        let is_blind = self.max_lifetime.is_none() && self.touch_throttle == 0;
        self.time_to_live.without_data(now).filter(|_| is_blind)
    }

    /// No session ever expires by itself.
    pub(super) fn never_ends(&self) -> bool {
        self.max_lifetime.is_none()
            && self.time_to_live.without_data(Timestamp::MIN) == Some(Timestamp::NEVER)
    }

    fn cap(&self, idle: Timestamp, created_at: Option<Timestamp>) -> Timestamp {
        match (self.max_lifetime, created_at) {
            (Some(most), Some(created_at)) => idle.min(created_at.saturating_add(most)),
            _ => idle,
        }
    }

    /// Whether a touch from `old` to `new` moves the expiry by less than the set part of the time to live.
    pub(super) fn is_throttled(&self, old: Timestamp, new: Timestamp, now: Timestamp) -> bool {
        let distance = new.saturating_since(old).max(old.saturating_since(new));
        let time_to_live = new.saturating_since(now);
        distance.as_millis() * 100 < time_to_live.as_millis() * u128::from(self.touch_throttle)
    }
}
