//! The touch throttle.

use std::time::Duration;

use session_core::{Sessions, TimeToLive, TouchOutcome};

use crate::support::{Visit, World, after, id, ms, secs, visit};

fn throttled(world: &World, span: Duration, percent: u8) -> Sessions<Visit> {
    let builder = world.builder().time_to_live(TimeToLive::fixed(span).unwrap());
    builder.touch_throttle(percent).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_touch_writes_from_the_set_part_of_the_time_to_live_on() {
    // Ten percent of 999 ms are 99.9: 99 is less, 100 is not.
    for (span, least) in [(1_000, 100), (999, 100), (1_001, 101), (10, 1)] {
        let world = World::new();
        let store = throttled(&world, ms(span), 10);
        let new = store.create(&visit(0)).await.unwrap();
        let mut session = store.load(&new.id).await.unwrap().unwrap();
        world.script.calls();

        world.clock.set(after(ms(least - 1)));
        let stays = TouchOutcome::Throttled(new.expires_at);
        assert_eq!(store.touch(&new.id).await.unwrap(), stays, "{span}");
        assert_eq!(store.refresh(&mut session).await.unwrap(), stays, "{span}");
        assert_eq!(
            world.script.calls(),
            ["load"],
            "nothing is written, and a loaded session is not even read"
        );
        assert_eq!(world.script.row(&new.id).await.unwrap().expires_at, new.expires_at);

        world.clock.set(after(ms(least)));
        let moves = TouchOutcome::Moved(after(ms(least + span)));
        assert_eq!(store.refresh(&mut session).await.unwrap(), moves, "{span}");
        assert_eq!(world.script.calls(), ["touch"]);
        assert_eq!(world.script.row(&new.id).await.unwrap().expires_at, after(ms(least + span)));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_throttle_a_touch_is_one_statement() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    world.script.calls();
    assert!(matches!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(_)));
    assert_eq!(world.script.calls(), ["touch"]);
}

#[tokio::test(start_paused = true)]
async fn a_load_writes_nothing() {
    let world = World::new();
    let store = throttled(&world, secs(60), 10);
    let new = store.create(&visit(0)).await.unwrap();
    world.script.calls();
    world.clock.advance(secs(30));
    assert!(store.load(&new.id).await.unwrap().is_some());
    assert_eq!(world.script.calls(), ["load"]);
    assert_eq!(world.script.row(&new.id).await.unwrap().expires_at, new.expires_at);
}

#[tokio::test(start_paused = true)]
async fn a_dead_session_is_gone_and_never_throttled() {
    let world = World::new();
    let store = throttled(&world, secs(60), 90);
    let new = store.create(&visit(0)).await.unwrap();
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    world.clock.set(after(secs(60)));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Gone);
    assert_eq!(store.refresh(&mut session).await.unwrap(), TouchOutcome::Gone);
    assert_eq!(session.expires_at(), new.expires_at);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_life_is_throttled_by_the_same_measure() {
    let world = World::new();
    let new = throttled(&world, ms(1_000), 10).create(&visit(0)).await.unwrap();
    // By 90 ms of 910, and by 100 ms of 900.
    let touched = throttled(&world, ms(910), 10).touch(&new.id).await.unwrap();
    assert_eq!(touched, TouchOutcome::Throttled(after(ms(1_000))));
    let touched = throttled(&world, ms(900), 10).touch(&new.id).await.unwrap();
    assert_eq!(touched, TouchOutcome::Moved(after(ms(900))));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_maximum_lifetime_a_throttled_touch_writes_no_more() {
    let world = World::new();
    let builder = world.builder::<Visit>().time_to_live(TimeToLive::fixed(secs(60)).unwrap());
    let store = builder.max_lifetime(secs(100)).touch_throttle(10).build().unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    world.clock.set(after(secs(50)));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(after(secs(100))));
    world.clock.set(after(secs(99)));
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Throttled(after(secs(100))));
}

#[tokio::test(start_paused = true)]
async fn a_touch_that_needs_no_data_works_on_data_that_cannot_be_read() {
    let world = World::new();
    world.script.plant(&id("corrupt"), "{", None).await;
    let store = throttled(&world, secs(60), 10);
    assert_eq!(store.touch(&id("corrupt")).await.unwrap(), TouchOutcome::Moved(after(secs(60))));
}
