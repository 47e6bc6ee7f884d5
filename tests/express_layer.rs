//! The layer for express sessions, from request to answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use session_core::contract::Store;
use session_core::{Clock, ErrorKind, KeyFormat, ManualClock, MemoryStore, SessionId, Sessions, Timestamp};
use session_store::express::{Cookie, ExpressLayer, ExpressSession, RequestSession, SameSite, Secrets};
use tower_service::Service as _;

const START: Timestamp = Timestamp::from_millis(1_795_324_200_000);
const DAY: Duration = Duration::from_secs(86_400);

/// An application and its one browser.
struct Site {
    app: Router,
    store: Sessions<ExpressSession>,
    clock: Arc<ManualClock>,
    jar: Option<String>,
}

/// A clock that test and store share.
#[derive(Debug)]
struct Shared(Arc<ManualClock>);

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Site {
    fn new(options: impl Fn(ExpressLayer) -> ExpressLayer) -> Site {
        Site::over(MemoryStore::with_key_format(KeyFormat::Plain), options)
    }

    fn over(backend: impl Store, options: impl Fn(ExpressLayer) -> ExpressLayer) -> Site {
        let clock = Arc::new(ManualClock::new(START));
        let store = ExpressSession::store(backend).clock(Shared(Arc::clone(&clock))).build().unwrap();
        let layer = ExpressLayer::new(store.clone(), Secrets::new(["keyboard cat"]).unwrap());
        let app = Router::new()
            .route("/idle", get(|| async { "idle" }))
            .route("/get", get(read))
            .route("/set/{value}", get(write))
            .route("/sign-in/{value}", get(sign_in))
            .route("/regenerate/{value}", get(regenerate))
            .route("/sign-out", get(sign_out))
            .layer(options(layer));
        Site { app, store, clock, jar: None }
    }

    /// Sends a request with the jar's cookie, and takes the answer's.
    async fn visit(&mut self, path: &str) -> String {
        let response = self.ask(path, self.jar.as_deref()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        if let Some(cookie) = set_cookie(&response) {
            self.jar = Some(cookie.split(';').next().unwrap().to_owned());
        }
        text(response).await
    }

    async fn ask(&self, path: &str, cookie: Option<&str>) -> Response<Body> {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        self.app.clone().call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// The id in the jar.
    fn id(&self) -> SessionId {
        let value = self.jar.as_deref().unwrap().strip_prefix("connect.sid=s%3A").unwrap();
        SessionId::new(value.split_once('.').unwrap().0).unwrap()
    }

    async fn stored(&self) -> Option<session_core::Session<ExpressSession>> {
        self.store.load(&self.id()).await.unwrap()
    }

    async fn count(&self) -> u64 {
        self.store.count(None).await.unwrap()
    }
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn set_cookie(response: &Response<Body>) -> Option<String> {
    response.headers().get(SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned())
}

async fn read(Extension(session): Extension<RequestSession>) -> String {
    session.get::<String>("value").await.unwrap().unwrap_or_default()
}

async fn write(Path(value): Path<String>, Extension(session): Extension<RequestSession>) {
    session.insert("value", &value).await.unwrap();
}

async fn sign_in(Path(value): Path<String>, Extension(session): Extension<RequestSession>) {
    session.rotate().await.unwrap();
    session.insert("value", &value).await.unwrap();
}

async fn regenerate(Path(value): Path<String>, Extension(session): Extension<RequestSession>) {
    session.destroy().await.unwrap();
    session.insert("value", &value).await.unwrap();
}

async fn sign_out(Extension(session): Extension<RequestSession>) -> String {
    session.destroy().await.unwrap().to_string()
}

#[tokio::test]
async fn a_session_without_data_leaves_no_trace() {
    let mut site = Site::new(|layer| layer);
    assert_eq!(site.visit("/idle").await, "idle");
    assert_eq!(site.visit("/get").await, "");
    assert_eq!(site.visit("/sign-out").await, "false");
    assert_eq!((site.jar.as_deref(), site.count().await), (None, 0));
}

#[tokio::test]
async fn data_are_kept_from_request_to_request() {
    let mut site = Site::new(|layer| layer);
    let first = site.ask("/set/one", None).await;
    let header = set_cookie(&first).unwrap();
    assert!(header.starts_with("connect.sid=s%3A") && header.ends_with("; Path=/; HttpOnly"), "{header}");
    site.jar = header.split(';').next().map(str::to_owned);

    assert_eq!(site.visit("/get").await, "one");
    let version = site.stored().await.unwrap().version();
    let second = site.ask("/set/two", site.jar.as_deref()).await;
    assert_eq!(set_cookie(&second), None, "a cookie without a date needs no renewal");
    assert_eq!(site.visit("/get").await, "two");
    assert_eq!(site.stored().await.unwrap().version(), version.next());
    let row = serde_json::to_string(&site.stored().await.unwrap().data).unwrap();
    let cookie = r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;
    assert_eq!(row, format!(r#"{{{cookie},"value":"two"}}"#));
}

#[tokio::test]
async fn what_was_not_changed_is_not_written() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let version = site.stored().await.unwrap().version();
    for path in ["/get", "/idle", "/set/one"] {
        site.clock.advance(Duration::from_secs(1));
        site.visit(path).await;
        let stored = site.stored().await.unwrap();
        assert_eq!(stored.version(), version, "{path}");
        assert_eq!(stored.expires_at(), site.clock.now().saturating_add(DAY), "{path} renews the expiry");
    }
}

#[tokio::test]
async fn the_cookie_s_lifetime_is_the_session_s() {
    let cookie = Cookie::default().with_max_age(Some(Duration::from_millis(1500)));
    let mut site = Site::new(|layer| layer.with_cookie(cookie.clone()).unwrap());
    let response = site.ask("/set/one", None).await;
    let header = set_cookie(&response).unwrap();
    assert!(header.contains("; Expires=Sun, 22 Nov 2026 05:10:01 GMT; HttpOnly"), "{header}");
    site.jar = header.split(';').next().map(str::to_owned);

    site.clock.advance(Duration::from_millis(1499));
    assert_eq!(site.visit("/get").await, "one");
    site.clock.advance(Duration::from_millis(1499));
    assert!(set_cookie(&site.ask("/set/two", site.jar.as_deref()).await).is_some(), "its date has moved");
    site.clock.advance(Duration::from_millis(1500));
    assert_eq!(site.visit("/get").await, "");
}

#[tokio::test]
async fn a_rolling_cookie_is_set_with_every_answer_of_a_live_session() {
    let cookie = Cookie::default().with_max_age(Some(DAY));
    let mut site = Site::new(|layer| layer.with_cookie(cookie.clone()).unwrap().with_rolling(true));
    assert_eq!(set_cookie(&site.ask("/idle", None).await), None);
    site.visit("/set/one").await;
    let version = site.stored().await.unwrap().version();
    site.clock.advance(DAY / 2);
    let header = set_cookie(&site.ask("/idle", site.jar.as_deref()).await).unwrap();
    assert!(header.contains("; Expires=Mon, 23 Nov 2026 17:10:00 GMT"), "{header}");
    assert_eq!(site.stored().await.unwrap().version(), version);
}

#[tokio::test]
async fn logout_wins_over_a_request_that_ends_later() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let id = site.id();
    // Signed out elsewhere while the handler runs.
    let store = site.store.clone();
    site.app = Router::new()
        .route(
            "/slow",
            get(move |Extension(session): Extension<RequestSession>| async move {
                session.insert("value", "late").await.unwrap();
                assert!(store.destroy(&id).await.unwrap());
            }),
        )
        .layer(ExpressLayer::new(site.store.clone(), Secrets::new(["keyboard cat"]).unwrap()));
    let response = site.ask("/slow", site.jar.as_deref()).await;
    assert_eq!((response.status(), set_cookie(&response)), (StatusCode::OK, None));
    assert!(site.stored().await.is_none());
    assert_eq!(site.count().await, 0);
}

#[tokio::test]
async fn what_others_change_meanwhile_stays() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let (id, store) = (site.id(), site.store.clone());
    site.app = Router::new()
        .route(
            "/slow",
            get(move |Extension(session): Extension<RequestSession>| async move {
                assert_eq!(session.get::<u8>("theirs").await.unwrap(), None);
                store.modify(&id, |data| data.insert("theirs", &2).unwrap()).await.unwrap().unwrap();
                session.insert("mine", &1).await.unwrap();
            }),
        )
        .layer(ExpressLayer::new(site.store.clone(), Secrets::new(["keyboard cat"]).unwrap()));
    assert_eq!(site.ask("/slow", site.jar.as_deref()).await.status(), StatusCode::OK);
    let data = site.stored().await.unwrap().data;
    assert_eq!(data.names().collect::<Vec<_>>(), ["value", "theirs", "mine"]);
}

#[tokio::test]
async fn a_sign_in_changes_the_id_and_keeps_the_session() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let old = site.id();
    site.visit("/sign-in/ann").await;
    assert_ne!(site.id(), old);
    assert_eq!(site.visit("/get").await, "ann");
    assert!(site.store.load(&old).await.unwrap().is_none());
    assert_eq!(site.count().await, 1);
}

#[tokio::test]
async fn a_regenerated_session_has_nothing_of_the_old_one() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    site.store.modify(&site.id(), |data| data.insert("old", &1).unwrap()).await.unwrap().unwrap();
    let old = site.id();
    site.visit("/regenerate/ann").await;
    assert_ne!(site.id(), old);
    assert_eq!(site.stored().await.unwrap().data.names().collect::<Vec<_>>(), ["value"]);
    assert!(site.store.load(&old).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_that_was_signed_out_is_unknown() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let cookie = site.jar.clone();
    assert_eq!(site.visit("/sign-out").await, "true");
    assert_eq!(site.visit("/get").await, "");
    // What is written under the dead id's cookie goes under a new one.
    let response = site.ask("/set/two", cookie.as_deref()).await;
    assert_ne!(set_cookie(&response).map(|header| header.split(';').next().unwrap().to_owned()), cookie);
}

#[tokio::test]
async fn cookies_that_nobody_signed_are_no_session() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let genuine = site.jar.clone().unwrap();
    let id = site.id().expose().to_owned();
    let other = Secrets::new(["another secret"]).unwrap().sign(&id);
    let empty = Secrets::new(["keyboard cat"]).unwrap().sign("");
    let long = Secrets::new(["keyboard cat"]).unwrap().sign(&"x".repeat(256));
    for forged in [
        format!("connect.sid={id}"),
        format!("connect.sid=s:{id}"),
        format!("connect.sid={other}"),
        format!("connect.sid={empty}"),
        format!("connect.sid={long}"),
        format!("connect.sid=; {genuine}"),
        format!("connect.SID={}", genuine.split_once('=').unwrap().1),
    ] {
        assert_eq!(text(site.ask("/get", Some(&forged)).await).await, "", "{forged}");
    }
    assert_eq!(text(site.ask("/get", Some(&format!("a=%ff; {genuine}; b"))).await).await, "one");
}

