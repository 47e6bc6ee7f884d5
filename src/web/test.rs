//! For the tests of an application: a browser that is signed in, and whose cookies age by a clock that the test turns.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use session_store::web::test::{Browser, clock};
//! use session_store::web::{Result, Session, SessionLayer};
//! use session_store::{MemoryStore, Sessions};
//! use tower::ServiceExt as _;
//!
//! #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! struct Visit { user: Option<String> }
//!
//! // The application, which takes its layer from whoever starts it.
//! fn app(layer: SessionLayer<Visit>) -> Router {
//!     Router::new().route("/me", get(me)).layer(layer)
//! }
//!
//! async fn me(session: Session<Visit>) -> Result<String> {
//!     Ok(session.get().await?.and_then(|visit| visit.user).unwrap_or_else(|| "nobody".into()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A test of it.
//! let clock = clock();
//! let sessions = Sessions::<Visit>::builder(MemoryStore::new()).clock(Arc::clone(&clock)).build()?;
//! let layer = SessionLayer::new(sessions);
//! let mut browser = Browser::new(Arc::clone(&clock));
//! browser.sign_in(&layer, |visit| visit.user = Some("ann".into())).await?;
//!
//! let response = app(layer.clone()).oneshot(browser.send(Request::get("/me").body(Body::empty())?)).await?;
//! browser.receive(response.headers());
//! assert_eq!(axum::body::to_bytes(response.into_body(), 99).await?, "ann");
//!
//! // The session lives for a day.
//! clock.advance(Duration::from_secs(86_400));
//! let response = app(layer).oneshot(browser.send(Request::get("/me").body(Body::empty())?)).await?;
//! assert_eq!(axum::body::to_bytes(response.into_body(), 99).await?, "nobody");
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, header};
use session_core::{Clock, ManualClock, SystemClock, Timestamp};

use super::{Result, SessionLayer};

/// A clock that shows the present, and stands still until it is turned.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now()))
}

/// The cookies of one browser. It keeps to `Max-Age` and to nothing else: every request goes to the one application.
///
/// Its `Debug` shows the cookies' names only.
#[derive(Clone)]
pub struct Browser {
    clock: Arc<dyn Clock>,
    cookies: BTreeMap<String, (String, Timestamp)>,
}

impl Browser {
    /// A browser without cookies.
    pub fn new(clock: impl Clock) -> Browser {
        Browser { clock: Arc::new(clock), cookies: BTreeMap::new() }
    }

    /// Signs in as a handler does, and takes the cookie.
    ///
    /// # Errors
    /// Those of [`Session::sign_in`](super::Session::sign_in).
    pub async fn sign_in<T, R>(
        &mut self,
        layer: &SessionLayer<T>,
        change: impl FnMut(&mut T) -> R,
    ) -> Result<R>
    where
        T: Clone + Default + Send + Sync + 'static,
    {
        let session = layer.engine().begin(self.send(Request::new(())).headers());
        let value = session.sign_in(change).await?;
        let mut answer = HeaderMap::new();
        layer.engine().finish(&session, &mut answer).await?;
        self.receive(&answer);
        Ok(value)
    }

    /// The request with this browser's cookies.
    pub fn send<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(cookies) = self.header() {
            request.headers_mut().append(header::COOKIE, cookies);
        }
        request
    }

    /// The `Cookie` header of a request; `None` without cookies.
    pub fn header(&self) -> Option<HeaderValue> {
        let now = self.clock.now();
        let kept = self.cookies.iter().filter(|(_, (_, until))| now < *until);
        let pairs: Vec<String> = kept.map(|(name, (value, _))| format!("{name}={value}")).collect();
        if pairs.is_empty() { None } else { HeaderValue::try_from(pairs.join("; ")).ok() }
    }

    /// Takes the cookies of an answer.
    pub fn receive(&mut self, answer: &HeaderMap) {
        for cookie in answer.get_all(header::SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()) {
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let seconds = parts.find_map(|part| part.strip_prefix("Max-Age=")?.parse().ok());
            let until = seconds.map_or(Timestamp::NEVER, |seconds| {
                self.clock.now().saturating_add(Duration::from_secs(seconds))
            });
            self.cookies.insert(name.to_owned(), (value.to_owned(), until));
        }
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("cookies", &self.cookies.keys()).finish_non_exhaustive()
    }
}
