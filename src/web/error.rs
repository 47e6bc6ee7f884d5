//! What a handler may get instead of its session.

use std::fmt;

use http::{HeaderValue, Response, StatusCode, header};

/// The result of what a handler does with its session.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a session could not be had or changed. With the feature `axum` it is an answer.
///
/// No message holds an id, data or a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. While the database is away nobody is "signed out": the cookie stays, and the answer is a 503
    /// with `Retry-After`.
    Store(session_core::Error),
    /// The session that this request came with is over: it was signed out elsewhere meanwhile, or a sign-in has given it
    /// another id. Nothing was changed. The answer is a 409.
    Ended,
    /// The answer's head has gone out, so that no cookie can be set any more: begin the session, or sign in, before the
    /// handler returns. Nothing was changed. The answer is a 500.
    TooLate,
    /// There is no [`SessionLayer`](super::SessionLayer) of this type around the route. The answer is a 500.
    NoLayer,
}

/// How many seconds a browser is asked to wait. The handle tries the database again at the latest every 5 s.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl Error {
    /// The status that fits.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Store(error) if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
            Error::Ended => StatusCode::CONFLICT,
            Error::Store(_) | Error::TooLate | Error::NoLayer => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// An answer of that status, with `Retry-After` if the database is away, and a sentence for the visitor, which tells
    /// nothing of what is inside.
    pub fn response<Body: From<&'static str>>(&self) -> Response<Body> {
        let status = self.status();
        let text = match status {
            StatusCode::SERVICE_UNAVAILABLE => "This takes a moment longer than usual. Please try again.\n",
            StatusCode::CONFLICT => "Your session has changed meanwhile. Please load the page again.\n",
            _ => "Something went wrong.\n",
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl From<session_core::Error> for Error {
    fn from(error: session_core::Error) -> Error {
        Error::Store(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Store(error) => return fmt::Display::fmt(error, f),
            Error::Ended => "the session of this request ended meanwhile, or has another id; load the page again",
            Error::TooLate => {
                "the answer has begun, and no cookie can be set any more; begin the session before the handler returns"
            }
            Error::NoLayer => "no layer for sessions of this type is around the route; add a `SessionLayer`",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Store(error) => error.source(),
            Error::Ended | Error::TooLate | Error::NoLayer => None,
        }
    }
}
