//! The layer for tower services, such as axum's routers.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::{Request, Response};
use session_core::Sessions;
use tower_layer::Layer;
use tower_service::Service;

use super::{Cookie, Engine, WhileAway};

/// Percent of the time to live: the throttle of sessions for which nobody chose one.
const THROTTLE: u8 = 10;

/// Gives every request a [`Session`](super::Session), in its extensions, and every answer its cookie.
///
/// ```
/// # use axum::{Router, routing::post};
/// # use session_core::{MemoryStore, Sessions};
/// # use session_store::web::{Result, Session, SessionLayer};
/// # fn main() -> session_core::Result<()> {
/// #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
/// struct Visit { user: Option<String>, basket: Vec<String> }
///
/// let sessions = Sessions::builder(MemoryStore::new()).principal(|visit: &Visit| visit.user.clone()).build()?;
/// let app: Router = Router::new().route("/add", post(add)).layer(SessionLayer::new(sessions));
///
/// async fn add(session: Session<Visit>, item: String) -> Result<String> {
///     let items = session.modify(|visit| {
///         visit.basket.push(item.clone());
///         visit.basket.len()
///     });
///     Ok(format!("{} items", items.await?))
/// }
/// # Ok(()) }
/// ```
///
/// Two layers on nested routers are two sessions, if they have two names. A layer that turns panics into answers belongs
/// inside this one: an answer that is made outside of it has no cookie.
pub struct SessionLayer<T>(Engine<T>);

impl<T: Clone + Send + Sync + 'static> SessionLayer<T> {
    /// A layer over these sessions with every option at its default.
    pub fn new(sessions: Sessions<T>) -> SessionLayer<T> {
        SessionLayer::builder(sessions).build_checked(Cookie::default())
    }

    /// Options for a layer.
    pub fn builder(sessions: Sessions<T>) -> SessionLayerBuilder<T> {
        SessionLayerBuilder {
            sessions,
            cookie: Cookie::default(),
            is_insecure: false,
            while_away: WhileAway::default(),
            renews_unread: false,
        }
    }

    /// What is inside, for services that are no tower services.
    pub fn engine(&self) -> &Engine<T> {
        &self.0
    }
}

/// Options for a [`SessionLayer`]. Every one has a default.
///
/// ```
/// use session_store::web::{Cookie, SessionLayer, WhileAway};
/// use session_store::{MemoryStore, Sessions};
///
/// # fn main() -> session_store::Result<()> {
/// let sessions: Sessions<String> = Sessions::new(MemoryStore::new());
/// let layer = SessionLayer::builder(sessions)
///     .cookie(Cookie::new("__Host-shop").with_end_of_browser(true))
///     .while_away(WhileAway::Refused)
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use = "options do nothing until `build`"]
pub struct SessionLayerBuilder<T> {
    sessions: Sessions<T>,
    cookie: Cookie,
    is_insecure: bool,
    while_away: WhileAway,
    renews_unread: bool,
}

impl<T: Clone + Send + Sync + 'static> SessionLayerBuilder<T> {
    /// The cookie. Defaults to [`Cookie::default`].
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.cookie = cookie;
        self
    }

    /// Lets the cookie through on `http://localhost`: see [`Cookie::insecure_for_development`]. Defaults to off.
    pub fn insecure_for_development(mut self) -> Self {
        self.is_insecure = true;
        self
    }

    /// What a visitor is while the database is away. Defaults to [`WhileAway::Refused`].
    pub fn while_away(mut self, while_away: WhileAway) -> Self {
        self.while_away = while_away;
        self
    }

    /// Whether a request renews the session even if no handler asks for it, at the price of one read or touch for each
    /// request that carries a cookie. The cookie stays as it is. Defaults to false.
    pub fn renew_unread(mut self, renews: bool) -> Self {
        self.renews_unread = renews;
        self
    }

    /// The layer. Sessions that were built without a
    /// [throttle](session_core::SessionsBuilder::touch_throttle) get one of 10 percent of the time to live, so that
    /// neither expiry nor cookie is renewed by every request.
    ///
    /// # Errors
    /// [`InvalidInput`](session_core::ErrorKind::InvalidInput) for a cookie that browsers would drop. It says what to
    /// write.
    pub fn build(mut self) -> session_core::Result<SessionLayer<T>> {
        let mut cookie = std::mem::take(&mut self.cookie);
        if self.is_insecure {
            cookie = cookie.insecure_for_development();
        }
        cookie.check()?;
        Ok(self.build_checked(cookie))
    }

    fn build_checked(self, cookie: Cookie) -> SessionLayer<T> {
        let sessions = match self.sessions.touch_throttle() {
            Some(_) => self.sessions,
            // It is in its range.
            None => self.sessions.with_touch_throttle(THROTTLE).unwrap_or(self.sessions),
        };
        SessionLayer(Engine::new(sessions, cookie, self.while_away, self.renews_unread))
    }
}

impl<T> Clone for SessionLayer<T> {
    fn clone(&self) -> SessionLayer<T> {
        SessionLayer(self.0.clone())
    }
}

impl<T> fmt::Debug for SessionLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionLayer").field(&self.0).finish()
    }
}

impl<T> fmt::Debug for SessionLayerBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayerBuilder").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

impl<S, T> Layer<S> for SessionLayer<T> {
    type Service = SessionService<S, T>;

    fn layer(&self, inner: S) -> SessionService<S, T> {
        SessionService { inner, engine: self.0.clone() }
    }
}

/// A service with a [`SessionLayer`] around it.
pub struct SessionService<S, T> {
    inner: S,
    engine: Engine<T>,
}

impl<S: Clone, T> Clone for SessionService<S, T> {
    fn clone(&self) -> SessionService<S, T> {
        SessionService { inner: self.inner.clone(), engine: self.engine.clone() }
    }
}

impl<S, T> fmt::Debug for SessionService<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<S, T, RequestBody, Body> Service<Request<RequestBody>> for SessionService<S, T>
where
    S: Service<Request<RequestBody>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    T: Clone + Send + Sync + 'static,
    RequestBody: Send + 'static,
    Body: Send,
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
        let engine = self.engine.clone();
        let session = engine.begin(request.headers());
        request.extensions_mut().insert(session.clone());
        let answered = session.until_answered();
        Box::pin(async move {
            let mut answer = pin!(ready.call(request));
            // Dropped before the handler, if the browser goes.
            let _answered = answered;
            let mut response = answer.as_mut().await?;
            if let Err(error) = engine.finish(&session, response.headers_mut()).await {
                tracing::error!(%error, "the session's cookie was not set");
            }
            Ok(response)
        })
    }
}
