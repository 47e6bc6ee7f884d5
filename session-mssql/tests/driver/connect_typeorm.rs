//! The table of connect-typeorm.

use std::num::NonZeroU32;

use libtest_mimic::Trial;
use session_core::contract::{Created, Filter, Load, Rotate, Rotated, Store, Touched, Update};
use session_core::{
    DestroyMode, ErrorKind, Fate, KeyFormat, SessionKey, Severity, TableName, Timestamp, Updated, Version,
};
use session_mssql::{ConnectTypeorm, MssqlStore};

use crate::support::{
    self, NOW, create, destroy, drop_table, fresh_table, load, on_a_server, sql, touch, update,
};

pub(crate) fn trials() -> Vec<Trial> {
    on_a_server![
        a_table_of_typeorm_is_shared,
        what_is_forgotten_leaves_an_empty_row_that_node_can_read,
        an_entity_without_destroyed_at_is_recognised,
        a_store_that_takes_no_notice_of_the_mark_is_found_out,
        a_table_that_is_made_after_the_store_is_recognised,
        a_table_that_we_make_holds_every_text_and_every_id,
    ]
}

fn key(id: &str) -> SessionKey {
    support::key(id, KeyFormat::Plain)
}

/// The table that TypeORM makes, with the server's own collation, and a row that Node wrote.
async fn node_table(url: &str, destroyed_at: &str) -> TableName {
    let name = fresh_table();
    let t = name.quoted('[', ']');
    let script = format!(
        "CREATE TABLE {t} ([expiredAt] bigint NOT NULL, [id] varchar(255) NOT NULL, [json] text NOT NULL{destroyed_at}, \
         PRIMARY KEY ([id])); CREATE INDEX [{0}_expires] ON {t} ([expiredAt]); \
         INSERT INTO {t} ([expiredAt], [id], [json]) VALUES (2000000, 'Abc', '{{\"cookie\":{{}},\"user\":\"Ann\"}}')",
        name.table()
    );
    sql(url, &script).await;
    name
}

const MARK: &str = ", [destroyedAt] datetime2";

async fn typeorm(url: &str, name: &TableName) -> MssqlStore {
    let options = MssqlStore::builder().url(url).table(name.clone());
    options.connect_typeorm(ConnectTypeorm::new()).connect().await.unwrap()
}

async fn a_table_of_typeorm_is_shared(url: String) {
    let name = node_table(&url, MARK).await;
    let store = typeorm(&url, &name).await;
    let (abc, other) = (key("Abc"), key("aBC"));
    let record = load(&store, &abc).await.unwrap();
    assert_eq!(record.payload.as_str(), r#"{"cookie":{},"user":"Ann"}"#);
    assert_eq!(record.expires_at, Timestamp::from_millis(2_000_000));
    assert_eq!(store.load(&Load::new(abc.clone()), record.expires_at).await.unwrap().record(), None);

    // Another id, to which the table's primary key is blind.
    for blind in [&other, &key("Abc ")] {
        assert_eq!(load(&store, blind).await, None);
        assert_eq!(store.touch(&touch(blind, None), NOW).await.unwrap(), Touched::Gone);
        assert!(!store.destroy(&destroy(blind, DestroyMode::Keep), NOW).await.unwrap());
        assert!(!store.destroy(&destroy(blind, DestroyMode::Remove), NOW).await.unwrap());
    }
    assert_eq!(store.create(&create(&key("aBC"), "{}"), NOW).await.unwrap(), Created::KeyTaken);
    assert_eq!(load(&store, &abc).await.unwrap(), record);

    // An umlaut is in the code page; the other one may be refused, but nothing is changed on the way.
    for payload in [r#"{"n":"é"}"#, r#"{"n":"😀"}"#] {
        let expires_at = Some(Timestamp::from_millis(2_500_000));
        match store.update(&Update { expires_at, ..update(&abc, payload, None) }, NOW).await {
            Ok(saved) => {
                assert_eq!(saved, Updated::Saved(Version::NONE));
                assert_eq!(load(&store, &abc).await.unwrap().payload.as_str(), payload);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
                assert_ne!(payload, r#"{"n":"é"}"#);
                assert_eq!(load(&store, &abc).await.unwrap().payload.as_str(), r#"{"n":"é"}"#);
            }
        }
    }

    let rotate = |from: &str, to: &str, mode| Rotate {
        expires_at: Some(Timestamp::from_millis(4_000_000)),
        ..support::rotate(&key(from), &key(to), mode)
    };
    let before = load(&store, &abc).await.unwrap();
    for (from, to, mode) in [("Abc", "two", DestroyMode::Keep), ("two", "three", DestroyMode::Remove)] {
        assert_eq!(store.rotate(&rotate("nobody", to, mode), NOW).await.unwrap(), Rotated::Gone);
        assert_eq!(
            store.rotate(&rotate(from, to, mode), NOW).await.unwrap(),
            Rotated::Rotated(Version::NONE)
        );
        assert_eq!(load(&store, &key(from)).await, None);
        let after = load(&store, &key(to)).await.unwrap();
        assert_eq!(
            (after.payload, after.expires_at),
            (before.payload.clone(), Timestamp::from_millis(4_000_000))
        );
    }
    // The first id is a tombstone, the second one is free.
    assert_eq!(store.create(&create(&key("Abc"), "{}"), NOW).await.unwrap(), Created::KeyTaken);
    assert_eq!(store.create(&create(&key("two"), "{}"), NOW).await.unwrap(), Created::Created);
    for mode in [DestroyMode::Keep, DestroyMode::Remove] {
        assert_eq!(store.rotate(&rotate("two", "three", mode), NOW).await.unwrap(), Rotated::KeyTaken);
    }
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 2);
    let limit = NonZeroU32::new(1).unwrap();
    let first = store.list(&Filter::default(), None, limit, NOW).await.unwrap().remove(0);
    let rest = store.list(&Filter::default(), Some(&first.key), limit, NOW).await.unwrap();
    assert_eq!([&first.key, &rest[0].key], [&key("three"), &key("two")]);

    assert!(store.destroy(&destroy(&rest[0].key, DestroyMode::Keep), NOW).await.unwrap());
    assert_eq!(store.purge_expired(Timestamp::from_millis(3_000_000), NonZeroU32::MAX).await.unwrap(), 2);
    assert_eq!(store.clear().await.unwrap(), 1);
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Fault), "{findings:?}");
    drop_table(&url, &name).await;
}

