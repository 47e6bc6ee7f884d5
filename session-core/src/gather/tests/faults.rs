//! Callers that go away, and stores that fail, panic or hang.

use std::task::{Context, Poll};

use futures_util::future::{FutureExt as _, join_all};
use futures_util::task::noop_waker_ref;
use tokio::spawn;
use tokio::task::JoinHandle;

use super::script::Turn;
use super::*;
use crate::contract::{Store, Touched};
use crate::{Error, ErrorKind, Result, Updated};

/// One update holds the lane; the others wait behind it, in this order.
pub(super) async fn updates<const N: usize>(
    store: &Arc<Gathered>,
    names: [&'static str; N],
) -> [JoinHandle<Result<Updated>>; N] {
    let calls = names.map(|name| {
        let store = Arc::clone(store);
        spawn(async move { store.update(&update(name, "1"), NOW).await })
    });
    settle().await;
    calls
}

pub(super) async fn outcomes<const N: usize>(
    calls: [JoinHandle<Result<Updated>>; N],
) -> Vec<Result<Updated>> {
    join_all(calls).await.into_iter().map(|outcome| outcome.unwrap()).collect()
}

async fn with_sessions(script: &Script, names: &[&str]) {
    for name in names {
        script.inner.create(&create(name), NOW).await.unwrap();
    }
}

#[tokio::test]
async fn one_poison_row_harms_no_other() {
    let script = Script::shut_with(|call| match call.keys.iter().any(|key| key == "poison") {
        true => Turn::Fail { kind: ErrorKind::Backend, in_doubt: false },
        false => Turn::Succeed,
    });
    with_sessions(&script, &["a", "z"]).await;
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["first", "z", "poison", "a"]).await;
    script.throw_open();
    let outcomes = outcomes(calls).await;
    assert_eq!(*outcomes[1].as_ref().unwrap(), Updated::Saved(Version::new(2)));
    assert_eq!(outcomes[2].as_ref().unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(*outcomes[3].as_ref().unwrap(), Updated::Saved(Version::new(2)));
    assert_eq!(
        script.calls(),
        ["update first", "write_many a poison z", "update a", "update poison", "update z"]
    );
    assert_idle(&store).await;
}

#[tokio::test]
async fn writes_of_a_batch_that_may_have_been_done_are_not_repeated() {
    let script = Script::shut_with(|call| match call.form {
        "write_many" => Turn::Fail { kind: ErrorKind::Unavailable, in_doubt: true },
        _ => Turn::Succeed,
    });
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["first", "a", "b"]).await;
    script.throw_open();
    for outcome in &outcomes(calls).await[1..] {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, true));
        assert_eq!(error.to_string(), "script: write_many fails as told");
    }
    assert_eq!(script.calls(), ["update first", "write_many a b"]);
    assert_idle(&store).await;
}

#[tokio::test]
async fn loads_of_a_batch_that_failed_in_any_way_are_repeated() {
    let script = Script::shut_with(|call| match call.form {
        "load_many" => Turn::Fail { kind: ErrorKind::Unavailable, in_doubt: true },
        _ => Turn::Succeed,
    });
    with_sessions(&script, &["a", "b"]).await;
    let store = gathered(&script, NARROW);
    let calls = ["first", "a", "b"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), NOW).await.unwrap() != Loaded::Gone })
    });
    settle().await;
    script.throw_open();
    let found: Vec<bool> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(found, [false, true, true]);
    assert_eq!(script.calls(), ["load first", "load_many a b", "load a", "load b"]);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_asked_for_every_row() {
    let script = Script::shut_with(|call| match call.form {
        "write_many" => Turn::Fail { kind: ErrorKind::Unavailable, in_doubt: false },
        _ if call.keys == ["b"] => Turn::Fail { kind: ErrorKind::Unavailable, in_doubt: true },
        _ => Turn::Succeed,
    });
    with_sessions(&script, &["a"]).await;
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["first", "a", "b", "c"]).await;
    script.throw_open();
    let outcomes = outcomes(calls).await;
    assert!(outcomes[1].is_ok());
    let in_doubt = |outcome: &Result<Updated>| outcome.as_ref().map_err(Error::is_in_doubt).unwrap_err();
    assert!(in_doubt(&outcomes[2]), "this one was tried");
    assert!(!in_doubt(&outcomes[3]), "this one was not");
    assert_eq!(script.calls(), ["update first", "write_many a b c", "update a", "update b"]);
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_batch_with_a_wrong_number_of_answers_answers_nobody() {
    let script = Script::shut_with(|_| Turn::LoseAnAnswer);
    with_sessions(&script, &["a", "b"]).await;
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["first", "a", "b"]).await;
    script.throw_open();
    for outcome in &outcomes(calls).await[1..] {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, true));
    }
    assert_eq!(script.calls(), ["update first", "write_many a b"]);
}

