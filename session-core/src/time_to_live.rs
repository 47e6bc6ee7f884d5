//! How long a session lives after it was last used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::{Error, Result, SessionId, Timestamp};

/// How long a session lives after each write and touch.
///
/// Defaults to [one day](TimeToLive::DEFAULT).
pub struct TimeToLive<T>(Rule<T>);

enum Rule<T> {
    Never,
    Fixed(Duration),
    PerSession(Arc<PerSession<T>>),
    External(Arc<External<T>>),
}

type External<T> = dyn Fn(&T, Timestamp) -> Option<Timestamp> + Send + Sync;
type PerSession<T> = dyn Fn(&SessionId, &T, Timestamp) -> Result<Option<Timestamp>> + Send + Sync;

impl<T> TimeToLive<T> {
    /// One day: the default.
    pub const DEFAULT: Duration = Duration::from_secs(86_400);

    /// Every session lives for this span after its last write or touch.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use session_core::TimeToLive;
    /// let a_week = TimeToLive::<String>::fixed(Duration::from_secs(7 * 86_400))?;
    /// assert!(TimeToLive::<String>::fixed(Duration::ZERO).is_err());
    /// # Ok::<_, session_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the span is under a millisecond, or over 292 million years,
    /// the most that an `i64` of milliseconds holds.
    pub fn fixed(span: Duration) -> Result<TimeToLive<T>> {
        check(span)?;
        Ok(TimeToLive(Rule::Fixed(span)))
    }

    /// [`fixed`](TimeToLive::fixed), in seconds, for a number from a configuration file or another program.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the number is not positive or too large.
    pub fn seconds(seconds: i64) -> Result<TimeToLive<T>> {
        match u64::try_from(seconds) {
            Ok(seconds) => TimeToLive::fixed(Duration::from_secs(seconds)),
            Err(_) => Err(Error::invalid_input(format!(
                "the time to live is {seconds} seconds; give a positive number, or use `TimeToLive::never()`"
            ))),
        }
    }

    /// Sessions end only when they are destroyed. Their tombstones stay for ever: use [`DestroyMode::Remove`] with
    /// it, or a [maximum lifetime](crate::SessionsBuilder::max_lifetime).
    ///
    /// [`DestroyMode::Remove`]: crate::DestroyMode::Remove
    pub fn never() -> TimeToLive<T> {
        TimeToLive(Rule::Never)
    }

    /// Asks a rule at each write and touch, with the session's id and data. `None` means
    /// [one day](TimeToLive::DEFAULT). [`Duration::ZERO`] ends the session with that write.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use session_core::TimeToLive;
    /// # struct Visit { remember_me: bool }
    /// const DAY: Duration = Duration::from_secs(86_400);
    /// let rule = TimeToLive::per_session(|_, visit: &Visit| Some(if visit.remember_me { 30 * DAY } else { DAY }));
    /// ```
    pub fn per_session<F>(rule: F) -> TimeToLive<T>
    where
        F: Fn(&SessionId, &T) -> Option<Duration> + Send + Sync + 'static,
    {
        TimeToLive(Rule::PerSession(Arc::new(move |id, data, now| {
            let Some(span) = rule(id, data) else { return Ok(None) };
            if span > Duration::ZERO {
                check(span)?;
            }
            Ok(Some(now.saturating_add(span)))
        })))
    }

    /// Asks a rule at each write and touch, with id, data and the present. The rule returns when the session ends. `None`
    /// means [one day](TimeToLive::DEFAULT) from now. A moment in the past ends the session.
    ///
    /// ```
    /// # use session_core::{TimeToLive, Timestamp};
    /// # struct Visit { ticket_ends: Timestamp }
    /// let with_the_ticket = TimeToLive::until(|_, visit: &Visit, _| Some(visit.ticket_ends));
    /// ```
    pub fn until<F>(rule: F) -> TimeToLive<T>
    where
        F: Fn(&SessionId, &T, Timestamp) -> Option<Timestamp> + Send + Sync + 'static,
    {
        TimeToLive(Rule::PerSession(Arc::new(move |id, data, now| Ok(rule(id, data, now)))))
    }

    /// Leaves the expiry to somebody else, such as a web framework. The rule reads it from the data that is about to be
    /// written. `None` leaves the session's expiry as it is: a touch writes nothing, and an update, a
    /// [`modify`](crate::Sessions::modify) or a rotation does not move it. A new session needs an expiry.
    ///
    /// ```
    /// # use session_core::{TimeToLive, Timestamp};
    /// # struct Framework { expires_at: Option<Timestamp> }
    /// let as_the_framework_says = TimeToLive::external(|session: &Framework, _| session.expires_at);
    /// ```
    pub fn external(
        rule: impl Fn(&T, Timestamp) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> TimeToLive<T> {
        TimeToLive(Rule::External(Arc::new(rule)))
    }

    pub(crate) fn is_external(&self) -> bool {
        matches!(self.0, Rule::External(_))
    }

    /// The expiry of a session whose data the rule does not ask for.
    pub(crate) fn without_data(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Rule::Never => Some(Timestamp::NEVER),
            Rule::Fixed(span) => Some(now.saturating_add(*span)),
            Rule::PerSession(_) | Rule::External(_) => None,
        }
    }

