//! Connections and the locks between them, and what opens and closes the database.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use session_core::contract::{Created, Filter, Rotate, Rotated, Store as _};
use session_core::{DestroyMode, ErrorKind, TableName, Version};
use session_sqlite::{JournalMode, SqliteStore, Synchronous};

use crate::neighbours::{LOOKS, looks_that_find_the_lock_free};
use crate::support::{Folder, MANY, NOW, create, create_for, key, load, update};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        building_a_store_touches_no_file,
        a_path_and_a_url_open_the_same_file,
        the_first_operation_may_be_of_any_kind,
        a_write_whose_caller_left_before_its_turn_is_not_done,
        loads_and_listings_do_not_wait_for_a_writer,
        a_lock_that_is_not_released_is_unavailable_within_the_time_out,
        dropping_the_last_clone_closes_the_database,
        the_log_is_moved_and_begun_anew_under_steady_load,
        others_find_the_lock_free_while_a_store_writes_without_pause,
        a_rollback_journal_works_too,
        a_database_in_memory_is_one_for_all_clones,
        odd_options_are_refused,
        neither_ids_nor_payloads_are_printed,
    ]
}

async fn building_a_store_touches_no_file() {
    let folder = Folder::new();
    let store = folder.builder().build().unwrap();
    assert!(!folder.database().exists());
    assert!(!store.diagnose().await.unwrap().is_empty());
    assert!(!folder.database().exists());
    drop(store);
    assert!(!folder.database().exists());
    folder.builder().connect().await.unwrap();
    assert!(folder.database().exists());
}

async fn a_path_and_a_url_open_the_same_file() {
    let folder = Folder::new();
    folder.store().await.create(&create("a", "{}"), NOW).await.unwrap();
    let path = folder.database();
    let url = format!("sqlite://{}", path.to_str().unwrap());
    for store in [
        SqliteStore::connect(&path).await.unwrap(),
        SqliteStore::connect(&url).await.unwrap(),
        SqliteStore::builder().url(&url).build().unwrap(),
    ] {
        assert!(load(&store, "a", NOW).await.is_some());
        assert_eq!(store.table().table(), "sessions");
    }
}

/// Each opens the database by itself, on threads of its own.
async fn the_first_operation_may_be_of_any_kind() {
    let folder = Folder::new();
    folder.store().await.create(&create("a", "{}"), NOW).await.unwrap();
    let store = || folder.builder().build().unwrap();
    assert!(load(&store(), "a", NOW).await.is_some());
    assert_eq!(store().count(&Filter::default(), NOW).await.unwrap(), 1);
    assert_eq!(store().create(&create("a", "{}"), NOW).await.unwrap(), Created::KeyTaken);
    store().server_time().await.unwrap();
    assert_eq!(store().diagnose().await.unwrap(), []);
}

async fn a_write_whose_caller_left_before_its_turn_is_not_done() {
    let folder = Folder::new();
    let store = folder.store().await;
    let lock = folder.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let left = {
        let store = store.clone();
        tokio::spawn(async move { store.create(&create("left", "{}"), NOW).await })
    };
    tokio::task::yield_now().await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(store.create(&create("stayed", "{}"), NOW).await.unwrap(), Created::Created);
    assert_eq!(load(&store, "left", NOW).await, None);
}

async fn loads_and_listings_do_not_wait_for_a_writer() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.create(&create("a", "{}"), NOW).await.unwrap();
    let lock = folder.raw();
    lock.execute_batch("BEGIN IMMEDIATE; DELETE FROM sessions").unwrap();
    assert!(load(&store, "a", NOW).await.is_some());
    assert_eq!(store.list(&Filter::default(), None, MANY, NOW).await.unwrap().len(), 1);
}

