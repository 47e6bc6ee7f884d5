//! The layer for tower services, such as axum's routers.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use session_core::{Result, SessionId, Sessions};
use tower_layer::Layer;
use tower_service::Service;

use super::{COOKIE_NAME, Cookie, ExpressSession, RequestSession, Secrets, find_cookie};
use crate::web::{Engine, Format, Kept, WhileAway};

/// Gives every request a [`RequestSession`], in its extensions: what the middleware of express-session does, with
/// `resave: false` and `saveUninitialized: false`. The engine is that of [`web`](crate::web), the cookie is
/// express-session's.
///
/// The session is read when the first handler asks for it.
/// - A new session that is given data is made then; one that nobody gives data leaves no trace.
/// - A change is written at once, unless the session was signed out meanwhile: logout wins. What others changed in other
///   members meanwhile stays, in a table that holds versions.
/// - When the service has answered, the layer renews the expiry of every other session that a cookie names, whether or
///   not it was read. A renewal that fails is reported to `tracing` as a warning and harms nobody.
/// - It sets the cookie when the session is new, has a new id, or was changed and its cookie has a date, and with
///   [`rolling`](ExpressLayer::with_rolling) always. If the cookie that is stored in the session cannot stand in a
///   header, the answer becomes an empty 500.
/// - It keeps shared caches from an answer that sets the cookie.
///
/// A session that is first made while the body streams can have no cookie, so that is refused; changes to one that is
/// there are kept.
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
struct Config {
    sessions: Sessions<ExpressSession>,
    signed: Signed,
    /// The cookie of new sessions.
    cookie: Arc<Cookie>,
}

impl ExpressLayer {
    /// A layer over these sessions, with cookies signed by the first of the secrets.
    pub fn new(sessions: Sessions<ExpressSession>, secrets: Secrets) -> ExpressLayer {
        let signed = Signed { secrets: Arc::new(secrets), name: COOKIE_NAME.into(), rolling: false };
        ExpressLayer(Config { sessions, signed, cookie: Arc::default() })
    }

    /// The cookie's name: express-session's option `name`. Defaults to `connect.sid`. Give a name that begins with
    /// `__Host-` or `__Secure-` after the cookie, which has to fit.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if a cookie cannot have that name, or if browsers would
    /// drop this one with it.
    pub fn with_name(mut self, name: &str) -> Result<ExpressLayer> {
        self.0.cookie.check(name)?;
        self.0.signed.name = name.into();
        Ok(self)
    }

    /// The cookie of new sessions: express-session's option `cookie`. Sessions that are there keep theirs. Defaults to
    /// [`Cookie::default`].
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) if its attributes cannot stand in a header, or if
    /// browsers would drop it.
    pub fn with_cookie(mut self, cookie: Cookie) -> Result<ExpressLayer> {
        cookie.check(&self.0.signed.name)?;
        self.0.cookie = Arc::new(cookie);
        Ok(self)
    }

    /// Whether every answer sets the cookie anew, so that its date moves with each request: express-session's option
    /// `rolling`. Every request then reads its session. Defaults to `false`.
    #[must_use]
    pub fn with_rolling(mut self, rolling: bool) -> ExpressLayer {
        self.0.signed.rolling = rolling;
        self
    }
}

/// express-session's cookie: the signed id, with the attributes that stand in the session's data.
#[derive(Clone, Debug)]
struct Signed {
    secrets: Arc<Secrets>,
    name: Arc<str>,
    rolling: bool,
}

impl Format<ExpressSession> for Signed {
    /// The id in the first cookie of the name, as Node reads it, if one of the secrets signed it.
    fn read(&self, headers: &HeaderMap) -> Vec<SessionId> {
        let mut cookies = headers.get_all(COOKIE).iter();
        let value = cookies.find_map(|header| find_cookie(header.as_bytes(), &self.name));
        let id = value.and_then(|value| SessionId::new(self.secrets.verify(&value)?).ok());
        id.into_iter().collect()
    }

    fn write(&self, kept: &Kept<'_, ExpressSession>) -> Result<Option<HeaderValue>> {
        let mut cookie = kept.session.data.cookie();
        if !kept.is_new && !self.rolling && (!kept.is_changed || cookie.has_no_date()) {
            return Ok(None);
        }
        if self.rolling {
            cookie.touch(kept.now);
        }
        let header = cookie.render(&self.name, &self.secrets.sign(kept.session.id().expose()))?;
        // `render` lets nothing through that a header cannot hold.
        Ok(HeaderValue::try_from(header).ok())
    }

    /// As in express-session, it stays.
    fn remove(&self) -> Option<HeaderValue> {
        None
    }
}

impl<S> Layer<S> for ExpressLayer {
    type Service = ExpressService<S>;

    fn layer(&self, inner: S) -> ExpressService<S> {
        let Config { sessions, signed, cookie } = self.0.clone();
        let rolling = signed.rolling;
        ExpressService {
            inner,
            engine: Engine::new(sessions, signed, WhileAway::Refused, true),
            cookie,
            rolling,
        }
    }
}

/// A service with an [`ExpressLayer`] around it.
#[derive(Clone, Debug)]
pub struct ExpressService<S> {
    inner: S,
    engine: Engine<ExpressSession>,
    cookie: Arc<Cookie>,
    rolling: bool,
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
        let (engine, rolling) = (self.engine.clone(), self.rolling);
        let session = RequestSession::new(engine.begin(request.headers()), Arc::clone(&self.cookie));
        request.extensions_mut().insert(session.clone());
        let answered = session.session().until_answered();
        Box::pin(async move {
            let mut answer = pin!(ready.call(request));
            // Dropped before the handler, if the browser goes.
            let _answered = answered;
            let mut response = answer.as_mut().await?;
            if let Err(error) = prepare(&session, rolling).await {
                tracing::warn!(%error, "the session was not renewed");
            }
            if let Err(error) = engine.finish(session.session(), response.headers_mut()).await {
                tracing::error!(%error, "the session's cookie was not set; the answer is 500");
                response = Response::new(Body::default());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Ok(response)
        })
    }
}

/// What comes before the end of every request.
async fn prepare(session: &RequestSession, rolling: bool) -> crate::web::Result<()> {
    if rolling {
        session.id().await?;
    }
    session.mend().await
}
