//! Whoever else writes to the file, while a store writes without pause; session-sqlx's tests have it, too.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use session_core::contract::{Create, Payload, Store, Update};
use session_core::{KeyFormat, SessionId, Timestamp, Version};

const NOW: Timestamp = Timestamp::from_millis(1_795_324_200_000);
const LATER: Timestamp = Timestamp::from_millis(1_795_324_200_000 + 86_400_000);

/// How many looks there are.
pub(crate) const LOOKS: u32 = 2_000;

/// Looks for the lock beside a store of 64 callers, as SQLite's own waiting does. Returns how often it was free.
pub(crate) async fn looks_that_find_the_lock_free(store: Arc<dyn Store>, file: &Path) -> u32 {
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        callers.spawn(async move {
            let key = SessionId::new(format!("caller {caller}")).unwrap().key(KeyFormat::Hashed).unwrap();
            // Large, so that a store that takes the lock again at once holds it nearly always.
            let payload = Payload::from("x".repeat(64 << 10));
            let create = Create {
                key,
                payload: payload.clone(),
                expires_at: LATER,
                principal: None,
                version: Version::FIRST,
            };
            store.create(&create, NOW).await.unwrap();
            let update =
                Update { key: create.key, payload, expires_at: None, principal: None, expected: None };
            while !done.load(Ordering::Relaxed) {
                store.update(&update, NOW).await.unwrap();
            }
        });
    }
    let neighbour = Connection::open(file).unwrap();
    let looks = tokio::task::spawn_blocking(move || {
        neighbour.busy_timeout(Duration::ZERO).unwrap();
        let mut free = 0;
        for _ in 0..LOOKS {
            thread::sleep(Duration::from_millis(3));
            if neighbour.execute_batch("BEGIN IMMEDIATE").is_ok() {
                neighbour.execute_batch("ROLLBACK").unwrap();
                free += 1;
            }
        }
        free
    });
    let free = looks.await.unwrap();
    done.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    free
}
