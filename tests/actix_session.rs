//! The stores under actix-session's own middleware: what its acceptance suite asks of a store, written anew, and what ours
//! promises beyond that.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod stores;

use std::collections::HashMap;

use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore as _};
use actix_session::{Session, SessionExt as _, SessionMiddleware};
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, Key};
use actix_web::{App, HttpResponse, guard, test, web};
use serde_json::{Value, json};
use session_store::actix_session::{ActixStore, field};
use session_store::contract::Store as _;
use session_store::{ErrorKind, Fate, MemoryStore, SessionId, Sessions, Timestamp, TouchOutcome};

const NAME: &str = "test-session";
const TTL: Duration = Duration::seconds(60);

fn actix(opened: &stores::Opened) -> ActixStore {
    ActixStore::from(ActixStore::builder(opened.store()).principal(field("user_id")).build().unwrap())
}

async fn index(session: Session) -> HttpResponse {
    let user = session.get::<String>("user_id").unwrap();
    let counter = session.get::<i32>("counter").unwrap().unwrap_or(0);
    HttpResponse::Ok().json(json!({ "user": user, "counter": counter }))
}

async fn count(session: Session) -> HttpResponse {
    let counter = session.get::<i32>("counter").unwrap().unwrap_or(0) + 1;
    session.insert("counter", counter).unwrap();
    index(session).await
}

async fn sign_in(user: web::Path<String>, session: Session) -> HttpResponse {
    session.insert("user_id", user.into_inner()).unwrap();
    session.renew();
    index(session).await
}

async fn sign_out(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

/// The application of the checks, with its cookie secured in this way.
macro_rules! app {
    ($store:expr, $security:expr, $policy:expr) => {
        test::init_service(
            App::new()
                .wrap(
                    SessionMiddleware::builder($store, Key::generate())
                        .cookie_name(NAME.to_owned())
                        .cookie_domain(Some("localhost".to_owned()))
                        .cookie_content_security($security)
                        .session_lifecycle(
                            PersistentSession::default()
                                .session_ttl(TTL)
                                .session_ttl_extension_policy($policy),
                        )
                        .build(),
                )
                .route("/", web::get().to(index))
                .route("/count", web::post().to(count))
                .route("/sign-in/{user}", web::post().to(sign_in))
                .route("/sign-out", web::post().to(sign_out))
                .route(
                    "/guarded",
                    web::get()
                        .guard(guard::fn_guard(|context| {
                            context.get_session().get::<i32>("counter").is_ok_and(|counter| counter.is_some())
                        }))
                        .to(index),
                ),
        )
        .await
    };
}

/// A request, and the cookie and the body of the answer. (The type of requests has no public name.)
macro_rules! call {
    ($app:expr, $method:expr, $path:expr, $cookie:expr) => {{
        let mut request = test::TestRequest::with_uri($path).method($method.parse().unwrap());
        let cookie: Option<&Cookie<'static>> = $cookie;
        if let Some(cookie) = cookie {
            request = request.cookie(cookie.clone());
        }
        let answer = test::call_service($app, request.to_request()).await;
        assert!(answer.status().is_success(), "{}: {}", $path, answer.status());
        let cookie = answer.response().cookies().find(|cookie| cookie.name() == NAME).map(Cookie::into_owned);
        let body = test::read_body(answer).await;
        (cookie, serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null))
    }};
}

#[actix_web::test]
async fn the_checks_of_the_acceptance_suite_pass() {
    for opened in stores::all().await {
        for security in [CookieContentSecurity::Signed, CookieContentSecurity::Private] {
            workflow(&opened, security).await;
            a_cookie_is_refreshed_on_changes_alone(&opened, security).await;
            a_cookie_is_refreshed_with_every_request_if_asked(&opened, security).await;
        }
    }
}

