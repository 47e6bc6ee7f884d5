//! What goes out alone, what together, and how much of it.

use futures_util::future::{FutureExt as _, join_all};
use tokio::spawn;

use super::*;
use crate::contract::{Store, Touched};

#[tokio::test]
async fn a_single_caller_uses_the_single_forms_one_call_each() {
    let script = Script::open();
    let store = gathered(&script, NARROW);
    store.create(&create("a"), NOW).await.unwrap();
    store.load(&load("a"), NOW).await.unwrap();
    store.update(&update("a", "1"), NOW).await.unwrap();
    store.touch(&touch("a"), NOW).await.unwrap();
    store.destroy(&destroy("a"), NOW).await.unwrap();
    assert_eq!(script.calls(), ["create a", "load a", "update a", "touch a", "destroy a"]);
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_call_on_an_idle_lane_is_made_at_the_first_poll_of_its_caller() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let a = load("a");
    let mut call = store.load(&a, NOW);
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(script.calls(), ["load a"], "no other task had a turn");
    script.throw_open();
    assert_eq!(call.await.unwrap(), Loaded::Gone);
}

#[tokio::test]
async fn what_arrives_at_a_busy_lane_forms_one_batch_sorted_by_key() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    for name in ["a", "c", "b"] {
        script.inner.create(&create(name), NOW).await.unwrap();
    }
    let loads = ["first", "c", "a", "none", "b"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), NOW).await.unwrap() != Loaded::Gone })
    });
    settle().await;
    assert_eq!(script.calls(), ["load first"]);
    script.throw_open();
    let found: Vec<bool> = join_all(loads).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(found, [false, true, true, false, true], "each caller has the answer for its own key");
    assert_eq!(script.calls(), ["load first", "load_many a b c none"]);
    assert_idle(&store).await;
}

#[tokio::test]
async fn each_write_of_a_batch_has_the_outcome_of_its_own_kind() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    for name in ["a", "b", "c"] {
        script.inner.create(&create(name), NOW).await.unwrap();
    }
    let busy = spawn({
        let store = Arc::clone(&store);
        async move { store.touch(&touch("none"), NOW).await }
    });
    settle().await;
    let writes = async {
        tokio::join!(
            async { store.update(&update("b", "1"), NOW).await },
            async { store.touch(&touch("a"), NOW).await },
            async { store.destroy(&destroy("c"), NOW).await },
            async { store.create(&create("d"), NOW).await },
        )
    };
    let open = async {
        settle().await;
        script.throw_open();
    };
    let ((updated, touched, destroyed, created), ()) = tokio::join!(writes, open);
    assert_eq!(updated.unwrap(), crate::Updated::Saved(Version::new(2)));
    assert_eq!(touched.unwrap(), Touched::Moved);
    assert!(destroyed.unwrap());
    assert_eq!(created.unwrap(), crate::contract::Created::Created);
    assert_eq!(busy.await.unwrap().unwrap(), Touched::Gone);
    assert_eq!(script.calls(), ["touch none", "write_many a b c d"]);
}

#[tokio::test]
async fn as_many_calls_go_out_alone_as_there_are_lanes() {
    let script = Script::shut();
    let store = gathered(&script, Gathering { read_lanes: 3, ..NARROW });
    let calls = ["a", "b", "c", "d", "e"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), NOW).await })
    });
    settle().await;
    assert_eq!(script.calls(), ["load a", "load b", "load c"]);
    script.throw_open();
    assert!(join_all(calls).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(script.calls()[3..], ["load_many d e"]);
    assert_idle(&store).await;
}

#[tokio::test]
async fn loads_of_one_session_in_a_batch_share_one_answer() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    script.inner.create(&create("a"), NOW).await.unwrap();
    let calls = ["first", "a", "b", "a", "a"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), NOW).await.unwrap() != Loaded::Gone })
    });
    settle().await;
    script.throw_open();
    let found: Vec<bool> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(found, [false, true, false, true, true]);
    assert_eq!(script.calls(), ["load first", "load_many a b"]);
}

