//! What is SQLite's own: groups of writes, readers beside the writer, rows that cannot be read, the doctor. What every
//! backend must do is in the conformance suite.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/sessions.rs"]
mod sessions;
mod support;

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use session_core::{
    Create, Created, Destroy, DestroyMode, ErrorKind, Filter, KeyFormat, Principal, Rotate, Rotated,
    SessionId, SessionKey, Severity, Store as _, TableName, Timestamp, Touch, Updated, Version, Write,
    Written,
};
use session_sqlite::{JournalMode, Reads, SqliteStore, Synchronous};

use sessions::{create, key, update};
use support::{Folder, LATER, NOW};

const MANY: NonZeroU32 = NonZeroU32::new(1000).unwrap();

async fn store(folder: &Folder) -> SqliteStore {
    let store = SqliteStore::open(folder.database()).unwrap();
    store.create_table().await.unwrap();
    store
}

fn create_for(name: &str, principal: &str) -> Create {
    Create { principal: Some(Principal::new(principal).unwrap()), ..create(name, "{}") }
}

fn raw(folder: &Folder) -> Connection {
    Connection::open(folder.database()).unwrap()
}

/// Commits in the write-ahead log, which <https://sqlite.org/fileformat2.html#walformat> describes: after a header of
/// 32 bytes come frames of 24 bytes and a page; in the last one of a transaction the second word is not zero.
fn commits(folder: &Folder) -> usize {
    let log = std::fs::read(folder.path().join("sessions.db-wal")).unwrap();
    log[32..].chunks_exact(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn writes_that_wait_together_are_one_transaction() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let before = commits(&folder);
    let lock = raw(&folder);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let callers: Vec<_> = (0..64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.create(&create(&format!("s{number}"), "{}"), NOW).await })
        })
        .collect();
    // One would not do: tokio comes back to this task before it has polled all 64 for the first time.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    lock.execute_batch("COMMIT").unwrap();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), Created::Created);
    }
    assert_eq!(commits(&folder) - before, 1);
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 64);
}

#[tokio::test]
async fn a_group_limit_of_one_commits_each_write_alone() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.database()).group_limit(NonZeroUsize::MIN).open().unwrap();
    store.create_table().await.unwrap();
    let before = commits(&folder);
    let writes: Vec<_> = (0..10).map(|number| Write::Create(create(&format!("s{number}"), "{}"))).collect();
    store.write_many(&writes, NOW).await.unwrap();
    assert_eq!(commits(&folder) - before, 10);
}

/// Adaptively, the first of these takes longer than a whole batch may on the caller.
#[tokio::test]
async fn a_batch_of_loads_that_takes_long_is_answered_wholly() {
    for reads in [Reads::Adaptive, Reads::Inline, Reads::Threads] {
        let folder = Folder::new();
        let store = SqliteStore::builder(folder.database()).reads(reads).open().unwrap();
        store.create_table().await.unwrap();
        let payload = |number: usize| format!("\"{}\"", number.to_string().repeat(2 << 20));
        for number in 0..8 {
            store.create(&create(&format!("s{number}"), payload(number)), NOW).await.unwrap();
        }
        let plain = SessionKey::from_text("of the other format");
        let mut keys: Vec<SessionKey> = (0..8).map(|number| key(&format!("s{number}"))).collect();
        keys.extend([key("absent"), plain]);
        let mut outcomes = store.load_many(&keys, NOW).await.unwrap();
        assert_eq!(outcomes.pop().unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(outcomes.pop().unwrap().unwrap(), None);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            assert_eq!(outcome.unwrap().unwrap().payload.as_str(), payload(number));
        }
        // No transaction was left open: what is written now is seen.
        store.destroy(&Destroy { key: key("s0"), mode: DestroyMode::Soft }, NOW).await.unwrap();
        for _ in 0..64 {
            let outcomes = store.load_many(&keys[..2], NOW).await.unwrap();
            let found: Vec<bool> = outcomes.into_iter().map(|outcome| outcome.unwrap().is_some()).collect();
            assert_eq!(found, [false, true]);
        }
    }
}