async fn workflow(opened: &stores::Opened, security: CookieContentSecurity) {
    let store = actix(opened);
    store.sessions().clear().await.unwrap();
    let app = app!(store.clone(), security, TtlExtensionPolicy::OnStateChanges);
    let nobody = json!({ "user": null, "counter": 0 });

    // An empty session has no cookie and no row.
    let (cookie, body) = call!(&app, "GET", "/", None);
    assert!(cookie.is_none());
    assert_eq!(body, nobody);
    let (first, body) = call!(&app, "POST", "/count", None);
    let first = first.unwrap();
    assert_eq!(body["counter"], 1);
    assert_eq!((first.max_age(), first.domain(), first.path()), (Some(TTL), Some("localhost"), Some("/")));

    // A request that changes nothing sets none.
    let (cookie, body) = call!(&app, "GET", "/", Some(&first));
    assert!(cookie.is_none());
    assert_eq!(body["counter"], 1);
    let (second, body) = call!(&app, "POST", "/count", Some(&first));
    let second = second.unwrap();
    assert_eq!(body["counter"], 2);
    assert_eq!(second.max_age(), first.max_age());

    // Renewing gives another key and kills the old one.
    let (third, body) = call!(&app, "POST", "/sign-in/ferris", Some(&second));
    let third = third.unwrap();
    assert_ne!(second.value(), third.value());
    assert_eq!(body, json!({ "user": "ferris", "counter": 2 }));
    assert_eq!(call!(&app, "POST", "/count", Some(&third)).1["counter"], 3);
    let (cookie, body) = call!(&app, "GET", "/", Some(&second));
    assert!(cookie.is_none());
    assert_eq!(body, nobody);
    assert_eq!(store.sessions().count(Some("ferris")).await.unwrap(), 1);

    // Purging ends it and removes the cookie.
    let (removal, _) = call!(&app, "POST", "/sign-out", Some(&third));
    let removal = removal.unwrap();
    assert_eq!((removal.max_age(), removal.path()), (Some(Duration::ZERO), Some("/")));
    let (cookie, body) = call!(&app, "GET", "/", Some(&third));
    assert!(cookie.is_none());
    assert_eq!(body, nobody);
    assert_eq!(store.sessions().count(None).await.unwrap(), 0);

    // A guard sees the session, and a forged cookie is nobody's.
    let (fourth, _) = call!(&app, "POST", "/count", None);
    assert_eq!(call!(&app, "GET", "/guarded", fourth.as_ref()).1["counter"], 1);
    let forged = Cookie::new(NAME, "forged");
    assert_eq!(call!(&app, "GET", "/", Some(&forged)).1, nobody);
}

async fn a_cookie_is_refreshed_on_changes_alone(opened: &stores::Opened, security: CookieContentSecurity) {
    let app = app!(actix(opened), security, TtlExtensionPolicy::OnStateChanges);
    let (cookie, _) = call!(&app, "POST", "/count", None);
    assert_eq!(cookie.as_ref().unwrap().max_age(), Some(TTL));
    assert!(call!(&app, "GET", "/", cookie.as_ref()).0.is_none());
    assert_eq!(call!(&app, "POST", "/count", cookie.as_ref()).0.unwrap().max_age(), Some(TTL));
}

async fn a_cookie_is_refreshed_with_every_request_if_asked(
    opened: &stores::Opened,
    security: CookieContentSecurity,
) {
    let app = app!(actix(opened), security, TtlExtensionPolicy::OnEveryRequest);
    let (cookie, _) = call!(&app, "POST", "/count", None);
    assert_eq!(call!(&app, "GET", "/", cookie.as_ref()).0.unwrap().max_age(), Some(TTL));
}

