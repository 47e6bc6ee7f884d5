//! The example with axum-login: signing in, listing a user's sessions, ending them everywhere.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test that fails may panic")]

#[path = "../examples/axum_login.rs"]
mod example;
mod stores;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use session_store::tower_sessions::{TowerStore, axum_login_user};
use tower::ServiceExt as _;

/// A request, and the status, the cookie and the body of the answer.
async fn call(
    app: &Router,
    method: &str,
    path: &str,
    cookie: Option<&str>,
    form: &'static str,
) -> (StatusCode, Option<String>, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let answer = app.clone().oneshot(request.body(Body::from(form)).unwrap()).await.unwrap();
    let status = answer.status();
    let cookie = answer.headers().get(header::SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, cookie, String::from_utf8(body.to_vec()).unwrap())
}

async fn sign_in(app: &Router, form: &'static str) -> String {
    let (status, cookie, _) = call(app, "POST", "/sign-in", None, form).await;
    assert_eq!(status, StatusCode::OK);
    cookie.unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_signs_in_and_ends_every_session() {
    const ANN: &str = "name=ann&password=correct+horse";
    for opened in stores::all().await {
        let builder = TowerStore::builder(opened.store()).principal(axum_login_user);
        let app = example::router(TowerStore::from(builder.build().unwrap()));
        let wrong = call(&app, "POST", "/sign-in", None, "name=ann&password=wrong").await;
        assert_eq!((wrong.0, wrong.1), (StatusCode::UNAUTHORIZED, None));

        let (phone, laptop) = (sign_in(&app, ANN).await, sign_in(&app, ANN).await);
        let bob = sign_in(&app, "name=bob&password=correct+horse").await;
        assert_ne!(phone, laptop);
        assert_eq!(call(&app, "GET", "/", Some(&phone), "").await.2, "ann");
        let (_, _, devices) = call(&app, "GET", "/devices", Some(&phone), "").await;
        assert_eq!(devices.split(',').count(), 2, "{}: {devices}", opened.name());

        let (_, _, ended) = call(&app, "POST", "/sign-out-everywhere", Some(&phone), "").await;
        assert_eq!(ended, "2 sessions ended");
        for cookie in [&phone, &laptop] {
            assert_eq!(call(&app, "GET", "/", Some(cookie), "").await.2, "nobody");
        }
        assert_eq!(call(&app, "GET", "/", Some(&bob), "").await.2, "bob", "nobody else is concerned");
        call(&app, "POST", "/sign-out", Some(&bob), "").await;
        assert_eq!(call(&app, "GET", "/", Some(&bob), "").await.2, "nobody");
    }
}

#[tokio::test]
async fn the_example_opens_a_store() {
    assert_eq!(example::store("memory:").await.unwrap().sessions().count(None).await.unwrap(), 0);
}
