//! Create, update, save, modify, set.

use std::collections::HashSet;
use std::sync::Arc;

use session_core::{
    DestroyMode, ErrorKind, Sessions, SetOutcome, TimeToLive, TouchOutcome, Updated, Version,
};

use crate::support::{DAY, Fault, Visit, World, after, id, ms, secs, visit, visit_of};

fn with_principal(world: &World) -> Sessions<Visit> {
    world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_created_session_is_loaded_as_it_was_saved() {
    let world = World::new();
    let store = with_principal(&world);
    let new = store.create(&visit_of("ann")).await.unwrap();
    let session = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(session.id(), &new.id);
    assert_eq!(session.data, visit_of("ann"));
    assert_eq!(session.version(), new.version);
    assert_eq!(session.created_at(), Some(crate::support::NOW));
    assert_eq!(session.expires_at(), after(DAY));
    assert_eq!(session.principal().unwrap().as_str(), "ann");
}

#[tokio::test(start_paused = true)]
async fn a_create_that_meets_a_taken_id_draws_another_one() {
    let world = World::new();
    world.script.once("create", Fault::Taken);
    world.script.once("create", Fault::Taken);
    let new = world.handle().create(&visit(1)).await.unwrap();
    assert!(world.script.row(&new.id).await.is_some());
    assert_eq!(world.script.calls(), ["create", "create", "create"]);
}

#[tokio::test(start_paused = true)]
async fn random_numbers_that_repeat_end_in_an_error() {
    let world = World::new();
    world.script.always("create", || Fault::Taken);
    let error = world.handle().create(&visit(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(!error.is_in_doubt());
    assert_eq!(world.script.calls(), ["create", "create", "create"]);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_taken_by_a_live_session_and_by_a_dead_one() {
    let world = World::new();
    let store = world.handle();
    assert!(store.create_with_id(&id("a"), &visit(1)).await.unwrap().is_some());
    assert!(store.create_with_id(&id("a"), &visit(2)).await.unwrap().is_none());
    assert_eq!(store.load(&id("a")).await.unwrap().unwrap().data, visit(1));
    store.destroy(&id("a")).await.unwrap();
    assert!(store.create_with_id(&id("a"), &visit(3)).await.unwrap().is_none());
    assert!(store.load(&id("a")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_update_counts_the_version_and_keeps_to_the_expected_one() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let second = new.version.next();
    assert_eq!(store.update(&new.id, &visit(1), Some(new.version)).await.unwrap(), Updated::Saved(second));
    assert_eq!(store.update(&new.id, &visit(2), Some(new.version)).await.unwrap(), Updated::Stale);
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, visit(1));
    let third = store.update(&new.id, &visit(3), None).await.unwrap();
    assert_eq!(third, Updated::Saved(second.next()));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_left_open_cannot_be_expected() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let updated = store.update(&new.id, &visit(1), Some(Version::NONE)).await.unwrap_err();
    let rotated = store.rotate_with(&new.id, &visit(1), Some(Version::NONE)).await.unwrap_err();
    for error in [updated, rotated] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("load the session"), "{error}");
    }
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, visit(0));
}

#[tokio::test(start_paused = true)]
async fn an_update_changes_the_principal() {
    let world = World::new();
    let store = with_principal(&world);
    let new = store.create(&visit(0)).await.unwrap();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(session.principal(), None);
    session.data = visit_of("ann");
    store.save(&mut session).await.unwrap();
    assert_eq!(session.principal().unwrap().as_str(), "ann");
    assert_eq!(store.count(Some("ann")).await.unwrap(), 1);
    store.modify(&new.id, |visit| visit.user = None).await.unwrap();
    assert_eq!(store.count(Some("ann")).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_session_is_gone_for_every_write_and_stays_dead() {
    let world = World::new();
    let builder = world.builder().time_to_live(TimeToLive::fixed(secs(60)).unwrap());
    let store = builder.build().unwrap();
    let mut dead = Vec::new();
    for name in ["destroyed", "rotated", "expired"] {
        store.create_with_id(&id(name), &visit(0)).await.unwrap();
        dead.push(store.load(&id(name)).await.unwrap().unwrap());
    }
    store.destroy(&id("destroyed")).await.unwrap();
    let rotated = store.rotate(&id("rotated")).await.unwrap().unwrap();
    world.clock.advance(secs(30));
    store.touch(&rotated.id).await.unwrap();
    world.clock.advance(secs(30));

    for mut session in dead {
        let id = session.id().clone();
        assert_eq!(store.update(&id, &visit(1), None).await.unwrap(), Updated::Gone);
        assert_eq!(store.update(&id, &visit(1), Some(Version::new(7))).await.unwrap(), Updated::Gone);
        assert_eq!(store.save(&mut session).await.unwrap(), Updated::Gone);
        assert_eq!(store.modify(&id, |visit| visit.count += 1).await.unwrap(), None);
        assert_eq!(store.set(&id, &visit(1)).await.unwrap(), SetOutcome::Gone);
        assert_eq!(store.touch(&id).await.unwrap(), TouchOutcome::Gone);
        assert_eq!(store.refresh(&mut session).await.unwrap(), TouchOutcome::Gone);
        assert_eq!(store.rotate(&id).await.unwrap(), None);
        assert!(!store.destroy(&id).await.unwrap());
        assert!(store.load(&id).await.unwrap().is_none());
    }
    assert_eq!(store.count(None).await.unwrap(), 1, "the rotated session lives on under its new id");
}

#[tokio::test(start_paused = true)]
async fn a_saved_session_can_be_saved_again_until_somebody_else_is_faster() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    for count in 1..=3 {
        session.data.count = count;
        assert!(matches!(store.save(&mut session).await.unwrap(), Updated::Saved(_)));
    }
    let saved = session.version();
    assert_eq!(saved.get(), new.version.get() + 3);
    store.modify(&new.id, |visit| visit.count = 100).await.unwrap();
    session.data.count = 4;
    assert_eq!(store.save(&mut session).await.unwrap(), Updated::Stale);
    assert_eq!(session.version(), saved, "a session that was not saved is as it was");
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data.count, 100);
}

#[tokio::test(start_paused = true)]
async fn a_table_without_versions_saves_over_whatever_is_there_and_cannot_modify() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    world.script.can(|can| can.versions = false);
    // What a store can do never changes while a handle has it.
    let store = world.handle();
    store.update(&new.id, &visit(7), None).await.unwrap();
    assert!(matches!(store.save(&mut session).await.unwrap(), Updated::Saved(_)));
    assert_eq!(store.create(&visit(0)).await.unwrap().version, Version::NONE);
    world.script.calls();
    let error = store.modify(&new.id, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "script: modify: this table holds no versions; save without expecting one, or use a native table"
    );
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn modify_under_contention_loses_no_update() {
    const WORKERS: u64 = 8;
    const INCREMENTS: u64 = 25;
    let world = World::new();
    // A round trip takes its time, so that the workers get into each other's way.
    world.script.always("load", || Fault::Slow(ms(1)));
    world.script.always("update", || Fault::Slow(ms(1)));
    let store = world.builder::<Visit>().deadline(secs(3_600)).build().unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (store, id) = (store.clone(), new.id.clone());
            tokio::spawn(async move {
                for _ in 0..INCREMENTS {
                    store.modify(&id, |visit| visit.count += 1).await.unwrap().unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let session = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(session.data.count, WORKERS * INCREMENTS);
    assert_eq!(session.version().get(), new.version.get() + 200);
    let updates = world.script.calls().iter().filter(|name| **name == "update").count();
    assert!(updates > 200, "nobody met anybody: {updates}");
}

#[tokio::test(start_paused = true)]
async fn modify_runs_its_closure_again_on_fresh_data_and_returns_the_last_value() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(10)).await.unwrap();
    let (rival, id) = (store.clone(), new.id.clone());
    world.script.once(
        "update",
        Fault::meanwhile(async move { assert!(rival.update(&id, &visit(20), None).await.is_ok()) }),
    );
    let mut seen = Vec::new();
    let modified = store
        .modify(&new.id, |visit| {
            seen.push(visit.count);
            visit.count += 1;
            visit.count
        })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen, [10, 20]);
    assert_eq!(modified.value, 21);
    assert_eq!(modified.version, new.version.next().next());
}

#[tokio::test(start_paused = true)]
async fn modify_of_a_session_that_is_destroyed_meanwhile_is_gone() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let (rival, id) = (store.clone(), new.id.clone());
    world.script.once("update", Fault::meanwhile(async move { assert!(rival.destroy(&id).await.unwrap()) }));
    assert_eq!(store.modify(&new.id, |visit| visit.count += 1).await.unwrap(), None);
    assert!(store.load(&new.id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn modify_gives_up_at_the_deadline_if_others_are_always_faster() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let (script, key) = (world.script.clone(), store.key(&new.id).unwrap());
    world.script.always("update", move || {
        let (script, key) = (script.clone(), key.clone());
        Fault::meanwhile(async move {
            let update = session_core::contract::Update {
                key,
                payload: "{\"count\":1}".into(),
                expires_at: Some(after(DAY)),
                principal: None,
                expected: None,
            };
            use session_core::contract::Store as _;
            script.memory().update(&update, crate::support::NOW).await.unwrap();
        })
    });
    let start = tokio::time::Instant::now();
    let error = store.modify(&new.id, |visit| visit.count += 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(!error.is_in_doubt());
    assert!(start.elapsed() <= secs(5) && start.elapsed() > secs(4), "{:?}", start.elapsed());
    assert!(store.is_connected());
}

/// What is known of the session that had an id before says nothing of the next one.
#[tokio::test(start_paused = true)]
async fn a_session_begins_at_a_version_of_its_own() {
    let world = World::new();
    let store = world.builder().destroy_mode(DestroyMode::Remove).build().unwrap();
    let id = id("a");
    let mut versions = HashSet::new();
    for _ in 0..20 {
        let new = store.create_with_id(&id, &visit(1)).await.unwrap().unwrap();
        assert!((1..=1 << 48).contains(&new.version.get()), "{:?}", new.version);
        assert!(versions.insert(new.version), "{:?} was drawn twice", new.version);
        store.destroy(&id).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn set_creates_updates_and_never_revives() {
    let world = World::new();
    let store = world.handle();
    let id = id("a");
    let SetOutcome::Created(first) = store.set(&id, &visit(1)).await.unwrap() else {
        panic!("it was not there")
    };
    assert_eq!(store.set(&id, &visit(2)).await.unwrap(), SetOutcome::Updated(first.next()));
    store.destroy(&id).await.unwrap();
    assert_eq!(store.set(&id, &visit(3)).await.unwrap(), SetOutcome::Gone);
    assert!(store.load(&id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_second_in_the_race_for_a_new_id_updates() {
    let world = World::new();
    let store = world.handle();
    let rival = store.clone();
    world.script.once(
        "create",
        Fault::meanwhile(async move {
            assert!(matches!(rival.set(&id("a"), &visit(1)).await.unwrap(), SetOutcome::Created(_)));
        }),
    );
    assert!(matches!(store.set(&id("a"), &visit(2)).await.unwrap(), SetOutcome::Updated(_)));
    assert_eq!(store.load(&id("a")).await.unwrap().unwrap().data, visit(2));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_loses_to_a_create_and_a_destroy_is_gone() {
    let world = World::new();
    let store = world.handle();
    let rival = store.clone();
    world.script.once(
        "create",
        Fault::meanwhile(async move {
            rival.set(&id("a"), &visit(1)).await.unwrap();
            rival.destroy(&id("a")).await.unwrap();
        }),
    );
    assert_eq!(store.set(&id("a"), &visit(2)).await.unwrap(), SetOutcome::Gone);
    assert!(store.load(&id("a")).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn of_many_first_sets_of_one_id_exactly_one_creates_and_none_fails() {
    let world = World::new();
    world.script.always("update", || Fault::Slow(ms(1)));
    world.script.always("create", || Fault::Slow(ms(1)));
    let store = Arc::new(world.handle());
    let sets: Vec<_> = (0..16)
        .map(|count| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.set(&id("a"), &visit(count)).await.unwrap() })
        })
        .collect();
    let mut created = 0;
    for set in sets {
        match set.await.unwrap() {
            SetOutcome::Created(_) => created += 1,
            SetOutcome::Updated(_) => {}
            SetOutcome::Gone => panic!("nobody destroyed it"),
        }
    }
    assert_eq!(created, 1);
}