#[tokio::test]
async fn a_row_without_a_cookie_is_read_and_mended() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Bare {
        value: String,
    }
    let backend: Arc<dyn Store> = Arc::new(MemoryStore::with_key_format(KeyFormat::Plain));
    let mut site = Site::over(Arc::clone(&backend), |layer| layer);
    let bare = Sessions::<Bare>::builder(backend).clock(Shared(Arc::clone(&site.clock))).build().unwrap();
    let id = bare.create(&Bare { value: "by hand".into() }).await.unwrap().id;
    let signed = Secrets::new(["keyboard cat"]).unwrap().sign(id.expose());
    site.jar = Cookie::default().render("connect.sid", &signed).unwrap().split(';').next().map(str::to_owned);

    assert!(site.stored().await.unwrap().data.was_without_cookie());
    assert_eq!(site.visit("/get").await, "by hand");
    assert!(!site.stored().await.unwrap().data.was_without_cookie());
}

#[tokio::test]
async fn a_session_that_cannot_be_saved_fails_where_it_was_written() {
    let mut site = Site::new(|layer| layer);
    site.app = Router::new()
        .route(
            "/big",
            get(|Extension(session): Extension<RequestSession>| async move {
                session.insert("big", &"x".repeat(2 << 20)).await.map_err(|error| (error.status(), "failed"))
            }),
        )
        .layer(ExpressLayer::new(site.store.clone(), Secrets::new(["keyboard cat"]).unwrap()));
    let response = site.ask("/big", None).await;
    assert_eq!((response.status(), set_cookie(&response)), (StatusCode::INTERNAL_SERVER_ERROR, None));
    assert_eq!(text(response).await, "failed");
}

