//! Rounds of parallel requests under tower-sessions' own layer. Each of its versions has types of its own, so this is a
//! macro.

/// `insert_in_parallel`, for the tower-sessions of this path.
macro_rules! rounds {
    ($($tower:ident)::+) => {
        const REQUESTS: usize = 8;

        /// Each request loads the session, waits for all others to have done so, and inserts a member of its own.
        fn app<S: $($tower)::+::SessionStore + Clone>(store: S, always_save: bool) -> axum::Router {
            use axum::extract::Path;
            use axum::{Extension, routing::get};
            use $($tower)::+::{Expiry, Session, SessionManagerLayer};
            let layer = SessionManagerLayer::new(store)
                .with_secure(false)
                .with_always_save(always_save)
                .with_expiry(Expiry::OnInactivity(time::Duration::days(1)));
            let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(REQUESTS));
            axum::Router::new()
                .route("/begin", get(async |session: Extension<Session>| session.insert("begun", true).await.unwrap()))
                .route(
                    "/insert/{name}",
                    get(async move |Path(name): Path<String>, session: Extension<Session>| {
                        session.get::<bool>("begun").await.unwrap().unwrap();
                        barrier.wait().await;
                        session.insert(&name, &name).await.unwrap();
                    }),
                )
                .layer(layer)
        }

        async fn call(app: &axum::Router, path: &str, cookie: &str) -> axum::response::Response {
            use tower::ServiceExt as _;
            let request = axum::http::Request::builder().uri(path).header(axum::http::header::COOKIE, cookie);
            let request = request.body(axum::body::Body::empty()).unwrap();
            let answer = app.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), axum::http::StatusCode::OK, "{path}");
            answer
        }

        /// Rounds of parallel requests, each of which begins with what the one before left. `host` is what the layer has:
        /// the store, or what a host wraps it in.
        async fn insert_in_parallel<S: $($tower)::+::SessionStore + Clone>(
            opened: &$crate::stores::Opened,
            store: &session_store::tower_sessions::TowerStore,
            host: S,
            always_save: bool,
        ) {
            let app = app(host, always_save);
            let answer = call(&app, "/begin", "").await;
            let cookie = answer.headers()[axum::http::header::SET_COOKIE].to_str().unwrap();
            let cookie = cookie.split(';').next().unwrap().to_owned();
            let id = session_store::SessionId::new(cookie.split_once('=').unwrap().1.to_owned()).unwrap();
            let rounds = opened.rounds(1_000);
            for round in 0..rounds {
                let paths: Vec<String> = (0..REQUESTS).map(|n| format!("/insert/{n}-{round}")).collect();
                futures_util::future::join_all(paths.iter().map(|path| call(&app, path, &cookie))).await;
                let data = store.sessions().load(&id).await.unwrap().unwrap().data;
                for n in 0..REQUESTS {
                    let name = format!("{n}-{round}");
                    assert!(data.get(&name).is_some(), "{}: {name} is lost, in round {round}", opened.name());
                }
                if round % 5 == 4 {
                    // It need not become ever larger: each member costs a digest with each load and save.
                    let emptied =
                        store.sessions().modify(&id, |values| values.values_mut().retain(|name, _| name == "begun"));
                    emptied.await.unwrap().unwrap();
                }
            }
            eprintln!("{}: {rounds} rounds of {REQUESTS} requests, all there", opened.name());
        }
    };
}

pub(crate) use rounds;