#[tokio::test]
async fn callers_who_know_the_same_version_of_one_session_need_no_payload() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    script.inner.create(&create("a"), NOW).await.unwrap();
    let known = Some(Version::FIRST);
    let calls = ["first", "a", "a", "b"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&Load { known, ..load(name) }, NOW).await.unwrap() })
    });
    settle().await;
    script.throw_open();
    let loaded: Vec<Loaded> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let unchanged = Loaded::Unchanged { expires_at: LATER };
    assert_eq!(loaded, [Loaded::Gone, unchanged.clone(), unchanged, Loaded::Gone]);
    assert_eq!(script.calls()[1..], ["load_many a b"]);
    assert_eq!(script.known()[1..], [vec![known, known]]);
}

#[tokio::test]
async fn callers_who_know_different_versions_of_one_session_ask_for_the_payload_together() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    script.inner.create(&create("a"), NOW).await.unwrap();
    let calls = [("first", None), ("a", Some(1)), ("a", Some(7)), ("a", None), ("b", Some(1))].map(
        |(name, known)| {
            let store = Arc::clone(&store);
            let known = known.map(Version::new);
            spawn(async move { store.load(&Load { known, ..load(name) }, NOW).await.unwrap() })
        },
    );
    settle().await;
    script.throw_open();
    let loaded: Vec<Loaded> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let session = script.inner.load(&load("a"), NOW).await.unwrap();
    let unchanged = Loaded::Unchanged { expires_at: LATER };
    assert_eq!(loaded, [Loaded::Gone, unchanged, session.clone(), session, Loaded::Gone]);
    assert_eq!(script.known()[1..], [vec![None, Some(Version::FIRST)]], "a and b, in one batch");
}

#[tokio::test]
async fn a_batch_is_bounded_in_rows() {
    let script = Script::shut();
    let store = gathered(&script, Gathering { max_batch: 2, ..NARROW });
    let calls = ["a", "b", "c", "d"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), NOW).await })
    });
    settle().await;
    script.throw_open();
    join_all(calls).await;
    assert_eq!(script.calls(), ["load a", "load_many b c", "load d"]);
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes_and_a_larger_write_goes_alone() {
    let script = Script::shut();
    let store = gathered(&script, Gathering { max_bytes: 10, ..NARROW });
    let calls =
        [("a", 0), ("b", 5), ("c", 5), ("d", 1), ("e", 11), ("f", 10), ("g", 0)].map(|(name, len)| {
            let store = Arc::clone(&store);
            spawn(async move { store.update(&update(name, "x".repeat(len)), NOW).await })
        });
    settle().await;
    script.throw_open();
    join_all(calls).await;
    assert_eq!(script.calls(), ["update a", "write_many b c", "update d", "update e", "write_many f g"]);
}

#[tokio::test]
async fn a_batch_has_the_greatest_time_of_its_operations() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let calls = [("a", 0), ("b", 3), ("c", 9), ("d", 5)].map(|(name, millis)| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), Timestamp::from_millis(millis)).await })
    });
    settle().await;
    script.throw_open();
    join_all(calls).await;
    assert_eq!(script.times(), [0, 9].map(Timestamp::from_millis));
}

#[tokio::test]
async fn operations_whose_times_are_over_a_second_apart_do_not_travel_together() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let times = [0, i64::MAX, 5_000, 4_000, 5_001, 3_999, i64::MIN];
    let calls = times.map(|millis| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(&millis.to_string()), Timestamp::from_millis(millis)).await })
    });
    settle().await;
    script.throw_open();
    join_all(calls).await;
    assert_eq!(
        script.times(),
        [0, i64::MAX, 5_000, 5_001, 3_999, i64::MIN].map(Timestamp::from_millis),
        "5,000 and 4,000 went together"
    );
}

#[tokio::test]
async fn without_lanes_every_call_goes_out_on_its_own() {
    let script = Script::shut();
    let store = gathered(&script, Gathering::OFF);
    let calls = ["a", "a", "b"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.touch(&touch(name), NOW).await })
    });
    settle().await;
    assert_eq!(script.calls(), ["touch a", "touch a", "touch b"]);
    script.throw_open();
    join_all(calls).await;
}

#[tokio::test]
async fn a_gathered_store_asks_for_no_more_gathering() {
    assert_eq!(gathered(&Script::open(), NARROW).gathering(), Gathering::OFF);
}