    /// The expiry of this session; `None` leaves it as it is.
    pub(crate) fn expiry(&self, id: &SessionId, data: &T, now: Timestamp) -> Result<Option<Timestamp>> {
        Ok(match &self.0 {
            Rule::Never => Some(Timestamp::NEVER),
            Rule::Fixed(span) => Some(now.saturating_add(*span)),
            Rule::PerSession(rule) => {
                Some(rule(id, data, now)?.unwrap_or_else(|| now.saturating_add(Self::DEFAULT)))
            }
            Rule::External(rule) => rule(data, now),
        })
    }
}

impl TimeToLive<Value> {
    /// The session's own cookie: its `cookie.originalMaxAge` in milliseconds, else
    /// [one day](TimeToLive::DEFAULT). Zero or less ends the session; parts of a millisecond are dropped.
    pub fn from_cookie() -> TimeToLive<Value> {
        TimeToLive::until(|_, data: &Value, now| {
            let max_age = data.get("cookie")?.get("originalMaxAge")?.as_f64()?;
            // What a `Duration` cannot count is below zero, which ends the session, or for ever.
            let beyond = if max_age < 0.0 { Duration::ZERO } else { Duration::MAX };
            Some(now.saturating_add(Duration::try_from_secs_f64(max_age).map_or(beyond, |span| span / 1_000)))
        })
    }
}

impl<T> Default for TimeToLive<T> {
    fn default() -> TimeToLive<T> {
        TimeToLive(Rule::Fixed(Self::DEFAULT))
    }
}

impl<T> Clone for TimeToLive<T> {
    fn clone(&self) -> TimeToLive<T> {
        TimeToLive(match &self.0 {
            Rule::Never => Rule::Never,
            Rule::Fixed(span) => Rule::Fixed(*span),
            Rule::PerSession(rule) => Rule::PerSession(Arc::clone(rule)),
            Rule::External(rule) => Rule::External(Arc::clone(rule)),
        })
    }
}

impl<T> fmt::Debug for TimeToLive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Never => f.write_str("Never"),
            Rule::Fixed(span) => write!(f, "Fixed({span:?})"),
            Rule::PerSession(_) => f.write_str("PerSession"),
            Rule::External(_) => f.write_str("External"),
        }
    }
}

/// A span that the clock can count.
pub(crate) fn check(span: Duration) -> Result<()> {
    if span.as_millis() == 0 || i64::try_from(span.as_millis()).is_err() {
        return Err(Error::invalid_input(format!(
            "a lifetime of {span:?} cannot be counted; give 1 ms to 292 million years, or use \
             `TimeToLive::never()`"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn id() -> SessionId {
        SessionId::new("id").unwrap()
    }

    #[test]
    fn spans_that_cannot_be_counted_are_refused() {
        for span in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(TimeToLive::<()>::fixed(span).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        for seconds in [-1, 0, i64::MIN, i64::MAX] {
            assert_eq!(TimeToLive::<()>::seconds(seconds).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_rule_may_leave_a_session_to_the_default() {
        let rule = TimeToLive::per_session(|_, data: &u64| (*data > 0).then(|| Duration::from_millis(*data)));
        assert_eq!(rule.expiry(&id(), &5, NOW).unwrap(), Some(Timestamp::from_millis(1_005)));
        let default = NOW.saturating_add(TimeToLive::<()>::DEFAULT);
        assert_eq!(rule.expiry(&id(), &0, NOW).unwrap(), Some(default));
    }

    #[test]
    fn the_cookie_s_own_lifetime_is_used_where_it_has_one() {
        let rule = TimeToLive::from_cookie();
        let day = NOW.saturating_add(TimeToLive::<()>::DEFAULT);
        let cases = [
            (json!({"cookie": {"originalMaxAge": 5_000}}), Timestamp::from_millis(6_000)),
            (json!({"cookie": {"originalMaxAge": 4_999.9}}), Timestamp::from_millis(5_999)),
            (
                json!({"cookie": {"originalMaxAge": 9_007_199_254_740_991_u64}}),
                Timestamp::from_millis(9_007_199_254_741_991),
            ),
            (json!({"cookie": {"originalMaxAge": 1e300}}), Timestamp::NEVER),
            (json!({"cookie": {"originalMaxAge": 0}}), NOW),
            (json!({"cookie": {"originalMaxAge": -1}}), NOW),
            (json!({"cookie": {"originalMaxAge": null}}), day),
            (json!({"cookie": {"originalMaxAge": false}}), day),
            (json!({}), day),
        ];
        for (data, expected) in cases {
            assert_eq!(rule.expiry(&id(), &data, NOW).unwrap(), Some(expected), "{data}");
        }
    }
}