#[tokio::test]
async fn each_write_of_a_batch_has_its_own_outcome() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create(&create("a", "old"), NOW).await.unwrap();
    store.create(&create("b", "old"), NOW).await.unwrap();
    store.create(&create("c", "old"), NOW).await.unwrap();
    let plain = SessionId::new("plain").unwrap().key(KeyFormat::Plain).unwrap();
    let writes = [
        Write::Create(create("a", "new")),
        Write::Update(update("b", "new", Some(1))),
        Write::Update(update("c", "new", Some(7))),
        Write::Touch(Touch { key: key("absent"), expires_at: LATER }),
        Write::Destroy(Destroy { key: plain, mode: DestroyMode::Hard }),
        Write::Create(create("d", "new")),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    let outcomes: Vec<_> =
        outcomes.into_iter().map(|outcome| outcome.map_err(|error| error.kind())).collect();
    assert_eq!(
        outcomes,
        [
            Ok(Written::Created(Created::KeyTaken)),
            Ok(Written::Updated(Updated::Saved(Version::new(2)))),
            Ok(Written::Updated(Updated::Stale)),
            Ok(Written::Touched(false)),
            Err(ErrorKind::InvalidInput),
            Ok(Written::Created(Created::Created)),
        ]
    );
    assert_eq!(store.load(&key("a"), NOW).await.unwrap().unwrap().payload.as_str(), "old");
}

#[tokio::test]
async fn a_write_that_fails_after_a_change_harms_no_neighbour() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create(&create("poison", "old"), NOW).await.unwrap();
    // The trigger strikes after the row was changed, as an error in a later statement of one operation would.
    raw(&folder)
        .execute_batch(
            "CREATE TRIGGER strike AFTER UPDATE ON sessions WHEN new.payload = 'poison'
             BEGIN SELECT raise(ROLLBACK, 'struck'); END",
        )
        .unwrap();
    let writes = [
        Write::Create(create("before", "{}")),
        Write::Update(update("poison", "poison", None)),
        Write::Create(create("after", "{}")),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false), "{error}");
    for (name, payload) in [("before", "{}"), ("poison", "old"), ("after", "{}")] {
        assert_eq!(store.load(&key(name), NOW).await.unwrap().unwrap().payload.as_str(), payload);
    }
}

#[tokio::test]
async fn a_write_whose_caller_left_before_its_turn_is_not_done() {
    let folder = Folder::new();
    let store = store(&folder).await;
    let lock = raw(&folder);
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
    assert_eq!(store.load(&key("left"), NOW).await.unwrap(), None);
}

