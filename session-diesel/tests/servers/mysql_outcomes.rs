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
    ConnectTypeorm, Create, Destroy, DestroyMode, ErrorKind, Filter, Payload, Principal, Rotate, Rotated,
    SessionId, SessionKey, Store, Timestamp, Touch, Update, Updated,
};
use session_diesel::MysqlStore;

use super::{connection_pool, drop_table, is_mariadb, raw, somebody_waits, store};
use crate::outcomes::{Counter, Manners, many_at_once, rotate, single_operations};
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
}

impl Counter for Counted {
    async fn takes<T>(
        &self,
        what: &str,
        statements: i64,
        trips: i64,
        call: impl Future<Output = session_core::Result<T>>,
    ) -> T {
        let before = self.counters().await;
        let outcome = call.await;
        let after = self.counters().await;
        // The counters' own statement is prepared and executed once more each time.
        let [prepared, executed, asked] = [0, 1, 2].map(|index| after[index] - before[index] - 1);
        assert_eq!((executed, asked), (statements, trips), "{what}");
        assert!(!self.warm || prepared == 0, "{what} is prepared again");
        outcome.unwrap()
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
    let manners = Manners {
        tells_versions: mariadb,
        // MySQL has no RETURNING: the statement does nothing, and there follow begin, lock, change, commit.
        batch_with_one_gone: if mariadb { (1, 1) } else { (3, 5) },
    };
    for round in 0..4 {
        counted.warm = round > 0;
        single_operations(&counted, &store, manners, round).await;
        many_at_once(&counted, &store, manners).await;
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
