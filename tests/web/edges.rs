//! What else a real application meets.

use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{Method, StatusCode};

use crate::support::{Site, on_every_store, plain};

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_others_however_large_are_passed_over() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        let ours = visitor.cookies();
        let large = "x".repeat(5_000);
        for cookies in [
            format!("other={large}; {ours}"),
            format!("{ours}; other={large}"),
            // One of ours that no browser would have kept.
            format!("__Host-session={large}; {ours}"),
        ] {
            let answer = visitor.ask_with("/", Some(&cookies)).await;
            assert_eq!((answer.text.as_str(), answer.set_cookie()), ("ann", vec![]));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_answered_as_a_get_and_options_ask_for_nothing() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        let cookies = visitor.cookies();
        site.tap.calls();
        let get = visitor.ask_with("/", Some(&cookies)).await;
        let head = visitor.ask_by(Method::HEAD, "/", Some(&cookies)).await;
        assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
        for name in [VARY, CACHE_CONTROL] {
            assert_eq!(head.header(name.clone()), get.header(name));
        }
        assert_eq!(site.tap.calls(), ["load", "load"]);
        let options = visitor.ask_by(Method::OPTIONS, "/", Some(&cookies)).await;
        assert_eq!((options.status, options.set_cookie()), (StatusCode::METHOD_NOT_ALLOWED, vec![]));
        assert_eq!(site.tap.calls(), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_handler_stay_beside_the_cookie() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        let answer = visitor.visit("/headers").await;
        let cookies = answer.set_cookie();
        assert_eq!(cookies[..2], ["theme=dark; Path=/", "lang=en; Path=/"]);
        assert!(cookies.len() == 3 && cookies[2].starts_with("__Host-session="), "{cookies:?}");
        assert_eq!(answer.header(VARY), ["Accept-Language", "Cookie"]);
        assert_eq!(answer.header(CACHE_CONTROL), ["private, max-age=60"]);
        // Without a cookie of ours the handler's word stands.
        let answer = visitor.visit("/headers").await;
        assert_eq!((answer.set_cookie().len(), answer.header(CACHE_CONTROL)), (2, vec!["max-age=60"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_before_an_extractor_that_refuses_is_kept_with_its_cookie() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        let answer = visitor.visit("/wants-a-number/none").await;
        assert_eq!((answer.status, answer.set_cookie().len()), (StatusCode::BAD_REQUEST, 1));
        assert_eq!(visitor.see("/wants-a-number/7").await, "7");
        assert_eq!(visitor.see("/count").await, "3");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_outlives_the_answer_changes_the_session() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/count").await;
        visitor.see("/counts-later").await;
        site.gates.arrived().await;
        site.gates.open();
        site.gates.arrived().await;
        assert_eq!((visitor.see("/count").await.as_str(), site.live().await), ("3", 1));

        // Where there is none, it is too late to begin one.
        let mut other = site.visitor();
        assert_eq!(other.visit("/counts-later").await.set_cookie(), [""; 0]);
        site.gates.arrived().await;
        site.gates.open();
        site.gates.arrived().await;
        assert_eq!(site.live().await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_request_whose_browser_has_gone_begins_no_session() {
    on_every_store(plain, async |site: Site| {
        let visitor = site.visitor();
        let request = tokio::spawn(async move { visitor.ask("/never-answers").await });
        site.gates.arrived().await;
        request.abort();
        // The server drops the handler.
        site.gates.arrived().await;
        site.gates.open();
        site.gates.arrived().await;
        assert_eq!(site.tap.calls(), [""; 0]);
        assert_eq!(site.tap.store().clear().await.unwrap(), 0, "nobody could ever use it");
    })
    .await;
}
