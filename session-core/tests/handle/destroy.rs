//! Ending sessions: one, several, all of a principal, all but one; softly and hard.

use session_core::{DestroyMode, Error, ErrorKind, Gathering, Sessions, SetOutcome, TimeToLive};

use crate::support::{Fault, Visit, World, conflict, gone, id, rows, secs, visit, visit_of};

fn handle(world: &World) -> Sessions<Visit> {
    world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap()
}

async fn create(store: &Sessions<Visit>, names: &[&str]) {
    for name in names {
        store.create_with_id(&id(name), &visit_of("ann")).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_softly_destroyed_session_keeps_its_row_until_a_purge_after_its_expiry() {
    let world = World::new();
    let builder = world.builder().time_to_live(TimeToLive::fixed(secs(60)).unwrap());
    let store = builder.destroy_mode(DestroyMode::Keep).build().unwrap();
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    assert!(store.destroy(&id("a")).await.unwrap());
    assert!(store.load(&id("a")).await.unwrap().is_none());
    assert_eq!(store.purge(rows(10)).await.unwrap(), 0);
    assert_eq!(store.set(&id("a"), &visit(1)).await.unwrap(), SetOutcome::Gone);
    world.clock.advance(secs(60));
    assert_eq!(store.set(&id("a"), &visit(1)).await.unwrap(), SetOutcome::Gone);
    assert_eq!(store.purge(rows(10)).await.unwrap(), 1);
    assert!(matches!(store.set(&id("a"), &visit(1)).await.unwrap(), SetOutcome::Created(_)));
}

#[tokio::test(start_paused = true)]
async fn a_hard_destroyed_session_leaves_nothing() {
    let world = World::new();
    let store = world.builder::<Visit>().destroy_mode(DestroyMode::Remove).build().unwrap();
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    assert!(store.destroy(&id("a")).await.unwrap());
    let old = store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    store.rotate(&old.expect("the id is free again").id).await.unwrap().unwrap();
    assert!(store.create_with_id(&id("a"), &visit(0)).await.unwrap().is_some());
    assert_eq!(store.clear().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn destroyed_rows_are_kept_by_default_where_the_table_can() {
    for (tombstones, is_free_again) in [(true, false), (false, true)] {
        let world = World::new();
        world.script.can(|can| can.tombstones = tombstones);
        let store = world.handle();
        store.create_with_id(&id("a"), &visit(0)).await.unwrap();
        store.destroy(&id("a")).await.unwrap();
        let again = store.create_with_id(&id("a"), &visit(0)).await.unwrap();
        assert_eq!(again.is_some(), is_free_again);
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_destroys_one_ends_the_session() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a"]).await;
    world.events.take();
    assert!(store.destroy(&id("a")).await.unwrap());
    assert!(!store.destroy(&id("a")).await.unwrap());
    assert!(!store.destroy(&id("unknown")).await.unwrap());
    assert_eq!(world.events.take(), ["destroyed"]);
}

#[tokio::test(start_paused = true)]
async fn several_sessions_end_together_each_once() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a", "b", "c", "d"]).await;
    store.destroy(&id("d")).await.unwrap();
    world.events.take();
    let ids = [id("a"), id("b"), id("a"), id("d"), id("unknown")];
    assert_eq!(store.destroy_many(&ids).await.unwrap(), 2);
    assert_eq!(world.events.take(), ["destroyed", "destroyed"]);
    assert!(store.load(&id("c")).await.unwrap().is_some());
    assert_eq!(store.destroy_many(&[]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_statement_holds_no_more_ids_than_the_backend_can_take() {
    let world = World::new();
    world.script.set_gathering(Gathering { read_lanes: 0, write_lanes: 0, max_batch: 2, max_bytes: 0 });
    let store = handle(&world);
    create(&store, &["a", "b", "c", "d", "e"]).await;
    world.script.calls();
    let ids = ["a", "b", "a", "c", "d", "e", "a"].map(id);
    assert_eq!(store.destroy_many(&ids).await.unwrap(), 5);
    assert_eq!(world.script.calls(), ["write_many"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_destroyed_keeps_no_other_alive() {
    let world = World::new();
    world.script.set_gathering(Gathering { read_lanes: 0, write_lanes: 0, max_batch: 2, max_bytes: 0 });
    let store = handle(&world);
    create(&store, &["a", "b", "c", "d"]).await;
    world.events.take();
    world.script.once("destroy", Fault::Fail(Error::new(ErrorKind::Backend, "the page is damaged")));
    let error = store.destroy_many(&["a", "b", "c", "d"].map(id)).await.unwrap_err();
    assert_eq!(error.to_string(), "script: destroy: the page is damaged");
    assert_eq!(store.count(None).await.unwrap(), 1);
    assert_eq!(world.events.take(), ["destroyed", "destroyed", "destroyed", "error: destroy: backend"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_lost_a_deadlock_is_destroyed_in_a_second_try() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a"]).await;
    world.script.once("destroy", conflict());
    world.script.once("destroy", conflict());
    assert_eq!(store.destroy_many(&[id("a")]).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_database_ends_the_whole() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a", "b"]).await;
    world.script.calls();
    world.script.always("write_many", gone);
    assert!(store.destroy_many(&[id("a"), id("b")]).await.unwrap_err().is_unreachable());
    assert_eq!(world.script.calls(), ["write_many"; 2], "one try, and one over a new connection");
}

#[tokio::test(start_paused = true)]
async fn all_sessions_of_a_principal_end_and_no_other() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a", "b", "c"]).await;
    store.create_with_id(&id("other"), &visit_of("Ann")).await.unwrap();
    store.destroy(&id("c")).await.unwrap();
    world.events.take();
    assert_eq!(store.destroy_principal("ann").await.unwrap(), 2);
    assert_eq!(store.destroy_principal("nobody").await.unwrap(), 0);
    assert_eq!(world.events.take(), ["destroyed 2 of ann", "destroyed 0 of nobody"]);
    assert_eq!(store.count(None).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_but_one_session_of_a_principal_end() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a", "b", "c"]).await;
    assert_eq!(store.destroy_others("ann", &id("b")).await.unwrap(), 2);
    assert!(store.load(&id("b")).await.unwrap().is_some());
    assert_eq!(store.destroy_others("ann", &id("unknown")).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_destroyed_by_the_key_of_a_listing() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a"]).await;
    let page = store.list(Some("ann"), None, rows(10)).await.unwrap();
    assert!(store.destroy_key(&page[0].key).await.unwrap());
    assert!(!store.destroy_key(&page[0].key).await.unwrap());
    let other_format = session_core::SessionKey::from_text("a");
    assert_eq!(store.destroy_key(&other_format).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn clear_removes_every_row_and_tells() {
    let world = World::new();
    let store = handle(&world);
    create(&store, &["a", "b"]).await;
    store.destroy(&id("a")).await.unwrap();
    world.events.take();
    assert_eq!(store.clear().await.unwrap(), 2);
    assert_eq!(world.events.take(), ["cleared 2"]);
    assert_eq!(store.count(None).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn purge_removes_up_to_its_limit_of_the_expired() {
    let world = World::new();
    let builder = world.builder::<Visit>().time_to_live(TimeToLive::fixed(secs(60)).unwrap());
    let store = builder.build().unwrap();
    create(&store, &["a", "b", "c"]).await;
    world.clock.advance(secs(60));
    create(&store, &["live"]).await;
    assert_eq!(store.purge(rows(2)).await.unwrap(), 2);
    assert_eq!(store.purge(rows(2)).await.unwrap(), 1);
    assert_eq!(store.purge(rows(2)).await.unwrap(), 0);
    assert_eq!(store.count(None).await.unwrap(), 1);
}
