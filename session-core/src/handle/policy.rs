//! What is decided from a session's data: its text, its principal, and when it dies.

use std::sync::Arc;
use std::time::Duration;

use crate::contract::{Payload, Record};
use crate::mutants::broken;
use crate::{Codec, Error, ErrorKind, Principal, Result, SessionId, TimeToLive, Timestamp};

/// What [`SessionsBuilder::unreadable`](crate::SessionsBuilder::unreadable) makes of a session whose data is not a `T`.
///
/// Exhaustive: there is no third way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreadable {
    /// The caller gets a [`Corrupt`](ErrorKind::Corrupt) error.
    #[default]
    Error,
    /// There is no such session for the caller. The observer and the error handler hear of the error.
    NoSession,
}

/// The part of a handle that looks into the data.
pub(super) struct Policy<T> {
    pub(super) time_to_live: TimeToLive<T>,
    pub(super) max_lifetime: Option<Duration>,
    /// `None` if nothing was said, which is 0.
    pub(super) touch_throttle: Option<u8>,
    pub(super) payload_limit: usize,
    pub(super) verify_writes: bool,
    pub(super) unreadable: Unreadable,
    pub(super) codec: Arc<dyn Codec<T>>,
    pub(super) principal: Option<Arc<PrincipalOf<T>>>,
}

impl<T> Clone for Policy<T> {
    fn clone(&self) -> Policy<T> {
        Policy {
            time_to_live: self.time_to_live.clone(),
            codec: Arc::clone(&self.codec),
            principal: self.principal.clone(),
            ..*self
        }
    }
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
        if text.len() > self.payload_limit && !broken("handle: has no limit of data") {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the session's data has {} bytes and may have {}; keep less in it, or raise \
                     `SessionsBuilder::payload_limit`",
                    text.len(),
                    self.payload_limit
                ),
            ));
        }
        if self.verify_writes && !broken("handle: writes what cannot be read back") {
            self.codec.verify(data, &text).map_err(|error| {
                Error::invalid_input(
                    "the session's data could not be read back once it is written; JSON has no NaN and no infinite \
                     numbers, is nested 127 levels deep at most, and needs `Serialize` and `Deserialize` to agree",
                )
                .with_source(error)
            })?;
        }
        let principal = self.principal_of(data).and_then(|text| Principal::of(&text));
        Ok(Draft { data, payload: text.into(), principal })
    }

    /// Whom a session with this data belongs to, by the application's rule.
    pub(super) fn principal_of(&self, data: &T) -> Option<String> {
        self.principal
            .as_ref()
            .and_then(|principal| principal(data))
            .filter(|text| !text.is_empty() && !broken("handle: writes no principal"))
    }

    pub(super) fn decode(&self, payload: &Payload) -> Result<T> {
        self.codec.decode(payload.as_str())
    }

    /// When a session dies that is written or touched now; `None` if its expiry stays as it is.
    pub(super) fn expiry(
        &self,
        id: &SessionId,
        data: &T,
        created_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let idle = self.time_to_live.expiry(id, data, now)?;
        Ok(idle.map(|idle| self.cap(idle, created_at)))
    }

    /// When a session dies that is made now.
    pub(super) fn first_expiry(&self, id: &SessionId, data: &T, now: Timestamp) -> Result<Timestamp> {
        self.expiry(id, data, Some(now), now)?.ok_or_else(|| {
            Error::invalid_input(
                "a new session needs an expiry; let the rule of `TimeToLive::external` give one",
            )
        })
    }

    /// The same for a session as it is stored. Looks into its data only if the time to live depends on it.
    pub(super) fn expiry_of(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        match self.time_to_live.without_data(now) {
            Some(idle) => Ok(Some(self.cap(idle, record.created_at))),
            None => self.expiry(id, &self.decode(&record.payload)?, record.created_at, now),
        }
    }

    /// The same for any session, if nothing has to be known of it to touch it.
    pub(super) fn expiry_of_any(&self, now: Timestamp) -> Option<Timestamp> {
        let is_blind = self.max_lifetime.is_none() && self.throttle() == 0;
        self.time_to_live.without_data(now).filter(|_| is_blind)
    }

    /// The time to live may be another one for other data.
    pub(super) fn depends_on_data(&self) -> bool {
        self.time_to_live.without_data(Timestamp::MIN).is_none()
    }

    /// A touch may write nothing.
    pub(super) fn may_skip_touches(&self) -> bool {
        self.throttle() > 0 || self.may_keep_expiry()
    }

    /// The rule may leave an expiry as it is.
    pub(super) fn may_keep_expiry(&self) -> bool {
        self.time_to_live.is_external()
    }

    /// No session ever expires by itself.
    pub(super) fn never_ends(&self) -> bool {
        self.max_lifetime.is_none()
            && self.time_to_live.without_data(Timestamp::MIN) == Some(Timestamp::NEVER)
    }

    /// Not beyond the maximum lifetime.
    pub(super) fn cap(&self, idle: Timestamp, created_at: Option<Timestamp>) -> Timestamp {
        match (self.max_lifetime, created_at) {
            (Some(most), Some(created_at)) if !broken("handle: has no maximum lifetime") => {
                idle.min(created_at.saturating_add(most))
            }
            _ => idle,
        }
    }

    fn throttle(&self) -> u8 {
        self.touch_throttle.unwrap_or(0)
    }

    /// Whether a touch from `old` to `new` moves the expiry by less than the set part of the time to live.
    pub(super) fn is_throttled(&self, old: Timestamp, new: Timestamp, now: Timestamp) -> bool {
        let distance = new.saturating_since(old).max(old.saturating_since(new));
        let time_to_live = new.saturating_since(now);
        !broken("handle: is never throttled")
            && distance.as_millis() * 100 < time_to_live.as_millis() * u128::from(self.throttle())
    }
}
