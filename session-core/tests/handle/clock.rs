//! The database's clock.

use session_core::{Error, SessionId, SessionStore, Touched};
use tokio::time::{Instant, advance};

use crate::support::{DAY, Fault, Visit, World, after, gone, ms, secs, visit};

const REFRESH: u64 = 600;

fn handle(world: &World) -> SessionStore<Visit> {
    world.builder().database_clock(secs(REFRESH)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn sessions_live_by_the_servers_clock() {
    for skew in [-90_000_i64, 90_000] {
        let world = World::new();
        world.script.set_skew(skew);
        let new = handle(&world).create(&visit(0)).await.unwrap();
        assert_eq!(new.expires_at.as_millis(), after(DAY).as_millis() + skew);
        // Another host, whose clock is off by an hour, agrees to the millisecond.
        let other = handle(&world);
        world.clock.advance(secs(3_600));
        world.script.set_skew(skew - 3_600_000 + 86_400_000 - 1);
        assert!(other.load(&new.id).await.unwrap().is_some());
        let other = handle(&world);
        world.script.set_skew(skew - 3_600_000 + 86_400_000);
        assert!(other.load(&new.id).await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_is_asked_at_first_use_and_then_once_in_each_refresh() {
    let world = World::new();
    let store = handle(&world);
    let new = store.create(&visit(0)).await.unwrap();
    store.load(&new.id).await.unwrap();
    advance(secs(REFRESH) - ms(1)).await;
    store.load(&new.id).await.unwrap();
    assert_eq!(world.script.calls(), ["server_time", "create", "load", "load"]);
    world.script.set_skew(5_000);
    advance(ms(1)).await;
    assert_eq!(store.touch(&new.id).await.unwrap(), Touched::Moved(after(DAY + secs(5))));
    store.load(&new.id).await.unwrap();
    assert_eq!(world.script.calls(), ["server_time", "touch", "load"]);
}

#[tokio::test(start_paused = true)]
async fn callers_at_first_use_share_one_measurement() {
    let world = World::new();
    world.script.always("server_time", || Fault::Slow(ms(2)));
    let store = handle(&world);
    let id = SessionId::random().unwrap();
    futures_util::future::join_all((0..10).map(|_| store.load(&id))).await;
    let calls = world.script.calls();
    assert_eq!(calls.iter().filter(|call| **call == "server_time").count(), 1, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn the_quickest_of_three_answers_tells_the_difference() {
    let world = World::new();
    world.script.set_skew(10_000);
    // The host's clock stands still, so that the half of a round trip shows as a difference.
    world.script.once("server_time", Fault::Slow(secs(2)));
    world.script.once("server_time", Fault::Slow(ms(20)));
    world.script.once("server_time", Fault::Slow(ms(40)));
    let new = handle(&world).create(&visit(0)).await.unwrap();
    assert_eq!(new.expires_at, after(DAY + secs(10) + ms(10)));
}

#[tokio::test(start_paused = true)]
async fn a_first_measurement_that_fails_fails_its_call_and_the_next_call_measures_again() {
    let world = World::new();
    let store = handle(&world);
    world.script.once("server_time", Fault::Fail(Error::unavailable("busy")));
    let error = store.create(&visit(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "script: create: busy");
    assert!(!error.is_indeterminate());
    assert_eq!(world.script.calls(), ["server_time"]);
    store.create(&visit(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_keeps_the_last_difference_and_is_tried_again_a_second_later() {
    let world = World::new();
    world.script.set_skew(7_000);
    let store = handle(&world);
    let new = store.create(&visit(0)).await.unwrap();
    advance(secs(REFRESH)).await;
    world.events.take();
    world.script.calls();
    world.script.once("server_time", Fault::Fail(Error::unavailable("busy")));
    let moved = Touched::Moved(after(DAY + secs(7)));
    assert_eq!(store.touch(&new.id).await.unwrap(), moved);
    assert_eq!(store.touch(&new.id).await.unwrap(), moved);
    assert_eq!(world.script.calls(), ["server_time", "touch", "touch"]);
    assert_eq!(world.events.take(), ["error: server time: unavailable"]);
    advance(secs(1)).await;
    world.script.set_skew(8_000);
    assert_eq!(store.touch(&new.id).await.unwrap(), Touched::Moved(after(DAY + secs(8))));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_holds_up_one_call_for_a_second_and_no_other() {
    let world = World::new();
    let store = handle(&world);
    let new = store.create(&visit(0)).await.unwrap();
    advance(secs(REFRESH)).await;
    world.script.always("server_time", || Fault::Hang);
    let timed = || async {
        let start = Instant::now();
        store.load(&new.id).await.unwrap();
        start.elapsed()
    };
    let mut times = futures_util::future::join_all((0..5).map(|_| timed())).await;
    times.sort();
    assert_eq!(times[..4], [ms(0); 4]);
    assert!(times[4] >= secs(1) && times[4] < ms(1_002), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_dropped_is_taken_over() {
    let world = World::new();
    let store = handle(&world);
    let new = store.create(&visit(0)).await.unwrap();
    advance(secs(REFRESH)).await;
    world.script.once("server_time", Fault::Hang);
    assert!(tokio::time::timeout(ms(10), store.load(&new.id)).await.is_err());
    advance(secs(1)).await;
    world.script.calls();
    store.load(&new.id).await.unwrap();
    assert_eq!(world.script.calls(), ["server_time", "load"]);
}

#[tokio::test(start_paused = true)]
async fn while_disconnected_not_even_the_clock_is_asked() {
    let world = World::new();
    let store = handle(&world);
    world.script.always("server_time", gone);
    assert!(store.create(&visit(0)).await.is_err());
    assert!(!store.is_connected());
    world.script.calls();
    assert!(store.create(&visit(0)).await.is_err());
    assert_eq!(world.script.calls(), [""; 0]);
}
