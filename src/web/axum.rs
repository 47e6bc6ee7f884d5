//! Axum's extractor, and errors as its answers.

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::{Error, Session};

/// The session that the innermost [`SessionLayer`](super::SessionLayer) of this type gives the request.
impl<S: Send + Sync, T: Clone + Send + Sync + 'static> FromRequestParts<S> for Session<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Session<T>, Error> {
        parts.extensions.get::<Session<T>>().cloned().ok_or(Error::NoLayer)
    }
}

/// [`Error::response`]. What is not the visitor's to know is told to `tracing`.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            tracing::error!(error = %self, "the session could not be had or changed");
        }
        self.response::<Body>()
    }
}
