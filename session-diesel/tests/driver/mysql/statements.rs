//! One round trip for each outcome of each operation, and outcomes that other writers' timing could spoil.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use diesel::row::{Field, Row};
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnectionCore, AsyncMysqlConnection};
use futures_util::TryStreamExt;
use session_core::contract::{
    Create, Destroy, Load, Loaded, Payload, Rotate, Rotated, Store, Touch, Touched, Update,
};
use session_core::{SessionId, SessionKey, Updated, Version};
use session_diesel::{ConnectTypeorm, MysqlStore};

use super::support::{READ_COMMITTED, connection_pool, drop_table, is_mariadb};
use crate::support::outcomes::{Counter, Manners, many_at_once, single_operations};
use crate::support::{LATER, MODES, NOW, create, fresh_table, key, unwritten};

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
    let pool = connection_pool(&url, 1, READ_COMMITTED);
    let store = MysqlStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("asks the server once what it is"), NOW).await.unwrap();
    let mut counted = Counted { pool, warm: false };
    let manners = Manners {
        tells_versions: mariadb,
        // MySQL has no RETURNING: the statement does nothing, and there follow begin, lock, change, commit.
        create_taken: (2, 2),
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
    let pool = connection_pool(&url, 1, READ_COMMITTED);
    let counted = Counted { pool: pool.clone(), warm: false };
    let native = MysqlStore::builder().pool(pool.clone()).table(fresh_table("bykey")).build().unwrap();
    native.create_table().await.unwrap();
    let builder = MysqlStore::builder().pool(pool).table(fresh_table("bykeyorm"));
    let typeorm = builder.connect_typeorm(ConnectTypeorm::new()).build().unwrap();
    typeorm.create_table().await.unwrap();
    let stores: [Box<dyn Store>; 2] = [Box::new(native), Box::new(typeorm)];
    for store in stores {
        let can = store.capabilities();
        for mode in MODES {
            let [a, b] = ["a", "b"].map(|id| SessionId::new(id).unwrap().key(store.key_format()).unwrap());
            let new = |key: &SessionKey| Create {
                key: key.clone(),
                payload: Payload::from("{}"),
                expires_at: LATER,
                principal: None,
                version: Version::FIRST,
            };
            store.create(&new(&a), NOW).await.unwrap();
            let [before] = counted.status(["Handler_read_next"]).await;
            let touch = |expected| Touch { key: a.clone(), expires_at: LATER, expected };
            assert_eq!(store.touch(&touch(None), NOW).await.unwrap(), Touched::Moved);
            if can.versions {
                assert_eq!(store.touch(&touch(Some(Version::FIRST)), NOW).await.unwrap(), Touched::Moved);
            }
            let update = Update {
                key: a.clone(),
                payload: Payload::from("[]"),
                expires_at: None,
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
                    expires_at: None,
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
    let pool = connection_pool(&url, 1, READ_COMMITTED);
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
    unwritten::loads_and_throttled_touches_write_nothing(Arc::new(store), Box::new(writes)).await;
    drop_table(&url, "unwritten").await;
}

/// What the server has sent over the one connection of the pool, with what else goes there.
pub(super) async fn a_load_of_a_known_version_moves_no_payload(url: String) {
    const SIZE: i64 = 200_000;
    let pool = connection_pool(&url, 1, READ_COMMITTED);
    let store = MysqlStore::builder().pool(pool.clone()).table(fresh_table("known")).build().unwrap();
    store.create_table().await.unwrap();
    let counted = Counted { pool, warm: false };
    for id in ["a", "b"] {
        let payload = Payload::from("x".repeat(200_000));
        store.create(&Create { payload, ..create(id) }, NOW).await.unwrap();
    }
    let moved = async |loads: &[Load]| -> (i64, Vec<Loaded>) {
        let [before] = counted.status(["Bytes_sent"]).await;
        let loaded = match loads {
            [one] => vec![store.load(one, NOW).await.unwrap()],
            many => store.load_many(many, NOW).await.unwrap().into_iter().map(Result::unwrap).collect(),
        };
        let [after] = counted.status(["Bytes_sent"]).await;
        (after - before, loaded)
    };
    let known = |id: &str, version| Load { key: key(id), known: Some(Version::new(version)) };
    let unchanged = Loaded::Unchanged { expires_at: LATER };
    let (bytes, loaded) = moved(&[Load::new(key("a"))]).await;
    assert!(bytes > SIZE && loaded[0] != unchanged, "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1)]).await;
    assert!(bytes < 2_000 && loaded[0] == unchanged, "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1), known("b", 1)]).await;
    assert!(bytes < 2_000 && loaded == [unchanged.clone(), unchanged.clone()], "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1), known("b", 2)]).await;
    assert!(bytes > SIZE && bytes < 2 * SIZE && loaded[0] == unchanged && loaded[1] != unchanged, "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1), Load::new(key("b"))]).await;
    assert!(bytes > SIZE && bytes < 2 * SIZE && loaded[0] == unchanged && loaded[1] != unchanged, "{bytes}");
    drop_table(&url, "known").await;
}
