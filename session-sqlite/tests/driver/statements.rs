//! How statements are run: in batches, on which threads, and what of a row they read.

use std::num::{NonZeroU32, NonZeroUsize};

use libtest_mimic::Trial;
use session_core::contract::{Created, Filter, Load, Loaded, Store as _, Touched, Write, Written};
use session_core::{DestroyMode, ErrorKind, Timestamp, Updated, Version};
use session_sqlite::Reads;

use crate::support::{Folder, LATER, MANY, NOW, create, create_for, destroy, key, load, touch, update};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        writes_that_wait_together_are_one_transaction,
        a_batch_limit_of_one_commits_each_write_alone,
        a_batch_of_loads_that_takes_long_is_answered_wholly,
        each_write_of_a_batch_has_its_own_outcome,
        a_write_that_fails_after_a_change_harms_no_neighbour,
        every_way_of_reading_gives_the_same,
        a_payload_that_the_caller_has_is_not_read,
        both_strategies_of_purging_respect_the_limit_and_the_living,
        a_touch_across_buckets_is_found_by_the_purge,
    ]
}

async fn writes_that_wait_together_are_one_transaction() {
    let folder = Folder::new();
    let store = folder.store().await;
    let before = commits(&folder);
    let lock = folder.raw();
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

async fn a_batch_limit_of_one_commits_each_write_alone() {
    let folder = Folder::new();
    let store = folder.builder().batch_limit(NonZeroUsize::MIN).build().unwrap();
    store.create_table().await.unwrap();
    let before = commits(&folder);
    let writes: Vec<_> = (0..10).map(|number| Write::Create(create(&format!("s{number}"), "{}"))).collect();
    store.write_many(&writes, NOW).await.unwrap();
    assert_eq!(commits(&folder) - before, 10);
}

/// Adaptively, the first of these takes longer than a whole batch may on the caller.
async fn a_batch_of_loads_that_takes_long_is_answered_wholly() {
    for reads in [Reads::Adaptive, Reads::Inline, Reads::Threads] {
        let folder = Folder::new();
        let store = folder.builder().reads(reads).build().unwrap();
        store.create_table().await.unwrap();
        let payload = |number: usize| format!("\"{}\"", number.to_string().repeat(2 << 20));
        for number in 0..8 {
            store.create(&create(&format!("s{number}"), payload(number)), NOW).await.unwrap();
        }
        let mut loads: Vec<Load> = (0..8).map(|number| Load::new(key(&format!("s{number}")))).collect();
        loads.push(Load::new(key("absent")));
        let mut outcomes = store.load_many(&loads, NOW).await.unwrap();
        assert_eq!(outcomes.pop().unwrap().unwrap(), Loaded::Gone);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            assert_eq!(outcome.unwrap().record().unwrap().payload.as_str(), payload(number));
        }
        // No transaction was left open: what is written now is seen.
        store.destroy(&destroy("s0", DestroyMode::Keep), NOW).await.unwrap();
        for _ in 0..64 {
            let outcomes = store.load_many(&loads[..2], NOW).await.unwrap();
            let found: Vec<bool> =
                outcomes.into_iter().map(|outcome| outcome.unwrap() != Loaded::Gone).collect();
            assert_eq!(found, [false, true]);
        }
    }
}

async fn each_write_of_a_batch_has_its_own_outcome() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.create(&create("a", "old"), NOW).await.unwrap();
    store.create(&create("b", "old"), NOW).await.unwrap();
    store.create(&create("c", "old"), NOW).await.unwrap();
    let writes = [
        Write::Create(create("a", "new")),
        Write::Update(update("b", "new", Some(1))),
        Write::Update(update("c", "new", Some(7))),
        Write::Touch(touch("absent", LATER)),
        Write::Destroy(destroy("absent too", DestroyMode::Remove)),
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
            Ok(Written::Touched(Touched::Gone)),
            Ok(Written::Destroyed(false)),
            Ok(Written::Created(Created::Created)),
        ]
    );
    assert_eq!(load(&store, "a", NOW).await.unwrap().payload.as_str(), "old");
}

