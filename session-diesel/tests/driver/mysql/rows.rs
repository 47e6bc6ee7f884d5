//! What is in a row: numbers at every edge, every length, and what others left there.

use std::num::NonZeroU32;

use mysql_async::prelude::Queryable;
use session_core::contract::{Filter, Load, Payload, Rotate, Rotated, Store, Touch, Update, Write, Written};
use session_core::{DestroyMode, ErrorKind, Principal, Timestamp, Updated, Version};
use session_diesel::MysqlStore;

use super::support::{connection_pool, drop_table, is_mariadb, raw, sql, store};
use crate::support::{LATER, MODES, NOW, create, destroy, fresh_table, key, load, numbers, rotate, update};

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
    sql(&url, &format!("UPDATE `{}` SET version = 9223372036854775807", fresh_table("numbers"))).await;
    let all = store.list(&Filter::default(), None, NonZeroU32::MAX, Timestamp::MIN).await.unwrap();
    assert!(all.into_iter().all(|entry| entry.record.unwrap().version == Version::new(i64::MAX)));
    drop_table(&url, "numbers").await;
}

pub(super) async fn numbers_sent_as_text_are_read(url: String) {
    // A view with texts in place of numbers stands for a proxy that sends them so.
    let store = store(&url, "text").await;
    store.create(&create("a"), NOW).await.unwrap();
    let table = fresh_table("text");
    sql(&url, &format!("RENAME TABLE `{table}` TO `{table}_t`")).await;
    let view = |created_at: &str| {
        format!(
            "CREATE OR REPLACE VIEW `{table}` AS SELECT `key`, payload, expires_at, {created_at} AS created_at, \
             CONCAT(version, '') AS version, principal, destroyed_at, rotated FROM `{table}_t`"
        )
    };
    sql(&url, &view("CONCAT(created_at, '')")).await;
    let found = load(&store, "a").await.unwrap();
    assert_eq!((found.created_at, found.version), (Some(NOW), Version::FIRST));
    for number in numbers() {
        sql(&url, &format!("UPDATE `{table}_t` SET created_at = {number}, version = {number}")).await;
        let found = load(&store, "a").await.unwrap();
        assert_eq!(found.created_at, Some(Timestamp::from_millis(number)));
        assert_eq!(found.version, Version::new(number));
    }
    let wrongs = ["NULL", "CAST(18446744073709551615 AS UNSIGNED)", "'9223372036854775808'", "1e300", "'x'"];
    for wrong in wrongs {
        sql(&url, &view(wrong)).await;
        let error = store.load(&Load::new(key("a")), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong}: {error}");
        assert!(error.to_string().contains("`created_at`"), "{error}");
    }
    sql(&url, &format!("DROP VIEW `{table}`")).await;
    sql(&url, &format!("DROP TABLE `{table}_t`")).await;
}

/// MariaDB gives the columns of a temporary table types by the values that it saw first.
pub(super) async fn values_of_growing_size_are_never_cut(url: String) {
    let store = MysqlStore::builder().url(&url).table(fresh_table("grow")).pool_size(1).build().unwrap();
    store.create_table().await.unwrap();
    let mut version = 1;
    store.create(&create("a"), NOW).await.unwrap();
    store.create(&create("b"), NOW).await.unwrap();
    for (length, expiry) in
        [(0, 1), (3, 70_000), (70_000, 1 << 40), (300, i64::MAX), (6_000_000, i64::MAX), (1, 2)]
    {
        let now = Timestamp::MIN;
        for expected in [None, Some(())] {
            for many in [false, true] {
                let before = version;
                let update = |id: &str| Update {
                    key: key(id),
                    payload: Payload::from("é".repeat(length)),
                    expires_at: Some(Timestamp::from_millis(expiry)),
                    principal: (length > 0).then(|| Principal::new("p".repeat(length.min(255))).unwrap()),
                    expected: expected.map(|()| Version::new(before)),
                };
                if many {
                    let writes = [Write::Update(update("a")), Write::Update(update("b"))];
                    for outcome in store.write_many(&writes, now).await.unwrap() {
                        outcome.unwrap();
                    }
                } else {
                    store.update(&update("a"), now).await.unwrap();
                    store.update(&update("b"), now).await.unwrap();
                }
                version += 1;
                for id in ["a", "b"] {
                    let found = store.load(&Load::new(key(id)), now).await.unwrap().record().unwrap();
                    let wanted = update(id);
                    assert_eq!(found.payload, wanted.payload, "{length} {many}");
                    assert_eq!(
                        (Some(found.expires_at), found.principal),
                        (wanted.expires_at, wanted.principal)
                    );
                    assert_eq!(found.version, Version::new(version));
                }
                let touch = |id: &str| Touch {
                    key: key(id),
                    expires_at: Timestamp::from_millis(expiry),
                    expected: expected.map(|()| Version::new(version)),
                };
                if many {
                    store.write_many(&["a", "b"].map(|id| Write::Touch(touch(id))), now).await.unwrap();
                } else {
                    store.touch(&touch("b"), now).await.unwrap();
                }
                let found = store.load(&Load::new(key("b")), now).await.unwrap().record().unwrap();
                assert_eq!(found.expires_at, Timestamp::from_millis(expiry));
                // An update that leaves the expiry, and then one that does not.
                let left = Update { expires_at: None, expected: None, ..update("b") };
                if many {
                    let writes = [Write::Update(left), Write::Update(update("a"))];
                    store.write_many(&writes, now).await.unwrap().remove(0).unwrap();
                } else {
                    store.update(&left, now).await.unwrap();
                }
                let found = store.load(&Load::new(key("b")), now).await.unwrap().record().unwrap();
                assert_eq!(found.expires_at, Timestamp::from_millis(expiry));
                // Both have the same version again.
                sql(&url, &format!("UPDATE `{}` SET version = {version}", fresh_table("grow"))).await;
            }
        }
        for mode in MODES {
            for leaves in [false, true] {
                let [from, to] = ["r", "s"].map(|name| format!("{name}{length}{mode:?}{leaves}"));
                let wanted = Rotate {
                    payload: Some(Payload::from("é".repeat(length))),
                    expires_at: (!leaves).then_some(Timestamp::from_millis(expiry)),
                    principal: Some(Principal::new("q".repeat(length.clamp(1, 255))).unwrap()),
                    ..rotate(&from, &to, None, mode)
                };
                store.create(&create(&from), NOW).await.unwrap();
                assert!(matches!(store.rotate(&wanted, now).await.unwrap(), Rotated::Rotated(_)));
                let found = store.load(&Load::new(key(&to)), now).await.unwrap().record().unwrap();
                assert_eq!(found.payload, wanted.payload.unwrap());
                assert_eq!(found.expires_at, wanted.expires_at.unwrap_or(LATER));
                assert_eq!(found.principal, wanted.principal);
            }
        }
    }
    drop_table(&url, "grow").await;
}

