//! Moving a session to a new id.

use session_core::{ErrorKind, RotateOutcome, SessionId, Version};

use crate::support::{Fault, NOW, Visit, World, id, secs, visit, visit_of};

#[tokio::test(start_paused = true)]
async fn a_rotated_session_keeps_everything_but_its_id() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    let old = store.create(&visit_of("ann")).await.unwrap();
    world.clock.advance(secs(60));
    let new = store.rotate(&old.id).await.unwrap().unwrap();
    assert_ne!(new.id, old.id);
    assert_eq!(new.version, old.version.next());
    assert!(store.load(&old.id).await.unwrap().is_none());
    let session = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(session.data, visit_of("ann"));
    assert_eq!(session.principal().unwrap().as_str(), "ann");
    assert_eq!(session.created_at(), Some(NOW));
    assert_eq!(session.expires_at(), new.expires_at);
    assert_eq!(store.count(Some("ann")).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_keeps_a_principal_and_data_that_this_program_cannot_read() {
    let world = World::new();
    world.script.plant(&id("foreign"), "[not json", Some("ann")).await;
    let store = world.handle();
    let new = store.rotate(&id("foreign")).await.unwrap().unwrap();
    let row = world.script.row(&new.id).await.unwrap();
    assert_eq!(row.payload.as_str(), "[not json");
    assert_eq!(row.principal.unwrap().as_str(), "ann");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_takes_along_what_was_saved_while_it_looked() {
    let world = World::new();
    let store = world.handle();
    let old = store.create(&visit(1)).await.unwrap();
    let (rival, old_id) = (store.clone(), old.id.clone());
    world.script.once(
        "rotate",
        Fault::meanwhile(async move { assert!(rival.update(&old_id, &visit(2), None).await.is_ok()) }),
    );
    let new = store.rotate(&old.id).await.unwrap().unwrap();
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, visit(2));
    assert_eq!(world.script.calls(), ["create", "load", "rotate", "update", "load", "rotate", "load"]);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_replaces_the_data_of_the_expected_version_only() {
    let world = World::new();
    let store = world.handle();
    let old = store.create(&visit(1)).await.unwrap();
    let stale = store.rotate_with(&old.id, &visit(2), Some(Version::new(9))).await.unwrap();
    assert_eq!(stale, RotateOutcome::Stale);
    assert_eq!(store.load(&old.id).await.unwrap().unwrap().data, visit(1));
    let RotateOutcome::Rotated(new) = store.rotate_with(&old.id, &visit(2), Some(old.version)).await.unwrap()
    else {
        panic!("the version was right");
    };
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, visit(2));
    assert_eq!(store.rotate_with(&old.id, &visit(3), None).await.unwrap(), RotateOutcome::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_new_id_that_is_taken_is_drawn_again() {
    let world = World::new();
    let store = world.handle();
    let old = store.create(&visit(1)).await.unwrap();
    world.script.once("rotate", Fault::Taken);
    assert!(store.rotate(&old.id).await.unwrap().is_some());
    let other = store.create(&visit(1)).await.unwrap();
    world.script.always("rotate", || Fault::Taken);
    let error = store.rotate(&other.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(store.load(&other.id).await.unwrap().is_some(), "nothing was changed");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_rotate_says_so_before_anything_is_read() {
    let world = World::new();
    world.script.can(|can| can.rotation = false);
    let store = world.handle();
    let random = SessionId::random().unwrap();
    for error in [
        store.rotate(&random).await.unwrap_err(),
        store.rotate_with(&random, &visit(0), None).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("destroy it and create a new one"), "{error}");
    }
    assert_eq!(world.script.calls(), [""; 0]);
}