#[tokio::test]
async fn a_cookie_that_cannot_be_sent_makes_the_answer_a_500() {
    let mut site = Site::new(|layer| layer.with_rolling(true));
    site.visit("/set/one").await;
    let odd = Cookie::default().with_path("/\r\n").with_max_age(Some(DAY));
    site.store.modify(&site.id(), |data| data.set_cookie(&odd)).await.unwrap().unwrap();
    let response = site.ask("/get", site.jar.as_deref()).await;
    assert_eq!((response.status(), set_cookie(&response)), (StatusCode::INTERNAL_SERVER_ERROR, None));
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn what_was_written_is_kept_whatever_the_answer() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    site.app = Router::new()
        .route(
            "/fails",
            get(|Extension(session): Extension<RequestSession>| async move {
                session.insert("value", "kept").await.unwrap();
                StatusCode::INTERNAL_SERVER_ERROR
            }),
        )
        .layer(ExpressLayer::new(site.store.clone(), Secrets::new(["keyboard cat"]).unwrap()));
    let response = site.ask("/fails", site.jar.as_deref()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(site.stored().await.unwrap().data.get::<String>("value").unwrap().unwrap(), "kept");
}

#[tokio::test]
async fn an_id_that_a_sign_in_has_replaced_writes_nothing_and_gets_no_cookie() {
    let mut site = Site::new(|layer| layer);
    site.visit("/set/one").await;
    let old = site.jar.clone();
    site.visit("/sign-in/ann").await;
    site.app = Router::new()
        .route(
            "/late",
            get(|Extension(session): Extension<RequestSession>| async move {
                session.insert("value", "late").await.map_err(|error| (error.status(), "refused"))
            }),
        )
        .layer(ExpressLayer::new(site.store.clone(), Secrets::new(["keyboard cat"]).unwrap()));
    let response = site.ask("/late", old.as_deref()).await;
    assert_eq!((response.status(), set_cookie(&response)), (StatusCode::CONFLICT, None));
    assert_eq!(site.count().await, 1);
}

#[tokio::test]
async fn cookies_that_browsers_drop_are_refused() {
    let layer = || {
        let store = Sessions::new(MemoryStore::with_key_format(KeyFormat::Plain));
        ExpressLayer::new(store, Secrets::new(["keyboard cat"]).unwrap())
    };
    for cookie in [
        Cookie::default().with_same_site(SameSite::None),
        Cookie::default().with_partitioned(true),
        Cookie::default().with_path("relative"),
    ] {
        assert_eq!(layer().with_cookie(cookie).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(layer().with_name("__Host-sid").unwrap_err().kind(), ErrorKind::InvalidInput);
    let secure = Cookie::default().with_secure(true).with_same_site(SameSite::None);
    layer().with_cookie(secure).unwrap().with_name("__Host-sid").unwrap();
}

#[tokio::test]
async fn a_session_that_nobody_needs_may_be_unreadable() {
    for rolling in [false, true] {
        let backend: Arc<dyn Store> = Arc::new(MemoryStore::with_key_format(KeyFormat::Plain));
        let mut site = Site::over(Arc::clone(&backend), |layer| layer.with_rolling(rolling));
        let corrupt =
            Sessions::<u8>::builder(backend).clock(Shared(Arc::clone(&site.clock))).build().unwrap();
        let id = corrupt.create(&1).await.unwrap().id;
        let signed = Secrets::new(["keyboard cat"]).unwrap().sign(id.expose());
        site.jar = Some(format!("connect.sid={signed}"));
        assert_eq!(site.visit("/idle").await, "idle");
    }
}

#[tokio::test]
async fn another_name_makes_another_cookie() {
    let mut site = Site::new(|layer| layer.with_name("sid").unwrap());
    let response = site.ask("/set/one", None).await;
    assert!(set_cookie(&response).unwrap().starts_with("sid=s%3A"));
    assert!(ExpressLayer::new(site.store.clone(), Secrets::new(["k"]).unwrap()).with_name("a b").is_err());
    let cookie = Cookie::default().with_path("/\r\n");
    assert!(ExpressLayer::new(site.store.clone(), Secrets::new(["k"]).unwrap()).with_cookie(cookie).is_err());
    site.jar = None;
}
