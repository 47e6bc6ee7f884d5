//! What becomes of parallel requests under tower-sessions' own layer.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod rounds;
mod stores;

use std::sync::Arc;

use serde_json::json;
use session_store::contract::{Load, Store};
use session_store::tower_sessions::{TowerStore, Values, field};
use session_store::{DestroyMode, Fate, SessionId, Sessions, Timestamp, TouchOutcome};
use time::{Duration, OffsetDateTime};
use tower_sessions::SessionStore as _;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::ExpiredDeletion as _;

rounds::rounds!(tower_sessions);

fn record() -> Record {
    Record {
        id: Id::default(),
        data: [("user".to_owned(), json!("alice"))].into(),
        expiry_date: OffsetDateTime::now_utc() + Duration::hours(1),
    }
}

fn tower(store: Arc<dyn Store>) -> TowerStore {
    TowerStore::from(TowerStore::builder(store).principal(field("user")).build().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_lose_nothing() {
    for opened in stores::all().await {
        let store = tower(opened.store());
        for always_save in [false, true] {
            insert_in_parallel(&opened, &store, store.clone(), always_save).await;
        }
    }
}

#[tokio::test]
async fn two_requests_that_cross_leave_both_changes() {
    for opened in stores::all().await {
        let store = tower(opened.store());
        let mut made = record();
        store.create(&mut made).await.unwrap();
        let mut first = store.load(&made.id).await.unwrap().unwrap();
        let mut second = store.load(&made.id).await.unwrap().unwrap();
        second.data.insert("user".to_owned(), json!("bob"));
        store.save(&second).await.unwrap();
        first.data.insert("cart".to_owned(), json!(["apple"]));
        store.save(&first).await.unwrap();
        // A second save of the same request makes the same changes again.
        first.data.remove("cart");
        first.data.insert("seen".to_owned(), json!(1));
        store.save(&first).await.unwrap();
        let data = store.load(&made.id).await.unwrap().unwrap().data;
        assert_eq!((&data["user"], &data["seen"]), (&json!("bob"), &json!(1)), "{}", opened.name());
        assert_eq!(store.sessions().count(Some("bob")).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_removed_member_and_a_cleared_session_are_gone() {
    for opened in stores::all().await {
        let store = tower(opened.store());
        let mut made = record();
        store.create(&mut made).await.unwrap();
        let mut other = store.load(&made.id).await.unwrap().unwrap();
        made.data.remove("user");
        store.save(&made).await.unwrap();
        other.data.insert("cart".to_owned(), json!(1));
        store.save(&other).await.unwrap();
        let loaded = store.load(&made.id).await.unwrap().unwrap();
        assert!(!loaded.data.contains_key("user") && loaded.data.contains_key("cart"), "{loaded:?}");
        let cleared = Record { data: [("fresh".to_owned(), json!(1))].into(), ..loaded };
        store.save(&cleared).await.unwrap();
        let loaded = store.load(&made.id).await.unwrap().unwrap();
        assert!(!loaded.data.contains_key("cart") && loaded.data.contains_key("fresh"), "{loaded:?}");
    }
}

/// What is stored is what the application put there.
#[tokio::test]
async fn the_base_of_a_record_is_never_stored() {
    for opened in stores::all().await {
        let raw = opened.store();
        let store = tower(Arc::clone(&raw));
        let mut made = record();
        store.create(&mut made).await.unwrap();
        let mut loaded = store.load(&made.id).await.unwrap().unwrap();
        loaded.data.insert("a".to_owned(), json!(1));
        store.save(&loaded).await.unwrap();
        // As cycle_id does: deleted, and created again with what was loaded.
        store.delete(&made.id).await.unwrap();
        loaded.id = Id::default();
        store.create(&mut loaded).await.unwrap();
        let key = SessionId::new(loaded.id.to_string()).unwrap().key(raw.key_format()).unwrap();
        let record = raw.load(&Load::new(key), Timestamp::from_millis(0)).await.unwrap().record().unwrap();
        let stored: serde_json::Value = serde_json::from_str(record.payload.as_str()).unwrap();
        assert_eq!(stored, json!({ "user": "alice", "a": 1 }));
    }
}

#[tokio::test]
async fn a_save_that_changed_nothing_moves_the_expiry_alone() {
    for opened in stores::all().await {
        let raw = opened.store();
        let store = tower(Arc::clone(&raw));
        let mut made = record();
        store.create(&mut made).await.unwrap();
        let id = SessionId::new(made.id.to_string()).unwrap();
        let version = store.sessions().load(&id).await.unwrap().unwrap().version();
        let mut loaded = store.load(&made.id).await.unwrap().unwrap();
        store.save(&loaded).await.unwrap();
        loaded.expiry_date += Duration::hours(1);
        store.save(&loaded).await.unwrap();
        let session = store.sessions().load(&id).await.unwrap().unwrap();
        assert_eq!(session.version(), version, "no payload was written");
        let millis = i64::try_from(loaded.expiry_date.unix_timestamp_nanos() / 1_000_000).unwrap();
        assert_eq!(session.expires_at().as_millis(), millis);
    }
}

#[tokio::test]
async fn a_call_on_the_handle_never_moves_an_expiry() {
    for opened in stores::all().await {
        let store = tower(opened.store());
        let mut made = record();
        store.create(&mut made).await.unwrap();
        let sessions: &Sessions<Values> = store.sessions();
        let id = SessionId::new(made.id.to_string()).unwrap();
        let expires_at = sessions.load(&id).await.unwrap().unwrap().expires_at();
        let modified =
            sessions.modify(&id, |values| _ = values.values_mut().insert("a".to_owned(), json!(1)));
        assert_eq!(modified.await.unwrap().unwrap().expires_at, expires_at);
        assert_eq!(sessions.touch(&id).await.unwrap(), TouchOutcome::Throttled(expires_at));
        let mut session = sessions.load(&id).await.unwrap().unwrap();
        sessions.save(&mut session).await.unwrap();
        sessions.refresh(&mut session).await.unwrap();
        assert_eq!(session.expires_at(), expires_at);
        sessions.set(&id, &session.data).await.unwrap();
        let new = sessions.rotate(&id).await.unwrap().unwrap();
        assert_eq!(new.expires_at, expires_at);
        assert_eq!(sessions.load(&new.id).await.unwrap().unwrap().expires_at(), expires_at);
    }
}

#[tokio::test]
async fn a_host_that_never_creates_needs_the_option() {
    for opened in stores::all().await {
        let strict = tower(opened.store());
        let unknown = record();
        let error = strict.save(&unknown).await.unwrap_err();
        assert!(error.to_string().contains("creates_on_save"), "{error}");
        assert_eq!(strict.load(&unknown.id).await.unwrap(), None);

        let lenient = strict.clone().creates_on_save(true);
        lenient.save(&unknown).await.unwrap();
        let loaded = lenient.load(&unknown.id).await.unwrap().unwrap();
        assert_eq!(loaded.data["user"], "alice");
        // What is dead stays dead, whether the record was loaded before or not.
        lenient.delete(&unknown.id).await.unwrap();
        lenient.save(&loaded).await.unwrap();
        lenient.save(&unknown).await.unwrap();
        assert_eq!(lenient.load(&unknown.id).await.unwrap(), None);
        let id = SessionId::new(unknown.id.to_string()).unwrap();
        assert_eq!(lenient.sessions().fate(&id).await.unwrap(), Fate::Destroyed);
    }
}

#[tokio::test]
async fn expired_sessions_are_deleted_on_demand() {
    for opened in stores::all().await {
        let builder = TowerStore::builder(opened.store()).destroy_mode(DestroyMode::Keep);
        let store = TowerStore::from(builder.build().unwrap());
        for _ in 0..3 {
            let mut expired = record();
            expired.expiry_date = OffsetDateTime::now_utc() - Duration::milliseconds(1_000);
            store.create(&mut expired).await.unwrap();
        }
        store.create(&mut record()).await.unwrap();
        store.delete_expired().await.unwrap();
        assert_eq!(store.sessions().clear().await.unwrap(), 1, "the live one is left");
    }
}
