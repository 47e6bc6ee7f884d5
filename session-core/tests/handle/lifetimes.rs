//! Time to live in all its forms, and the maximum lifetime.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use session_core::{
    Clock as _, ErrorKind, RotateOutcome, Sessions, SetOutcome, TimeToLive, Timestamp, TouchOutcome, Updated,
};

use crate::support::{DAY, NOW, Visit, World, after, id, ms, secs, visit};

fn fixed(span: Duration) -> TimeToLive<Visit> {
    TimeToLive::fixed(span).unwrap()
}

#[tokio::test(start_paused = true)]
async fn without_a_rule_a_session_lives_for_a_day() {
    let world = World::new();
    let new = world.handle().create(&visit(0)).await.unwrap();
    assert_eq!(new.expires_at, after(DAY));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_dead_from_its_expiry_on_to_the_millisecond() {
    let world = World::new();
    let store = world.builder().time_to_live(fixed(ms(1_000))).build().unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    world.clock.set(after(ms(999)));
    assert!(store.load(&new.id).await.unwrap().is_some());
    world.clock.set(after(ms(1_000)));
    assert!(store.load(&new.id).await.unwrap().is_none());
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Gone);
    assert_eq!(store.count(None).await.unwrap(), 0);
}

/// Runs every operation that renews a session, each a minute after the one before, and returns the expiries.
async fn renew_in_every_way(world: &World, store: &Sessions<Visit>) -> Vec<Timestamp> {
    let mut expiries = Vec::new();
    let mut id = {
        let new = store.create(&visit(0)).await.unwrap();
        expiries.push(new.expires_at);
        new.id
    };
    for step in 1..=8_u64 {
        world.clock.set(after(secs(60 * step)));
        match step {
            1 => assert!(matches!(store.update(&id, &visit(1), None).await.unwrap(), Updated::Saved(_))),
            2 => {
                let mut session = store.load(&id).await.unwrap().unwrap();
                assert!(matches!(store.save(&mut session).await.unwrap(), Updated::Saved(_)));
                assert_eq!(session.expires_at(), world.script.row(&id).await.unwrap().expires_at);
            }
            3 => {
                let modified = store.modify(&id, |visit| visit.count += 1).await.unwrap().unwrap();
                assert_eq!(modified.expires_at, world.script.row(&id).await.unwrap().expires_at);
            }
            4 => assert!(matches!(store.set(&id, &visit(4)).await.unwrap(), SetOutcome::Updated(_))),
            5 => {
                let touched = store.touch(&id).await.unwrap();
                assert_eq!(touched, TouchOutcome::Moved(world.script.row(&id).await.unwrap().expires_at));
            }
            6 => {
                let mut session = store.load(&id).await.unwrap().unwrap();
                let touched = store.refresh(&mut session).await.unwrap();
                assert_eq!(touched, TouchOutcome::Moved(session.expires_at()));
            }
            7 => id = store.rotate(&id).await.unwrap().unwrap().id,
            _ => match store.rotate_with(&id, &visit(8), None).await.unwrap() {
                RotateOutcome::Rotated(new) => id = new.id,
                other => panic!("{other:?}"),
            },
        }
        expiries.push(world.script.row(&id).await.unwrap().expires_at);
    }
    expiries
}

#[tokio::test(start_paused = true)]
async fn a_fixed_time_to_live_begins_anew_with_every_write_and_touch() {
    let world = World::new();
    let store = world.builder().time_to_live(fixed(secs(3_600))).build().unwrap();
    let expiries = renew_in_every_way(&world, &store).await;
    let expected: Vec<_> = (0..=8).map(|step| after(secs(3_600 + 60 * step))).collect();
    assert_eq!(expiries, expected);
}

#[tokio::test(start_paused = true)]
async fn the_maximum_lifetime_counts_from_creation_whatever_is_done() {
    let world = World::new();
    let builder = world.builder().time_to_live(fixed(secs(3_600)));
    let store = builder.max_lifetime(secs(3_600 + 180)).build().unwrap();
    let expiries = renew_in_every_way(&world, &store).await;
    let expected: Vec<_> = (0..=8).map(|step| after(secs(3_600 + 60 * step.min(3)))).collect();
    assert_eq!(expiries, expected);
}

#[tokio::test(start_paused = true)]
async fn a_maximum_lifetime_shorter_than_the_time_to_live_wins_at_once() {
    let world = World::new();
    let store = world.builder::<Visit>().max_lifetime(secs(10)).build().unwrap();
    assert_eq!(store.create(&visit(0)).await.unwrap().expires_at, after(secs(10)));
    assert!(matches!(store.set(&id("new"), &visit(0)).await.unwrap(), SetOutcome::Created(_)));
    assert_eq!(world.script.row(&id("new")).await.unwrap().expires_at, after(secs(10)));
}

