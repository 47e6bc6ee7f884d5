//! A host that wraps a store and forwards `save`, `load` and `delete`, so that `create` is the trait's own, which saves.
//! cot 0.7 does so (`SessionStoreWrapper`): `tests/cot` has an application on it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use session_store::tower_sessions::TowerStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::{Session, SessionManagerLayer, SessionStore, session_store::Result};

use crate::stores;

crate::rounds::rounds!(tower_sessions);

#[derive(Clone, Debug)]
struct Wrapper(Arc<dyn SessionStore>);

#[async_trait]
impl SessionStore for Wrapper {
    async fn save(&self, record: &Record) -> Result<()> {
        self.0.save(record).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        self.0.load(id).await
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.0.delete(id).await
    }
}

/// A host that forgets what its requests began with, so that each save replaces the session.
#[derive(Clone, Debug)]
struct Forgetful(TowerStore);

#[async_trait]
impl SessionStore for Forgetful {
    async fn save(&self, record: &Record) -> Result<()> {
        self.0.save(record).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let mut loaded = self.0.load(id).await?;
        if let Some(record) = &mut loaded {
            record.data.remove("session-store.base").expect("a record carries what it was loaded with");
        }
        Ok(loaded)
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.0.delete(id).await
    }
}

/// The rounds see what is lost: they fail where saves replace each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rounds_catch_saves_that_replace_each_other() {
    let opened = stores::Opened::new("memory", Arc::new(session_store::MemoryStore::new()));
    let store = TowerStore::new(opened.store()).creates_on_save(true);
    let rounds = tokio::spawn(async move {
        insert_in_parallel(&opened, &store, Forgetful(store.clone()), false).await;
    });
    let panic = rounds.await.unwrap_err().into_panic();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("is lost, in round 0"), "{message}");
}

#[tokio::test]
async fn without_the_option_a_new_session_is_an_error_and_no_silent_loss() {
    use tower::ServiceExt as _;
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store());
        let app = app(Wrapper(Arc::new(store.clone())), false);
        let request = axum::http::Request::get("/begin").body(axum::body::Body::empty()).unwrap();
        let answer = app.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{}", opened.name());
        assert_eq!(answer.headers().get(header::SET_COOKIE), None);
        assert_eq!(store.sessions().count(None).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_option_sessions_are_made_and_parallel_requests_lose_nothing() {
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store()).creates_on_save(true);
        for always_save in [false, true] {
            insert_in_parallel(&opened, &store, Wrapper(Arc::new(store.clone())), always_save).await;
        }
        assert_eq!(store.sessions().count(None).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn with_the_option_a_late_save_brings_nothing_back() {
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store()).creates_on_save(true);
        let host = Wrapper(Arc::new(store.clone()));
        let answer = call(&app(host.clone(), false), "/begin", "").await;
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        let id: Id = cookie.split(';').next().unwrap().split_once('=').unwrap().1.parse().unwrap();
        let mut late = host.load(&id).await.unwrap().unwrap();
        late.data.insert("late".to_owned(), true.into());
        host.delete(&id).await.unwrap();
        host.save(&late).await.unwrap();
        assert_eq!(host.load(&id).await.unwrap(), None, "{}", opened.name());
        assert_eq!(store.sessions().count(None).await.unwrap(), 0);
    }
}

/// The host gives the new id the old session's members, and with them what the old session was loaded with.
#[tokio::test]
async fn with_the_option_a_sign_in_moves_the_session_to_its_new_id() {
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store()).creates_on_save(true);
        let host = Wrapper(Arc::new(store.clone()));
        let app = Router::new()
            .route("/begin", get(async |session: Session| session.insert("cart", 1).await.unwrap()))
            .route(
                "/sign-in",
                get(async |session: Session| {
                    session.cycle_id().await.unwrap();
                    session.insert("user", "ann").await.unwrap();
                }),
            )
            .layer(SessionManagerLayer::new(host.clone()).with_secure(false));
        let id = |answer: &axum::http::Response<axum::body::Body>| -> Id {
            let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
            cookie.split(';').next().unwrap().split_once('=').unwrap().1.parse().unwrap()
        };
        let guest = id(&call(&app, "/begin", "").await);
        let user = id(&call(&app, "/sign-in", &format!("id={guest}")).await);
        assert_ne!(guest, user);
        let data = host.load(&user).await.unwrap().expect("the session has the new id").data;
        assert_eq!((&data["cart"], &data["user"]), (&1.into(), &"ann".into()), "{}", opened.name());
        assert_eq!(host.load(&guest).await.unwrap(), None);
    }
}
