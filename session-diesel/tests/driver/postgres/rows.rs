//! What is in a row: numbers at every edge, and what others left there.

use std::num::NonZeroU32;

use session_core::contract::{Filter, Load, Record, Store, Touched, Write, Written};
use session_core::{DestroyMode, ErrorKind, Result, Timestamp, Updated, Version};
use session_diesel::PostgresStore;

use super::support::{drop_table, raw, sql, store};
use crate::support::{NOW, create, destroy, fresh_table, key, numbers, touch, update};

pub(super) async fn every_number_comes_back(url: String) {
    let store = store(&url, "numbers").await;
    for number in numbers() {
        let mut new = create(&number.to_string());
        new.expires_at = Timestamp::from_millis(number);
        store.create(&new, Timestamp::from_millis(number)).await.unwrap();
        let before = Timestamp::from_millis(number.saturating_sub(1));
        let load = Load::new(new.key.clone());
        let found = store.load(&load, before).await.unwrap().record();
        if number == i64::MIN {
            assert!(found.is_none());
            continue;
        }
        let found = found.unwrap();
        assert_eq!((found.expires_at, found.created_at), (new.expires_at, Some(new.expires_at)));
        assert!(store.load(&load, new.expires_at).await.unwrap().record().is_none(), "{number}");
    }
    let versions = format!("UPDATE \"{}\" SET version = 9223372036854775807", fresh_table("numbers"));
    sql(&url, &versions).await;
    let all = store.list(&Filter::default(), None, NonZeroU32::MAX, Timestamp::MIN).await.unwrap();
    assert!(all.into_iter().all(|entry| entry.record.unwrap().version == Version::new(i64::MAX)));
    drop_table(&url, "numbers").await;
}

/// The one session that there is.
async fn listed(store: &PostgresStore) -> Result<Record> {
    store.list(&Filter::default(), None, NonZeroU32::MIN, NOW).await?.remove(0).record
}

pub(super) async fn numbers_sent_as_text_are_read(url: String) {
    // A view with texts in place of numbers stands for a proxy that sends them so. It is listed, as a load compares the
    // version besides.
    let store = store(&url, "text").await;
    store.create(&create("a"), NOW).await.unwrap();
    let table = fresh_table("text");
    let script = format!(
        "ALTER TABLE \"{table}\" RENAME TO \"{table}_t\"; \
         CREATE VIEW \"{table}\" AS SELECT key, payload, expires_at, created_at::text AS created_at, \
         version::text AS version, principal, destroyed_at FROM \"{table}_t\""
    );
    sql(&url, &script).await;
    let fresh = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    let found = listed(&fresh).await.unwrap();
    assert_eq!((found.created_at, found.version), (Some(NOW), Version::FIRST));
    let raw = raw(&url).await;
    for number in numbers() {
        let update = format!("UPDATE \"{table}_t\" SET created_at = $1, version = $1");
        raw.execute(&update, &[&number]).await.unwrap();
        let found = listed(&fresh).await.unwrap();
        assert_eq!(found.created_at, Some(Timestamp::from_millis(number)));
        assert_eq!(found.version, Version::new(number));
    }
    let script = format!(
        "CREATE OR REPLACE VIEW \"{table}\" AS SELECT key, payload, expires_at, NULL::text AS created_at, \
         version::text AS version, principal, destroyed_at FROM \"{table}_t\""
    );
    sql(&url, &script).await;
    let error = listed(&fresh).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("`created_at`"), "{error}");
    for wrong in ["9223372036854775808", "1e300", "x", ""] {
        let script = format!(
            "CREATE OR REPLACE VIEW \"{table}\" AS SELECT key, payload, expires_at, '{wrong}'::text AS created_at, \
             version::text AS version, principal, destroyed_at FROM \"{table}_t\""
        );
        sql(&url, &script).await;
        let error = listed(&fresh).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong}");
        assert!(error.to_string().contains("`created_at`"), "{error}");
    }
    sql(&url, &format!("DROP TABLE \"{table}_t\" CASCADE")).await;
}

pub(super) async fn a_version_that_cannot_be_read_harms_no_other_write_of_its_batch(url: String) {
    let store = store(&url, "nulls").await;
    let table = fresh_table("nulls");
    for id in ["a", "b", "c", "d", "e"] {
        store.create(&create(id), NOW).await.unwrap();
    }
    sql(&url, &format!("ALTER TABLE \"{table}\" ALTER version DROP NOT NULL")).await;
    let forget = format!("UPDATE \"{table}\" SET version = NULL WHERE key IN ($1, $2)");
    raw(&url).await.execute(&forget, &[&key("a").as_bytes(), &key("b").as_bytes()]).await.unwrap();
    let writes = [
        Write::Update(update("a", None)),
        Write::Update(update("b", Some(1))),
        Write::Update(update("c", Some(1))),
        Write::Destroy(destroy("d", DestroyMode::Keep)),
        Write::Touch(touch("e", Some(1))),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.is_in_doubt(), "it was done: {error:?}");
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && !error.is_in_doubt(), "it was not done: {error:?}");
    assert!(
        matches!(outcomes[2], Ok(Written::Updated(Updated::Saved(version))) if version == Version::new(2))
    );
    assert!(matches!(outcomes[3], Ok(Written::Destroyed(true))));
    assert!(matches!(outcomes[4], Ok(Written::Touched(Touched::Moved))));
    let error = store.update(&update("a", None), NOW).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.is_in_doubt(), "it was done: {error:?}");
    drop_table(&url, "nulls").await;
}
