//! The life of a connection, the same on either database: what networks, idle limits and locks do to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use session_core::contract::Store;
use session_core::{Gathering, NewSession, Sessions};
use tokio::time::{Instant, sleep, timeout};

use super::wire::Wire;

/// The default deadline of a call.
const DEADLINE: Duration = Duration::from_secs(5);

/// Idle for longer than a connection may be without a proof.
const REST: Duration = Duration::from_millis(1200);

/// Has a session, over as many connections as the pool holds.
async fn warm(sessions: &Sessions<u32>, size: usize) -> NewSession {
    let new = sessions.create(&7).await.unwrap();
    let loads = join_all((0..size).map(|_| sessions.load(&new.id))).await;
    assert!(loads.into_iter().all(|load| load.unwrap().is_some()));
    new
}

fn handle(store: impl Store) -> Sessions<u32> {
    // Each call has a connection for itself.
    Sessions::builder(store).gathering(Gathering::OFF).build().unwrap()
}

pub(crate) async fn a_silent_loss_costs_less_than_a_deadline(store: impl Store, wire: Wire, size: usize) {
    let sessions = handle(store);
    let new = warm(&sessions, size).await;
    let before = wire.made();
    assert!(before >= size, "{before} of {size} connections");
    for crowd in [1, size] {
        sleep(REST).await;
        wire.forget();
        let start = Instant::now();
        let writes = join_all((0..crowd).map(|_| sessions.update(&new.id, &8, None))).await;
        for write in writes {
            write.unwrap();
        }
        assert!(start.elapsed() < DEADLINE, "{:?} for {crowd}", start.elapsed());
        assert!(sessions.is_connected());
        _ = warm(&sessions, size).await;
    }
    // A connection that was used a moment ago is not asked, and not replaced.
    let made = wire.made();
    for _ in 0..20 {
        assert!(sessions.load(&new.id).await.unwrap().is_some());
    }
    assert_eq!(wire.made(), made);
}

/// `close` is what becomes of all connections that are idle.
pub(crate) async fn a_connection_closed_while_idle_is_no_outage<F>(store: impl Store, close: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    let sessions = handle(store);
    let new = warm(&sessions, 3).await;
    for round in 0..3 {
        sleep(REST).await;
        close().await;
        sessions.update(&new.id, &round, None).await.unwrap();
        assert!(sessions.is_connected(), "round {round}");
        _ = warm(&sessions, 3).await;
    }
}

/// A write whose connection breaks under it is in doubt; the store is not disconnected for that.
pub(crate) async fn a_broken_connection_is_not_an_outage(store: impl Store, wire: Wire) {
    let sessions = handle(store);
    let new = warm(&sessions, 3).await;
    for _ in 0..5 {
        wire.close();
        if let Err(error) = sessions.update(&new.id, &1, None).await {
            assert!(!error.is_unreachable(), "{error:?}");
        }
        assert!(sessions.is_connected());
        sessions.update(&new.id, &2, None).await.unwrap();
    }
}

/// `backends` counts them on the server; `lock` holds the table until it is dropped.
pub(crate) async fn a_locked_table_fills_no_server<S, L, C, D>(
    store: S,
    size: usize,
    lock: impl Fn() -> C,
    backends: impl Fn() -> D + Send + Sync + 'static,
) where
    S: Store + Clone,
    C: Future<Output = L>,
    D: Future<Output = usize> + Send,
{
    let most = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let counts = tokio::spawn({
        let (most, over) = (Arc::clone(&most), Arc::clone(&over));
        async move {
            while !over.load(Ordering::SeqCst) {
                let mut count = backends().await;
                if count > size {
                    // One that has just been closed is still there for a moment.
                    sleep(Duration::from_millis(200)).await;
                    count = count.min(backends().await);
                }
                most.fetch_max(count, Ordering::SeqCst);
                sleep(Duration::from_millis(20)).await;
            }
        }
    });
    // The default, whose server gives up first; one that is over before the server's limit; and gathered calls.
    let variants = [
        (DEADLINE, Gathering::OFF),
        (Duration::from_millis(700), Gathering::OFF),
        (
            Duration::from_millis(700),
            Gathering { read_lanes: 2, write_lanes: 2, max_batch: 16, max_bytes: 1 << 20 },
        ),
    ];
    for (deadline, gathering) in variants {
        let builder = Sessions::<u32>::builder(store.clone()).deadline(deadline).gathering(gathering);
        let sessions = builder.build().unwrap();
        let new = warm(&sessions, size).await;
        let lock = lock().await;
        let end = Instant::now() + Duration::from_secs(6);
        let callers = (0..20).map(|_| async {
            let mut failures = 0;
            while Instant::now() < end {
                failures += usize::from(sessions.update(&new.id, &1, None).await.is_err());
            }
            failures
        });
        assert!(join_all(callers).await.into_iter().all(|failures| failures > 0), "the table is locked");
        drop(lock);
        let start = Instant::now();
        while sessions.update(&new.id, &2, None).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(12), "usable again");
        }
        let most = most.load(Ordering::SeqCst);
        assert!(most <= size, "{most} backends for a pool of {size}, at a deadline of {deadline:?}");
    }
    over.store(true, Ordering::SeqCst);
    counts.await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), size, "the count sees the backends");
}

pub(crate) async fn a_slow_login_is_waited_for_in_the_background(store: impl Store, wire: Wire) {
    let sessions = handle(store);
    let new = warm(&sessions, 1).await;
    wire.down(true);
    assert!(sessions.load(&new.id).await.is_err());
    wire.down(false);
    wire.greeting(Duration::from_secs(8));
    let (start, before) = (Instant::now(), wire.made());
    while sessions.load(&new.id).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(12), "the login completes");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(7), "the greeting was slow");
    // One beside the first, in case that one hangs; not one for each of the callers.
    let made = wire.made() - before;
    assert!((1..=3).contains(&made), "{made} logins");
}

pub(crate) async fn a_far_server_comes_back(store: impl Store, wire: Wire) {
    let sessions = handle(store);
    let new = warm(&sessions, 3).await;
    wire.distance(Duration::from_millis(75));
    wire.down(true);
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        _ = timeout(DEADLINE, sessions.load(&new.id)).await;
        sleep(Duration::from_millis(50)).await;
    }
    wire.down(false);
    let start = Instant::now();
    while sessions.update(&new.id, &1, None).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(12), "back");
        sleep(Duration::from_millis(50)).await;
    }
    wire.distance(Duration::ZERO);
}
