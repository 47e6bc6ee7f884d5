//! Operations on a session that was loaded: what they know already they do not read again.

use session_core::{Error, ErrorKind, TimeToLive, Version};

use crate::support::{DAY, Fault, NOW, Visit, World, after, ms, secs, visit, visit_of};

#[tokio::test(start_paused = true)]
async fn a_session_that_was_started_is_in_hand_as_if_it_were_loaded() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    let mut session = store.start(visit_of("ann")).await.unwrap();
    let loaded = store.load(session.id()).await.unwrap().unwrap();
    assert_eq!(format!("{session:?}"), format!("{loaded:?}"));
    assert_eq!(session.created_at(), Some(NOW));
    world.script.calls();

    let modified = store.modify_session(&mut session, |visit| visit.count += 1).await.unwrap().unwrap();
    assert_eq!(world.script.calls(), ["update"], "nothing is read");
    assert_eq!((modified.version, session.version()), (loaded.version().next(), loaded.version().next()));
    assert_eq!(session.data.count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_in_hand_is_changed_on_what_others_left() {
    let world = World::new();
    let store = world.handle();
    let mut mine = store.start(visit(1)).await.unwrap();
    let first = mine.version();
    store.modify(mine.id(), |visit| visit.user = Some("ann".into())).await.unwrap().unwrap();
    world.script.calls();
    let modified = store.modify_session(&mut mine, |visit| visit.count += 1).await.unwrap().unwrap();
    assert_eq!(world.script.calls(), ["update", "load", "update"]);
    assert_eq!(modified.version, first.next().next());
    assert_eq!(mine.data, Visit { user: Some("ann".into()), count: 2 });
    assert_eq!(store.load(mine.id()).await.unwrap().unwrap().data, mine.data);
}

#[tokio::test(start_paused = true)]
async fn a_session_in_hand_that_is_gone_stays_gone() {
    let world = World::new();
    let store = world.handle();
    let mut session = store.start(visit(1)).await.unwrap();
    store.destroy(session.id()).await.unwrap();
    assert_eq!(store.modify_session(&mut session, |visit| visit.count += 1).await.unwrap(), None);
    assert_eq!(store.rotate_session(&mut session, |visit| visit.count += 1).await.unwrap(), None);
    assert_eq!(store.count(None).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_a_session_in_hand_changes_it_in_the_same_step() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    let mut session = store.start(visit(1)).await.unwrap();
    let old = session.id().clone();
    world.clock.advance(secs(60));
    let rival = (store.clone(), old.clone());
    let meanwhile = async move { _ = rival.0.modify(&rival.1, |visit| visit.count += 10).await.unwrap() };
    world.script.once("rotate", Fault::meanwhile(meanwhile));
    world.script.calls();
    let sign_in = |visit: &mut Visit| {
        visit.user = Some("ann".into());
        visit.count
    };
    assert_eq!(store.rotate_session(&mut session, sign_in).await.unwrap(), Some(11));
    assert_eq!(world.script.calls(), ["rotate", "load", "update", "load", "rotate"]);

    assert_ne!(*session.id(), old);
    assert_eq!(session.expires_at(), after(DAY + secs(60)));
    let loaded = store.load(session.id()).await.unwrap().unwrap();
    assert_eq!(format!("{session:?}"), format!("{loaded:?}"));
    assert_eq!((loaded.created_at(), store.count(Some("ann")).await.unwrap()), (Some(NOW), 1));
    assert!(store.load(&old).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_fails_leaves_the_old_session() {
    let world = World::new();
    let store = world.handle();
    let session = store.start(visit(1)).await.unwrap();
    let refusal = || Error::new(ErrorKind::Backend, "the disk is full; make room").with_in_doubt(false);
    world.script.once("rotate", Fault::Fail(refusal()));
    let error = store.rotate_session(&mut session.clone(), |visit| visit.count = 9).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert_eq!(store.load(session.id()).await.unwrap().unwrap().data, visit(1));

    world.script.can(|can| can.rotation = false);
    let store = world.handle();
    let error = store.rotate_session(&mut session.clone(), |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_table_without_versions_takes_what_is_in_hand() {
    let world = World::new();
    world.script.can(|can| can.versions = false);
    let store = world.handle();
    let mut session = store.start(visit(1)).await.unwrap();
    assert_eq!(session.version(), Version::NONE);
    store.update(session.id(), &visit(50), None).await.unwrap();
    assert!(store.modify_session(&mut session, |visit| visit.count += 1).await.unwrap().is_some());
    assert!(store.rotate_session(&mut session, |visit| visit.count += 1).await.unwrap().is_some());
    assert_eq!(store.load(session.id()).await.unwrap().unwrap().data, visit(3));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_leaves_the_expiry_to_a_change_that_would_hardly_move_it() {
    let world = World::new();
    let unthrottled = world.builder().time_to_live(TimeToLive::fixed(ms(1_000)).unwrap()).build().unwrap();
    assert_eq!(unthrottled.touch_throttle(), None);
    assert_eq!(unthrottled.with_touch_throttle(91).unwrap_err().kind(), ErrorKind::InvalidInput);
    let store = unthrottled.with_touch_throttle(10).unwrap();
    assert_eq!(store.touch_throttle(), Some(10));
    let mut session = store.start(visit(0)).await.unwrap();
    let first = session.expires_at();

    world.clock.set(after(ms(99)));
    store.modify_session(&mut session, |visit| visit.count += 1).await.unwrap().unwrap();
    let modified = store.modify(session.id(), |visit| visit.count += 1).await.unwrap().unwrap();
    assert_eq!((session.expires_at(), modified.expires_at), (first, first));
    assert_eq!(store.load(session.id()).await.unwrap().unwrap().expires_at(), first);

    world.clock.set(after(ms(100)));
    store.modify_session(&mut session, |visit| visit.count += 1).await.unwrap().unwrap();
    assert_eq!(session.expires_at(), after(ms(1_100)));
    world.clock.set(after(ms(101)));
    let modified = unthrottled.modify(session.id(), |visit| visit.count += 1).await.unwrap().unwrap();
    assert_eq!(modified.expires_at, after(ms(1_101)));
}

#[tokio::test(start_paused = true)]
async fn the_rule_tells_whose_session_has_which_data() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    assert_eq!(store.principal_of(&visit_of("ann")).as_deref(), Some("ann"));
    assert_eq!(store.principal_of(&visit_of("")), None);
    assert_eq!(world.handle().principal_of(&visit_of("ann")), None);
}
