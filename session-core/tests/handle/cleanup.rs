//! Removing expired sessions along with new ones.

use session_core::{Error, SetOutcome, TimeToLive};
use tokio::time::Instant;

use crate::support::{Fault, Visit, World, gone, id, ms, rows, secs, visit};

async fn with_expired(world: &World, number: u32) {
    let builder = world.builder::<Visit>().time_to_live(TimeToLive::fixed(secs(1)).unwrap());
    let store = builder.build().unwrap();
    for _ in 0..number {
        store.create(&visit(0)).await.unwrap();
    }
    world.clock.advance(secs(1));
    world.events.take();
    world.script.calls();
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_create_removes_nothing() {
    let world = World::new();
    with_expired(&world, 3).await;
    world.handle().create(&visit(0)).await.unwrap();
    assert_eq!(world.script.calls(), ["create"]);
}

#[tokio::test(start_paused = true)]
async fn each_new_session_removes_up_to_the_limit_of_expired_ones() {
    let world = World::new();
    with_expired(&world, 5).await;
    let store = world.builder::<Visit>().cleanup_limit(2).build().unwrap();
    store.create(&visit(0)).await.unwrap();
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    assert!(matches!(store.set(&id("b"), &visit(0)).await.unwrap(), SetOutcome::Created(_)));
    assert_eq!(
        world.events.take(),
        ["connected", "created", "purged 2", "created", "purged 2", "created", "purged 1"]
    );
    assert_eq!(store.count(None).await.unwrap(), 3, "live sessions stay");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_new_session_removes_nothing() {
    let world = World::new();
    with_expired(&world, 1).await;
    let store = world.builder::<Visit>().cleanup_limit(2).build().unwrap();
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    world.script.calls();
    assert!(store.create_with_id(&id("a"), &visit(0)).await.unwrap().is_none());
    assert!(matches!(store.set(&id("a"), &visit(0)).await.unwrap(), SetOutcome::Updated(_)));
    store.load(&id("a")).await.unwrap();
    assert_eq!(world.script.calls(), ["create", "update", "load"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_never_fails_the_create_but_is_told() {
    let world = World::new();
    let store = world.builder::<Visit>().cleanup_limit(2).build().unwrap();
    world.script.once("purge_expired", Fault::Fail(Error::new(session_core::ErrorKind::Backend, "no right")));
    let new = store.create(&visit(0)).await.unwrap();
    assert!(store.load(&new.id).await.unwrap().is_some());
    assert_eq!(world.events.take(), ["connected", "created", "error: purge: backend"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_database_is_noticed_by_the_clean_up_too() {
    let world = World::new();
    let store = world.builder::<Visit>().cleanup_limit(2).build().unwrap();
    world.script.always("purge_expired", gone);
    assert!(store.create(&visit(0)).await.is_ok());
    assert!(!store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_that_hangs_ends_with_the_deadline_of_its_create() {
    let world = World::new();
    let store = world.builder::<Visit>().cleanup_limit(2).build().unwrap();
    world.script.always("create", || Fault::Slow(secs(3)));
    world.script.always("purge_expired", || Fault::Hang);
    for n in 0..5 {
        let start = Instant::now();
        store.create(&visit(n)).await.unwrap();
        assert!(start.elapsed() >= secs(5) && start.elapsed() < ms(5_002), "{:?}", start.elapsed());
    }
    assert!(store.is_connected(), "creates were answered in between");
    assert_eq!(store.purge(rows(1)).await.unwrap_err().operation().unwrap().as_str(), "purge");
}
