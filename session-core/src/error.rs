//! The one error type of every backend.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::Operation;

/// The result of every operation of a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation of a store failed.
///
/// Decide on [`kind`](Error::kind); read the message and [`source`](StdError::source) as a person. No message holds
/// a session's id, its payload or a password.
///
/// ```
/// use session_core::{Error, ErrorKind};
///
/// // As a backend makes one: what is wrong, and what to do next.
/// let error = Error::unavailable("the server refused the login; check the password").with_code("28P01");
/// assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("28P01")));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    operation: Option<Operation>,
    backend: Option<&'static str>,
    code: Option<String>,
    in_doubt: bool,
    unreachable: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a caller can do about an [`Error`].
///
/// ```
/// use session_core::{Error, ErrorKind};
///
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::Unavailable | ErrorKind::Conflict => 503,
///         ErrorKind::TooLarge => 413,
///         _ => 500,
///     }
/// }
/// assert_eq!(status(&Error::unavailable("the database is away")), 503);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database did not answer: not reachable, no free connection, or not within the deadline. Try again later.
    Unavailable,
    /// The database gave up this operation in favour of another (a deadlock, a serialization failure). Nothing was
    /// changed; the handle has already tried again as often as it was told to.
    Conflict,
    /// The payload is over the limit. Nothing was changed; store less, or raise the limit.
    TooLarge,
    /// What the database holds for this one session cannot be read. Other sessions are not affected.
    Corrupt,
    /// An argument or option is not allowed. Nothing was changed; the message says what is.
    InvalidInput,
    /// This backend, or this table's layout, cannot do that. Its [`Capabilities`](crate::Capabilities) say so too.
    Unsupported,
    /// Any other answer of the database: a missing table or right, a full disk. The message says what to do next.
    Backend,
}

impl ErrorKind {
    /// The kind as a word for logs and metrics, such as `unavailable`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Conflict => "conflict",
            ErrorKind::TooLarge => "too large",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::InvalidInput => "invalid input",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Backend => "backend",
        }
    }
}

impl Error {
    /// An error of this kind. `message` is a lower-case fragment that says what is wrong and what to do next; it
    /// holds no secret and does not repeat the source's text.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            operation: None,
            backend: None,
            code: None,
            // An unknown fault of the database may have struck after the commit.
            in_doubt: matches!(kind, ErrorKind::Unavailable | ErrorKind::Backend),
            unreachable: false,
            source: None,
        }))
    }

    /// [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unavailable, message)
    }

    /// [`ErrorKind::InvalidInput`].
    pub fn invalid_input(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, message)
    }

    /// Adds the error this one stems from.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Names the operation, unless one is named already.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Error {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the backend, unless one is named already.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Error {
        self.0.backend.get_or_insert(backend);
        self
    }

    /// Adds the database's own code: a SQLSTATE or an error number.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Error {
        self.0.code = Some(code.into());
        self
    }

    /// States whether the operation may have happened in spite of the error. By default an
    /// [`Unavailable`](ErrorKind::Unavailable) or [`Backend`](ErrorKind::Backend) error may have struck after the
    /// commit, and any other kind means that nothing was changed.
    #[must_use]
    pub fn with_in_doubt(mut self, in_doubt: bool) -> Error {
        self.0.in_doubt = in_doubt;
        self
    }

    /// Marks an [`Unavailable`](ErrorKind::Unavailable) error as "the database itself cannot be reached" (refused,
    /// closed, gone), unlike a time-out of one call or a full pool. Such an error marks the store disconnected.
    #[must_use]
    pub fn with_unreachable(mut self) -> Error {
        self.0.unreachable = true;
        self
    }

    /// Says that the database itself may be reachable: one connection broke, and the next one may work.
    #[must_use]
    pub fn of_one_connection(mut self) -> Error {
        self.0.unreachable = false;
        self
    }

    /// A copy for one more caller of a batch. It answers every question as this one does.
    #[must_use]
    pub fn shared(error: &Arc<Error>) -> Error {
        let inner = &error.0;
        Error(Box::new(Inner {
            kind: inner.kind,
            message: inner.message.clone(),
            operation: inner.operation,
            backend: inner.backend,
            code: inner.code.clone(),
            in_doubt: inner.in_doubt,
            unreachable: inner.unreachable,
            source: inner.source.as_ref().map(|_| SharedSource(Arc::clone(error)).into()),
        }))
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, where it is known.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The backend that failed, such as `postgres`, where it is known.
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// The database's own code, a SQLSTATE or an error number, where it gave one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// True if the same call may succeed later without anything being mended.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::Conflict)
    }

    /// True if the operation may have happened in spite of the error. After `false`, nothing was changed.
    ///
    /// An update with an expected version makes a repetition decidable: `Stale` with the next version then means
    /// that either the first try or somebody else's update was done.
    pub fn is_in_doubt(&self) -> bool {
        self.0.in_doubt
    }

    /// True if the database itself cannot be reached, which concerns every session and not this call alone.
    pub fn is_unreachable(&self) -> bool {
        self.0.unreachable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(backend) = self.0.backend {
            write!(f, "{backend}: ")?;
        }
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(code) = &self.0.code {
            write!(f, " [{code}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("backend", &self.0.backend)
            .field("message", &self.0.message)
            .field("code", &self.0.code)
            .field("in_doubt", &self.0.in_doubt)
            .field("unreachable", &self.0.unreachable)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

/// The source of an error that several callers got.
struct SharedSource(Arc<Error>);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl fmt::Debug for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Debug::fmt(source, f))
    }
}

impl StdError for SharedSource {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source().and_then(StdError::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_backend_operation_and_code() {
        let error = Error::new(ErrorKind::Backend, "the table is missing")
            .with_backend("postgres")
            .with_operation(Operation::Load)
            .with_code("42P01");
        assert_eq!(error.to_string(), "postgres: load: the table is missing [42P01]");
    }

    #[test]
    fn an_inner_operation_is_not_overwritten() {
        let error = Error::corrupt("x").with_operation(Operation::Load).with_operation(Operation::Modify);
        assert_eq!(error.operation(), Some(Operation::Load));
    }
}
