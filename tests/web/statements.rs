//! What a request asks of the database, and no more.

use session_store::{CacheSize, Sessions, SessionsBuilder};

use crate::support::{DAY, Site, Visit, on_every_store, plain};

fn cached(builder: SessionsBuilder<Visit>) -> SessionsBuilder<Visit> {
    builder.cache(CacheSize::sessions(100))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_for_those_who_carry_nothing() {
    on_every_store(plain, async |site: Site| {
        let visitor = site.visitor();
        for path in ["/static", "/", "/read-twice", "/devices", "/sign-out", "/sign-out-everywhere"] {
            let answer = visitor.ask(path).await;
            assert_eq!((answer.set_cookie(), site.tap.calls()), (vec![], vec![]), "{path}");
            // What cannot be an id of ours is nothing either.
            let answer = visitor.ask_with(path, Some("__Host-session=forged; __Host-session=")).await;
            assert_eq!((answer.set_cookie(), site.tap.calls()), (vec![], vec![]), "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reads_its_session_at_most_once_and_touches_it_now_and_then() {
    on_every_store(plain, costs_of_requests).await;
    // Whoever keeps sessions asks all the same.
    on_every_store(cached, costs_of_requests).await;
}

async fn costs_of_requests(site: Site) {
    let mut visitor = site.visitor();
    let mut costs = async |path: &'static str| {
        visitor.see(path).await;
        site.tap.calls()
    };
    assert_eq!(costs("/count").await, ["create"]);
    assert_eq!(costs("/static").await, [""; 0]);
    assert_eq!(costs("/").await, ["load"]);
    assert_eq!(costs("/read-twice").await, ["load"]);
    assert_eq!(costs("/count").await, ["load", "update"]);
    assert_eq!(costs("/read-and-count").await, ["load", "update"]);

    // A tenth of its life later.
    site.clock.advance(DAY / 10);
    assert_eq!(costs("/static").await, [""; 0]);
    assert_eq!(costs("/").await, ["load", "touch"]);
    assert_eq!(costs("/").await, ["load"]);
    site.clock.advance(DAY / 10);
    // The cookie goes out again, to a session that is still there.
    assert_eq!(costs("/count").await, ["load", "update", "fate"]);
    assert_eq!(costs("/count").await, ["load", "update"]);

    assert_eq!(costs("/sign-in/ann").await, ["load", "rotate"]);
    assert_eq!(costs("/sign-out-elsewhere").await, ["load", "destroy_principal"]);
    assert_eq!(costs("/sign-out").await, ["write_many"]);
    assert_eq!(costs("/sign-in/ann").await, ["create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_through_a_cache_sees_what_others_did() {
    on_every_store(cached, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        for _ in 0..2 {
            assert_eq!(visitor.see("/").await, "ann");
        }
        let other: Sessions<Visit> =
            Sessions::builder(site.tap.store().clone()).clock(site.clock.clone()).build().unwrap();
        let id =
            site.sessions.list(Some("ann"), None, std::num::NonZeroU32::MIN).await.unwrap().remove(0).key;
        let carried = visitor.cookies();
        let carried = carried.split_once('=').unwrap().1;
        let carried = session_store::SessionId::new(carried).unwrap();
        assert_eq!(site.sessions.key(&carried).unwrap(), id);
        other.modify(&carried, |visit| visit.user = Some("bob".to_owned())).await.unwrap().unwrap();
        assert_eq!(visitor.see("/").await, "bob");
        assert_eq!(visitor.see("/count").await, "1");
        assert_eq!(other.load(&carried).await.unwrap().unwrap().data.count, 1);
        other.destroy(&carried).await.unwrap();
        assert_eq!(visitor.see("/").await, "nobody");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawler_without_cookies_makes_no_row() {
    on_every_store(plain, async |site: Site| {
        let crawler = site.visitor();
        for _ in 0..100 {
            for path in ["/", "/static", "/read-twice", "/devices"] {
                assert_eq!(crawler.ask(path).await.set_cookie(), [""; 0]);
            }
        }
        assert_eq!(site.live().await, 0);
        assert_eq!(site.tap.store().clear().await.unwrap(), 0, "not even a dead one");
    })
    .await;
}
