//! tower-sessions' own `CachingSessionStore` in front of our store, with a cache of its own: it is refused, so that a session
//! that was signed out does not come back. Each version of tower-sessions has types of its own, so this is a macro.

/// The tests, for the tower-sessions of this path, with this cache.
macro_rules! caching {
    ($($tower:ident)::+, $Cache:ty, $cache:expr) => {
        mod caching {
            use axum::Extension;
            use axum::body::Body;
            use axum::http::{Request, StatusCode, header};
            use axum::routing::get;
            use session_store::tower_sessions::TowerStore;
            use session_store::{Fate, SessionId};
            use time::{Duration, OffsetDateTime};
            use tower::ServiceExt as _;
            use $($tower)::+::session::{Id, Record};
            use $($tower)::+::session_store::Error;
            use $($tower)::+::{CachingSessionStore, Session, SessionManagerLayer, SessionStore};

            use crate::stores;

            fn cached(store: &TowerStore) -> CachingSessionStore<$Cache, TowerStore> {
                CachingSessionStore::new($cache, store.clone())
            }

            fn record() -> Record {
                Record {
                    id: Id::default(),
                    data: [("user".to_owned(), "alice".into())].into(),
                    expiry_date: OffsetDateTime::now_utc() + Duration::hours(1),
                }
            }

            /// Signs in, signs out while another request is under way, and lets that one save. Whether a later request finds the
            /// session, and what came of the save.
            async fn late_save(store: &TowerStore) -> (bool, Result<(), Error>) {
                let host = cached(store);
                let mut made = record();
                host.create(&mut made).await.unwrap();
                let mut late = host.load(&made.id).await.unwrap().unwrap();
                late.data.insert("late".to_owned(), 1.into());
                host.delete(&made.id).await.unwrap();
                let saved = host.save(&late).await;
                (host.load(&made.id).await.unwrap().is_some(), saved)
            }

            #[tokio::test]
            async fn a_late_save_through_a_cache_is_refused_and_brings_nothing_back() {
                for opened in stores::all().await {
                    for creates_on_save in [false, true] {
                        let store = TowerStore::new(opened.store()).creates_on_save(creates_on_save);
                        let (is_back, saved) = late_save(&store).await;
                        assert!(!is_back, "{}", opened.name());
                        let error = saved.unwrap_err();
                        assert!(
                            matches!(&error, Error::Backend(why) if why.contains("`TowerStore::takes_copies(true)`")),
                            "{error}"
                        );
                        assert_eq!(store.sessions().count(None).await.unwrap(), 0);
                    }
                }
            }

            /// The test above can fail: without the refusal the cache has the dead session again.
            #[tokio::test]
            async fn without_the_refusal_the_cache_brings_the_session_back() {
                for opened in stores::all().await {
                    let store = TowerStore::new(opened.store()).takes_copies(true);
                    let (is_back, saved) = late_save(&store).await;
                    assert!(is_back && saved.is_ok(), "{}", opened.name());
                    // In this process alone: the table has it no more.
                    assert_eq!(store.sessions().count(None).await.unwrap(), 0);
                }
            }

            #[tokio::test]
            async fn who_was_signed_out_elsewhere_changes_nothing_through_a_cache() {
                for opened in stores::all().await {
                    let store = TowerStore::new(opened.store());
                    let host = cached(&store);
                    let mut made = record();
                    host.create(&mut made).await.unwrap();
                    let id = SessionId::new(made.id.to_string()).unwrap();
                    // From another process, which this one's cache does not hear of.
                    assert!(store.sessions().destroy(&id).await.unwrap());
                    let mut copy = host.load(&made.id).await.unwrap().expect("the cache does not know");
                    copy.data.insert("late".to_owned(), 1.into());
                    host.save(&copy).await.unwrap_err();
                    // A sign-in would put what the dead session held under a new id.
                    copy.id = Id::default();
                    host.create(&mut copy).await.unwrap_err();
                    assert_eq!(store.sessions().fate(&id).await.unwrap(), Fate::Destroyed, "{}", opened.name());
                    assert_eq!(store.sessions().count(None).await.unwrap(), 0);
                }
            }

            #[tokio::test]
            async fn an_application_with_a_cache_answers_500_when_it_changes_a_session() {
                for opened in stores::all().await {
                    let store = TowerStore::new(opened.store());
                    let app = axum::Router::new()
                        .route("/set/{name}", get(set))
                        .layer(SessionManagerLayer::new(cached(&store)).with_secure(false));
                    let request = |path: &str, cookie: &str| {
                        let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap();
                        app.clone().oneshot(request)
                    };
                    let first = request("/set/a", "").await.unwrap();
                    assert_eq!(first.status(), StatusCode::OK);
                    let cookie = first.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
                    for _ in 0..2 {
                        let answer = request("/set/b", cookie).await.unwrap();
                        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{}", opened.name());
                    }
                    let id: Id = cookie.split_once('=').unwrap().1.parse().unwrap();
                    let data = store.load(&id).await.unwrap().unwrap().data;
                    assert!(data.contains_key("a") && !data.contains_key("b"), "{data:?}");
                }
            }

            async fn set(axum::extract::Path(name): axum::extract::Path<String>, Extension(session): Extension<Session>) {
                session.insert(&name, true).await.unwrap();
            }

            /// A request may save more than once, and move its record about.
            #[tokio::test]
            async fn what_a_request_does_with_its_own_record_is_not_taken_for_a_cache() {
                for opened in stores::all().await {
                    let store = TowerStore::new(opened.store());
                    let app = axum::Router::new()
                        .route(
                            "/",
                            get(async |Extension(session): Extension<Session>| {
                                for n in 0..100 {
                                    session.insert(&n.to_string(), n).await.unwrap();
                                    if n % 10 == 0 {
                                        session.save().await.unwrap();
                                    }
                                }
                                session.cycle_id().await.unwrap();
                                session.save().await.unwrap();
                                session.insert("last", true).await.unwrap();
                            }),
                        )
                        .layer(SessionManagerLayer::new(store.clone()).with_secure(false));
                    let mut cookie = String::new();
                    for _ in 0..3 {
                        let request = Request::get("/").header(header::COOKIE, &cookie).body(Body::empty()).unwrap();
                        let answer = app.clone().oneshot(request).await.unwrap();
                        assert_eq!(answer.status(), StatusCode::OK, "{}", opened.name());
                        let set = answer.headers()[header::SET_COOKIE].to_str().unwrap();
                        cookie = set.split(';').next().unwrap().to_owned();
                    }
                    assert_eq!(store.sessions().count(None).await.unwrap(), 1);
                }
            }

            #[tokio::test]
            async fn with_the_option_what_others_write_is_kept_by_saves_of_copies() {
                for opened in stores::all().await {
                    let store = TowerStore::new(opened.store()).takes_copies(true);
                    let mut made = record();
                    store.create(&mut made).await.unwrap();
                    let mut copy = made.clone();
                    // Somebody else.
                    made.data.insert("user".to_owned(), "bob".into());
                    store.save(&made).await.unwrap();
                    copy.data.insert("cart".to_owned(), 1.into());
                    store.save(&copy).await.unwrap();
                    let data = store.load(&made.id).await.unwrap().unwrap().data;
                    assert_eq!((&data["user"], &data["cart"]), (&"bob".into(), &1.into()), "{}", opened.name());
                    store.delete(&made.id).await.unwrap();
                    store.save(&copy).await.unwrap();
                    assert_eq!(store.load(&made.id).await.unwrap(), None);
                }
            }
        }
    };
}

pub(crate) use caching;
