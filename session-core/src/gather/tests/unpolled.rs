//! Lanes in the hands of tasks that nobody polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::faults::{outcomes, updates};
use super::script::Script;
use super::{NARROW, NOW, assert_idle, gathered, settle, touch};
use crate::contract::Store as _;

/// A runtime that is polled only inside of `block_on`, beside another one on the same store.
#[test]
fn a_runtime_that_is_not_polled_does_not_stop_the_lane() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (resting, working) = (runtime(), runtime());

    // A batch of the resting runtime is under way...
    let rest = resting.block_on(async {
        let [first, rest @ ..] = updates(&store, ["first", "a", "b"]).await;
        script.admit(1);
        first.await.unwrap().unwrap();
        settle().await;
        rest
    });
    assert_eq!(script.calls(), ["update first", "write_many a b"]);
    script.throw_open();

    // ...and calls of the other one wait behind it.
    working.block_on(async {
        assert!(outcomes(updates(&store, ["c", "d"]).await).await.iter().all(Result::is_ok));
        settle().await;
    });
    // The batch ends when its runtime is polled again.
    resting.block_on(async {
        for call in rest {
            call.await.unwrap().unwrap();
        }
        assert_idle(&store).await;
    });
}

/// A worker that goes on to something else after a call keeps nobody waiting who queued behind that call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_worker_does_not_stop_the_lane() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let done = Arc::new(AtomicBool::new(false));
    let (busy, others_done) = (Arc::clone(&store), Arc::clone(&done));
    let first = tokio::spawn(async move {
        busy.touch(&touch("first"), NOW).await.unwrap();
        // Computes until the others are done, which they would never be if this worker had to come for them.
        let begin = Instant::now();
        while !others_done.load(Ordering::SeqCst) && begin.elapsed() < Duration::from_secs(10) {
            std::hint::spin_loop();
        }
        others_done.load(Ordering::SeqCst)
    });
    settle().await;
    let others: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.touch(&touch(name), NOW).await.unwrap() })
        })
        .into();
    settle().await;
    script.throw_open();
    for other in others {
        other.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    assert!(first.await.unwrap(), "they waited for the busy worker");
}