async fn what_is_forgotten_leaves_an_empty_row_that_node_can_read(url: String) {
    let name = node_table(&url, MARK).await;
    let store = typeorm(&url, &name).await;
    store.create(&create(&key("two"), "secret"), NOW).await.unwrap();
    assert!(store.destroy(&destroy(&key("Abc"), DestroyMode::Forget), NOW).await.unwrap());
    let rotate = support::rotate(&key("two"), &key("three"), DestroyMode::Forget);
    assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
    assert_eq!(load(&store, &key("three")).await.unwrap().payload.as_str(), "secret");
    for id in ["Abc", "two"] {
        assert_eq!(store.fate(&key(id), NOW).await.unwrap(), Fate::Destroyed);
        assert_eq!(store.create(&create(&key(id), "{}"), NOW).await.unwrap(), Created::KeyTaken);
    }
    // A division by zero, if there is another row than the two.
    let t = name.quoted('[', ']');
    let left = format!(
        "SELECT 1 / CASE WHEN (SELECT COUNT(*) FROM {t} WHERE [destroyedAt] IS NOT NULL \
         AND CAST([json] AS varchar(max)) = '{{}}') = 2 THEN 1 ELSE 0 END"
    );
    sql(&url, &left).await;
    drop_table(&url, &name).await;
}

async fn an_entity_without_destroyed_at_is_recognised(url: String) {
    let name = node_table(&url, "").await;
    let lazy = MssqlStore::builder().url(&url).table(name.clone());
    let lazy = lazy.connect_typeorm(ConnectTypeorm::new().without_destroyed_at()).build().unwrap();
    for store in [typeorm(&url, &name).await, lazy] {
        assert!(!store.capabilities().tombstones);
        let abc = key("Abc");
        assert!(load(&store, &abc).await.is_some());
        assert_eq!(store.fate(&abc, NOW).await.unwrap(), Fate::Live);
        assert!(store.destroy(&destroy(&abc, DestroyMode::Remove), NOW).await.unwrap());
        assert_eq!(store.fate(&abc, NOW).await.unwrap(), Fate::Unknown);
        assert_eq!(store.create(&create(&abc, "{}"), NOW).await.unwrap(), Created::Created);
    }
    drop_table(&url, &name).await;
}

/// And one that takes notice of a mark which is not there.
async fn a_store_that_takes_no_notice_of_the_mark_is_found_out(url: String) {
    let without = || ConnectTypeorm::new().without_destroyed_at();
    for (mark, names) in [(MARK, without()), ("", ConnectTypeorm::new())] {
        let name = node_table(&url, mark).await;
        let store =
            MssqlStore::builder().url(&url).table(name.clone()).connect_typeorm(names).build().unwrap();
        let error = store.load(&Load::new(key("Abc")), NOW).await.unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error}");
        assert!(error.to_string().contains("destroyedAt"), "{error}");
        let findings = store.diagnose().await.unwrap();
        let fault = findings.iter().find(|finding| finding.severity == Severity::Fault).unwrap();
        assert!(fault.what.contains("destroyedAt"), "{findings:?}");
        drop_table(&url, &name).await;
    }
}

async fn a_table_that_is_made_after_the_store_is_recognised(url: String) {
    let name = fresh_table();
    let store = typeorm(&url, &name).await;
    let error = store.load(&Load::new(key("Abc")), NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("208")));
    store.create_table().await.unwrap();
    assert_eq!(store.create(&create(&key("Abc"), "{}"), NOW).await.unwrap(), Created::Created);
    assert!(load(&store, &key("Abc")).await.is_some());
    drop_table(&url, &name).await;
}

async fn a_table_that_we_make_holds_every_text_and_every_id(url: String) {
    let name = fresh_table();
    let store = typeorm(&url, &name).await;
    store.create_table().await.unwrap();
    store.create_table().await.unwrap();
    for id in ["abc", "ABC", "abc ", "äbc", "😀"] {
        let made = store.create(&create(&key(id), r#"{"n":"😀"}"#), NOW).await.unwrap();
        assert_eq!(made, Created::Created, "{id:?}");
    }
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_table(&url, &name).await;
}
