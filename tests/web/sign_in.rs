//! Signing in: the old id is worth nothing, and nobody else's answer takes the new one away.

use axum::http::StatusCode;
use futures_util::future::join_all;
use session_store::SessionId;

use crate::support::{Site, ms, on_every_store, plain};

const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_changes_the_id_and_keeps_the_data() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/count").await;
        let old = visitor.cookies();
        visitor.see("/sign-in/ann").await;
        assert_ne!(visitor.cookies(), old);
        assert_eq!((visitor.see("/").await.as_str(), visitor.see("/count").await.as_str()), ("ann", "2"));
        assert_eq!(site.live().await, 1);

        // Whoever has the old one is nobody, can write nothing, and gets no cookie, until he signs in himself.
        let mallory = site.visitor();
        for (path, status, text) in [
            ("/", StatusCode::OK, Some("nobody")),
            ("/count", StatusCode::CONFLICT, None),
            ("/read-and-count", StatusCode::CONFLICT, None),
            ("/devices", StatusCode::OK, Some("")),
            ("/sign-out-elsewhere", StatusCode::OK, Some("0")),
            ("/sign-out-everywhere", StatusCode::OK, Some("0")),
            ("/sign-out", StatusCode::OK, Some("false")),
        ] {
            let answer = mallory.ask_with(path, Some(&old)).await;
            assert_eq!((answer.status, answer.set_cookie()), (status, vec![]), "{path}");
            assert!(text.is_none_or(|text| text == answer.text), "{path}: {}", answer.text);
        }
        assert_eq!((visitor.see("/").await.as_str(), site.live().await), ("ann", 1));
        let answer = mallory.ask_with("/sign-in/mallory", Some(&old)).await;
        assert_eq!((answer.status, answer.set_cookie().len()), (StatusCode::OK, 1));
        assert_eq!((visitor.see("/").await.as_str(), site.live().await), ("ann", 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_parallel_requests_around_a_sign_in_none_replaces_the_new_cookie() {
    on_every_store(plain, async |site: Site| {
        for round in 0..ROUNDS {
            let mut visitor = site.visitor();
            visitor.see("/count").await;
            let paths = [
                "/",
                "/count",
                "/read-and-count",
                "/sign-in/ann",
                "/part/1",
                "/read-twice",
                "/fails",
                "/devices",
            ];
            // Another one comes first in each round.
            let requests = (0..paths.len()).map(|number| {
                let (visitor, path) = (visitor.clone(), paths[(number + round) % paths.len()]);
                async move { (path, visitor.ask(path).await) }
            });
            for (path, answer) in join_all(requests).await {
                let signs_in = path == "/sign-in/ann";
                assert_eq!(
                    answer.set_cookie().len(),
                    usize::from(signs_in),
                    "{path}: {:?}",
                    answer.set_cookie()
                );
                visitor.browser.receive(&answer.headers);
            }
            assert_eq!(visitor.see("/").await, "ann", "round {round} on {}", site.name);
        }
        eprintln!("{}: signed in after {ROUNDS} rounds of 8 requests", site.name);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_after_the_sign_in_leaves_its_cookie_alone() {
    // Without a throttle every change moves the expiry, and would send the cookie again.
    on_every_store(
        |builder| builder.touch_throttle(0),
        async |site: Site| {
            for (path, status) in [("/slow-count", StatusCode::OK), ("/slow-read", StatusCode::CONFLICT)] {
                let mut visitor = site.visitor();
                visitor.see("/count").await;
                site.clock.advance(ms(1));
                let late = visitor.clone();
                let late = tokio::spawn(async move { late.ask(path).await });
                site.gates.arrived().await;
                visitor.see("/sign-in/ann").await;
                site.gates.open();
                let answer = late.await.unwrap();
                assert_eq!((answer.status, answer.set_cookie()), (status, vec![]), "{path}");
                assert_eq!(visitor.see("/").await, "ann");
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_id_is_never_taken_over() {
    on_every_store(plain, async |site: Site| {
        // One that nobody ever had.
        let random = SessionId::random().unwrap();
        let planted = format!("__Host-session={}", random.expose());
        for path in ["/count", "/sign-in/ann"] {
            let answer = site.visitor().ask_with(path, Some(&planted)).await;
            let cookies = answer.set_cookie();
            assert!(cookies.len() == 1 && !cookies[0].starts_with(&planted), "{path}: {cookies:?}");
        }
        assert_eq!(site.visitor().ask_with("/", Some(&planted)).await.text, "nobody");

        // One that is live, and somebody else's.
        let mut mallory = site.visitor();
        mallory.see("/count").await;
        let mut victim = site.visitor();
        victim.take(&mallory.cookies());
        victim.see("/sign-in/ann").await;
        assert_ne!(victim.cookies(), mallory.cookies());
        assert_eq!((mallory.see("/").await.as_str(), victim.see("/").await.as_str()), ("nobody", "ann"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sign_ins_at_once_are_both_signed_in() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/count").await;
        let answers = join_all((0..2).map(|_| visitor.ask("/sign-in/ann"))).await;
        for answer in answers {
            assert_eq!(answer.status, StatusCode::OK);
            visitor.browser.receive(&answer.headers);
            assert_eq!(visitor.see("/").await, "ann");
        }
    })
    .await;
}
