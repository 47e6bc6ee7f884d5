//! The layer for tower services, such as axum's routers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use session_core::{Clock, Result, SessionId, SessionStore, SystemClock};
use tower_layer::Layer;
use tower_service::Service;

use super::cookie::check_name;
use super::{COOKIE_NAME, Cookie, ExpressSession, RequestSession, Secrets, find_cookie};

/// Gives every request a [`RequestSession`], in its extensions, and keeps what became of it: what the middleware of
/// express-session does, with `resave: false` and `saveUninitialized: false`.
///
/// The session is read when the first handler asks for it. When the service has answered, and before the answer goes
/// out, the layer
/// - makes a new session that was given data, and sets its cookie; one that nobody gave data leaves no trace;
/// - writes back a session that was changed, unless it was destroyed meanwhile: logout wins. What others changed in
///   other members meanwhile stays, in a table that holds versions;
/// - renews the expiry of every other session that a cookie names, whether or not it was read;
/// - sets the cookie when the session is new, has a new id, or was changed and its cookie has a date, and with
///   [`rolling`](ExpressLayer::with_rolling) always.
///
/// If that fails the answer becomes an empty 500, for what the handler did is lost; a failed renewal alone is reported
/// to `tracing` as a warning and harms nobody.
///
/// What happens to a session while the body streams, or in a task that outlives the answer, is not kept.
///
/// ```
/// # use axum::{Extension, Router, routing::get};
/// # use session_store::express::{ExpressLayer, ExpressSession, RequestSession, Secrets};
/// # use session_core::{MemoryStore, Result};
/// # fn main() -> Result<()> {
/// let sessions = ExpressSession::store(MemoryStore::new()).build()?;
/// let layer = ExpressLayer::new(sessions, Secrets::new(["keyboard cat"])?);
///
/// async fn count(Extension(session): Extension<RequestSession>) -> String {
///     let count = session.get("count").await.ok().flatten().unwrap_or(0) + 1;
///     session.insert("count", &count).await.map_or_else(|error| error.to_string(), |()| count.to_string())
/// }
/// let app: Router = Router::new().route("/", get(count)).layer(layer);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ExpressLayer(Config);

/// What the layer was told, shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) store: SessionStore<ExpressSession>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) name: Arc<str>,
    pub(super) cookie: Arc<Cookie>,
    pub(super) rolling: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl ExpressLayer {
    /// A layer over these sessions, with cookies signed by the first of the secrets.
    pub fn new(store: SessionStore<ExpressSession>, secrets: Secrets) -> ExpressLayer {
        ExpressLayer(Config {
            store,
            secrets: Arc::new(secrets),
            name: COOKIE_NAME.into(),
            cookie: Arc::default(),
            rolling: false,
            clock: Arc::new(SystemClock),
        })
    }

    /// The cookie's name: express-session's option `name`. Defaults to `connect.sid`.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if a cookie cannot have that name.
    pub fn with_name(mut self, name: &str) -> Result<ExpressLayer> {
        check_name(name)?;
        self.0.name = name.into();
        Ok(self)
    }

    /// The cookie of new sessions: express-session's option `cookie`. Sessions that are there keep theirs. Defaults to
    /// [`Cookie::default`].
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if its attributes cannot stand in a header.
    pub fn with_cookie(mut self, cookie: Cookie) -> Result<ExpressLayer> {
        cookie.render(&self.0.name, "")?;
        self.0.cookie = Arc::new(cookie);
        Ok(self)
    }

    /// Whether every answer sets the cookie anew, so that its date moves with each request: express-session's option
    /// `rolling`. Every request then reads its session. Defaults to `false`.
    #[must_use]
    pub fn with_rolling(mut self, rolling: bool) -> ExpressLayer {
        self.0.rolling = rolling;
        self
    }

    /// The clock by which cookies get their date. Defaults to the system's; give the store the same one.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> ExpressLayer {
        self.0.clock = Arc::new(clock);
        self
    }
}

impl Config {
    /// The id in the request's cookie, if one of the secrets signed it.
    fn id(&self, headers: &HeaderMap) -> Option<SessionId> {
        let mut cookies = headers.get_all(COOKIE).iter();
        let value = cookies.find_map(|header| find_cookie(header.as_bytes(), &self.name))?;
        SessionId::new(self.secrets.verify(&value)?).ok()
    }
}

impl<S> Layer<S> for ExpressLayer {
    type Service = ExpressService<S>;

    fn layer(&self, inner: S) -> ExpressService<S> {
        ExpressService { inner, config: self.0.clone() }
    }
}

/// A service with an [`ExpressLayer`] around it.
#[derive(Clone, Debug)]
pub struct ExpressService<S> {
    inner: S,
    config: Config,
}

impl<S, RequestBody, Body> Service<Request<RequestBody>> for ExpressService<S>
where
    S: Service<Request<RequestBody>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    RequestBody: Send + 'static,
    Body: Default + Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        // The clone may not be ready; the one that was polled is.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let session = RequestSession::new(self.config.clone(), self.config.id(request.headers()));
        request.extensions_mut().insert(session.clone());
        Box::pin(async move {
            let response = ready.call(request).await?;
            Ok(finish(response, &session).await)
        })
    }
}

/// Keeps the session, and sets its cookie.
async fn finish<Body: Default>(mut response: Response<Body>, session: &RequestSession) -> Response<Body> {
    let cookie = match session.commit().await {
        Ok(None) => return response,
        Ok(Some(cookie)) => HeaderValue::try_from(cookie),
        Err(error) => {
            tracing::error!(%error, "the session was not saved; the answer is 500");
            return refusal();
        }
    };
    let Ok(cookie) = cookie else {
        tracing::error!("the session's cookie cannot stand in a header; the answer is 500");
        return refusal();
    };
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

fn refusal<Body: Default>() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
