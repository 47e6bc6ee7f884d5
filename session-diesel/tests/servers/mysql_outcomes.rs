//! One round trip for each outcome of each operation, and outcomes that other writers' timing could spoil.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diesel::row::{Field, Row};
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnectionCore, AsyncMysqlConnection};
use futures_util::TryStreamExt;
use mysql_async::prelude::Queryable;
use session_core::{
    ConnectTypeorm, Create, Created, Destroy, DestroyMode, ErrorKind, Filter, Payload, Principal, Rotate,
    Rotated, SessionId, SessionKey, Store, Timestamp, Touch, Update, Updated, Version, Write, Written,
};
use session_diesel::MysqlStore;

use super::{connection_pool, drop_table, is_mariadb, raw, somebody_waits, store};
use crate::{LATER, NOW, create, fresh_table, key};

/// What the one connection of a pool has sent, as the server counts it.
struct Counted {
    pool: Pool<AsyncMysqlConnection>,
    /// Whether every statement has been prepared before.
    warm: bool,
}

impl Counted {
    /// Prepared, executed, and asked in any way.
    async fn counters(&self) -> [i64; 3] {
        self.status(["Com_stmt_prepare", "Com_stmt_execute", "Questions"]).await
    }

    async fn status<const N: usize>(&self, names: [&str; N]) -> [i64; N] {
        let query = format!(
            "SHOW SESSION STATUS WHERE Variable_name IN ({})",
            names.map(|name| format!("'{name}'")).join(", ")
        );
        let mut connection = self.pool.get().await.unwrap();
        let rows = connection.load(diesel::sql_query(query)).await.unwrap();
        let text = |row: &<AsyncMysqlConnection as AsyncConnectionCore>::Row<'_, '_>, column: usize| {
            String::from_utf8(row.get(column).unwrap().value().unwrap().as_bytes().to_vec()).unwrap()
        };
        let rows: Vec<(String, String)> =
            rows.map_ok(|row| (text(&row, 0), text(&row, 1))).try_collect().await.unwrap();
        names.map(|name| {
            let (_, value) = rows.iter().find(|(found, _)| found == name).expect(name);
            value.parse().unwrap()
        })
    }

    /// Runs a call that is to take so many round trips, each a prepared statement.
    async fn trips<T>(&self, what: &str, trips: i64, call: impl Future<Output = T>) -> T {
        self.trips_with(what, trips, 0, call).await
    }

    /// As `trips`, with so many round trips more that begin or end a transaction.
    async fn trips_with<T>(&self, what: &str, trips: i64, others: i64, call: impl Future<Output = T>) -> T {
        let before = self.counters().await;
        let outcome = call.await;
        let after = self.counters().await;
        // The counters' own statement is prepared and executed once more each time.
        let [prepared, executed, asked] = [0, 1, 2].map(|index| after[index] - before[index] - 1);
        assert_eq!((executed, asked), (trips, trips + others), "{what}");
        assert!(!self.warm || prepared == 0, "{what} is prepared again");
        outcome
    }
}

fn update(id: &str, expected: Option<i64>) -> Update {
    Update {
        key: key(id),
        payload: Payload::from("[]"),
        expires_at: LATER,
        principal: Some(Principal::new("ann").unwrap()),
        expected: expected.map(Version::new),
    }
}

fn rotate(from: &str, to: &str, expected: Option<i64>, mode: DestroyMode) -> Rotate {
    Rotate {
        from: key(from),
        to: key(to),
        payload: None,
        expires_at: LATER,
        principal: Some(Principal::new("ann").unwrap()),
        expected: expected.map(Version::new),
        mode,
    }
}

pub(super) async fn each_operation_is_one_round_trip_prepared_once(url: String) {
    let table = fresh_table("counted");
    let mariadb = is_mariadb(&url).await;
    let pool = connection_pool(&url, 1, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    let store = MysqlStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("asks the server once what it is"), NOW).await.unwrap();
    let mut counted = Counted { pool, warm: false };
    for round in 0..4 {
        counted.warm = round > 0;
        let id = |name: &str| format!("{name}{round}");
        single_operations(&counted, &store, mariadb, id).await;
        many_at_once(&counted, &store, mariadb).await;
        counted.trips("clear", 1, store.clear()).await.unwrap();
    }
    drop_table(&url, "counted").await;
}

