//! `connect`, its retries and their delays.

use session_core::{Error, ErrorKind, Operation};
use tokio::time::Instant;

use crate::support::{Fault, Visit, World, gone, ms, secs, visit};

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_told_once() {
    let world = World::new();
    let store = world.handle();
    store.connect().await.unwrap();
    store.connect().await.unwrap();
    store.create(&visit(0)).await.unwrap();
    assert_eq!(world.events.take(), ["connected", "created"]);
    assert_eq!(world.script.calls(), ["server_time", "server_time", "create"]);
}

#[tokio::test(start_paused = true)]
async fn without_retries_there_is_one_attempt() {
    let world = World::new();
    world.script.always("server_time", gone);
    let error = world.handle().connect().await.unwrap_err();
    assert_eq!(error.operation(), Some(Operation::Connect));
    assert_eq!(error.backend(), Some("script"));
    assert_eq!(world.script.calls(), ["server_time"]);
}

#[tokio::test(start_paused = true)]
async fn retries_and_delays_are_exact() {
    let world = World::new();
    let store = world.builder::<Visit>().connect_retries(4, secs(2)).build().unwrap();
    world.script.always("server_time", gone);
    let start = Instant::now();
    assert!(store.connect().await.unwrap_err().is_unreachable());
    let attempts: Vec<_> =
        world.script.timed_calls().into_iter().map(|(_, at)| (at - start).as_secs()).collect();
    assert_eq!(attempts, [0, 2, 2 + 4, 2 + 4 + 6, 2 + 4 + 6 + 8]);
    assert_eq!(world.events.take(), ["error: connect: unavailable", "disconnected"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_the_retries() {
    let world = World::new();
    let store = world.builder::<Visit>().connect_retries(4, secs(2)).build().unwrap();
    world.script.once("server_time", gone());
    world.script.once("server_time", gone());
    store.connect().await.unwrap();
    assert_eq!(world.script.calls().len(), 3);
    assert_eq!(world.events.take(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_time_cannot_mend_ends_the_retries() {
    let world = World::new();
    let store = world.builder::<Visit>().connect_retries(4, secs(2)).build().unwrap();
    world.script.always("server_time", || Fault::Fail(Error::new(ErrorKind::Backend, "wrong password")));
    assert_eq!(store.connect().await.unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(world.script.calls().len(), 1);
    assert!(store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_the_deadline_for_itself() {
    let world = World::new();
    let store = world.builder::<Visit>().connect_retries(1, secs(1)).build().unwrap();
    world.script.always("server_time", || Fault::Hang);
    let start = Instant::now();
    assert_eq!(store.connect().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() >= secs(11) && start.elapsed() < ms(11_005), "{:?}", start.elapsed());
    assert!(!store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_store_connects_without_waiting_for_its_back_off() {
    let world = World::new();
    let store = world.handle();
    world.script.always("count", gone);
    store.count(None).await.unwrap_err();
    assert!(!store.is_connected());
    world.script.heal();
    store.connect().await.unwrap();
    assert!(store.is_connected());
    store.count(None).await.unwrap();
    assert_eq!(world.events.take(), ["error: count: unavailable", "disconnected", "connected"]);
}
