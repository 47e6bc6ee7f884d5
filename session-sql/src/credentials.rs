//! Who logs in.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use session_core::Result;

/// A user and the password. Its `Debug` shows the user alone.
///
/// ```
/// use session_sql::Credentials;
///
/// let credentials = Credentials::new("app", "secret");
/// assert!(!format!("{credentials:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// These two.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password. Not for logs.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Credentials>> + Send>>;

/// Where a driver gets the credentials of a new connection.
#[derive(Clone, Default)]
pub enum Login {
    /// The URL.
    #[default]
    OfUrl,
    /// One user for all connections.
    Fixed(Credentials),
    /// A callback, which is asked for each new connection.
    Asked(Arc<dyn Fn() -> Answer + Send + Sync>),
}

impl Login {
    /// From a callback.
    pub fn asked<F, A>(ask: F) -> Login
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials>> + Send + 'static,
    {
        Login::Asked(Arc::new(move || Box::pin(ask())))
    }

    /// The credentials of one new connection; `None` leaves the URL's.
    ///
    /// # Errors
    /// The callback's, as they are, but that nothing is in doubt.
    ///
    /// # Cancel safety
    /// Drops the callback's future.
    pub async fn credentials(&self) -> Result<Option<Credentials>> {
        match self {
            Login::OfUrl => Ok(None),
            Login::Fixed(credentials) => Ok(Some(credentials.clone())),
            Login::Asked(ask) => match ask().await {
                Ok(credentials) => Ok(Some(credentials)),
                Err(error) => Err(error.with_in_doubt(false)),
            },
        }
    }

    /// True if the URL's credentials count.
    pub fn is_of_url(&self) -> bool {
        matches!(self, Login::OfUrl)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Login::OfUrl => f.write_str("OfUrl"),
            Login::Fixed(credentials) => f.debug_tuple("Fixed").field(credentials).finish(),
            Login::Asked(_) => f.debug_tuple("Asked").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use session_core::{Error, ErrorKind};

    use super::*;

    #[tokio::test]
    async fn a_callback_is_asked_each_time_and_its_error_keeps_its_kind() {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let login = Login::asked(move || {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match number {
                    2 => Err(Error::unavailable("the vault is closed")),
                    number => Ok(Credentials::new("ann", format!("token {number}"))),
                }
            }
        });
        for number in 0..2 {
            let credentials = login.credentials().await.unwrap().unwrap();
            assert_eq!(credentials, Credentials::new("ann", format!("token {number}")));
        }
        let error = login.credentials().await.unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, false));
    }

    #[test]
    fn no_password_is_shown() {
        let credentials = Credentials::new("ann", "hunter2");
        let shown = format!("{credentials:?} {:?}", Login::Fixed(credentials.clone()));
        assert!(shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
    }
}