async fn a_write_that_fails_after_a_change_harms_no_neighbour() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.create(&create("poison", "old"), NOW).await.unwrap();
    // The trigger strikes after the row was changed, as an error in a later statement of one operation would.
    folder
        .raw()
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
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error}");
    for (name, payload) in [("before", "{}"), ("poison", "old"), ("after", "{}")] {
        assert_eq!(load(&store, name, NOW).await.unwrap().payload.as_str(), payload);
    }
}

async fn every_way_of_reading_gives_the_same() {
    let folder = Folder::new();
    folder.store().await.create(&create_for("a", "ann"), NOW).await.unwrap();
    for reads in [Reads::Adaptive, Reads::Inline, Reads::Threads] {
        let store = folder.builder().reads(reads).build().unwrap();
        let record = load(&store, "a", NOW).await.unwrap();
        assert_eq!(record.principal.unwrap().as_str(), "ann", "{reads:?}");
        assert_eq!(load(&store, "a", LATER).await, None, "{reads:?}");
    }
}

/// A large payload lies on pages of its own. Here they are damaged, so that whoever reads them is told.
async fn a_payload_that_the_caller_has_is_not_read() {
    const PAGE: usize = 4096;
    let folder = Folder::new();
    let store = folder.store().await;
    store.create(&create("large", "x".repeat(20 * PAGE)), NOW).await.unwrap();
    store.create(&create("small", "{}"), NOW).await.unwrap();
    drop(store);
    let mut file = std::fs::read(folder.database()).unwrap();
    let overflow = file.chunks_exact_mut(PAGE).filter(|page| page[4..] == [b'x'; PAGE - 4]);
    // The number of the next page comes first.
    assert!(overflow.map(|page| page[..4].fill(0xff)).count() > 10);
    std::fs::write(folder.database(), file).unwrap();

    let store = folder.builder().build().unwrap();
    let [known, other] = [1, 2].map(|version| Load { key: key("large"), known: Some(Version::new(version)) });
    let unchanged = Loaded::Unchanged { expires_at: LATER };
    assert_eq!(store.load(&known, NOW).await.unwrap(), unchanged);
    let batch = [Load { key: key("small"), known: Some(Version::FIRST) }, known.clone()];
    let outcomes: Vec<Loaded> =
        store.load_many(&batch, NOW).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [unchanged.clone(), unchanged]);
    for reading in [other, Load::new(key("large"))] {
        let error = store.load(&reading, NOW).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("11")), "{error}");
    }
    assert_eq!(store.load(&known, LATER).await.unwrap(), Loaded::Gone);
}

async fn both_strategies_of_purging_respect_the_limit_and_the_living() {
    for one_statement in [true, false] {
        let folder = Folder::new();
        let store = folder.builder().limit_subquery(one_statement).build().unwrap();
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

async fn a_touch_across_buckets_is_found_by_the_purge() {
    let folder = Folder::new();
    let store = folder.store().await;
    for expiry in [i64::MIN, -300_001, -300_000, -1, 0, 1, 299_999, 300_000, i64::MAX - 1, i64::MAX] {
        let expires_at = Timestamp::from_millis(expiry);
        let name = format!("s{expiry}");
        store.create(&create(&name, "{}"), Timestamp::MIN).await.unwrap();
        assert_eq!(store.touch(&touch(&name, expires_at), NOW).await.unwrap(), Touched::Moved);
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

/// Commits in the write-ahead log, which <https://sqlite.org/fileformat2.html#walformat> describes: after a header of
/// 32 bytes come frames of 24 bytes and a page; in the last one of a transaction the second word is not zero.
fn commits(folder: &Folder) -> usize {
    let log = std::fs::read(folder.path().join("sessions.db-wal")).unwrap();
    log[32..].chunks_exact(24 + 4096).filter(|frame| frame[4..8] != [0; 4]).count()
}