async fn a_lock_that_is_not_released_is_unavailable_within_the_time_out() {
    let folder = Folder::new();
    folder.store().await;
    let store = folder.builder().busy_timeout(Duration::from_millis(50)).build().unwrap();
    let lock = folder.raw();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let error = store.create(&create("a", "{}"), NOW).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.is_unreachable() && !error.is_in_doubt() && error.is_transient());
    assert_eq!(error.code(), Some("5"));
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(store.create(&create("a", "{}"), NOW).await.unwrap(), Created::Created);
}

async fn dropping_the_last_clone_closes_the_database() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.create(&create("a", "{}"), NOW).await.unwrap();
    let clone = store.clone();
    drop(store);
    assert!(load(&clone, "a", NOW).await.is_some());
    assert!(folder.path().join("sessions.db-wal").exists());
    drop(clone);
    // The last connection that closes moves the log into the database and removes it.
    assert!(!folder.path().join("sessions.db-wal").exists());
}

async fn the_log_is_moved_and_begun_anew_under_steady_load() {
    // Where SQLite flushes, the checkpointer does so before it.
    for synchronous in [Synchronous::Off, Synchronous::Normal] {
        let folder = Folder::new();
        let mebibyte = NonZeroU64::new(1 << 20).unwrap();
        let store = folder
            .builder()
            .checkpoint_after(NonZeroU64::new(256 << 10).unwrap())
            .wal_limit(mebibyte)
            .synchronous(synchronous)
            .build()
            .unwrap();
        store.create_table().await.unwrap();
        store.create(&create("a", "{}"), NOW).await.unwrap();
        // 40 MiB in all.
        for _ in 0..640 {
            store.update(&update("a", "x".repeat(64 << 10), None), NOW).await.unwrap();
        }
        let log = folder.path().join("sessions.db-wal").metadata().unwrap().len();
        assert!(log < 20 << 20, "{synchronous:?}: the log has {log} bytes");
    }
}

async fn others_find_the_lock_free_while_a_store_writes_without_pause() {
    let folder = Folder::new();
    let free = looks_that_find_the_lock_free(Arc::new(folder.store().await), &folder.database()).await;
    // The store leaves it free for one part in 41 of the time, at least.
    assert!(free >= LOOKS / 100, "{free} of {LOOKS} looks found the lock free");
}

async fn a_rollback_journal_works_too() {
    let folder = Folder::new();
    let store = folder.builder().journal_mode(JournalMode::Delete).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a", "{}"), NOW).await.unwrap();
    assert!(load(&store, "a", NOW).await.is_some());
    assert!(store.diagnose().await.unwrap().is_empty());
}

async fn a_database_in_memory_is_one_for_all_clones() {
    let store = SqliteStore::in_memory().unwrap();
    store.create_table().await.unwrap();
    let clone = store.clone();
    store.create(&create_for("a", "ann"), NOW).await.unwrap();
    assert!(load(&clone, "a", NOW).await.is_some());
    let rotate = Rotate {
        from: key("a"),
        to: key("b"),
        payload: None,
        expires_at: None,
        principal: None,
        expected: Some(Version::FIRST),
        mode: DestroyMode::Keep,
    };
    assert_eq!(clone.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(Version::new(2)));
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 1);
    assert_eq!(store.diagnose().await.unwrap(), []);
    // Another one is another database.
    assert_eq!(SqliteStore::in_memory().unwrap().diagnose().await.unwrap().len(), 1);
}

async fn odd_options_are_refused() {
    let folder = Folder::new();
    let schema = folder.builder().table(TableName::new("web.sessions").unwrap());
    for builder in [
        schema,
        SqliteStore::builder(),
        SqliteStore::builder().path(""),
        SqliteStore::builder().path("file:sessions.db?mode=memory"),
        SqliteStore::builder().url("postgres://localhost/app"),
        folder.builder().url("sqlite:other.db"),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(!Path::new("file:sessions.db?mode=memory").exists());
}

async fn neither_ids_nor_payloads_are_printed() {
    // Nor is anything but this.
    let store = SqliteStore::in_memory().unwrap();
    assert_eq!(format!("{store:?}"), "SqliteStore { path: None, table: \"sessions\", .. }");
}
