//! The stores as stores of tower-sessions 0.14, which axum-login asks for.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::HashMap;

use serde_json::json;
use session_store::MemoryStore;
use session_store::tower_sessions::{TowerStore, field};
use time::{Duration, OffsetDateTime};
use tower_sessions_core_0_14::SessionStore;
use tower_sessions_core_0_14::session::{Id, Record};

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
