//! Many requests of one session at once.

use std::sync::Arc;

use axum::http::StatusCode;
use futures_util::future::join_all;
use session_store::MemoryStore;

use crate::stores::Opened;
use crate::support::{Site, Visitor, on_every_store, plain};

const PARALLEL: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_that_change_different_parts_lose_nothing() {
    on_every_store(plain, async |site: Site| {
        let visitor = signed_in(&site).await;
        for _ in 0..site.rounds {
            let requests = (0..PARALLEL).map(|part| {
                let visitor = visitor.clone();
                async move { visitor.ask(&format!("/part/{part}")).await }
            });
            for answer in join_all(requests).await {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
                assert_eq!(answer.set_cookie(), [""; 0]);
            }
        }
        let visit = stored(&site).await;
        let rounds = u64::try_from(site.rounds).unwrap();
        assert_eq!(visit.parts.into_values().collect::<Vec<_>>(), [rounds; PARALLEL], "{}", site.name);
        assert_eq!(visit.user.as_deref(), Some("ann"));
        eprintln!("{}: {} rounds of {PARALLEL} requests, all there", site.name, site.rounds);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_that_change_the_same_part_are_counted_exactly() {
    on_every_store(plain, async |site: Site| {
        let visitor = signed_in(&site).await;
        for _ in 0..site.rounds {
            let requests = (0..PARALLEL).map(|number| {
                let visitor = visitor.clone();
                let path = if number % 2 == 0 { "/count" } else { "/read-and-count" };
                async move { visitor.ask(path).await }
            });
            for answer in join_all(requests).await {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            }
        }
        assert_eq!(
            stored(&site).await.count,
            u64::try_from(site.rounds * PARALLEL).unwrap(),
            "{}",
            site.name
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_in_one_request_are_one_session() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        let answer = visitor.visit("/count-at-once").await;
        assert_eq!((answer.text.as_str(), answer.set_cookie().len()), ("8", 1));
        // One after the other: none makes another stale, however slow the database is.
        assert_eq!(site.tap.calls(), [vec!["create"], vec!["update"; 7]].concat());

        assert_eq!(visitor.see("/count-at-once").await, "16");
        assert_eq!(site.tap.calls(), [vec!["load"], vec!["update"; 8]].concat());
        assert_eq!(site.live().await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_polled_no_more_holds_up_no_other_for_ever() {
    // It waits for some seconds, so in memory alone.
    let opened = Opened::new("memory", Arc::new(MemoryStore::new()));
    let site = Site::open(&opened, plain).await;
    let mut visitor = site.visitor();
    visitor.see("/count").await;
    assert_eq!(visitor.see("/forgets-a-change").await, "2");
    assert_eq!(visitor.see("/count").await, "3");
}

async fn signed_in(site: &Site) -> Visitor {
    let mut visitor = site.visitor();
    visitor.see("/sign-in/ann").await;
    visitor
}

/// The one session that there is.
async fn stored(site: &Site) -> crate::support::Visit {
    let mut listed = site.sessions.list(None, None, std::num::NonZeroU32::MIN).await.unwrap();
    listed.pop().unwrap().session.unwrap().data
}