#[tokio::test]
async fn an_error_that_callers_share_is_alike_for_all_of_them() {
    let script = Script::shut_with(|call| match call.keys == ["bad"] || call.form == "load_many" {
        true => Turn::Fail { kind: ErrorKind::Corrupt, in_doubt: false },
        false => Turn::Succeed,
    });
    let store = gathered(&script, NARROW);
    let calls = ["first", "bad", "good", "bad"].map(|name| {
        let store = Arc::clone(&store);
        spawn(async move { store.load(&load(name), NOW).await })
    });
    settle().await;
    script.throw_open();
    let outcomes: Vec<_> = join_all(calls).await.into_iter().map(|outcome| outcome.unwrap()).collect();
    let text = |index: usize| format!("{:?}", outcomes[index].as_ref().unwrap_err());
    assert_eq!(text(1), text(3));
    assert!(outcomes[2].is_ok());
}

#[tokio::test]
async fn a_queued_write_whose_caller_goes_away_does_not_happen() {
    let script = Script::shut();
    with_sessions(&script, &["a", "b"]).await;
    let store = gathered(&script, NARROW);
    let [first, a, a_again, b] = updates(&store, ["first", "a", "a", "b"]).await;
    a.abort();
    settle().await;
    script.throw_open();
    first.await.unwrap().unwrap();
    assert_eq!(a_again.await.unwrap().unwrap(), Updated::Saved(Version::new(2)), "it is the first one now");
    assert_eq!(b.await.unwrap().unwrap(), Updated::Saved(Version::new(2)));
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_mid_batch_takes_nothing_with_it() {
    let script = Script::shut();
    with_sessions(&script, &["a", "b"]).await;
    let store = gathered(&script, NARROW);
    let [first, a, b] = updates(&store, ["first", "a", "b"]).await;
    script.admit(1);
    first.await.unwrap().unwrap();
    settle().await;
    a.abort();
    settle().await;
    script.throw_open();
    assert_eq!(b.await.unwrap().unwrap(), Updated::Saved(Version::new(2)));
    assert_eq!(version(&script, "a").await, Some(Version::new(2)), "it was under way");
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_call_given_up_half_way_frees_its_lane_and_its_key() {
    let script = Script::shut();
    with_sessions(&script, &["a", "b"]).await;
    let store = gathered(&script, NARROW);
    let [first, same, other] = updates(&store, ["a", "a", "b"]).await;
    first.abort();
    settle().await;
    script.throw_open();
    // It was still at the gate, so nothing of it happened.
    assert_eq!(same.await.unwrap().unwrap(), Updated::Saved(Version::new(2)));
    assert_eq!(other.await.unwrap().unwrap(), Updated::Saved(Version::new(2)));
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_lane_passes_by_those_who_went_away() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["a", "a", "b", "c", "c", "d"]).await;
    let [.., last] = &calls;
    let last = last.abort_handle();
    let mut calls = Vec::from(calls);
    let kept = calls.remove(4);
    calls.iter().for_each(JoinHandle::abort);
    last.abort();
    settle().await;
    script.throw_open();
    assert_eq!(kept.await.unwrap().unwrap(), Updated::Gone);
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_panicking_batch_fails_its_callers_and_not_the_lane() {
    let script = Script::shut_with(|call| match call.form {
        "write_many" => Turn::Panic,
        _ => Turn::Succeed,
    });
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["first", "a", "b"]).await;
    script.throw_open();
    for outcome in &outcomes(calls).await[1..] {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, true));
    }
    assert_eq!(store.update(&update("a", "1"), NOW).await.unwrap(), Updated::Gone, "the lane goes on");
    assert_idle(&store).await;
}