#[tokio::test(start_paused = true)]
async fn a_session_in_constant_use_ends_with_its_maximum_lifetime() {
    let world = World::new();
    let builder = world.builder().time_to_live(fixed(secs(60)));
    let store = builder.max_lifetime(secs(600)).build().unwrap();
    let mut id = store.create(&visit(0)).await.unwrap().id;
    for second in (30..600).step_by(30) {
        world.clock.set(after(secs(second)));
        match second % 90 {
            0 => assert!(matches!(store.touch(&id).await.unwrap(), TouchOutcome::Moved(_))),
            30 => assert!(store.modify(&id, |visit| visit.count += 1).await.unwrap().is_some()),
            _ => id = store.rotate(&id).await.unwrap().unwrap().id,
        }
    }
    world.clock.set(after(ms(599_999)));
    assert!(store.load(&id).await.unwrap().is_some());
    world.clock.set(after(secs(600)));
    assert!(store.load(&id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_from_before_the_maximum_lifetime_meets_it_at_its_next_touch() {
    let world = World::new();
    let new = world.handle().create(&visit(0)).await.unwrap();
    let store = world.builder::<Visit>().max_lifetime(secs(60)).build().unwrap();
    world.clock.set(after(secs(61)));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(after(secs(60))));
    assert!(store.load(&new.id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn with_a_maximum_lifetime_a_dead_session_is_gone_for_every_write() {
    let world = World::new();
    let store = world.builder::<Visit>().max_lifetime(secs(60)).build().unwrap();
    let id = id("unknown");
    assert_eq!(store.update(&id, &visit(1), None).await.unwrap(), Updated::Gone);
    assert_eq!(store.rotate_with(&id, &visit(1), None).await.unwrap(), RotateOutcome::Gone);
    assert_eq!(store.touch(&id).await.unwrap(), TouchOutcome::Gone);
    assert_eq!(world.script.calls(), ["load", "load", "load"], "nothing is written");
}

#[tokio::test(start_paused = true)]
async fn never_means_never() {
    let world = World::new();
    let store = world.builder().time_to_live(TimeToLive::<Visit>::never()).build().unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    assert_eq!(new.expires_at, Timestamp::NEVER);
    world.clock.set(Timestamp::from_millis(i64::MAX - 1));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(Timestamp::NEVER));
}

#[tokio::test(start_paused = true)]
async fn a_rule_gets_the_id_and_the_data_of_every_write_and_touch() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let rule = TimeToLive::per_session(move |id, visit: &Visit| {
        log.lock().unwrap().push((id.clone(), visit.count));
        Some(secs(visit.count))
    });
    let world = World::new();
    let store = world.builder().time_to_live(rule).build().unwrap();
    let id = id("a");

    let new = store.create_with_id(&id, &visit(100)).await.unwrap().unwrap();
    assert_eq!(new.expires_at, after(secs(100)));
    store.update(&id, &visit(200), None).await.unwrap();
    assert_eq!(store.touch(&id).await.unwrap(), TouchOutcome::Moved(after(secs(200))));
    let mut session = store.load(&id).await.unwrap().unwrap();
    session.data.count = 300;
    assert_eq!(store.refresh(&mut session).await.unwrap(), TouchOutcome::Moved(after(secs(300))));
    let rotated = store.rotate(&id).await.unwrap().unwrap();
    assert_eq!(rotated.expires_at, after(secs(200)));

    let expected = [(id.clone(), 100), (id.clone(), 200), (id.clone(), 200), (id, 300), (rotated.id, 200)];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_says_zero_ends_the_session_with_that_write() {
    let world = World::new();
    let rule = TimeToLive::per_session(|_, visit: &Visit| Some(secs(visit.count)));
    let store = world.builder().time_to_live(rule).build().unwrap();
    let new = store.create(&visit(5)).await.unwrap();
    assert_eq!(store.update(&new.id, &visit(0), None).await.unwrap(), Updated::Saved(new.version.next()));
    assert!(store.load(&new.id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_counted_is_refused_and_changes_nothing() {
    let world = World::new();
    let rule = TimeToLive::per_session(|_, visit: &Visit| {
        Some(if visit.count == 0 { Duration::MAX } else { secs(60) })
    });
    let store = world.builder().time_to_live(rule).build().unwrap();
    let error = store.create(&visit(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("script: create: a lifetime of "), "{error}");
    assert_eq!(world.script.calls(), [""; 0]);

    let new = store.create(&visit(1)).await.unwrap();
    assert_eq!(store.update(&new.id, &visit(0), None).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, visit(1));
}

#[tokio::test(start_paused = true)]
async fn the_cookies_own_lifetime_is_used_by_writes_and_touches() {
    let world = World::new();
    let store = world.builder::<Value>().time_to_live(TimeToLive::from_cookie()).build().unwrap();
    let with_cookie = json!({"cookie": {"originalMaxAge": 5_000}});
    let new = store.create(&with_cookie).await.unwrap();
    assert_eq!(new.expires_at, after(secs(5)));
    world.clock.advance(secs(3));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(after(secs(8))));
    store.update(&new.id, &json!({}), None).await.unwrap();
    assert_eq!(world.script.row(&new.id).await.unwrap().expires_at, after(secs(3) + DAY));
}

#[tokio::test(start_paused = true)]
async fn a_rule_may_name_the_moment_of_death() {
    let world = World::new();
    let rule = TimeToLive::until(|_, visit: &Visit, now: Timestamp| {
        (visit.count > 0).then(|| now.saturating_add(secs(visit.count)))
    });
    let store = world.builder().time_to_live(rule).build().unwrap();
    assert_eq!(store.create(&visit(7)).await.unwrap().expires_at, after(secs(7)));
    assert_eq!(store.create(&visit(0)).await.unwrap().expires_at, after(DAY));
    assert_eq!(world.clock.now(), NOW);
}