fn state(pairs: &[(&str, Value)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

#[actix_web::test]
async fn parallel_requests_lose_nothing() {
    for opened in stores::all().await {
        let store = actix(&opened);
        let key = store.save(state(&[("user_id", json!("ferris"))]), &TTL).await.unwrap();
        for round in 0..opened.rounds(200) {
            let requests = (0..8).map(async |n| {
                let mut mine = store.load(&key).await.unwrap().unwrap();
                // All have loaded before anyone saves.
                tokio::task::yield_now().await;
                mine.insert(format!("{round}-{n}"), "true".to_owned());
                store.update(copy(&key), mine, &TTL).await.unwrap();
            });
            futures_util::future::join_all(requests).await;
            let all = store.load(&key).await.unwrap().unwrap();
            assert!((0..8).all(|n| all.contains_key(&format!("{round}-{n}"))), "{}: {round}", opened.name());
            if round % 20 == 19 {
                store.update(copy(&key), state(&[("user_id", json!("ferris"))]), &TTL).await.unwrap();
            }
        }
    }
}

fn copy(key: &SessionKey) -> SessionKey {
    SessionKey::try_from(key.as_ref().to_owned()).unwrap()
}

#[actix_web::test]
async fn an_update_after_a_delete_finds_nothing_and_makes_nothing() {
    for opened in stores::all().await {
        let store = actix(&opened);
        let key = store.save(state(&[("a", json!(1))]), &TTL).await.unwrap();
        let mut loaded = store.load(&key).await.unwrap().unwrap();
        loaded.insert("late".to_owned(), "1".to_owned());
        store.delete(&key).await.unwrap();
        let same = store.update(copy(&key), loaded, &TTL).await.unwrap();
        assert_eq!(same.as_ref(), key.as_ref());
        store.update(copy(&key), state(&[("b", json!(2))]), &TTL).await.unwrap();
        store.update_ttl(&key, &TTL).await.unwrap();
        assert!(store.load(&key).await.unwrap().is_none());
        assert_eq!(store.sessions().count(None).await.unwrap(), 0);
        assert_eq!(
            store.sessions().fate(&SessionId::new(key.as_ref()).unwrap()).await.unwrap(),
            Fate::Destroyed
        );
    }
}

#[actix_web::test]
async fn expiry_is_the_middlewares_to_decide() {
    for opened in stores::all().await {
        let store = actix(&opened);
        let key = store.save(state(&[("a", json!(1))]), &TTL).await.unwrap();
        let id = SessionId::new(key.as_ref()).unwrap();
        let sessions: &Sessions<_> = store.sessions();
        let first = sessions.load(&id).await.unwrap().unwrap().expires_at();
        assert_eq!(sessions.touch(&id).await.unwrap(), TouchOutcome::Throttled(first));
        sessions.modify(&id, |values| _ = values.values_mut().remove("a")).await.unwrap().unwrap();
        assert_eq!(sessions.load(&id).await.unwrap().unwrap().expires_at(), first);
        store.update_ttl(&key, &Duration::seconds(3_600)).await.unwrap();
        let moved = sessions.load(&id).await.unwrap().unwrap().expires_at();
        assert!(moved.saturating_since(first).as_secs() > 3_500, "{moved:?}");
        // A session that is to live no longer is dead with the update.
        store.update(copy(&key), state(&[("b", json!(1))]), &Duration::ZERO).await.unwrap();
        assert!(store.load(&key).await.unwrap().is_none());
    }
}

#[actix_web::test]
async fn errors_have_their_kind() {
    let memory = std::sync::Arc::new(MemoryStore::new());
    let store = ActixStore::from(ActixStore::builder(memory.clone()).payload_limit(20).build().unwrap());
    let error = store.save(state(&[("a", json!("x".repeat(20)))]), &TTL).await.unwrap_err();
    assert!(matches!(error, SaveError::Serialization(_)), "{error:?}");
    let no_json = HashMap::from([("a".to_owned(), "no JSON".to_owned())]);
    assert!(matches!(store.save(no_json, &TTL).await.unwrap_err(), SaveError::Serialization(_)));
    let id = SessionId::random().unwrap();
    Sessions::<String>::new(memory.clone()).create_with_id(&id, &"no object".to_owned()).await.unwrap();
    let key = SessionKey::try_from(id.expose().to_owned()).unwrap();
    let LoadError::Deserialization(error) = store.load(&key).await.unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(error.downcast::<session_store::Error>().unwrap().kind(), ErrorKind::Corrupt);
    // A key that no id can be is nobody's.
    let long = SessionKey::try_from("x".repeat(300)).unwrap();
    assert!(store.load(&long).await.unwrap().is_none());
    assert_eq!(memory.count(&session_store::contract::Filter::default(), Timestamp::MIN).await.unwrap(), 1);
}
