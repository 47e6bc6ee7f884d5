//! The layer for express sessions on a table of connect-typeorm, which holds neither versions nor principals.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use session_store::express::{ExpressLayer, ExpressSession, RequestSession, Secrets};

use session_store::{ConnectTypeorm, ManualClock, SessionId, Sessions, SqliteStore, Timestamp};
use tower_service::Service as _;

const ROWS: &str = include_str!("fixtures/typeorm-sqlite.table.txt");
const NOW: Timestamp = Timestamp::from_millis(1_795_324_200_000);
const SECRET: &str = "keyboard cat";

/// The cookie that Node sent to Ann, and the id in it (see `fixtures/cookie-signatures.json`).
const ANN: &str =
    "connect.sid=s%3A7NJgOXpF0O7a8ZcbBrAp5Wb-SxXQVAN9.Ml1GNKQMeBxL2eZQ%2Bo1GPKwH1%2FsuJO9gFhtILqkoc2Y";
const ANNS_ID: &str = "7NJgOXpF0O7a8ZcbBrAp5Wb-SxXQVAN9";

/// A temporary folder, removed with all that is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("express-typeorm-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The sessions that a Node application left live in its table.
async fn sessions(folder: &Folder) -> Sessions<ExpressSession> {
    let file = folder.0.join("sessions.db");
    let table =
        SqliteStore::builder().path(file).connect_typeorm(ConnectTypeorm::new()).connect().await.unwrap();
    table.create_table().await.unwrap();
    let store = ExpressSession::store(table).clock(ManualClock::new(NOW)).build().unwrap();
    let (_, rows) = ROWS.split_once("rows: id|expiredAt|destroyedAt|json\n").unwrap();
    for row in rows.lines() {
        let [id, _, destroyed_at, json] = row.splitn(4, '|').collect::<Vec<_>>().try_into().unwrap();
        let id = SessionId::new(id).unwrap();
        store.create_with_id(&id, &serde_json::from_str(json).unwrap()).await.unwrap().unwrap();
        if destroyed_at != "None" {
            assert!(store.destroy(&id).await.unwrap());
        }
    }
    store
}

fn app(store: &Sessions<ExpressSession>) -> Router {
    Router::new()
        .route("/views", get(view))
        .route("/rotate", get(rotate))
        .route("/sign-out", get(sign_out))
        .layer(ExpressLayer::new(store.clone(), Secrets::new([SECRET]).unwrap()))
}

async fn view(Extension(session): Extension<RequestSession>) -> String {
    let views = session.get::<u32>("views").await.unwrap().unwrap_or_default() + 1;
    session.insert("views", &views).await.unwrap();
    views.to_string()
}

async fn rotate(Extension(session): Extension<RequestSession>) {
    session.rotate().await.unwrap();
}

async fn sign_out(Extension(session): Extension<RequestSession>) -> String {
    session.destroy().await.unwrap().to_string()
}

async fn visit(app: &Router, path: &str, cookie: &str) -> Response<Body> {
    let request = Request::get(path).header(COOKIE, cookie).body(Body::empty()).unwrap();
    let response = app.clone().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_session_of_node_goes_on() {
    let folder = Folder::new();
    let store = sessions(&folder).await;
    assert_eq!(text(visit(&app(&store), "/views", ANN).await).await, "3");
    let session = store.load(&SessionId::new(ANNS_ID).unwrap()).await.unwrap().unwrap();
    assert_eq!(
        serde_json::to_string(&session.data).unwrap(),
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"id":1,"name":"Ann"},"views":3}"#
    );
}

#[tokio::test]
async fn a_session_that_node_destroyed_is_not_revived() {
    let folder = Folder::new();
    let store = sessions(&folder).await;
    let id = "KKQtscOpOD5e9TLw02WgJvb7nQ-dwX0u";
    let dead = format!("connect.sid={}", Secrets::new([SECRET]).unwrap().sign(id));
    let response = visit(&app(&store), "/views", &dead).await;
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(!cookie.contains(id), "what is written under a dead id goes under a new one");
    assert_eq!(text(response).await, "1");
    assert!(store.load(&SessionId::new(id).unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_id_can_be_changed_and_a_session_ended() {
    let folder = Folder::new();
    let store = sessions(&folder).await;
    let count = store.count(None).await.unwrap();
    let response = visit(&app(&store), "/rotate", ANN).await;
    let rotated = response.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(store.load(&SessionId::new(ANNS_ID).unwrap()).await.unwrap().is_none());
    assert_eq!(text(visit(&app(&store), "/views", &rotated).await).await, "3");
    assert_eq!(store.count(None).await.unwrap(), count);

    assert_eq!(text(visit(&app(&store), "/sign-out", &rotated).await).await, "true");
    assert_eq!(text(visit(&app(&store), "/sign-out", &rotated).await).await, "false");
    assert_eq!(store.count(None).await.unwrap(), count - 1);
}
