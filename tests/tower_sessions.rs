//! The stores as stores of tower-sessions: under its own layer, and by the words of its trait.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::routing::{get, post};
use serde_json::json;
use session_store::tower_sessions::{TowerStore, field};
use session_store::{ErrorKind, MemoryStore, SessionId};
use time::{Duration, OffsetDateTime};
use tower::ServiceExt as _;
use tower_sessions::session::{Id, Record};
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};

fn record(user: &str) -> Record {
    Record {
        id: Id::default(),
        data: HashMap::from([("user".to_owned(), json!(user))]),
        expiry_date: OffsetDateTime::now_utc() + Duration::hours(1),
    }
}

fn store() -> TowerStore {
    TowerStore::from(TowerStore::builder(MemoryStore::new()).principal(field("user")).build().unwrap())
}

#[tokio::test]
async fn what_was_created_is_loaded_with_its_expiry() {
    let store = store();
    let mut record = record("alice");
    store.create(&mut record).await.unwrap();
    let loaded = store.load(&record.id).await.unwrap().unwrap();
    assert_eq!(loaded.data, record.data);
    // Databases hold milliseconds.
    assert_eq!(loaded.expiry_date.unix_timestamp(), record.expiry_date.unix_timestamp());
}

#[tokio::test]
async fn a_collision_in_create_draws_a_new_id() {
    let store = store();
    let mut first = record("alice");
    store.create(&mut first).await.unwrap();
    let mut second = Record { id: first.id, ..record("bob") };
    store.create(&mut second).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(store.load(&first.id).await.unwrap().unwrap().data["user"], "alice");
    assert_eq!(store.load(&second.id).await.unwrap().unwrap().data["user"], "bob");
}

#[tokio::test]
async fn a_late_save_never_brings_a_session_back() {
    let store = store();
    let mut record = record("alice");
    store.create(&mut record).await.unwrap();
    store.delete(&record.id).await.unwrap();
    store.save(&record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), None);
    // What another session began with is worth nothing under a new id.
    store.save(&Record { id: Id::default(), ..record }).await.unwrap_err();
    assert_eq!(store.sessions().count(None).await.unwrap(), 0);
}

#[tokio::test]
async fn an_expired_session_is_absent() {
    let store = store();
    let mut record = record("alice");
    record.expiry_date = OffsetDateTime::now_utc() - Duration::milliseconds(1);
    store.create(&mut record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), None);
}

#[tokio::test]
async fn the_principal_comes_from_the_named_field() {
    let store = store();
    let mut alice = record("alice");
    let mut bob = record("bob");
    store.create(&mut alice).await.unwrap();
    store.create(&mut bob).await.unwrap();
    assert_eq!(store.sessions().destroy_principal("alice").await.unwrap(), 1);
    assert_eq!(store.load(&alice.id).await.unwrap(), None);
    assert!(store.load(&bob.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_payload_over_the_limit_is_an_encode_error() {
    let store = TowerStore::from(TowerStore::builder(MemoryStore::new()).payload_limit(10).build().unwrap());
    let error = store.create(&mut record("alice")).await.unwrap_err();
    assert!(matches!(error, tower_sessions::session_store::Error::Encode(_)), "{error:?}");
}

#[tokio::test]
async fn a_corrupt_row_is_a_decode_error() {
    let memory = Arc::new(MemoryStore::new());
    let store = TowerStore::new(Arc::clone(&memory));
    let id = Id::default();
    let text = session_store::Sessions::<String>::new(memory);
    text.create_with_id(&SessionId::new(id.to_string()).unwrap(), &"not an object".to_owned()).await.unwrap();
    let error = store.load(&id).await.unwrap_err();
    assert!(matches!(error, tower_sessions::session_store::Error::Decode(_)), "{error:?}");
    let listed = store.sessions().list(None, None, std::num::NonZeroU32::MIN).await.unwrap();
    assert_eq!(listed[0].session.as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn an_application_signs_in_counts_and_signs_out_through_the_layer() {
    let store = store();
    let layer = SessionManagerLayer::new(store.clone())
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::days(1)));
    let app = Router::new()
        .route(
            "/sign-in",
            post(async |session: Session| {
                session.cycle_id().await.unwrap();
                session.insert("user", "alice").await.unwrap();
            }),
        )
        .route(
            "/count",
            get(async |session: Session| {
                let count = session.get::<u64>("count").await.unwrap().unwrap_or(0) + 1;
                session.insert("count", count).await.unwrap();
                count.to_string()
            }),
        )
        .route("/sign-out", post(async |session: Session| session.flush().await.unwrap()))
        .layer(layer);

    let answer = call(&app, "POST", "/sign-in", None).await;
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(text(call(&app, "GET", "/count", Some(&cookie)).await).await, "1");
    assert_eq!(text(call(&app, "GET", "/count", Some(&cookie)).await).await, "2");
    assert_eq!(store.sessions().count(Some("alice")).await.unwrap(), 1);
    call(&app, "POST", "/sign-out", Some(&cookie)).await;
    assert_eq!(store.sessions().count(None).await.unwrap(), 0);
    assert_eq!(
        text(call(&app, "GET", "/count", Some(&cookie)).await).await,
        "1",
        "the old cookie is worth nothing"
    );
}

async fn call(app: &Router, method: &str, path: &str, cookie: Option<&str>) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

async fn text(answer: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}
