//! What the design is worth: writes committed in batches against one transaction for each, and loads against a bare
//! prepared `SELECT`, on one file, in one run, in turns.
//!
//! `cargo bench -p session-sqlite [-- FOLDER]`: 100,000 sessions of 1 KiB at `synchronous=FULL`. The folder should be
//! on the disk that is to be measured; by default it is the build's.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

mod support;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use session_core::contract::{Load, Loaded, Store as _, Touch, Touched, Update};
use session_core::{SessionKey, Timestamp};
use session_sqlite::{Reads, SqliteStore};
use support::{DAY, File, NOW, Random, SESSIONS, fill, median, payload};

const CALLERS: usize = 64;
/// Short turns, so that whatever else the machine does meets all alike.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = File::new("throughput");
    measure(&file.path).await
}

async fn measure(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let keys = fill(path, SESSIONS, NOW + DAY).await?;
    println!("{SESSIONS} sessions of 1 KiB, synchronous=FULL, {}", rusqlite::version());
    let one = NonZeroUsize::MIN;
    let store = || SqliteStore::builder().path(path);
    let batches = store().connect().await?;
    let alone = store().batch_limit(one).connect().await?;
    let inline = store().reads(Reads::Inline).connect().await?;
    let threads = store().reads(Reads::Threads).connect().await?;

    for (what, operation) in [("updates", Operation::Update), ("touches", Operation::Touch)] {
        let [mut in_batches, mut one_by_one, mut single] = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            in_batches.push(rate(&batches, &keys, CALLERS, operation).await);
            one_by_one.push(rate(&alone, &keys, CALLERS, operation).await);
            single.push(rate(&batches, &keys, 1, operation).await);
        }
        println!(
            "{what}, {CALLERS} callers: {:.0}/s in batches, {:.0}/s one by one: {:.1} times",
            median(&in_batches),
            median(&one_by_one),
            ratio(&in_batches, &one_by_one)
        );
        println!("{what}, 1 caller: {:.0}/s", median(&single));
    }

    let bare = Arc::new(Mutex::new(Connection::open(path)?));
    single_loads(
        &bare,
        &[("by default", &batches), ("on the caller", &inline), ("on threads", &threads)],
        &keys,
    )
    .await?;
    let [mut prepared, mut adaptive, mut on_callers, mut on_threads] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        prepared.push(bare_rate(&bare, &keys, CALLERS).await);
        adaptive.push(rate(&batches, &keys, CALLERS, Operation::Load).await);
        on_callers.push(rate(&inline, &keys, CALLERS, Operation::Load).await);
        on_threads.push(rate(&threads, &keys, CALLERS, Operation::Load).await);
    }
    println!("loads, {CALLERS} callers: a bare prepared SELECT behind one lock {:.0}/s", median(&prepared));
    for (way, rates) in [("by default", adaptive), ("on callers", on_callers), ("on threads", on_threads)] {
        println!("  {way}: {:.0}/s, {:.2} of it", median(&rates), ratio(&rates, &prepared));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Operation {
    Load,
    Update,
    Touch,
}

/// Operations per second of so many callers, each on random sessions, one after another.
async fn rate(store: &SqliteStore, keys: &Arc<Vec<SessionKey>>, callers: usize, operation: Operation) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let (store, keys, done) = (store.clone(), Arc::clone(keys), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut random = Random::new(caller);
            while began.elapsed() < ROUND {
                let key = keys[random.below(keys.len())].clone();
                // Time goes on, as it would in an application.
                let expires_at = Timestamp::from_millis(NOW + DAY).saturating_add(began.elapsed());
                let now = Timestamp::from_millis(NOW);
                match operation {
                    Operation::Load => load(&store, Load::new(key)).await,
                    Operation::Touch => {
                        let touch = Touch { key, expires_at, expected: None };
                        assert_eq!(store.touch(&touch, now).await.unwrap(), Touched::Moved);
                    }
                    Operation::Update => {
                        let (payload, expires_at) = (payload(), Some(expires_at));
                        let update = Update { key, payload, expires_at, principal: None, expected: None };
                        store.update(&update, now).await.unwrap();
                    }
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    per_second(&done, began)
}

async fn load(store: &SqliteStore, load: Load) {
    let loaded = store.load(&load, Timestamp::from_millis(NOW)).await.unwrap();
    assert!(matches!(loaded, Loaded::Record(_)));
}

/// One caller's loads in a task of the runtime, in turns of a hundred: each turn takes about a millisecond, and the
/// median turn met nothing else.
async fn single_loads(
    bare: &Arc<Mutex<Connection>>,
    stores: &[(&str, &SqliteStore)],
    keys: &Arc<Vec<SessionKey>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (bare, keys) = (Arc::clone(bare), Arc::clone(keys));
    let ways: Vec<_> = stores.iter().map(|(way, store)| ((*way).to_owned(), (*store).clone())).collect();
    tokio::spawn(async move {
        let mut random = Random::new(0);
        let mut prepared = Vec::new();
        let mut turns = vec![Vec::new(); ways.len()];
        for _ in 0..1000 {
            // Other sessions each time: the second way would find the first one's in the processor's cache.
            let mut draw = || -> Vec<_> { (0..100).map(|_| &keys[random.below(keys.len())]).collect() };
            let drawn = draw();
            let began = Instant::now();
            for key in drawn {
                drop(bare_load(&bare, key).await);
            }
            prepared.push(100.0 / began.elapsed().as_secs_f64());
            for ((_, store), turns) in ways.iter().zip(&mut turns) {
                let drawn = draw();
                let began = Instant::now();
                for key in drawn {
                    load(store, Load::new(key.clone())).await;
                }
                turns.push(100.0 / began.elapsed().as_secs_f64());
            }
        }
        println!("loads, 1 caller: a bare prepared SELECT {:.0}/s", median(&prepared));
        for ((way, _), rates) in ways.iter().zip(&turns) {
            println!("  {way}: {:.0}/s, {:.2} of it", median(rates), ratio(rates, &prepared));
        }
    })
    .await?;
    Ok(())
}

/// The same loads with rusqlite alone, on the caller.
async fn bare_rate(db: &Arc<Mutex<Connection>>, keys: &Arc<Vec<SessionKey>>, callers: usize) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let (db, keys, done) = (Arc::clone(db), Arc::clone(keys), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut random = Random::new(caller);
            while began.elapsed() < ROUND {
                let key = &keys[random.below(keys.len())];
                drop(bare_load(&db, key).await);
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    per_second(&done, began)
}

async fn bare_load(db: &Mutex<Connection>, key: &SessionKey) -> (String, i64) {
    tokio::task::coop::consume_budget().await;
    db.lock()
        .unwrap()
        .prepare_cached("SELECT payload, expires_at FROM sessions WHERE key = ?1")
        .unwrap()
        .query_row([key.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

fn per_second(done: &AtomicU64, began: Instant) -> f64 {
    let done = u32::try_from(done.load(Ordering::Relaxed)).unwrap();
    f64::from(done) / began.elapsed().as_secs_f64()
}

/// The median of the rounds' own ratios.
fn ratio(rates: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = rates.iter().zip(to).map(|(rate, to)| rate / to).collect();
    median(&ratios)
}
