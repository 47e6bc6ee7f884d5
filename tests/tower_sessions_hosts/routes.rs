//! What tower-sessions' own tests ask of every store, through its layer, written anew.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use axum::routing::get;
use session_store::tower_sessions::TowerStore;
use time::{Duration, OffsetDateTime};
use tower::ServiceExt as _;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use crate::stores;

const HOUR: Duration = Duration::hours(1);

fn app(store: &TowerStore, max_age: Option<Duration>) -> Router {
    let mut layer = SessionManagerLayer::new(store.clone()).with_domain("localhost");
    if let Some(max_age) = max_age {
        layer = layer.with_expiry(Expiry::OnInactivity(max_age));
    }
    Router::new()
        .route("/", get(async |_: Session| "hello"))
        .route("/insert", get(async |session: Session| session.insert("foo", 42).await.unwrap()))
        .route(
            "/get",
            get(async |session: Session| format!("{:?}", session.get::<usize>("foo").await.unwrap())),
        )
        .route("/remove", get(async |session: Session| _ = session.remove::<usize>("foo").await.unwrap()))
        .route("/cycle_id", get(async |session: Session| session.cycle_id().await.unwrap()))
        .route("/flush", get(async |session: Session| session.flush().await.unwrap()))
        .route(
            "/set_expiry",
            get(async |session: Session| {
                session.set_expiry(Some(Expiry::AtDateTime(OffsetDateTime::now_utc() + Duration::days(1))));
            }),
        )
        .route("/remove_expiry", get(async |session: Session| session.set_expiry(Some(Expiry::OnSessionEnd))))
        .layer(layer)
}

async fn call(app: &Router, path: &str, cookie: &str) -> Response<Body> {
    let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer
}

/// The cookie that an answer sets: `id=…`, and its attributes.
fn cookie(answer: &Response<Body>) -> Option<(String, Vec<String>)> {
    let mut parts = answer.headers().get(header::SET_COOKIE)?.to_str().unwrap().split(';').map(str::trim);
    let pair = parts.next()?.to_owned();
    Some((pair, parts.map(str::to_owned).collect()))
}

/// The seconds of its `Max-Age`.
fn max_age(attributes: &[String]) -> Option<i64> {
    attributes.iter().find_map(|attribute| attribute.strip_prefix("Max-Age=")?.parse().ok())
}

async fn text(app: &Router, path: &str, cookie: &str) -> String {
    let body = to_bytes(call(app, path, cookie).await.into_body(), 1024).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn cookies_come_with_changes_and_bogus_ones_are_replaced() {
    for opened in stores::all().await {
        let app = app(&TowerStore::new(opened.store()), Some(HOUR));
        assert_eq!(cookie(&call(&app, "/", "").await), None);
        assert_eq!(text(&app, "/get", "").await, "None");
        let bogus = "id=AAAAAAAAAAAAAAAAAAAAAA";
        assert_ne!(cookie(&call(&app, "/insert", bogus).await).unwrap().0, bogus);
        assert!(cookie(&call(&app, "/", "id=malformed").await).is_none_or(|set| set.0 != "id=malformed"));
        let (first, attributes) = cookie(&call(&app, "/insert", "").await).unwrap();
        for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Domain=localhost"] {
            assert!(attributes.iter().any(|set| set == attribute), "{attribute}: {attributes:?}");
        }
        assert!(max_age(&attributes).is_some_and(|seconds| (3_590..=3_600).contains(&seconds)));
        assert_eq!(text(&app, "/get", &first).await, "Some(42)");
        call(&app, "/remove", &first).await;
        assert_eq!(text(&app, "/get", &first).await, "None", "{}", opened.name());
    }
}

#[tokio::test]
async fn cycling_the_id_keeps_the_data_and_flushing_takes_the_cookie() {
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store());
        let app = app(&store, Some(HOUR));
        let (first, _) = cookie(&call(&app, "/insert", "").await).unwrap();
        let (second, _) = cookie(&call(&app, "/cycle_id", &first).await).unwrap();
        assert_ne!(first, second);
        assert_eq!(text(&app, "/get", &second).await, "Some(42)");
        assert_eq!(text(&app, "/get", &first).await, "None", "{}", opened.name());
        let (flushed, attributes) = cookie(&call(&app, "/flush", &second).await).unwrap();
        assert_eq!((flushed.as_str(), max_age(&attributes)), ("id=", Some(0)));
        assert!(attributes.iter().any(|set| set == "Domain=localhost"), "{attributes:?}");
        assert_eq!(text(&app, "/get", &second).await, "None");
        assert_eq!(store.sessions().count(None).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_session_changes_its_kind_of_expiry() {
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store());
        for default in [None, Some(HOUR)] {
            let app = app(&store, default);
            let (id, attributes) = cookie(&call(&app, "/insert", "").await).unwrap();
            let hour = max_age(&attributes).map(|seconds| (3_590..=3_600).contains(&seconds));
            assert_eq!(hour, default.map(|_| true), "{attributes:?}");
            let (_, attributes) = cookie(&call(&app, "/set_expiry", &id).await).unwrap();
            assert!(max_age(&attributes).is_some_and(|seconds| (86_390..=86_400).contains(&seconds)));
            let (_, attributes) = cookie(&call(&app, "/remove_expiry", &id).await).unwrap();
            assert_eq!(max_age(&attributes), None);
            assert_eq!(text(&app, "/get", &id).await, "Some(42)", "{}", opened.name());
        }
    }
}
