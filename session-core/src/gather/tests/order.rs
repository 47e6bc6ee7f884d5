//! Writes of one session.

use futures_util::future::join_all;
use tokio::spawn;

use super::*;
use crate::Updated;
use crate::contract::Store;

#[tokio::test]
async fn queued_writes_of_one_session_keep_their_order_and_never_share_a_batch() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    for name in ["a", "b"] {
        script.inner.create(&create(name), NOW).await.unwrap();
    }
    let calls = ["first", "a", "a", "b", "a", "b"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.update(&update(name, "x"), NOW).await.unwrap() })
    });
    settle().await;
    script.throw_open();
    let outcomes: Vec<Updated> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let saved = |version| Updated::Saved(Version::new(version));
    assert_eq!(outcomes, [Updated::Gone, saved(2), saved(3), saved(2), saved(4), saved(3)]);
    assert_eq!(script.calls(), ["update first", "write_many a b", "write_many a b", "update a"]);
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_write_waits_for_one_of_the_same_session_even_if_a_lane_is_idle() {
    let script = Script::shut();
    let store = gathered(&script, Gathering { write_lanes: 2, ..NARROW });
    let calls = ["a", "a", "b"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.touch(&touch(name), NOW).await })
    });
    settle().await;
    assert_eq!(script.calls(), ["touch a", "touch b"]);
    script.admit(1);
    settle().await;
    assert_eq!(script.calls(), ["touch a", "touch b", "touch a"]);
    script.throw_open();
    join_all(calls).await;
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_load_does_not_wait_for_a_write_of_its_session() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let write = spawn({
        let store = Arc::clone(&store);
        async move { store.touch(&touch("a"), NOW).await }
    });
    let load = spawn({
        let store = Arc::clone(&store);
        async move { store.load(&load("a"), NOW).await }
    });
    settle().await;
    assert_eq!(script.calls(), ["touch a", "load a"]);
    script.throw_open();
    write.await.unwrap().unwrap();
    load.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_acknowledged_write_does_not_make_the_callers_next_one_queue() {
    let script = Script::open();
    let store = gathered(&script, NARROW);
    // Through a batch of its own: the key is free before the caller learns the outcome.
    let other = create("b");
    let (first, second) = tokio::join!(store.create(&other, NOW), async {
        store.create(&create("a"), NOW).await.unwrap();
        store.update(&update("a", "1"), NOW).await
    });
    first.unwrap();
    assert_eq!(second.unwrap(), Updated::Saved(Version::new(2)));
    assert_idle(&store).await;
}
