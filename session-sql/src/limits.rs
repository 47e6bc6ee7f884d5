//! How long anything on a connection may take, and how long it may lie idle.

use std::time::Duration;

use session_core::{Error, Result};

/// The time limits of a store's own connections. Each is an option of the same name of a store's builder, which says
/// what it means; the defaults hold the guarantees with the handle's default deadline of 5 seconds.
///
/// Exhaustive: a driver has to do something with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the server works on a statement.
    pub statement: Option<Duration>,
    /// How long a statement waits for one lock.
    pub lock: Option<Duration>,
    /// How long a connection is kept that nobody uses.
    pub idle: Option<Duration>,
    /// A connection that was idle for longer proves itself before it is lent.
    pub check_after: Duration,
    /// How long such a proof may take.
    pub check_within: Duration,
    /// How long a connection is silent before the operating system asks the other side.
    pub keepalive: Option<Duration>,
    /// How long a login may take.
    pub login: Duration,
    /// Which of them the builder was told: they count before what a URL says, and that before the defaults.
    pub told: Told,
}

/// Which limits are not the defaults. Of those that a URL may set, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The limit for a statement.
    pub statement: bool,
    /// The limit for a lock.
    pub lock: bool,
    /// The keepalive.
    pub keepalive: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            statement: Some(Duration::from_millis(4500)),
            lock: Some(Duration::from_secs(4)),
            idle: Some(Duration::from_secs(300)),
            check_after: Duration::from_secs(1),
            check_within: Duration::from_secs(1),
            keepalive: Some(Duration::from_secs(30)),
            login: Duration::from_secs(30),
            told: Told::default(),
        }
    }
}

impl Limits {
    /// Refuses limits within which nothing can be done.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput), with the option's name.
    pub fn check(&self) -> Result<()> {
        // The least that every server can count.
        const LEAST: Duration = Duration::from_millis(1);
        let limits = [
            ("statement_timeout", self.statement),
            ("lock_timeout", self.lock),
            ("idle_timeout", self.idle),
            ("idle_check", Some(self.check_within)),
            ("keepalive", self.keepalive),
            ("login_timeout", Some(self.login)),
        ];
        match limits.into_iter().find(|(_, limit)| limit.is_some_and(|limit| limit < LEAST)) {
            Some((name, _)) => Err(Error::invalid_input(format!(
                "the option `{name}` is below a millisecond; give it more, or `None` where it takes that"
            ))),
            None => Ok(()),
        }
    }

    /// A limit in whole milliseconds as a server takes it: at least 1, at most what fits 31 bits, and 0 for none.
    pub fn millis(limit: Option<Duration>) -> u32 {
        let most = i32::MAX.unsigned_abs();
        limit.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(most).clamp(1, most))
    }

    /// How long the server may still work for a caller who has gone away.
    pub fn abandoned(&self) -> Duration {
        const WITHOUT_LIMIT: Duration = Duration::from_secs(30);
        const MARGIN: Duration = Duration::from_secs(1);
        self.statement.or(self.lock).map_or(WITHOUT_LIMIT, |limit| limit + MARGIN)
    }
}

/// The options of a builder, with a field `limits`, that set its [`Limits`].
#[doc(hidden)]
#[macro_export]
macro_rules! limit_options {
    ($builder:ty) => {
        impl $builder {
            /// How long the server works on a statement before it gives up, with
            /// [`Unavailable`](session_core::ErrorKind::Unavailable); `None` for no limit. Defaults to 4.5 seconds, just
            /// below the default deadline of a call: a server that goes on after the caller has given up fills with
            /// abandoned work. Set it anew with [`SessionsBuilder::deadline`](session_core::SessionsBuilder::deadline).
            ///
            /// Counts before what a URL says. Making a table has no limit. A pool of the application's own keeps its own
            /// limits.
            pub fn statement_timeout(mut self, limit: impl Into<Option<std::time::Duration>>) -> Self {
                self.limits.statement = limit.into();
                self.limits.told.statement = true;
                self
            }

            /// How long a statement waits for one lock, of a row or of the table, before it gives up, with
            /// [`Unavailable`](session_core::ErrorKind::Unavailable); `None` for no limit. Defaults to 4 seconds. MySQL
            /// and MariaDB count whole seconds: a fraction is cut off, and the least is 1.
            ///
            /// Counts before what a URL says. Making a table has no limit. A pool of the application's own keeps its own
            /// limits.
            pub fn lock_timeout(mut self, limit: impl Into<Option<std::time::Duration>>) -> Self {
                self.limits.lock = limit.into();
                self.limits.told.lock = true;
                self
            }

            /// How long a connection is kept that nobody uses; an older one is closed and never lent. `None` for no
            /// limit. Defaults to 5 minutes, which is less than the firewalls and balancers of the large clouds allow.
            ///
            /// A pool of the application's own keeps its own limits.
            pub fn idle_timeout(mut self, limit: impl Into<Option<std::time::Duration>>) -> Self {
                self.limits.idle = limit.into();
                self
            }

            /// A connection that was idle for `after` proves itself before it is lent, by one round trip, within
            /// `within`. If it does not, it is closed, and so are all others that are idle: a server, proxy or firewall
            /// that forgets one connection has forgotten the others, too. Defaults to 1 second and 1 second. `within`
            /// must be longer than a round trip, and short enough that the rest of a call's deadline suffices for a
            /// login.
            ///
            /// A pool of the application's own keeps its own checks.
            pub fn idle_check(mut self, after: std::time::Duration, within: std::time::Duration) -> Self {
                self.limits.check_after = after;
                self.limits.check_within = within;
                self
            }

            /// How long a connection is silent before the operating system asks the other side whether it is there (TCP
            /// keepalive); `None` to never ask. Defaults to what a URL says, or else to 30 seconds.
            pub fn keepalive(mut self, silence: impl Into<Option<std::time::Duration>>) -> Self {
                self.limits.keepalive = silence.into();
                self.limits.told.keepalive = true;
                self
            }

            /// How long a login may take. Defaults to 30 seconds: longer than a call's deadline, as a database that
            /// sleeps takes its time to wake up. A login goes on in the background when the call that needed it has
            /// given up, and serves the next one.
            pub fn login_timeout(mut self, limit: std::time::Duration) -> Self {
                self.limits.login = limit;
                self
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_below_the_deadline_of_a_call() {
        let limits = Limits::default();
        limits.check().unwrap();
        let deadline = Duration::from_secs(5);
        assert!(limits.statement.unwrap() < deadline && limits.lock.unwrap() < limits.statement.unwrap());
        assert!(limits.check_within * 2 < deadline);
    }

    #[test]
    fn a_limit_of_nothing_is_refused_by_its_name() {
        let none = Duration::ZERO;
        let table = [
            (Limits { statement: Some(none), ..Limits::default() }, "`statement_timeout`"),
            (Limits { check_within: none, ..Limits::default() }, "`idle_check`"),
            (Limits { login: none, ..Limits::default() }, "`login_timeout`"),
        ];
        for (limits, name) in table {
            assert!(limits.check().unwrap_err().to_string().contains(name), "{name}");
        }
        Limits { statement: None, lock: None, idle: None, keepalive: None, ..Limits::default() }
            .check()
            .unwrap();
    }

    #[test]
    fn milliseconds_fit_what_a_server_counts() {
        assert_eq!(Limits::millis(None), 0);
        assert_eq!(Limits::millis(Some(Duration::from_micros(1500))), 1);
        assert_eq!(Limits::millis(Some(Duration::MAX)), 2_147_483_647);
    }
}
