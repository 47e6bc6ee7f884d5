//! Who waits for whom: a load while others write, and a touch during a purge.
//!
//! `cargo bench -p session-sqlite --bench delays [-- FOLDER]`: 100,000 sessions of 1 KiB at `synchronous=FULL`. One
//! caller is timed, call by call, first alone and then beside the others.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use session_core::contract::{Load, Loaded, Store as _, Touch, Touched, Update};
use session_core::{SessionKey, Timestamp};
use session_sqlite::SqliteStore;
use support::{DAY, File, NOW, Random, SESSIONS, fill, median, payload};

const WRITERS: usize = 32;
const EXPIRED: usize = 50_000;
const PURGE: u32 = 1_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = File::new("delays");
    let keys = fill(&file.path, SESSIONS, NOW + DAY).await?;
    let store = SqliteStore::connect(&file.path).await?;
    println!("{SESSIONS} sessions of 1 KiB, synchronous=FULL; medians of {ROUNDS} rounds");

    let [mut alone, mut beside] = [const { Vec::new() }; 2];
    let mut saved = Vec::new();
    for _ in 0..ROUNDS {
        alone.push(loads(&store, &keys).await);
        let writers = Writers::start(&store, &keys);
        beside.push(loads(&store, &keys).await);
        saved.push(f64::from(writers.stop().await) / ROUND.as_secs_f64());
    }
    println!("a load, nobody writes:         {}", Times::median(&alone));
    println!("a load, {WRITERS} save {:6.0} a second: {}", median(&saved), Times::median(&beside));

    let [mut alone, mut beside] = [const { Vec::new() }; 2];
    let mut purged = Vec::new();
    for _ in 0..ROUNDS {
        alone.push(touches(&store, &keys, async || tokio::time::sleep(ROUND).await).await);
        fill(&file.path, EXPIRED, NOW).await?;
        let began = Instant::now();
        beside.push(touches(&store, &keys, async || purge(&store).await).await);
        purged.push(began.elapsed().as_secs_f64());
    }
    println!("a touch, no purge:             {}", Times::median(&alone));
    println!(
        "a touch, {EXPIRED} are purged by {PURGE} in {:.2} s: {}",
        median(&purged),
        Times::median(&beside)
    );
    Ok(())
}

/// What calls took, in milliseconds.
struct Times {
    p50: f64,
    p99: f64,
    longest: f64,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        Times { p50: at(50), p99: at(99), longest: at(100) }
    }

    fn median(rounds: &[Times]) -> String {
        let of = |what: fn(&Times) -> f64| median(&rounds.iter().map(what).collect::<Vec<_>>());
        format!(
            "p50 {:.3} ms, p99 {:.3} ms, longest {:.1} ms",
            of(|times| times.p50),
            of(|times| times.p99),
            of(|times| times.longest)
        )
    }
}

/// One caller's loads, one after another, in a task of the runtime as in an application.
async fn loads(store: &SqliteStore, keys: &Arc<Vec<SessionKey>>) -> Times {
    let (store, keys) = (store.clone(), Arc::clone(keys));
    let times = tokio::spawn(async move {
        let (mut random, mut times) = (Random::new(WRITERS), Vec::new());
        let round = Instant::now();
        while round.elapsed() < ROUND {
            let load = Load::new(keys[random.below(keys.len())].clone());
            let began = Instant::now();
            let loaded = store.load(&load, Timestamp::from_millis(NOW)).await.unwrap();
            assert!(matches!(loaded, Loaded::Record(_)));
            times.push(began.elapsed());
        }
        times
    });
    Times::of(times.await.unwrap())
}

/// One caller's touches, one after another, while something else is done.
async fn touches(store: &SqliteStore, keys: &Arc<Vec<SessionKey>>, meanwhile: impl AsyncFnOnce()) -> Times {
    let over = Arc::new(AtomicBool::new(false));
    let (store, keys, end) = (store.clone(), Arc::clone(keys), Arc::clone(&over));
    let times = tokio::spawn(async move {
        let (mut random, mut times) = (Random::new(WRITERS), Vec::new());
        while !end.load(Ordering::Relaxed) {
            let key = keys[random.below(keys.len())].clone();
            let touch = Touch { key, expires_at: Timestamp::from_millis(NOW + DAY), expected: None };
            let began = Instant::now();
            assert_eq!(store.touch(&touch, Timestamp::from_millis(NOW)).await.unwrap(), Touched::Moved);
            times.push(began.elapsed());
        }
        times
    });
    meanwhile().await;
    over.store(true, Ordering::Relaxed);
    Times::of(times.await.unwrap())
}

async fn purge(store: &SqliteStore) {
    let limit = NonZeroU32::new(PURGE).unwrap();
    while store.purge_expired(Timestamp::from_millis(NOW), limit).await.unwrap() == u64::from(PURGE) {}
}

/// Callers that save, one session after another.
struct Writers {
    over: Arc<AtomicBool>,
    saved: Arc<AtomicU32>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(store: &SqliteStore, keys: &Arc<Vec<SessionKey>>) -> Writers {
        let (over, saved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let tasks = (0..WRITERS).map(|writer| {
            let (store, keys) = (store.clone(), Arc::clone(keys));
            let (over, saved) = (Arc::clone(&over), Arc::clone(&saved));
            tokio::spawn(async move {
                let mut random = Random::new(writer);
                while !over.load(Ordering::Relaxed) {
                    let key = keys[random.below(keys.len())].clone();
                    let expires_at = Some(Timestamp::from_millis(NOW + DAY));
                    let update =
                        Update { key, payload: payload(), expires_at, principal: None, expected: None };
                    store.update(&update, Timestamp::from_millis(NOW)).await.unwrap();
                    saved.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Writers { over, saved, tasks }
    }

    async fn stop(self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.saved.load(Ordering::Relaxed)
    }
}
