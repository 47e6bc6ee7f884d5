//! The stores as stores of tower-sessions 0.14, which axum-login asks for.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "caching/mod.rs"]
mod caches;
mod rounds;
mod stores;

use std::collections::HashMap;

use serde_json::json;
use session_store::MemoryStore;
use session_store::tower_sessions::{TowerStore, field};
use time::{Duration, OffsetDateTime};
use tower_sessions_core_0_14::SessionStore;
use tower_sessions_core_0_14::session::{Id, Record};
use tower_sessions_moka_store::MokaStore;

caches::caching!(axum_login::tower_sessions, super::MokaStore, super::MokaStore::new(Some(2_000)));
rounds::rounds!(axum_login::tower_sessions);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_lose_nothing() {
    for opened in stores::all().await {
        let store = TowerStore::new(opened.store());
        for always_save in [false, true] {
            insert_in_parallel(&opened, &store, store.clone(), always_save).await;
        }
    }
}

#[tokio::test]
async fn a_late_save_never_brings_a_session_back() {
    let store =
        TowerStore::from(TowerStore::builder(MemoryStore::new()).principal(field("user")).build().unwrap());
    let mut record = Record {
        id: Id::default(),
        data: HashMap::from([("user".to_owned(), json!("alice"))]),
        expiry_date: OffsetDateTime::now_utc() + Duration::hours(1),
    };
    store.create(&mut record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap().unwrap().data, record.data);
    store.delete(&record.id).await.unwrap();
    store.save(&record).await.unwrap();
    assert_eq!(store.load(&record.id).await.unwrap(), None);
}
