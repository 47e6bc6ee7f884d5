//! Connected and disconnected: what an error means for the store as a whole.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{Error, ErrorAction, ErrorKind, Event, SessionId, Sessions};
use tokio::time::{Instant, advance, timeout};

use crate::support::{Fault, Visit, World, gone, id, ms, secs, visit};

/// A handle that has just lost its database.
async fn disconnected(world: &World) -> Sessions<Visit> {
    let store = world.handle();
    store.count(None).await.unwrap();
    world.script.always("count", gone);
    assert!(store.count(None).await.unwrap_err().is_unreachable());
    assert!(!store.is_connected());
    world.script.calls();
    world.events.take();
    store
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_database_disconnects_and_work_is_refused_without_touching_it() {
    let world = World::new();
    let store = world.handle();
    world.script.always("load", gone);
    store.load(&id("a")).await.unwrap_err();
    assert_eq!(world.events.take(), ["error: load: unavailable", "disconnected"]);
    world.script.calls();

    let error = store.create(&visit(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_unreachable() && error.is_transient() && !error.is_in_doubt());
    assert!(error.to_string().ends_with("the next attempt is due in 100 ms"), "{error}");
    assert!(store.load(&id("a")).await.is_err());
    assert!(store.destroy_many(&[id("a")]).await.is_err());
    assert!(store.clear().await.is_err());
    assert!(store.doctor().await.is_err());
    assert_eq!(world.script.calls(), [""; 0]);
    assert_eq!(world.events.take(), [""; 0], "refusals are not told");
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_told_as_such_while_disconnected() {
    let world = World::new();
    let store = disconnected(&world).await;
    assert_eq!(store.destroy_principal("").await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn it_comes_back_by_itself() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.heal();
    assert!(store.count(None).await.is_err());
    advance(ms(100)).await;
    assert_eq!(store.count(None).await.unwrap(), 0);
    assert!(store.is_connected());
    assert_eq!(world.script.calls(), ["server_time", "count"], "the database is asked first");
    assert_eq!(world.events.take(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn probes_back_off_from_100_ms_to_5_s() {
    let world = World::new();
    world.script.always("server_time", gone);
    let store = disconnected(&world).await;
    let start = Instant::now();
    while start.elapsed() < secs(25) {
        assert!(store.count(None).await.is_err());
        advance(ms(10)).await;
    }
    let mut last = start;
    let waits: Vec<u128> = world
        .script
        .timed_calls()
        .into_iter()
        .map(|(name, at)| {
            assert_eq!(name, "server_time");
            (at - std::mem::replace(&mut last, at)).as_millis()
        })
        .collect();
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    assert_eq!(world.events.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn after_it_came_back_the_back_off_begins_anew() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.once("server_time", gone());
    world.script.once("server_time", gone());
    for wait in [100, 200, 400] {
        advance(ms(wait)).await;
        _ = store.count(None).await;
    }
    // The last probe succeeded, but the call behind it failed: down again.
    assert_eq!(world.events.take(), ["connected", "error: count: unavailable", "disconnected"]);
    advance(ms(100)).await;
    world.script.heal();
    store.count(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_call_at_a_time_asks_for_all() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.heal();
    world.script.once("server_time", Fault::Slow(ms(500)));
    advance(ms(100)).await;
    let start = Instant::now();
    let calls = (0..10).map(|_| async {
        let result = store.count(None).await;
        (result.is_ok(), start.elapsed())
    });
    let results = futures_util::future::join_all(calls).await;
    assert_eq!(results.iter().filter(|(ok, _)| *ok).count(), 1);
    assert!(results.iter().all(|(ok, at)| *ok || *at == Duration::ZERO), "{results:?}");
    assert_eq!(world.script.calls(), ["server_time", "count"]);
    assert_eq!(world.events.take(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_has_the_time_of_its_call() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.once("server_time", Fault::Hang);
    advance(ms(100)).await;
    let start = Instant::now();
    let error = store.count(None).await.unwrap_err();
    assert!(error.is_unreachable());
    assert!(start.elapsed() >= secs(5) && start.elapsed() < ms(5_002), "{:?}", start.elapsed());
}

/// A login over 150 ms takes seven or more round trips.
#[tokio::test(start_paused = true)]
async fn a_slow_login_brings_the_store_back() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.heal();
    world.script.always("server_time", || Fault::Slow(ms(4_900)));
    advance(ms(100)).await;
    store.count(None).await.unwrap();
    assert!(store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_probe_is_followed_by_another_one_after_the_back_off() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.heal();
    world.script.once("server_time", Fault::Hang);
    advance(ms(100)).await;
    assert!(timeout(ms(10), store.count(None)).await.is_err());
    assert!(store.count(None).await.is_err());
    assert_eq!(world.script.calls(), ["server_time"]);
    advance(ms(200)).await;
    store.count(None).await.unwrap();
    assert!(store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_probe_from_before_a_reconnect_changes_nothing_afterwards() {
    let world = World::new();
    let store = disconnected(&world).await;
    world.script.once("server_time", Fault::Slow(ms(900)));
    advance(ms(100)).await;
    let probing = tokio::spawn({
        let store = store.clone();
        async move { store.count(None).await }
    });
    tokio::task::yield_now().await;
    // Somebody connects by hand meanwhile, and the database is lost again.
    store.connect().await.unwrap();
    store.count(None).await.unwrap_err();
    assert_eq!(world.events.take(), ["connected", "error: count: unavailable", "disconnected"]);
    probing.await.unwrap().unwrap_err();
    assert!(!world.events.take().contains(&"connected".to_owned()));
    assert!(!store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_call_never_disconnects() {
    let world = World::new();
    let store = world.handle();
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Conflict,
        ErrorKind::TooLarge,
        ErrorKind::Corrupt,
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
        ErrorKind::Backend,
    ] {
        for _ in 0..10 {
            world.script.once("load", Fault::Fail(Error::new(kind, "because")));
            _ = store.load(&id("a")).await;
            assert!(store.is_connected(), "{kind:?}");
            store.count(None).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_stays_locked_disconnects_nobody() {
    let world = World::new();
    let store = world.handle();
    store.count(None).await.unwrap();
    world.script.always("touch", || Fault::Hang);
    world.events.take();
    for _ in 0..9 {
        assert!(store.touch(&id("locked")).await.is_err());
        assert!(store.is_connected());
    }
    let calls = world.script.calls();
    assert_eq!(calls.iter().filter(|name| **name == "server_time").count(), 2, "{calls:?}");
    assert_eq!(world.events.take(), ["error: touch: unavailable"; 9]);
}

#[tokio::test(start_paused = true)]
async fn after_three_silent_calls_a_silent_database_is_disconnected() {
    let world = World::new();
    let store = world.handle();
    store.count(None).await.unwrap();
    world.events.take();
    for name in ["load", "touch", "count", "server_time"] {
        world.script.always(name, || Fault::Hang);
    }
    let silent = [id("a"), id("b"), id("c")];
    futures_util::future::join_all(silent.iter().map(|id| store.load(id))).await;
    assert!(store.is_connected());
    // The next call asks; others go on meanwhile.
    let start = Instant::now();
    let other = id("d");
    let (asking, ()) = tokio::join!(store.touch(&other), async {
        tokio::task::yield_now().await;
        let result = timeout(ms(500), store.count(None)).await;
        assert!(result.is_err(), "it was not refused");
    });
    let error = asking.unwrap_err();
    assert!(error.is_unreachable());
    assert!(start.elapsed() < ms(5_002), "{:?}", start.elapsed());
    assert!(!store.is_connected());
    let errors = ["error: load: unavailable"; 3];
    assert_eq!(world.events.take(), [&errors[..], &["disconnected"]].concat());
    world.script.calls();
    assert!(store.count(None).await.is_err());
    assert_eq!(world.script.calls(), [""; 0]);

    world.script.heal();
    advance(ms(100)).await;
    store.count(None).await.unwrap();
    assert_eq!(world.events.take(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn any_answer_between_silent_calls_counts() {
    let world = World::new();
    let store = world.handle();
    world.script.always("touch", || Fault::Hang);
    for _ in 0..3 {
        _ = store.touch(&id("a")).await;
        _ = store.touch(&id("a")).await;
        world.script.once("load", Fault::Fail(Error::new(ErrorKind::Backend, "no such table")));
        _ = store.load(&id("a")).await;
    }
    assert!(!world.script.calls().contains(&"server_time"));
}

#[tokio::test(start_paused = true)]
async fn a_probe_for_silence_that_is_dropped_is_made_by_the_next_call() {
    let world = World::new();
    let store = world.handle();
    world.script.always("touch", || Fault::Hang);
    for _ in 0..3 {
        _ = store.touch(&id("a")).await;
    }
    world.script.once("server_time", Fault::Hang);
    assert!(timeout(ms(10), store.count(None)).await.is_err());
    world.script.calls();
    store.count(None).await.unwrap();
    store.count(None).await.unwrap();
    assert_eq!(world.script.calls(), ["server_time", "count", "count"]);
}

/// A handle with an error handler that writes down the kinds it is asked about.
fn with_handler(world: &World, reaction: ErrorAction) -> (Sessions<Visit>, Arc<Mutex<Vec<ErrorKind>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let builder = world.builder().payload_limit(100).on_error(move |error: &Error| {
        log.lock().unwrap().push(error.kind());
        reaction
    });
    (builder.build().unwrap(), asked)
}

fn too_large() -> Visit {
    crate::support::visit_of(&"x".repeat(200))
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_goes_on_keeps_the_store_connected_whatever_happens() {
    let world = World::new();
    let (store, asked) = with_handler(&world, ErrorAction::Continue);
    world.script.always("count", gone);
    world.script.always("touch", || Fault::Hang);
    for _ in 0..4 {
        store.count(None).await.unwrap_err();
        store.touch(&id("a")).await.unwrap_err();
    }
    assert!(store.is_connected());
    assert_eq!(*asked.lock().unwrap(), [ErrorKind::Unavailable; 8]);
    assert!(!world.script.calls().contains(&"server_time"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_disconnects_does_so_for_any_error_and_is_asked_once_for_each() {
    let world = World::new();
    let (store, asked) = with_handler(&world, ErrorAction::Disconnect);
    assert_eq!(store.create(&too_large()).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(!store.is_connected());
    assert_eq!(world.events.take(), ["error: create: too large", "disconnected"]);
    assert!(store.count(None).await.is_err());
    assert_eq!(*asked.lock().unwrap(), [ErrorKind::TooLarge], "a refusal is no error to judge");
    advance(ms(100)).await;
    store.count(None).await.unwrap();
    assert!(store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_goes_on() {
    let world = World::new();
    let builder = world.builder::<Visit>().on_error(|_: &Error| panic!("handler"));
    let store = builder.build().unwrap();
    world.script.always("count", gone);
    assert!(store.count(None).await.unwrap_err().is_unreachable());
    assert!(store.is_connected());
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_handle_are_disconnected_together() {
    let world = World::new();
    let store = disconnected(&world).await;
    let clone = store.clone();
    assert!(!clone.is_connected());
    assert!(format!("{clone:?}").contains("connected: false"), "{clone:?}");
}

/// Connected and disconnected, in turns, whatever many threads do to the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_told_in_their_order() {
    let world = World::new();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&changes);
    let store: Sessions<Visit> = Sessions::builder(world.script.clone())
        .observer(move |event: &Event<'_>| match event {
            Event::Connected => log.lock().unwrap().push(true),
            Event::Disconnected { .. } => log.lock().unwrap().push(false),
            _ => {}
        })
        .build()
        .unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&turns);
    world.script.always("load", move || match count.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => gone(),
        _ => Fault::Slow(Duration::ZERO),
    });
    world.script.always("count", gone);
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    match task % 3 {
                        0 => _ = store.load(&SessionId::random().unwrap()).await,
                        1 => _ = store.count(None).await,
                        _ => store.connect().await.unwrap(),
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let changes = changes.lock().unwrap();
    assert!(changes.len() > 2, "{changes:?}");
    assert!(changes.windows(2).all(|pair| pair[0] != pair[1]), "{changes:?}");
}
