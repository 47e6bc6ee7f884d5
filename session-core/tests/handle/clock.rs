//! The database's clock.

use std::time::Duration;

use session_core::{Error, SessionId, Sessions, TouchOutcome};
use tokio::time::{Instant, advance};

use crate::support::{DAY, Fault, Visit, World, after, conflict, gone, ms, rows, secs, visit};

const REFRESH: u64 = 600;

fn handle(world: &World) -> Sessions<Visit> {
    world.builder().database_clock(secs(REFRESH)).build().unwrap()
}

/// Time passes on all clocks.
async fn pass(world: &World, span: Duration) {
    world.clock.advance(span);
    advance(span).await;
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
    pass(&world, secs(REFRESH) - ms(1)).await;
    store.load(&new.id).await.unwrap();
    assert_eq!(world.script.calls(), ["server_time", "create", "load", "load"]);
    world.script.set_skew(5_000);
    pass(&world, ms(1)).await;
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(after(DAY + secs(REFRESH + 5))));
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
    assert!(!error.is_in_doubt());
    assert_eq!(world.script.calls(), ["server_time"]);
    store.create(&visit(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_keeps_the_last_difference_and_is_tried_again_a_second_later() {
    let world = World::new();
    world.script.set_skew(7_000);
    let store = handle(&world);
    let new = store.create(&visit(0)).await.unwrap();
    pass(&world, secs(REFRESH)).await;
    world.events.take();
    world.script.calls();
    world.script.once("server_time", Fault::Fail(Error::unavailable("busy")));
    let moved = TouchOutcome::Moved(after(DAY + secs(REFRESH + 7)));
    assert_eq!(store.touch(&new.id).await.unwrap(), moved);
    assert_eq!(store.touch(&new.id).await.unwrap(), moved);
    assert_eq!(world.script.calls(), ["server_time", "touch", "touch"]);
    assert_eq!(world.events.take(), ["error: server time: unavailable"]);
    pass(&world, secs(1)).await;
    world.script.set_skew(8_000);
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(after(DAY + secs(REFRESH + 9))));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_holds_up_one_call_for_a_second_and_no_other() {
    let world = World::new();
    let store = handle(&world);
    let new = store.create(&visit(0)).await.unwrap();
    pass(&world, secs(REFRESH)).await;
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
    pass(&world, secs(REFRESH)).await;
    world.script.once("server_time", Fault::Hang);
    assert!(tokio::time::timeout(ms(10), store.load(&new.id)).await.is_err());
    pass(&world, secs(1)).await;
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

/// A machine that was put to sleep, or whose clock somebody set, goes by the database's time all the same.
#[tokio::test(start_paused = true)]
async fn a_host_whose_clock_is_set_ends_nobodys_session() {
    for step in [-2 * 86_400_000_i64, 2 * 86_400_000] {
        let world = World::new();
        let store = handle(&world);
        let new = store.create(&visit(0)).await.unwrap();
        world.script.calls();
        world.clock.set(session_core::Timestamp::from_millis(after(secs(0)).as_millis() + step));
        world.script.set_skew(-step);
        // Even if the database does not answer the question that the step raises.
        world.script.once("server_time", Fault::Fail(Error::unavailable("busy")));
        assert!(store.load(&new.id).await.unwrap().is_some(), "a step of {step} ms");
        assert_eq!(store.purge(rows(10)).await.unwrap(), 0);
        advance(secs(2)).await;
        assert!(store.load(&new.id).await.unwrap().is_some());
        assert_eq!(
            world.script.calls(),
            ["server_time", "load", "server_time", "purge_expired", "server_time", "load"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_revives_nothing() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    world.clock.advance(DAY);
    assert!(store.load(&new.id).await.unwrap().is_none());
    world.clock.set(after(secs(0)));
    assert!(store.load(&new.id).await.unwrap().is_none());
    assert_eq!(store.touch(&new.id).await.unwrap(), TouchOutcome::Gone);
}

/// Which is told, as only a new start of the program mends it.
#[tokio::test(start_paused = true)]
async fn the_doctor_tells_of_a_clock_that_was_set_back() {
    let told = async |sessions: &Sessions<Visit>| {
        let findings = sessions.doctor().await.unwrap();
        findings.into_iter().filter(|finding| finding.what.contains("set back")).collect::<Vec<_>>()
    };
    for by_the_database in [false, true] {
        let world = World::new();
        let sessions = if by_the_database { handle(&world) } else { world.handle() };
        sessions.create(&visit(0)).await.unwrap();
        assert_eq!(told(&sessions).await, []);
        // A clock that is an hour ahead for a moment, in which somebody calls.
        pass(&world, secs(REFRESH + 3_600)).await;
        sessions.create(&visit(0)).await.unwrap();
        assert_eq!(told(&sessions).await, []);
        world.clock.set(after(secs(REFRESH)));
        let findings = told(&sessions).await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].what.contains("by 3600 s"), "{findings:?}");
        assert_eq!(findings[0].severity, session_core::Severity::Warning);
        // A new start of the program.
        assert_eq!(told(&world.handle()).await, []);
        world.clock.set(after(secs(REFRESH + 3_600)));
        assert_eq!(told(&sessions).await, []);
    }
}

/// A touch that waits for a lock, loses a deadlock and comes again goes by the time of then.
#[tokio::test(start_paused = true)]
async fn each_attempt_goes_by_its_own_time() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    let clock = std::sync::Arc::clone(&world.clock);
    world.script.always("touch", move || {
        clock.advance(DAY);
        conflict()
    });
    let script = world.script.clone();
    let mended = async {
        tokio::task::yield_now().await;
        script.heal();
    };
    let (touched, ()) = tokio::join!(store.touch(&new.id), mended);
    assert_eq!(touched.unwrap(), TouchOutcome::Gone);
}
