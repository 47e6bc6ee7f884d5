//! The cookie, and what caches may do with its answers.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::routing::get;
use session_store::web::{Cookie, SameSite, Session, SessionLayer};

use crate::stores;
use crate::support::{Site, Visit, on_every_store, plain};

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_set_when_something_is_written_and_then_left_alone() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        let answer = visitor.visit("/count").await;
        let cookies = answer.set_cookie();
        let (value, attributes) = cookies[0].split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly; Max-Age=86400; SameSite=Lax; Secure");
        assert_eq!((cookies.len(), value.len()), (1, "__Host-session=".len() + 43));
        for path in ["/", "/count", "/static"] {
            assert_eq!(visitor.visit(path).await.set_cookie(), [""; 0], "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_cookies_of_one_name_are_all_tried() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        let live = visitor.cookies();
        let dead = format!("__Host-session={}", "x".repeat(43));
        for cookies in [
            format!("{dead}; {live}"),
            format!("{live}; {dead}"),
            format!("a=b; {dead}; __Host-session=; {live}"),
        ] {
            assert_eq!(visitor.ask_with("/", Some(&cookies)).await.text, "ann", "{cookies}");
        }
        // Whoever signs out is signed out of all of them.
        let mut other = site.visitor();
        other.see("/sign-in/ben").await;
        assert_eq!(
            visitor.ask_with("/sign-out", Some(&format!("{live}; {}", other.cookies()))).await.text,
            "true"
        );
        assert_eq!(site.live().await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_layers_with_two_names_do_not_touch_each_other() {
    for opened in stores::all().await {
        let layered = |sessions: session_store::Sessions<Visit>, router: Router| {
            let named = |name: &str| {
                let cookie = Cookie::new(name).with_same_site(SameSite::Strict);
                SessionLayer::builder(sessions.clone()).cookie(cookie).build().unwrap()
            };
            Router::new()
                .nest("/inner", router.clone().layer(named("inner")))
                .merge(router)
                .layer(named("outer"))
        };
        let site = Site::serve(&opened, plain, layered).await;
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        assert_eq!(visitor.see("/inner").await, "nobody");
        assert!(visitor.cookies().starts_with("outer="), "{}", visitor.cookies());
        visitor.see("/inner/sign-in/ben").await;
        assert_eq!((visitor.see("/").await.as_str(), visitor.see("/inner").await.as_str()), ("ann", "ben"));
        visitor.see("/inner/sign-out").await;
        assert_eq!(
            (visitor.see("/").await.as_str(), visitor.see("/inner").await.as_str()),
            ("ann", "nobody")
        );
        assert_eq!(site.live().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_shared_cache_may_keep_an_answer_that_depends_on_the_session() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        let answer = visitor.visit("/static").await;
        assert_eq!((answer.header(VARY), answer.header(CACHE_CONTROL)), (vec![], vec![]));
        for path in ["/", "/count", "/count", "/sign-in/ann", "/", "/sign-out"] {
            let answer = visitor.visit(path).await;
            assert_eq!(
                (answer.header(VARY), answer.header(CACHE_CONTROL)),
                (vec!["Cookie"], vec!["private"]),
                "{path}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_sets_a_cookie_is_private_whatever_the_handler_says() {
    let open = |session: Session<Visit>| async move {
        session.modify(|visit| visit.count += 1).await.unwrap();
        [(CACHE_CONTROL, "public, max-age=60, s-maxage=600")]
    };
    for opened in stores::all().await {
        let site = Site::serve(&opened, plain, |sessions, router| {
            router.route("/open", get(open)).layer(SessionLayer::new(sessions))
        });
        let site = site.await;
        let mut visitor = site.visitor();
        assert_eq!(visitor.visit("/open").await.header(CACHE_CONTROL), ["private, max-age=60"]);
        // Without a cookie it is the handler's to say, and it varies.
        let answer = visitor.visit("/open").await;
        assert_eq!(answer.header(CACHE_CONTROL), ["public, max-age=60, s-maxage=600"]);
        assert_eq!(answer.header(VARY), ["Cookie"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_may_end_with_the_browser_and_go_over_http_for_development() {
    for opened in stores::all().await {
        let site = Site::serve(&opened, plain, |sessions, router| {
            let cookie = Cookie::default().with_end_of_browser(true);
            router.layer(
                SessionLayer::builder(sessions).cookie(cookie).insecure_for_development().build().unwrap(),
            )
        });
        let answer = site.await.visitor().visit("/count").await;
        let cookies = answer.set_cookie();
        assert_eq!(cookies[0].split_once(';').unwrap().1, " Path=/; HttpOnly; SameSite=Lax");
        assert!(cookies[0].starts_with("session="));
    }
}

#[tokio::test]
async fn a_layer_whose_cookie_browsers_would_drop_is_not_built() {
    let sessions = session_store::Sessions::<Visit>::new(session_store::MemoryStore::new());
    for cookie in [
        Cookie::default().with_secure(false),
        Cookie::default().with_path("/shop"),
        Cookie::default().with_domain("shop.example"),
        Cookie::new("x").with_secure(false).with_same_site(SameSite::None),
        Cookie::new("x").with_secure(false).with_partitioned(true),
    ] {
        let layer = SessionLayer::builder(sessions.clone()).cookie(cookie);
        assert_eq!(layer.build().unwrap_err().kind(), session_store::ErrorKind::InvalidInput);
    }
    // For development, what asks for https goes.
    let partitioned = Cookie::default().with_same_site(SameSite::None).with_partitioned(true);
    SessionLayer::builder(sessions).cookie(partitioned).insecure_for_development().build().unwrap();
}

#[tokio::test]
async fn a_route_without_a_layer_says_so() {
    use tower::ServiceExt as _;
    let app: Router =
        Router::new().route("/", get(|session: Session<Visit>| async move { format!("{session:?}") }));
    let request = axum::http::Request::get("/").body(axum::body::Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), axum::http::StatusCode::INTERNAL_SERVER_ERROR);
}