/// With one row the index on the expiry looks as cheap as the key. A change that walks along it can miss a live session
/// whose expiry others move meanwhile.
pub(super) async fn a_row_is_changed_by_its_key_alone(url: String) {
    let pool = connection_pool(&url, 1, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    let counted = Counted { pool: pool.clone(), warm: false };
    let native = MysqlStore::builder().pool(pool.clone()).table(fresh_table("bykey")).build().unwrap();
    native.create_table().await.unwrap();
    let builder = MysqlStore::builder().pool(pool).table(fresh_table("bykeyorm"));
    let typeorm = builder.connect_typeorm(ConnectTypeorm::new()).await.unwrap();
    typeorm.create_table().await.unwrap();
    let stores: [Box<dyn Store>; 2] = [Box::new(native), Box::new(typeorm)];
    for store in stores {
        let can = store.capabilities();
        for mode in [DestroyMode::Soft, DestroyMode::Hard] {
            let [a, b] = ["a", "b"].map(|id| SessionId::new(id).unwrap().key(store.key_format()).unwrap());
            let new = |key: &SessionKey| Create {
                key: key.clone(),
                payload: Payload::from("{}"),
                expires_at: LATER,
                principal: None,
            };
            store.create(&new(&a), NOW).await.unwrap();
            let [before] = counted.status(["Handler_read_next"]).await;
            assert!(store.touch(&Touch { key: a.clone(), expires_at: LATER }, NOW).await.unwrap());
            let update = Update {
                key: a.clone(),
                payload: Payload::from("[]"),
                expires_at: LATER,
                principal: None,
                expected: None,
            };
            assert!(matches!(store.update(&update, NOW).await.unwrap(), Updated::Saved(_)));
            let mut last = a;
            if can.rotation {
                let rotate = Rotate {
                    from: last,
                    to: b.clone(),
                    payload: None,
                    expires_at: LATER,
                    principal: None,
                    expected: None,
                    mode,
                };
                assert!(matches!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(_)));
                last = b;
            }
            assert!(store.destroy(&Destroy { key: last, mode }, NOW).await.unwrap());
            let [after] = counted.status(["Handler_read_next"]).await;
            assert_eq!(after - before, 0, "entries of an index that were walked along, {mode:?}, {store:?}");
            store.clear().await.unwrap();
        }
    }
    drop_table(&url, "bykey").await;
    drop_table(&url, "bykeyorm").await;
}