#[tokio::test]
async fn loads_and_listings_do_not_wait_for_a_writer() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create(&create("a", "{}"), NOW).await.unwrap();
    let lock = raw(&folder);
    lock.execute_batch("BEGIN IMMEDIATE; DELETE FROM sessions").unwrap();
    assert!(store.load(&key("a"), NOW).await.unwrap().is_some());
    assert_eq!(store.list(&Filter::default(), None, MANY, NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lock_that_is_not_released_is_unavailable_within_the_time_out() {
    let folder = Folder::new();
    store(&folder).await;
    let store =
        SqliteStore::builder(folder.database()).busy_timeout(Duration::from_millis(50)).open().unwrap();
    let lock = raw(&folder);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let error = store.create(&create("a", "{}"), NOW).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.is_unreachable() && !error.is_indeterminate() && error.is_transient());
    assert_eq!(error.code(), Some("5"));
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(store.create(&create("a", "{}"), NOW).await.unwrap(), Created::Created);
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_database() {
    let folder = Folder::new();
    let store = store(&folder).await;
    store.create(&create("a", "{}"), NOW).await.unwrap();
    let clone = store.clone();
    drop(store);
    assert!(clone.load(&key("a"), NOW).await.unwrap().is_some());
    assert!(folder.path().join("sessions.db-wal").exists());
    drop(clone);
    // The last connection that closes moves the log into the database and removes it.
    assert!(!folder.path().join("sessions.db-wal").exists());
}

#[tokio::test]
async fn the_log_is_moved_and_begun_anew_under_steady_load() {
    // Where SQLite flushes, the checkpointer does so before it.
    for synchronous in [Synchronous::Off, Synchronous::Normal] {
        let folder = Folder::new();
        let mebibyte = NonZeroU64::new(1 << 20).unwrap();
        let store = SqliteStore::builder(folder.database())
            .checkpoint_after(NonZeroU64::new(256 << 10).unwrap())
            .wal_limit(mebibyte)
            .synchronous(synchronous)
            .open()
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

#[tokio::test]
async fn every_way_of_reading_gives_the_same() {
    let folder = Folder::new();
    store(&folder).await.create(&create_for("a", "ann"), NOW).await.unwrap();
    for reads in [Reads::Adaptive, Reads::Inline, Reads::Threads] {
        let store = SqliteStore::builder(folder.database()).reads(reads).open().unwrap();
        let record = store.load(&key("a"), NOW).await.unwrap().unwrap();
        assert_eq!(record.principal.unwrap().as_str(), "ann", "{reads:?}");
        assert_eq!(store.load(&key("a"), LATER).await.unwrap(), None, "{reads:?}");
    }
}

#[tokio::test]
async fn a_rollback_journal_works_too() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.database()).journal_mode(JournalMode::Delete).open().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a", "{}"), NOW).await.unwrap();
    assert!(store.load(&key("a"), NOW).await.unwrap().is_some());
    assert!(store.diagnose().await.unwrap().is_empty());
}

#[tokio::test]
async fn both_strategies_of_purging_respect_the_limit_and_the_living() {
    for one_statement in [true, false] {
        let folder = Folder::new();
        let store = SqliteStore::builder(folder.database()).limit_subquery(one_statement).open().unwrap();
        store.create_table().await.unwrap();
        for number in 0..10_i64 {
            let mut create = create(&format!("s{number}"), "{}");
            create.expires_at = Timestamp::from_millis(NOW.as_millis() - 5 + number);
            store.create(&create, NOW).await.unwrap();
        }
        let four = NonZeroU32::new(4).unwrap();
        // Expired from `expires_at` on: six of them.
        assert_eq!(store.purge_expired(NOW, four).await.unwrap(), 4, "one statement: {one_statement}");
        assert_eq!(store.purge_expired(NOW, four).await.unwrap(), 2);
        assert_eq!(store.purge_expired(NOW, four).await.unwrap(), 0);
        assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn a_touch_across_buckets_is_found_by_the_purge() {
    let folder = Folder::new();
    let store = store(&folder).await;
    for expiry in [i64::MIN, -300_001, -300_000, -1, 0, 1, 299_999, 300_000, i64::MAX - 1, i64::MAX] {
        let expires_at = Timestamp::from_millis(expiry);
        let name = format!("s{expiry}");
        store.create(&create(&name, "{}"), Timestamp::MIN).await.unwrap();
        assert!(store.touch(&Touch { key: key(&name), expires_at }, NOW).await.unwrap());
        if let Some(before) = expiry.checked_sub(1) {
            assert_eq!(
                store.purge_expired(Timestamp::from_millis(before), MANY).await.unwrap(),
                0,
                "{expiry}"
            );
        }
        assert_eq!(store.purge_expired(expires_at, MANY).await.unwrap(), 1, "{expiry}");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt_and_names_the_column() {
    let folder = Folder::new();
    // A table that somebody made by hand, without STRICT, so that anything can be in it.
    raw(&folder)
        .execute_batch(
            "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload TEXT, expires_at INTEGER, expires_bucket INTEGER,
             created_at INTEGER, version INTEGER, principal TEXT, destroyed_at INTEGER)",
        )
        .unwrap();
    let store = SqliteStore::open(folder.database()).unwrap();
    let odd = [
        ("payload", "NULL"),
        ("payload", "x'00'"),
        ("payload", "CAST(x'ff' AS TEXT)"),
        ("expires_at", "NULL"),
        ("expires_at", "'tomorrow'"),
        ("created_at", "1.5"),
        ("version", "NULL"),
        ("principal", "x'00'"),
        ("principal", "''"),
    ];
    for (number, (column, value)) in odd.iter().enumerate() {
        let name = format!("s{number}");
        store.create(&create(&name, "{}"), NOW).await.unwrap();
        let rows = raw(&folder)
            .execute(
                &format!("UPDATE sessions SET {column} = {value} WHERE key = ?1"),
                [key(&name).as_bytes()],
            )
            .unwrap();
        assert_eq!(rows, 1);
        let error = store.load(&key(&name), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{column} = {value}: {error}");
        assert!(error.to_string().contains(&format!("\"{column}\"")), "{column} = {value}: {error}");
    }
    store.create(&create("whole", "{}"), NOW).await.unwrap();
    let listed = store.list(&Filter::default(), None, MANY, NOW).await.unwrap();
    assert_eq!(listed.len(), odd.len() + 1);
    let whole: Vec<_> =
        listed.iter().filter(|listed| listed.record.is_ok()).map(|listed| &listed.key).collect();
    assert_eq!(whole, [&key("whole")]);
}

#[tokio::test]
async fn an_update_that_cannot_tell_its_version_changes_nothing() {
    let folder = Folder::new();
    raw(&folder)
        .execute_batch(
            "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload TEXT, expires_at INTEGER, expires_bucket INTEGER,
             created_at INTEGER, version, principal TEXT, destroyed_at INTEGER)",
        )
        .unwrap();
    let store = SqliteStore::open(folder.database()).unwrap();
    store.create(&create("a", "old"), NOW).await.unwrap();
    raw(&folder).execute("UPDATE sessions SET version = 1.5", []).unwrap();
    let writes = [
        Write::Create(create("before", "{}")),
        Write::Update(update("a", "new", None)),
        Write::Create(create("after", "{}")),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let payload: String = raw(&folder)
        .query_row("SELECT payload FROM sessions WHERE version = 1.5", [], |row| row.get(0))
        .unwrap();
    assert_eq!(payload, "old");
}

#[tokio::test]
async fn a_payload_over_sqlites_own_limit_is_too_large() {
    let folder = Folder::new();
    let store = store(&folder).await;
    // The limit is 1,000,000,000 bytes for a row.
    let error = store.create(&create("a", "x".repeat(1_000_000_001)), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(store.load(&key("a"), NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_table_is_told_with_the_remedy() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).unwrap();
    for error in [
        store.load(&key("a"), NOW).await.unwrap_err(),
        store.create(&create("a", "{}"), NOW).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false));
        assert!(error.to_string().contains("create_table()"), "{error}");
    }
    assert_eq!(store.diagnose().await.unwrap()[0].severity, Severity::Fault);
    // The store works as soon as the table is there.
    store.create_table().await.unwrap();
    assert_eq!(store.create(&create("a", "{}"), NOW).await.unwrap(), Created::Created);
}

#[tokio::test]
async fn the_printed_schema_makes_the_same_table() {
    let (ours, theirs) = (Folder::new(), Folder::new());
    store(&ours).await;
    let store = SqliteStore::open(theirs.database()).unwrap();
    let sql = SqliteStore::builder(theirs.database()).schema_sql().unwrap();
    raw(&theirs).execute_batch(&sql).unwrap();
    let schema = |folder: &Folder| -> Vec<String> {
        let db = raw(folder);
        let mut statement = db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(schema(&ours), schema(&theirs));
    assert_eq!(store.diagnose().await.unwrap(), []);
    assert_eq!(store.schema_sql(), sql);
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_with_a_table() {
    let folder = Folder::new();
    raw(&folder)
        .execute_batch(
            "CREATE TABLE sessions (key TEXT COLLATE NOCASE PRIMARY KEY, payload TEXT NOT NULL,
             expires_at TEXT NOT NULL, expires_bucket INTEGER, version INTEGER NOT NULL, principal TEXT,
             destroyed_at INTEGER)",
        )
        .unwrap();
    let store = SqliteStore::builder(folder.database()).synchronous(Synchronous::Off).open().unwrap();
    let findings = store.diagnose().await.unwrap();
    let text: String = findings.iter().map(|finding| format!("{finding:?}\n")).collect();
    for part in [
        "\\\"created_at\\\" of \\\"sessions\\\" is missing",
        "\\\"expires_at\\\" of \\\"sessions\\\" is declared",
        "collation NOCASE",
        "\\\"expires_bucket\\\" of \\\"sessions\\\" may be NULL",
        "begins with \\\"principal\\\"",
        "synchronous is OFF",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note || !finding.remedy.is_empty()));
}

#[tokio::test]
async fn the_doctor_sees_a_file_that_was_removed_and_one_that_others_may_read() {
    let folder = Folder::new();
    let store = store(&folder).await;
    assert_eq!(store.diagnose().await.unwrap(), []);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.database(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(store.diagnose().await.unwrap()[0].severity, Severity::Warning);
    }
    std::fs::remove_file(folder.database()).unwrap();
    assert_eq!(store.diagnose().await.unwrap()[0].severity, Severity::Fault);
}

#[tokio::test]
async fn a_database_in_memory_is_one_for_all_clones() {
    let store = SqliteStore::in_memory().unwrap();
    store.create_table().await.unwrap();
    let clone = store.clone();
    store.create(&create_for("a", "ann"), NOW).await.unwrap();
    assert!(clone.load(&key("a"), NOW).await.unwrap().is_some());
    let rotate = Rotate {
        from: key("a"),
        to: key("b"),
        payload: None,
        expires_at: LATER,
        principal: None,
        expected: Some(Version::FIRST),
        mode: DestroyMode::Soft,
    };
    assert_eq!(clone.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(Version::new(2)));
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 1);
    assert_eq!(store.diagnose().await.unwrap(), []);
    // Another one is another database.
    assert_eq!(SqliteStore::in_memory().unwrap().diagnose().await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_tables_in_one_file_do_not_see_each_other() {
    let folder = Folder::new();
    let mut stores = Vec::new();
    for name in ["a", "main.b"] {
        let table = TableName::new(name).unwrap();
        let store = SqliteStore::builder(folder.database()).table(table).open().unwrap();
        store.create_table().await.unwrap();
        stores.push(store);
    }
    stores[0].create(&create("x", "{}"), NOW).await.unwrap();
    assert_eq!(stores[1].load(&key("x"), NOW).await.unwrap(), None);
    assert_eq!(stores[1].clear().await.unwrap(), 0);
    assert_eq!(stores[0].clear().await.unwrap(), 1);
}

#[tokio::test]
async fn a_key_of_the_other_format_is_refused() {
    let folder = Folder::new();
    let store = SqliteStore::builder(folder.database()).key_format(KeyFormat::Plain).open().unwrap();
    store.create_table().await.unwrap();
    assert_eq!(store.load(&key("a"), NOW).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let plain = SessionId::new("Ä ").unwrap().key(KeyFormat::Plain).unwrap();
    store.create(&session_core::Create { key: plain.clone(), ..create("a", "{}") }, NOW).await.unwrap();
    assert!(store.load(&plain, NOW).await.unwrap().is_some());
    assert_eq!(store.list(&Filter::default(), None, MANY, NOW).await.unwrap()[0].key, plain);
}

#[test]
fn odd_options_are_refused() {
    let folder = Folder::new();
    let schema = SqliteStore::builder(folder.database()).table(TableName::new("web.sessions").unwrap());
    assert_eq!(schema.schema_sql().unwrap_err().kind(), ErrorKind::InvalidInput);
    for builder in [schema, SqliteStore::builder(""), SqliteStore::builder("file:sessions.db?mode=memory")] {
        assert_eq!(builder.open().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(!Path::new("file:sessions.db?mode=memory").exists());
}

#[test]
fn neither_ids_nor_payloads_are_printed() {
    let store = SqliteStore::in_memory().unwrap();
    assert_eq!(format!("{store:?}"), "SqliteStore { path: None, table: \"sessions\", .. }");
}
