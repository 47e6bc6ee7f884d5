//! When sessions and their cookies end, to the millisecond, by a clock that is turned.

use std::time::Duration;

use session_store::TimeToLive;

use crate::support::{DAY, Site, Visit, Visitor, ms, on_every_store, plain};

const HALF_HOUR: Duration = Duration::from_secs(1800);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Whether the session is there, as the server sees it with the cookie that it once set.
async fn is_live(visitor: &Visitor, cookies: &str) -> bool {
    visitor.ask_with("/", Some(cookies)).await.text == "ann"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_ends_at_its_millisecond() {
    let options = |builder: session_store::SessionsBuilder<Visit>| {
        builder.time_to_live(TimeToLive::fixed(ms(90_500)).unwrap()).touch_throttle(0)
    };
    on_every_store(options, async |site: Site| {
        let mut visitor = site.visitor();
        // A browser counts in seconds: it keeps the cookie for a part of one more.
        assert_eq!(visitor.visit("/sign-in/ann").await.max_age(), Some(91));
        let cookies = visitor.cookies();
        for _ in 0..3 {
            site.clock.advance(ms(90_499));
            let answer = visitor.visit("/").await;
            assert_eq!((answer.text.as_str(), answer.max_age()), ("ann", Some(91)), "each use renews both");
        }
        site.clock.advance(ms(90_500));
        assert!(!is_live(&visitor, &cookies).await);
        assert_eq!(visitor.ask("/").await.set_cookie(), [""; 0]);
        site.clock.advance(ms(500));
        assert_eq!(visitor.cookies(), "", "the browser has dropped it");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_renews_session_and_cookie_too() {
    let options = |builder: session_store::SessionsBuilder<Visit>| {
        builder.time_to_live(TimeToLive::fixed(ms(60_000)).unwrap()).touch_throttle(0)
    };
    on_every_store(options, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        for path in ["/count", "/read-and-count", "/part/1"] {
            site.clock.advance(ms(59_999));
            assert_eq!(visitor.visit(path).await.max_age(), Some(60), "{path}");
        }
        site.clock.advance(ms(59_999));
        assert_eq!(visitor.see("/").await, "ann");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_goes_out_again_exactly_when_the_expiry_moves() {
    on_every_store(plain, async |site: Site| {
        let mut visitor = site.visitor();
        visitor.see("/sign-in/ann").await;
        for path in ["/", "/count"] {
            let moves_at = DAY / 10;
            site.clock.advance(moves_at - ms(1));
            assert_eq!(visitor.visit(path).await.max_age(), None, "{path}");
            site.clock.advance(ms(1));
            assert_eq!(visitor.visit(path).await.max_age(), Some(86_400), "{path}");
            assert_eq!(visitor.visit(path).await.max_age(), None, "{path}");
        }
        let cookies = visitor.cookies();
        site.clock.advance(DAY - ms(1));
        assert!(is_live(&visitor, &cookies).await);
        site.clock.advance(DAY);
        assert!(!is_live(&visitor, &cookies).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_end_holds_however_often_the_session_is_used() {
    let options = |builder: session_store::SessionsBuilder<Visit>| {
        let builder = builder.time_to_live(TimeToLive::fixed(ms(60_000)).unwrap());
        builder.max_lifetime(ms(100_000)).touch_throttle(0)
    };
    on_every_store(options, async |site: Site| {
        let mut visitor = site.visitor();
        assert_eq!(visitor.visit("/count").await.max_age(), Some(60));
        site.clock.advance(ms(50_000));
        // A new id does not begin it anew.
        assert_eq!(visitor.visit("/sign-in/ann").await.max_age(), Some(50));
        site.clock.advance(ms(48_500));
        assert_eq!(visitor.visit("/count").await.max_age(), None, "the cookie's end stays where it is");
        let cookies = visitor.cookies();
        site.clock.advance(ms(1_499));
        assert!(is_live(&visitor, &cookies).await);
        site.clock.advance(ms(1));
        assert!(!is_live(&visitor, &cookies).await);
        assert_eq!(visitor.cookies(), "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_be_remembered_is_for_as_long_as_he_wants_it() {
    let options = |builder: session_store::SessionsBuilder<Visit>| {
        let rule = |_: &session_store::SessionId, visit: &Visit| {
            Some(if visit.remember { MONTH } else { HALF_HOUR })
        };
        builder.time_to_live(TimeToLive::per_session(rule))
    };
    on_every_store(options, async |site: Site| {
        let mut visitor = site.visitor();
        assert_eq!(visitor.visit("/sign-in/ann").await.max_age(), Some(1800));
        assert_eq!(visitor.visit("/remember/true").await.max_age(), Some(30 * 86_400));
        site.clock.advance(MONTH - ms(1));
        assert_eq!(visitor.see("/").await, "ann");
        assert_eq!(visitor.visit("/remember/false").await.max_age(), Some(1800));
        let cookies = visitor.cookies();
        site.clock.advance(HALF_HOUR - ms(1));
        assert!(is_live(&visitor, &cookies).await);
        site.clock.advance(HALF_HOUR - ms(1));
        assert!(is_live(&visitor, &cookies).await);
        site.clock.advance(HALF_HOUR);
        assert!(!is_live(&visitor, &cookies).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_end_has_a_cookie_for_as_long_as_browsers_keep_one() {
    on_every_store(
        |builder| builder.time_to_live(TimeToLive::never()),
        async |site: Site| {
            assert_eq!(site.visitor().visit("/count").await.max_age(), Some(400 * 86_400));
        },
    )
    .await;
}