/// In no sql_mode, whatever a value's length: what does not fit the columns is refused before it is sent.
pub(super) async fn a_lax_server_cuts_nothing(url: String) {
    let lax = connection_pool(&url, 1, "SET SESSION sql_mode = ''");
    let store = MysqlStore::builder().pool(lax).table(fresh_table("lax")).build().unwrap();
    store.create_table().await.unwrap();
    for (number, text) in
        ["x".repeat(5 << 20), "🦀漢é\u{1}".repeat(1 << 18), " ".repeat(70_000)].into_iter().enumerate()
    {
        let mut new = create(&format!("lax{number}"));
        new.principal = Some(Principal::new("🦀".repeat(63)).unwrap());
        new.payload = Payload::from(text);
        store.create(&new, NOW).await.unwrap();
        let found = load(&store, &format!("lax{number}")).await.unwrap();
        assert_eq!((&found.payload, &found.principal), (&new.payload, &new.principal));
        let update = Update {
            key: new.key.clone(),
            payload: Payload::from(format!("{}!", new.payload.as_str())),
            expires_at: Some(Timestamp::NEVER),
            principal: Some(Principal::new(format!("{}x", "é".repeat(127))).unwrap()),
            expected: Some(Version::FIRST),
        };
        store.update(&update, NOW).await.unwrap();
        let found = load(&store, &format!("lax{number}")).await.unwrap();
        assert_eq!((found.payload, found.principal), (update.payload, update.principal));
        assert_eq!((found.expires_at, found.version), (Timestamp::NEVER, Version::new(2)));
    }
    drop_table(&url, "lax").await;
}

pub(super) async fn a_version_that_cannot_be_read_harms_no_other_write_of_its_batch(url: String) {
    let mariadb = is_mariadb(&url).await;
    let store = store(&url, "nulls").await;
    let table = fresh_table("nulls");
    for id in ["a", "b", "c", "d"] {
        store.create(&create(id), NOW).await.unwrap();
    }
    sql(&url, &format!("ALTER TABLE `{table}` MODIFY version bigint NULL")).await;
    let forget = format!("UPDATE `{table}` SET version = NULL WHERE `key` IN (?, ?)");
    raw(&url).await.exec_drop(forget, (key("a").as_bytes(), key("b").as_bytes())).await.unwrap();
    let writes = [
        Write::Update(update("a", None)),
        Write::Update(update("b", Some(1))),
        Write::Update(update("c", Some(1))),
        Write::Destroy(destroy("d", DestroyMode::Keep)),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    let error = outcomes[0].as_ref().unwrap_err();
    // MariaDB has changed the row by the time that it tells the version; on MySQL it is read before.
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Corrupt, mariadb), "{error:?}");
    match &outcomes[1] {
        Ok(Written::Updated(Updated::Stale)) if mariadb => {}
        Err(error) if !mariadb => {
            assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Corrupt, false), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(outcomes[2], Ok(Written::Updated(Updated::Saved(version))) if version == Version::new(2)),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[3], Ok(Written::Destroyed(true))), "{outcomes:?}");
    let payloads: Vec<String> = raw(&url)
        .await
        .query(format!("SELECT payload FROM `{table}` WHERE version IS NULL ORDER BY payload"))
        .await
        .unwrap();
    assert_eq!(payloads, if mariadb { ["[]", "{}"] } else { ["{}", "{}"] });
    // On MySQL nobody asks for the version.
    match store.update(&update("a", None), NOW).await {
        Ok(updated) => assert!(!mariadb && updated == Updated::Saved(Version::NONE), "{updated:?}"),
        Err(error) => {
            assert!(mariadb && error.kind() == ErrorKind::Corrupt && error.is_in_doubt(), "{error:?}");
        }
    }
    drop_table(&url, "nulls").await;
}
