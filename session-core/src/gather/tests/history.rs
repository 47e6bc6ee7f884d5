//! Many callers on several threads, some of whom go away: every history must be explained by one order of each
//! session's operations.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use futures_util::future::join_all;
use tokio::spawn;
use tokio::time::timeout;

use super::*;
use crate::Updated;
use crate::contract::{Record, Store};

const SESSIONS: usize = 5;
const WORKERS: usize = 32;
const STEPS: usize = 200;

fn name(session: usize) -> String {
    format!("session {session}")
}

/// A small generator of its own for each worker, so that a run can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides).unwrap()
    }
}

async fn record(store: &Gathered, session: usize) -> Record {
    store.load(&load(&name(session)), NOW).await.unwrap().record().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_increment_is_lost_and_no_load_is_older_than_an_acknowledged_write() {
    let script = Script::open();
    let store =
        gathered(&script, Gathering { read_lanes: 2, write_lanes: 2, max_batch: 7, max_bytes: 10_000 });
    for session in 0..SESSIONS {
        store.create(&create(&name(session)), NOW).await.unwrap();
    }
    // For each session the greatest version that some worker was told of.
    let known: Arc<[AtomicI64; SESSIONS]> = Arc::new([const { AtomicI64::new(1) }; SESSIONS]);
    let saved = Arc::new(AtomicU64::new(0));

    let workers = (0..WORKERS).map(|worker| {
        let (store, known, saved) = (Arc::clone(&store), Arc::clone(&known), Arc::clone(&saved));
        spawn(async move {
            let mut dice = Dice(u64::try_from(worker).unwrap() * 7_919 + 1);
            for _ in 0..STEPS {
                let session = dice.roll(5);
                let before = known[session].load(Ordering::SeqCst);
                let record = record(&store, session).await;
                assert!(record.version.get() >= before, "a load went back in time");
                known[session].fetch_max(record.version.get(), Ordering::SeqCst);
                if dice.roll(4) == 0 {
                    continue;
                }
                let next = record.payload.as_str().parse::<u64>().unwrap() + 1;
                let expected = Some(record.version);
                let change = Update { expected, ..update(&name(session), next.to_string()) };
                match store.update(&change, NOW).await.unwrap() {
                    Updated::Saved(version) => {
                        assert_eq!(version, record.version.next());
                        known[session].fetch_max(version.get(), Ordering::SeqCst);
                        saved.fetch_add(1, Ordering::SeqCst);
                    }
                    Updated::Stale => {}
                    Updated::Gone => panic!("a live session is gone"),
                }
            }
        })
    });
    for worker in join_all(workers).await {
        worker.unwrap();
    }

    let mut total = 0;
    for session in 0..SESSIONS {
        let record = record(&store, session).await;
        let count: u64 = record.payload.as_str().parse().unwrap();
        assert_eq!(i64::try_from(count).unwrap() + 1, record.version.get());
        total += count;
    }
    assert_eq!(total, saved.load(Ordering::SeqCst));
    assert!(script.calls().iter().any(|call| call.starts_with("write_many")), "nothing was gathered");
    assert_idle(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_that_go_away_at_any_moment_leave_every_lane_in_order() {
    let script = Script::open();
    let store =
        gathered(&script, Gathering { read_lanes: 2, write_lanes: 1, max_batch: 5, max_bytes: 1_000 });
    for session in 0..SESSIONS {
        store.create(&create(&name(session)), NOW).await.unwrap();
    }
    let workers = (0..WORKERS).map(|worker| {
        let store = Arc::clone(&store);
        spawn(async move {
            let mut dice = Dice(u64::try_from(worker).unwrap() * 104_729 + 1);
            let mut acknowledged = 0_u64;
            for _ in 0..STEPS {
                let name = name(dice.roll(5));
                let patience = Duration::from_micros(u64::try_from(dice.roll(60)).unwrap());
                let outcome = match dice.roll(2) {
                    0 => timeout(patience, store.load(&load(&name), NOW)).await.map(|record| {
                        record.unwrap().record().unwrap();
                    }),
                    _ => timeout(patience, store.update(&update(&name, "1"), NOW)).await.map(|outcome| {
                        assert!(matches!(outcome.unwrap(), Updated::Saved(_)));
                        acknowledged += 1;
                    }),
                };
                if outcome.is_err() {
                    tokio::task::yield_now().await;
                }
            }
            acknowledged
        })
    });
    let acknowledged: u64 = join_all(workers).await.into_iter().map(Result::unwrap).sum();
    assert_idle(&store).await;

    let mut versions = 0;
    for session in 0..SESSIONS {
        versions += record(&store, session).await.version.get() - 1;
    }
    assert!(u64::try_from(versions).unwrap() >= acknowledged, "an acknowledged update is missing");
}
