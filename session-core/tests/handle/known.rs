//! What a handle does with a version that it knows, and what it says of a session that is gone.

use session_core::{Fate, Reloaded, Sessions, TimeToLive, TouchOutcome};

use crate::support::{DAY, Fault, Visit, World, after, id, secs, visit, visit_of};

#[tokio::test(start_paused = true)]
async fn a_reload_brings_a_session_up_to_date() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(1)).await.unwrap();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(store.reload(&mut session).await.unwrap(), Reloaded::Unchanged);

    world.clock.advance(secs(1));
    store.touch(&new.id).await.unwrap();
    assert_eq!(store.reload(&mut session).await.unwrap(), Reloaded::Unchanged);
    assert_eq!(session.expires_at(), after(DAY + secs(1)));

    store.modify(&new.id, |visit| visit.count = 2).await.unwrap();
    assert_eq!(store.reload(&mut session).await.unwrap(), Reloaded::Changed);
    assert_eq!((session.data.count, session.version()), (2, new.version.next()));

    store.destroy(&new.id).await.unwrap();
    assert_eq!(store.reload(&mut session).await.unwrap(), Reloaded::Gone);
    assert_eq!(session.data.count, 2, "the session in hand is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_table_without_versions_reloads_all_of_it() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(1)).await.unwrap();
    world.script.can(|can| can.versions = false);
    let store = world.handle();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(store.reload(&mut session).await.unwrap(), Reloaded::Changed);
}

#[tokio::test(start_paused = true)]
async fn the_fate_of_an_id_is_told() {
    let world = World::new();
    let store = world.handle();
    let (ended, moved, expired) = (
        store.create(&visit(0)).await.unwrap().id,
        store.create(&visit(0)).await.unwrap().id,
        store.create(&visit(0)).await.unwrap().id,
    );
    assert_eq!(store.fate(&ended).await.unwrap(), Fate::Live);
    store.destroy(&ended).await.unwrap();
    store.rotate(&moved).await.unwrap().unwrap();
    world.clock.advance(DAY);
    assert_eq!(store.fate(&ended).await.unwrap(), Fate::Destroyed);
    assert_eq!(store.fate(&moved).await.unwrap(), Fate::RotatedAway);
    assert_eq!(store.fate(&expired).await.unwrap(), Fate::Expired);
    assert_eq!(store.fate(&id("never")).await.unwrap(), Fate::Unknown);
}

#[tokio::test(start_paused = true)]
async fn sessions_from_before_a_password_change_end() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    let before = store.create(&visit_of("ann")).await.unwrap().id;
    world.clock.advance(secs(60));
    let after_it = store.create(&visit_of("ann")).await.unwrap().id;
    assert_eq!(store.destroy_created_before("ann", after(secs(60))).await.unwrap(), 1);
    assert!(store.load(&before).await.unwrap().is_none());
    assert!(store.load(&after_it).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_principal_is_forgotten_with_what_is_left_of_dead_sessions() {
    let world = World::new();
    let builder = world.builder().principal(|visit: &Visit| visit.user.clone());
    let store = builder.destroy_mode(session_core::DestroyMode::Keep).build().unwrap();
    for _ in 0..2 {
        let new = store.create(&visit_of("ann")).await.unwrap();
        store.destroy(&new.id).await.unwrap();
    }
    store.create(&visit_of("ann")).await.unwrap();
    store.create(&visit_of("bob")).await.unwrap();
    world.events.take();
    assert_eq!(store.forget_principal("ann").await.unwrap(), 3);
    assert_eq!(world.events.take(), ["destroyed 3 of ann"]);
    assert_eq!(store.forget_principal("ann").await.unwrap(), 0);
    assert_eq!(store.count(Some("bob")).await.unwrap(), 1);
}

/// Signed in, a session lives a month; otherwise half an hour.
fn remembering(world: &World) -> Sessions<Visit> {
    let rule = TimeToLive::per_session(|_, visit: &Visit| {
        Some(if visit.user.is_some() { 30 * DAY } else { secs(1800) })
    });
    world.builder().time_to_live(rule).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_touch_never_lands_on_other_data_than_it_was_decided_by() {
    let world = World::new();
    let store = remembering(&world);
    let new = store.create(&visit_of("ann")).await.unwrap();
    // Between the touch's read and its write somebody signs out.
    let (other, id) = (store.clone(), new.id.clone());
    let sign_out = async move {
        other.modify(&id, |visit| visit.user = None).await.unwrap().unwrap();
    };
    world.script.once("touch", Fault::meanwhile(sign_out));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(after(secs(1800))));
    assert_eq!(world.script.row(&new.id).await.unwrap().expires_at, after(secs(1800)));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_a_session_that_others_changed_goes_by_what_is_stored() {
    let world = World::new();
    let store = remembering(&world);
    let new = store.create(&visit_of("ann")).await.unwrap();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    store.modify(&new.id, |visit| visit.user = None).await.unwrap();
    assert_eq!(store.refresh(&mut session).await.unwrap(), TouchOutcome::Moved(after(secs(1800))));
    assert_eq!(session.expires_at(), after(secs(1800)));
}