#[tokio::test]
async fn a_panic_in_a_call_of_its_own_reaches_its_caller_and_not_the_lane() {
    let script = Script::shut_with(|call| match call.keys == ["poison"] {
        true => Turn::Panic,
        false => Turn::Succeed,
    });
    let store = gathered(&script, NARROW);
    let [poison, a, b] = updates(&store, ["poison", "a", "b"]).await;
    script.throw_open();
    assert!(poison.await.unwrap_err().is_panic());
    assert_eq!(a.await.unwrap().unwrap(), Updated::Gone);
    assert_eq!(b.await.unwrap().unwrap(), Updated::Gone);
    assert_idle(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_batch_ends_at_its_deadline_and_the_lane_goes_on() {
    let script = Script::shut_with(|call| match call.form {
        "write_many" => Turn::Hang,
        _ => Turn::Succeed,
    });
    let store = Gathered::new(script.clone(), NARROW).with_deadline(Duration::from_secs(2));
    let store = Arc::new(store);
    let calls = updates(&store, ["first", "a", "b", "a"]).await;
    script.throw_open();
    let begin = tokio::time::Instant::now();
    let outcomes = outcomes(calls).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    for outcome in &outcomes[1..3] {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, true));
    }
    assert_eq!(*outcomes[3].as_ref().unwrap(), Updated::Gone);
    assert_idle(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_hangs_alone_leaves_the_answers_before_it() {
    let script = Script::shut_with(|call| match call.form {
        "write_many" => Turn::Fail { kind: ErrorKind::Conflict, in_doubt: false },
        _ if call.keys == ["m"] => Turn::Hang,
        _ => Turn::Succeed,
    });
    let store = gathered(&script, NARROW);
    let calls = updates(&store, ["first", "z", "m", "a"]).await;
    script.throw_open();
    let begin = tokio::time::Instant::now();
    let [_, z, m, a] = calls;
    assert!(a.await.unwrap().is_ok());
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(m.await.unwrap().unwrap_err().is_in_doubt());
    assert!(!z.await.unwrap().unwrap_err().is_in_doubt(), "it was not tried");
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    assert_idle(&store).await;
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_poll_their_calls_do_not_stop_the_others() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let (a, b) = (touch("a"), touch("b"));
    let mut unpolled = store.touch(&a, NOW);
    assert!((&mut unpolled).now_or_never().is_none());
    script.throw_open();
    let touched = store.touch(&b, NOW).await.unwrap();
    assert_eq!(touched, Touched::Gone, "though the only lane is held, and will not come back");
    assert_eq!(unpolled.await.unwrap(), Touched::Gone);
    assert_idle(&store).await;
    assert_eq!(script.calls(), ["touch a", "touch b"]);
}

#[test]
fn without_a_runtime_callers_pass_the_lane_on() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let mut context = Context::from_waker(noop_waker_ref());
    let touches = ["a", "b", "c"].map(touch);
    let mut calls = touches.each_ref().map(|touch| store.touch(touch, NOW));
    for call in &mut calls {
        assert!(call.as_mut().poll(&mut context).is_pending());
    }
    script.throw_open();
    for call in &mut calls {
        assert!(matches!(call.as_mut().poll(&mut context), Poll::Ready(Ok(Touched::Gone))));
    }
    assert_eq!(script.calls(), ["touch a", "touch b", "touch c"]);
    assert!(store.writes.is_idle());
}

#[test]
fn the_end_of_the_runtime_that_drives_a_batch_does_not_stop_the_lane() {
    let script = Script::shut();
    let store = gathered(&script, NARROW);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (dying, living) = (runtime(), runtime());

    // A batch of the dying runtime is under way...
    dying.block_on(async {
        let calls = updates(&store, ["first", "a", "b"]).await;
        script.admit(1);
        let [first, ..] = calls;
        first.await.unwrap().unwrap();
        settle().await;
    });
    assert_eq!(script.calls(), ["update first", "write_many a b"]);

    // ...and calls of the living one wait behind it.
    let calls = living.block_on(updates(&store, ["c", "a"]));
    drop(dying);
    script.throw_open();
    living.block_on(async {
        assert!(outcomes(calls).await.iter().all(Result::is_ok));
        assert_idle(&store).await;
    });
}