pub(super) async fn loads_and_throttled_touches_write_nothing(url: String) {
    let table = fresh_table("unwritten");
    let pool = connection_pool(&url, 1, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
    let store = MysqlStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    let counted = Arc::new(Counted { pool, warm: false });
    let writes = move || {
        let counted = Arc::clone(&counted);
        let writes: Pin<Box<dyn Future<Output = i64> + Send>> = Box::pin(async move {
            counted.status(["Com_insert", "Com_insert_select", "Com_update", "Com_delete"]).await.iter().sum()
        });
        writes
    };
    crate::unwritten::loads_and_throttled_touches_write_nothing(Arc::new(store), Box::new(writes)).await;
    drop_table(&url, "unwritten").await;
}

async fn single_operations(
    counted: &Counted,
    store: &MysqlStore,
    mariadb: bool,
    id: impl Fn(&str) -> String,
) {
    let [a, b, c, gone] = ["a", "b", "c", "gone"].map(&id);
    let new = create(&a);
    assert_eq!(counted.trips("create", 1, store.create(&new, NOW)).await.unwrap(), Created::Created);
    assert_eq!(counted.trips("create, taken", 1, store.create(&new, NOW)).await.unwrap(), Created::KeyTaken);
    assert!(counted.trips("load", 1, store.load(&new.key, NOW)).await.unwrap().is_some());
    assert!(counted.trips("load, gone", 1, store.load(&key(&gone), NOW)).await.unwrap().is_none());

    // MySQL has no RETURNING: where no expected version tells the new one, it is left open.
    let told = |version| if mariadb { Version::new(version) } else { Version::NONE };
    for (what, trips, update, outcome) in [
        ("update", 1, update(&a, Some(1)), Updated::Saved(Version::new(2))),
        ("update, stale", 1, update(&a, Some(1)), Updated::Stale),
        ("update, gone", 1, update(&gone, Some(1)), Updated::Gone),
        ("update of any version", 1, update(&a, None), Updated::Saved(told(3))),
        ("update of any version, gone", 1, update(&gone, None), Updated::Gone),
    ] {
        assert_eq!(counted.trips(what, trips, store.update(&update, NOW)).await.unwrap(), outcome, "{what}");
    }
    let touch = |id: &str| Touch { key: key(id), expires_at: LATER };
    assert!(counted.trips("touch", 1, store.touch(&touch(&a), NOW)).await.unwrap());
    assert!(!counted.trips("touch, gone", 1, store.touch(&touch(&gone), NOW)).await.unwrap());

    store.create(&create(&b), NOW).await.unwrap();
    for mode in [DestroyMode::Soft, DestroyMode::Hard] {
        let to = format!("{c}{mode:?}");
        let then = format!("{to}+");
        for (what, trips, rotate, outcome) in [
            ("rotate, taken", 1, rotate(&a, &b, Some(3), mode), Rotated::KeyTaken),
            ("rotate, stale", 1, rotate(&a, &to, Some(9), mode), Rotated::Stale),
            ("rotate, stale and taken", 1, rotate(&a, &b, Some(9), mode), Rotated::Stale),
            ("rotate, gone", 1, rotate(&gone, &to, Some(3), mode), Rotated::Gone),
            ("rotate any version, taken", 1, rotate(&a, &b, None, mode), Rotated::KeyTaken),
            ("rotate any version, gone", 1, rotate(&gone, &to, None, mode), Rotated::Gone),
            ("rotate", 1, rotate(&a, &to, Some(3), mode), Rotated::Rotated(Version::new(4))),
            ("rotate again", 1, rotate(&to, &then, None, mode), Rotated::Rotated(told(5))),
            ("rotate back", 1, rotate(&then, &id("x"), Some(5), mode), Rotated::Rotated(Version::new(6))),
        ] {
            let what = format!("{what}, {mode:?}");
            assert_eq!(
                counted.trips(&what, trips, store.rotate(&rotate, NOW)).await.unwrap(),
                outcome,
                "{what}"
            );
            assert!(store.load(&key(&b), NOW).await.unwrap().is_some(), "{what}");
        }
        let found = store.load(&key(&id("x")), NOW).await.unwrap().unwrap();
        assert_eq!((found.payload.as_str(), found.version), ("[]", Version::new(6)));
        // Once more from the beginning.
        store.destroy(&Destroy { key: key(&id("x")), mode: DestroyMode::Hard }, NOW).await.unwrap();
        store.destroy(&Destroy { key: key(&a), mode: DestroyMode::Hard }, NOW).await.unwrap();
        sql_in(counted, &format!("DELETE FROM `{}` WHERE destroyed_at IS NOT NULL", fresh_table("counted")))
            .await;
        store.create(&create(&a), NOW).await.unwrap();
        for version in 1..3 {
            store.update(&update(&a, Some(version)), NOW).await.unwrap();
        }
    }
    for mode in [DestroyMode::Soft, DestroyMode::Hard] {
        let destroy = Destroy { key: key(&a), mode };
        let done = mode == DestroyMode::Soft;
        assert_eq!(counted.trips("destroy", 1, store.destroy(&destroy, NOW)).await.unwrap(), done);
    }
    let ann = Principal::new("ann").unwrap();
    counted.trips("list", 1, store.list(&Filter::default(), None, NonZeroU32::MIN, NOW)).await.unwrap();
    let hers = Filter { principal: Some(ann.clone()) };
    counted.trips("list hers", 1, store.list(&hers, None, NonZeroU32::MIN, NOW)).await.unwrap();
    counted.trips("count", 1, store.count(&Filter::default(), NOW)).await.unwrap();
    counted.trips("count hers", 1, store.count(&hers, NOW)).await.unwrap();
    counted.trips("purge", 1, store.purge_expired(NOW, NonZeroU32::MIN)).await.unwrap();
    counted.trips("time", 1, store.server_time()).await.unwrap();
    store.create(&create(&c), NOW).await.unwrap();
    let but = key(&b);
    let soft = store.destroy_principal(&ann, Some(&but), DestroyMode::Soft, NOW);
    // The one before the rounds, too, in the first of them.
    assert!(counted.trips("end hers but one", 1, soft).await.unwrap() >= 1);
    let none = store.destroy_principal(&ann, Some(&but), DestroyMode::Soft, NOW);
    assert_eq!(counted.trips("end none", 1, none).await.unwrap(), 0);
    let hard = store.destroy_principal(&ann, None, DestroyMode::Hard, NOW);
    assert_eq!(counted.trips("remove hers", 1, hard).await.unwrap(), 1);
}

async fn many_at_once(counted: &Counted, store: &MysqlStore, mariadb: bool) {
    let keys: Vec<_> = (0..9).map(|number| key(&number.to_string())).collect();
    counted.trips("load many", 1, store.load_many(&keys, NOW)).await.unwrap();
    let creates: Vec<Write> = (0..8).map(|number| Write::Create(create(&number.to_string()))).collect();
    counted.trips("create many", 1, store.write_many(&creates, NOW)).await.unwrap();
    // One statement. MySQL has no RETURNING: as one of the nine is gone, the statement does nothing, and there follow begin,
    // lock, change, commit.
    let (trips, others) = if mariadb { (1, 0) } else { (3, 2) };
    let touches: Vec<Write> =
        keys.iter().map(|key| Write::Touch(Touch { key: key.clone(), expires_at: LATER })).collect();
    let touched = counted.trips_with("touch many", trips, others, store.write_many(&touches, NOW)).await;
    let live = |outcome: &session_core::Result<Written>| matches!(outcome, Ok(Written::Touched(true)));
    assert_eq!(touched.unwrap().iter().filter(|outcome| live(outcome)).count(), 8);
    let updates: Vec<Write> = (0..8).map(|number| Write::Update(update(&number.to_string(), None))).collect();
    let saved = counted.trips("update many", 1, store.write_many(&updates, NOW)).await;
    for outcome in saved.unwrap() {
        let saved = Updated::Saved(if mariadb { Version::new(2) } else { Version::NONE });
        assert!(matches!(outcome, Ok(Written::Updated(updated)) if updated == saved), "{outcome:?}");
    }
    for (mode, ids) in [(DestroyMode::Soft, 0..4), (DestroyMode::Hard, 4..8)] {
        let ends: Vec<Write> =
            ids.map(|id| Write::Destroy(Destroy { key: keys[id].clone(), mode })).collect();
        let ended = counted.trips("end many", 1, store.write_many(&ends, NOW)).await;
        assert!(ended.unwrap().iter().all(|outcome| matches!(outcome, Ok(Written::Destroyed(true)))));
    }
}

async fn sql_in(counted: &Counted, statement: &str) {
    use diesel_async::SimpleAsyncConnection;
    counted.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

pub(super) async fn a_hard_end_by_principal_leaves_empty_rows_for_the_next_purge(url: String) {
    let store = store(&url, "emptied").await;
    let table = fresh_table("emptied");
    for id in ["a", "b"] {
        store.create(&create(id), NOW).await.unwrap();
    }
    let hers = create("a").principal.unwrap();
    assert_eq!(store.destroy_principal(&hers, None, DestroyMode::Hard, NOW).await.unwrap(), 2);
    let left: i64 = raw(&url)
        .await
        .query_first(format!("SELECT COUNT(*) FROM `{table}` WHERE payload <> '' OR principal IS NOT NULL"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left, 0, "rows with data");
    assert_eq!(store.purge_expired(Timestamp::MIN, NonZeroU32::new(10).unwrap()).await.unwrap(), 2);
    assert_eq!(store.clear().await.unwrap(), 0, "rows after a purge");
    drop_table(&url, "emptied").await;
}

/// The moved row stands where the search for the user's rows has been already, and was not there when it began.
pub(super) async fn a_principal_is_ended_past_a_row_that_moves_backwards(url: String) {
    let store = Arc::new(store(&url, "back").await);
    let table = fresh_table("back");
    let ann = Principal::new("ann").unwrap();
    let mut ids: Vec<String> = (0..4).map(|number| format!("back{number}")).collect();
    ids.sort_by_key(|id| key(id));
    for mode in [DestroyMode::Soft, DestroyMode::Hard] {
        for leaves_a_mark in [true, false] {
            for id in &ids[1..] {
                store.create(&create(id), NOW).await.unwrap();
            }
            let [first, last] = [key(&ids[0]), key(&ids[3])];
            let mut mover = raw(&url).await;
            mover.query_drop("BEGIN").await.unwrap();
            if leaves_a_mark {
                let mark = format!("UPDATE `{table}` SET destroyed_at = 1 WHERE `key` = ?");
                mover.exec_drop(mark, (last.as_bytes(),)).await.unwrap();
                let make = format!("INSERT INTO `{table}` VALUES (?, '', ?, 0, 1, 'ann', NULL)");
                mover.exec_drop(make, (first.as_bytes(), LATER.as_millis())).await.unwrap();
            } else {
                let take = format!("UPDATE `{table}` SET `key` = ? WHERE `key` = ?");
                mover.exec_drop(take, (first.as_bytes(), last.as_bytes())).await.unwrap();
            }
            let end = tokio::spawn({
                let (store, ann) = (Arc::clone(&store), ann.clone());
                async move { store.destroy_principal(&ann, None, mode, NOW).await }
            });
            somebody_waits(&url, &table).await;
            mover.query_drop("COMMIT").await.unwrap();
            assert_eq!(end.await.unwrap().unwrap(), 3, "{mode:?}");
            let hers = Filter { principal: Some(ann.clone()) };
            assert_eq!(store.count(&hers, NOW).await.unwrap(), 0, "{mode:?}, {leaves_a_mark}");
            store.clear().await.unwrap();
        }
    }
    drop_table(&url, "back").await;
}

/// A session that moves from key to key all the time cannot slip away from the end of all its user's sessions.
pub(super) async fn a_principal_is_ended_through_rotations(url: String) {
    let store = Arc::new(store(&url, "slip").await);
    let ann = Principal::new("ann").unwrap();
    for round in 0..20 {
        store.create(&create(&format!("{round}-0")), NOW).await.unwrap();
        let mover = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                for step in 0.. {
                    let mode = if round % 2 == 0 { DestroyMode::Soft } else { DestroyMode::Hard };
                    let (from, to) = (format!("{round}-{step}"), format!("{round}-{}", step + 1));
                    let rotate = rotate(&from, &to, None, mode);
                    match retried(|| store.rotate(&rotate, NOW)).await {
                        Rotated::Rotated(_) => {}
                        Rotated::Gone => return,
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        retried(|| store.destroy_principal(&ann, None, DestroyMode::Soft, NOW)).await;
        let filter = Filter { principal: Some(ann.clone()) };
        assert_eq!(store.count(&filter, NOW).await.unwrap(), 0, "round {round}");
        mover.await.unwrap();
    }
    drop_table(&url, "slip").await;
}

/// What the handle does about a deadlock.
async fn retried<T, F: Future<Output = session_core::Result<T>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => panic!("{error}"),
        }
    }
}
