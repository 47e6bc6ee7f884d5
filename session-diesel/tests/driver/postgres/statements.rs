//! Statements and round trips, as the server and the network count them.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libtest_mimic::Trial;
use session_core::contract::{
    Create, DestroyPrincipal, Filter, Load, Loaded, Payload, Rotated, Store, Touched, Write,
};
use session_core::{DestroyMode, Fate, Updated, Version};
use session_diesel::PostgresStore;

use super::support::{
    Traffic, connection_pool, counting, drop_table, no_server_of_its_own, raw, ready, server,
};
use crate::support::outcomes::{Counter, Manners, many_at_once, single_operations};
use crate::support::{
    LATER, NOW, ann, create, destroy, fresh_table, host_of, key, load, rotate, touch, trial, unwritten,
    update,
};

pub(super) fn trials() -> Vec<Trial> {
    let name = "postgres::statements::each_operation_is_one_round_trip";
    vec![trial(name, no_server_of_its_own(), each_operation_is_one_round_trip)]
}

/// The one connection of a store.
struct Counted {
    statistics: tokio_postgres::Client,
    traffic: Arc<Traffic>,
    /// Whether every statement has been prepared before.
    warm: bool,
}

impl Counted {
    /// How many statements of any kind the server has run, but for those of this test.
    async fn statements(&self) -> i64 {
        let count = "SELECT COALESCE(sum(calls), 0)::bigint FROM pg_stat_statements \
                     WHERE query NOT LIKE '%pg_stat_statements%'";
        self.statistics.query_one(count, &[]).await.unwrap().get(0)
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
        let before = (self.statements().await, self.traffic.trips.load(Ordering::SeqCst));
        let outcome = call.await;
        let after = (self.statements().await, self.traffic.trips.load(Ordering::SeqCst));
        assert_eq!(after.0 - before.0, statements, "statements: {what}");
        if self.warm {
            assert_eq!(after.1 - before.1, trips, "round trips: {what}");
        }
        outcome.unwrap()
    }
}

async fn each_operation_is_one_round_trip() {
    let server = server("pg-counted", &["shared_preload_libraries=pg_stat_statements"]);
    let url = |port| format!("postgres://postgres@127.0.0.1:{port}/postgres");
    ready(|| PostgresStore::builder().url(url(server.port))).await;
    let statistics = raw(&url(server.port)).await;
    statistics.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let (port, traffic) = counting(format!("127.0.0.1:{}", server.port)).await;
    let store =
        PostgresStore::builder().url(url(port)).pool_size(1).table(fresh_table("counted")).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("from before the rounds"), NOW).await.unwrap();
    let mut counted = Counted { statistics, traffic, warm: false };
    let manners = Manners { tells_versions: true, create_taken: (1, 1), batch_with_one_gone: (1, 1) };
    for round in 0..4 {
        counted.warm = round > 0;
        single_operations(&counted, &store, manners, round).await;
        many_at_once(&counted, &store, manners).await;
    }
}

