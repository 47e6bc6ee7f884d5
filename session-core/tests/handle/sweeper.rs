//! The sweeper.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{ErrorKind, Sessions, Sweeper, TimeToLive};
use tokio::time::{Instant, advance, sleep};

use crate::support::{Fault, Visit, World, gone, ms, rows, secs, visit};

const INTERVAL: u64 = 600;

/// What `after` was given.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Result<u64, ErrorKind>>>>);

impl Reports {
    fn take(&self) -> Vec<Result<u64, ErrorKind>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn start(store: &Sessions<Visit>, reports: &Reports) -> Sweeper {
    let reports = reports.clone();
    store
        .sweeper()
        .after(move |result| reports.0.lock().unwrap().push(result.map_err(|error| error.kind())))
        .start()
}

/// Waits for so many purges: the first one comes within a minute, and each further one after an interval, give or take
/// a tenth.
async fn rounds(number: u32) {
    sleep(secs(INTERVAL) * (number - 1) + secs(INTERVAL) / 2).await;
}

async fn expired(world: &World, number: u64) -> Sessions<Visit> {
    let builder = world.builder::<Visit>().time_to_live(TimeToLive::fixed(secs(1)).unwrap());
    let store = builder.build().unwrap();
    for n in 0..number {
        store.create(&visit(n)).await.unwrap();
    }
    world.clock.advance(secs(1));
    world.script.calls();
    world.events.take();
    store
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_unless_asked() {
    let world = World::new();
    let store = world.handle();
    let sweeper = store.sweeper().interval(secs(1));
    sleep(secs(86_400)).await;
    drop(sweeper);
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn it_purges_every_ten_minutes_give_or_take_a_tenth() {
    let world = World::new();
    let begin = Instant::now();
    let sweeper = start(&world.handle(), &Reports::default());
    sleep(secs(INTERVAL) * 50).await;
    sweeper.stop().await;
    let calls = world.script.timed_calls().into_iter();
    let purges: Vec<Instant> = calls.filter(|(name, _)| *name == "purge_expired").map(|(_, at)| at).collect();
    assert!(purges[0] - begin <= secs(60) + ms(1), "a program that lives shortly purges too");
    let pauses: Vec<Duration> = purges.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 45 && pauses.len() <= 56, "{}", pauses.len());
    for pause in &pauses {
        assert!(*pause >= secs(540) && *pause <= secs(660) + ms(1), "{pause:?}");
    }
    assert!(pauses.iter().any(|pause| *pause < secs(590)), "no jitter: {pauses:?}");
    assert!(pauses.iter().any(|pause| *pause > secs(610)), "no jitter: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_purges_of_many_programs_come_at_different_moments() {
    let world = World::new();
    let begin = Instant::now();
    let sweepers: Vec<Sweeper> = (0..20).map(|_| start(&world.handle(), &Reports::default())).collect();
    sleep(secs(61)).await;
    let calls = world.script.timed_calls().into_iter();
    let first: Vec<Duration> =
        calls.filter(|(name, _)| *name == "purge_expired").map(|(_, at)| at - begin).collect();
    assert_eq!(first.len(), 20);
    assert!(first.iter().any(|at| *at < secs(25)) && first.iter().any(|at| *at > secs(35)), "{first:?}");
    drop(sweepers);
}

/// A host whose clock is a day ahead takes everybody's sessions for expired.
#[tokio::test(start_paused = true)]
async fn a_purge_never_goes_beyond_the_databases_own_time() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    world.clock.advance(secs(86_400));
    world.script.set_skew(-86_400_000);
    let reports = Reports::default();
    let sweeper = start(&store, &reports);
    rounds(1).await;
    sweeper.stop().await;
    assert_eq!(reports.take(), [Ok(0)]);
    assert_eq!(store.purge(rows(10)).await.unwrap(), 0);
    world.script.set_skew(0);
    assert_eq!(store.purge(rows(10)).await.unwrap(), 1);
    assert!(store.load(&new.id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn it_purges_in_batches_until_nothing_is_left_and_reports_once() {
    let world = World::new();
    let store = expired(&world, 25).await;
    let reports = Reports::default();
    let log = reports.clone();
    let sweeper = store
        .sweeper()
        .batch(rows(10))
        .after(move |result| log.0.lock().unwrap().push(result.map_err(|error| error.kind())))
        .start();
    rounds(1).await;
    assert_eq!(world.events.take(), ["purged 10", "purged 10", "purged 5"]);
    assert_eq!(reports.take(), [Ok(25)]);
    sleep(secs(INTERVAL)).await;
    assert_eq!(reports.take(), [Ok(0)]);
    sweeper.stop().await;
}

/// A statement time-out of the server gives up the same batch each time.
#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_fit_is_halved_and_grows_again() {
    let world = World::new();
    let store = expired(&world, 100).await;
    world.script.set_fits(7);
    assert_eq!(store.purge(rows(50)).await.unwrap(), 50);
    let calls = world.script.calls().into_iter().filter(|name| *name == "purge_expired").count();
    // 50, 25 and 12 do not fit; then 6 at once, and 12 are tried again after eight that went well.
    assert!((12..=14).contains(&calls), "{calls}");
    let reports = Reports::default();
    let sweeper = start(&store, &reports);
    rounds(1).await;
    assert_eq!(reports.take(), [Ok(50)]);
    sweeper.stop().await;

    let store = expired(&world, 2000).await;
    world.script.set_fits(u32::MAX);
    let sweeper = start(&store, &reports);
    rounds(1).await;
    assert_eq!(reports.take(), [Ok(2000)]);
    sweeper.stop().await;
    let purged: Vec<String> = world.events.take();
    assert!(purged.last().is_some_and(|last| last.starts_with("purged")), "{purged:?}");
    assert_eq!(store.purge(rows(1000)).await.unwrap(), 0);
}

/// It is not for the size of the batch: one row is too much as well.
#[tokio::test(start_paused = true)]
async fn what_one_row_is_too_much_for_is_an_error() {
    let world = World::new();
    let store = expired(&world, 3).await;
    world.script.set_fits(0);
    assert_eq!(store.purge(rows(8)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let reports = Reports::default();
    let sweeper = start(&store, &reports);
    rounds(1).await;
    sweeper.stop().await;
    assert_eq!(reports.take(), [Err(ErrorKind::Unavailable)]);
}

#[tokio::test(start_paused = true)]
async fn what_runs_before_is_awaited_and_can_veto() {
    let world = World::new();
    let store = expired(&world, 1).await;
    let answers = Arc::new(Mutex::new(vec![true, false]));
    let reports = Reports::default();
    let log = reports.clone();
    let sweeper = store
        .sweeper()
        .before(move || {
            let answer = answers.lock().unwrap().pop();
            async move {
                sleep(secs(1)).await;
                answer.unwrap_or(false)
            }
        })
        .after(move |result| log.0.lock().unwrap().push(result.map_err(|error| error.kind())))
        .start();
    rounds(1).await;
    assert_eq!(world.script.calls(), [""; 0]);
    assert_eq!(reports.take(), [], "what did not run is not reported");
    sleep(secs(INTERVAL)).await;
    assert_eq!(reports.take(), [Ok(1)]);
    rounds(2).await;
    assert_eq!(reports.take(), []);
    sweeper.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_panics_before_vetoes_and_what_panics_after_harms_nothing() {
    let world = World::new();
    let store = expired(&world, 1).await;
    let at_once = store.sweeper().before(|| -> std::future::Ready<bool> { panic!("before") }).start();
    let later = store.sweeper().before(|| async { panic!("before, later") }).start();
    rounds(2).await;
    assert_eq!(world.script.calls(), [""; 0]);
    at_once.stop().await;
    later.stop().await;
    let after = store.sweeper().after(|_| panic!("after")).start();
    rounds(3).await;
    assert!(world.script.calls().len() >= 2);
    after.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_error_ends_it_and_each_is_reported_once() {
    let world = World::new();
    let store = expired(&world, 3).await;
    let reports = Reports::default();
    world.script.always("purge_expired", gone);
    let sweeper = start(&store, &reports);
    rounds(1).await;
    assert_eq!(reports.take(), [Err(ErrorKind::Unavailable)]);
    assert!(!store.is_connected());
    world.script.heal();
    world.script.once("purge_expired", Fault::Panic);
    sleep(secs(INTERVAL)).await;
    assert_eq!(reports.take(), [Err(ErrorKind::Backend)], "even a backend that panics is survived");
    sleep(secs(INTERVAL)).await;
    assert_eq!(reports.take(), [Ok(3)]);
    sweeper.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_the_statement_under_way_and_its_report() {
    let world = World::new();
    let store = expired(&world, 3).await;
    let reports = Reports::default();
    world.script.always("purge_expired", || Fault::Slow(secs(2)));
    let log = reports.clone();
    let sweeper = store
        .sweeper()
        .interval(secs(10))
        .batch(rows(1))
        .after(move |result| log.0.lock().unwrap().push(result.map_err(|error| error.kind())))
        .start();
    while world.script.calls().is_empty() {
        sleep(ms(100)).await;
    }
    assert_eq!(reports.take(), []);
    let start = Instant::now();
    sweeper.stop().await;
    assert!(start.elapsed() > secs(1) && start.elapsed() <= secs(2), "{:?}", start.elapsed());
    assert_eq!(reports.take(), [Ok(1)], "no further batch begins");
    sleep(secs(3_600)).await;
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_neither_for_the_pause_nor_for_a_veto_that_never_comes() {
    let world = World::new();
    let store = world.handle();
    for wait in [secs(1), secs(INTERVAL) * 2] {
        let sweeper = store.sweeper().before(std::future::pending).start();
        sleep(wait).await;
        let start = Instant::now();
        sweeper.stop().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_sweeper_that_is_dropped_stops() {
    let world = World::new();
    let sweeper = start(&world.handle(), &Reports::default());
    rounds(1).await;
    assert_eq!(world.script.calls(), ["server_time", "purge_expired"]);
    drop(sweeper);
    rounds(3).await;
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn intervals_out_of_range_starve_nobody_and_panic_nowhere() {
    let world = World::new();
    let store = world.handle();
    let eager = store.sweeper().interval(Duration::ZERO).start();
    let lazy = store.sweeper().interval(Duration::MAX).start();
    for _ in 0..10 {
        advance(ms(1)).await;
        tokio::task::yield_now().await;
    }
    let calls = world.script.calls().len();
    assert!((1..=20).contains(&calls), "{calls}");
    eager.stop().await;
    lazy.stop().await;
}
