//! A real server on a port of its own, and visitors who talk to it over the network.

mod app;
mod tap;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{COOKIE, HeaderName, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use session_store::web::SessionLayer;
use session_store::web::test::Browser;
use session_store::{ManualClock, Sessions, SessionsBuilder, Timestamp};
use tokio::sync::Semaphore;

pub(crate) use app::{Visit, router};
pub(crate) use tap::Tap;

use crate::stores::{self, Opened};

/// What the clock shows when a test begins.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Handlers wait at the second of them until a test has seen them arrive at the first one and lets them go.
#[derive(Clone, Debug)]
pub(crate) struct Gates(Arc<(Semaphore, Semaphore)>);

impl Gates {
    fn new() -> Gates {
        Gates(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    /// The handler's side.
    pub(crate) async fn pass(&self) {
        self.arrive();
        self.0.1.acquire().await.unwrap().forget();
    }

    /// Somebody has come to a place where he does not wait.
    pub(crate) fn arrive(&self) {
        self.0.0.add_permits(1);
    }

    pub(crate) async fn arrived(&self) {
        self.0.0.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.0.1.add_permits(1);
    }
}

/// An application under test, on a store of its own.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) tap: Arc<Tap>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sessions: Sessions<Visit>,
    pub(crate) gates: Gates,
    pub(crate) address: SocketAddr,
    pub(crate) rounds: usize,
    server: tokio::task::JoinHandle<()>,
}

impl Site {
    /// The application of [`router`], with sessions by these options.
    pub(crate) async fn open(
        opened: &Opened,
        options: impl FnOnce(SessionsBuilder<Visit>) -> SessionsBuilder<Visit>,
    ) -> Site {
        Site::serve(opened, options, |sessions, router| router.layer(SessionLayer::new(sessions))).await
    }

    /// The same within other layers.
    pub(crate) async fn serve(
        opened: &Opened,
        options: impl FnOnce(SessionsBuilder<Visit>) -> SessionsBuilder<Visit>,
        layer: impl FnOnce(Sessions<Visit>, Router) -> Router,
    ) -> Site {
        let (tap, clock, gates) = (Tap::new(opened.store()), Arc::new(ManualClock::new(START)), Gates::new());
        tap.store().clear().await.unwrap();
        let builder = Sessions::builder(Arc::clone(&tap)).clock(Arc::clone(&clock));
        let sessions = options(builder.principal(|visit: &Visit| visit.user.clone())).build().unwrap();
        let app = layer(sessions.clone(), router(gates.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let (name, rounds) = (opened.name(), opened.rounds(1_000));
        Site { name, tap, clock, sessions, gates, address, rounds, server }
    }

    /// Somebody without cookies.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor {
            address: self.address,
            client: Client::builder(TokioExecutor::new()).build_http(),
            browser: Browser::new(Arc::clone(&self.clock)),
        }
    }

    /// How many sessions are live.
    pub(crate) async fn live(&self) -> u64 {
        self.sessions.count(None).await.unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Runs a test on every store that can be had here.
pub(crate) async fn on_every_store(
    options: impl Fn(SessionsBuilder<Visit>) -> SessionsBuilder<Visit>,
    test: impl AsyncFn(Site),
) {
    for opened in stores::all().await {
        eprintln!("on {}", opened.name());
        test(Site::open(&opened, &options).await).await;
    }
}

/// No options.
pub(crate) fn plain(builder: SessionsBuilder<Visit>) -> SessionsBuilder<Visit> {
    builder
}

/// A browser with its cookies, and connections to the server.
#[derive(Clone)]
pub(crate) struct Visitor {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    pub(crate) browser: Browser,
}

impl Visitor {
    /// Sends a request with the cookies, and takes those of the answer.
    pub(crate) async fn visit(&mut self, path: &str) -> Answer {
        let answer = self.ask(path).await;
        self.browser.receive(&answer.headers);
        answer
    }

    /// Sends a request with the cookies, and leaves those of the answer.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        let cookies = self.browser.header();
        self.ask_with(path, cookies.as_ref().map(|cookies| cookies.to_str().unwrap())).await
    }

    /// Sends a request with these cookies.
    pub(crate) async fn ask_with(&self, path: &str, cookies: Option<&str>) -> Answer {
        self.ask_by(Method::GET, path, cookies).await
    }

    /// Sends a request of this method with these cookies.
    pub(crate) async fn ask_by(&self, method: Method, path: &str, cookies: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(cookies) = cookies {
            request = request.header(COOKIE, cookies);
        }
        let response = self.client.request(request.body(Full::default()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// As [`visit`](Self::visit), which must succeed; the answer's text.
    pub(crate) async fn see(&mut self, path: &str) -> String {
        let answer = self.visit(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    /// The `Cookie` header of its requests; empty without cookies.
    pub(crate) fn cookies(&self) -> String {
        self.browser.header().map_or_else(String::new, |header| header.to_str().unwrap().to_owned())
    }

    /// Gives it these cookies, as if it had been handed them.
    pub(crate) fn take(&mut self, cookie: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(SET_COOKIE, cookie.parse().unwrap());
        self.browser.receive(&headers);
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// All values of a header.
    pub(crate) fn header(&self, name: HeaderName) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn set_cookie(&self) -> Vec<&str> {
        self.header(SET_COOKIE)
    }

    /// The seconds for which the browser is to keep the cookie.
    pub(crate) fn max_age(&self) -> Option<u64> {
        let cookies = self.set_cookie();
        assert!(cookies.len() < 2, "{cookies:?}");
        let (_, rest) = cookies.first()?.split_once("; Max-Age=")?;
        Some(rest.split(';').next().unwrap().parse().unwrap())
    }
}