pub(super) async fn a_load_of_a_known_version_moves_no_payload(url: String) {
    const SIZE: usize = 200_000;
    let table = fresh_table("known");
    let (port, traffic) = counting(host_of(&url)).await;
    let near = url.replacen(&host_of(&url), &format!("127.0.0.1:{port}"), 1);
    let store = PostgresStore::builder().url(near).pool_size(1).table(table).build().unwrap();
    store.create_table().await.unwrap();
    for id in ["a", "b"] {
        // No two characters alike, so that nothing is compressed away.
        let payload: String = (0..SIZE / 8).map(|number| format!("{number:08x}")).collect();
        store.create(&Create { payload: Payload::from(payload), ..create(id) }, NOW).await.unwrap();
    }
    let moved = async |loads: &[Load]| -> (usize, Vec<Loaded>) {
        let before = traffic.answered.load(Ordering::SeqCst);
        let loaded = match loads {
            [one] => vec![store.load(one, NOW).await.unwrap()],
            many => store.load_many(many, NOW).await.unwrap().into_iter().map(Result::unwrap).collect(),
        };
        let bytes = traffic.answered.load(Ordering::SeqCst) - before;
        (usize::try_from(bytes).unwrap(), loaded)
    };
    let known = |id: &str, version| Load { key: key(id), known: Some(Version::new(version)) };
    let unchanged = Loaded::Unchanged { expires_at: LATER };
    // Prepares both statements.
    moved(&[Load::new(key("a"))]).await;
    moved(&[Load::new(key("a")), Load::new(key("b"))]).await;
    let (bytes, loaded) = moved(&[Load::new(key("a"))]).await;
    assert!(bytes > SIZE && loaded[0] != unchanged, "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1)]).await;
    assert!(bytes < 1_000 && loaded[0] == unchanged, "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1), known("b", 1)]).await;
    assert!(bytes < 1_000 && loaded == [unchanged.clone(), unchanged.clone()], "{bytes}");
    let (bytes, loaded) = moved(&[known("a", 1), known("b", 2)]).await;
    assert!(bytes > SIZE && bytes < 2 * SIZE && loaded[0] == unchanged && loaded[1] != unchanged, "{bytes}");
    drop_table(&url, "known").await;
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    statements: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    plans: i64,
}

pub(super) async fn each_operation_is_one_statement_prepared_once(url: String) {
    let table = fresh_table("counted");
    let pool = connection_pool(url.clone(), 1, "SET plan_cache_mode = force_generic_plan".to_owned());
    let store = PostgresStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    let prepared = || async {
        use diesel_async::RunQueryDsl;
        let mut connection = pool.get().await.unwrap();
        let counted: Count = diesel::sql_query(format!(
            "SELECT count(*) AS statements, COALESCE(sum(generic_plans + custom_plans), 0)::bigint AS plans \
             FROM pg_prepared_statements WHERE statement LIKE '%\"{table}\"%' AND statement NOT LIKE '%pg_prepared%'"
        ))
        .get_result(&mut connection)
        .await
        .unwrap();
        (counted.statements, counted.plans)
    };
    let kinds = all_operations(&store, 0).await;
    let (statements, runs) = prepared().await;
    assert_eq!((statements, runs), (kinds, kinds), "each kind is prepared, and runs once");
    for round in 1..5 {
        all_operations(&store, round).await;
    }
    assert_eq!(
        prepared().await,
        (statements, kinds * 5),
        "nothing is prepared again, and each is one statement"
    );
    drop_table(&url, "counted").await;
}

/// Runs each kind of operation once, and gives their number.
async fn all_operations(store: &PostgresStore, round: u32) -> i64 {
    let [a, b] = ["a", "b"].map(|name| format!("{name}{round}"));
    store.create(&create(&a), NOW).await.unwrap();
    assert!(load(store, &a).await.is_some());
    assert_eq!(store.update(&update(&a, Some(1)), NOW).await.unwrap(), Updated::Saved(Version::new(2)));
    assert_eq!(store.touch(&touch(&a, None), NOW).await.unwrap(), Touched::Moved);
    assert_eq!(store.touch(&touch(&a, Some(2)), NOW).await.unwrap(), Touched::Moved);
    let moved = rotate(&a, &b, None, DestroyMode::Forget);
    assert_eq!(store.rotate(&moved, NOW).await.unwrap(), Rotated::Rotated(Version::new(3)));
    assert_eq!(store.fate(&key(&a), NOW).await.unwrap(), Fate::RotatedAway);
    assert!(store.destroy(&destroy(&b, DestroyMode::Forget), NOW).await.unwrap());
    let end =
        DestroyPrincipal { principal: ann(), except: None, created_before: None, mode: DestroyMode::Forget };
    store.destroy_principal(&end, NOW).await.unwrap();
    store.forget_principal(&ann(), NOW).await.unwrap();
    store.list(&Filter::default(), None, NonZeroU32::MIN, NOW).await.unwrap();
    store.count(&Filter::default(), NOW).await.unwrap();
    store.purge_expired(NOW, NonZeroU32::MIN).await.unwrap();
    let ids: Vec<String> = (0..10 + round).map(|number| number.to_string()).collect();
    let loads: Vec<Load> = ids.iter().map(|id| Load::new(key(id))).collect();
    store.load_many(&loads, NOW).await.unwrap();
    let touches: Vec<Write> = ids.iter().map(|id| Write::Touch(touch(id, None))).collect();
    store.write_many(&touches, NOW).await.unwrap();
    store.clear().await.unwrap();
    16
}

pub(super) async fn loads_and_throttled_touches_write_nothing(url: String) {
    use diesel_async::RunQueryDsl;

    let table = fresh_table("unwritten");
    let pool = connection_pool(url.clone(), 1, "SET plan_cache_mode = force_generic_plan".to_owned());
    let store = PostgresStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    // Every statement of the store is prepared, and the server counts how often it ran each.
    let count = format!(
        "SELECT count(*) AS statements, COALESCE(sum(generic_plans + custom_plans), 0)::bigint AS plans \
         FROM pg_prepared_statements WHERE statement LIKE '%\"{table}\"%' AND statement !~ '^SELECT'"
    );
    let writes = move || {
        let (pool, count) = (pool.clone(), count.clone());
        let counted: Pin<Box<dyn Future<Output = i64> + Send>> = Box::pin(async move {
            let mut connection = pool.get().await.unwrap();
            let counted: Count = diesel::sql_query(count).get_result(&mut connection).await.unwrap();
            counted.plans
        });
        counted
    };
    unwritten::loads_and_throttled_touches_write_nothing(Arc::new(store), Box::new(writes)).await;
    drop_table(&url, "unwritten").await;
}
