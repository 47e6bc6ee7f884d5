//! The table that a Node application with connect-typeorm left behind on MariaDB, and others of its layout.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use session_core::contract::{Create, Created, Destroy, Rotate, Rotated, Store};
use session_core::{
    DestroyMode, ErrorKind, Fate, Finding, KeyFormat, Severity, TableName, Timestamp, Version,
};
use session_diesel::{ConnectTypeorm, MysqlStore};

use super::support::{connection_pool, drop_table, raw, sql};
use crate::support::connect_typeorm::{self, LATER, Left, NOW, hard, new, payload, plain, rotate, update};
use crate::support::fresh_table;

const LEFT: Left = Left {
    live: 7,
    ann: ("PV9oifIU_FjXsM6LjFX1-lsh8w8RMYKC", 1_795_410_483_322),
    difficult: "qR6RArZX-6TA9WC5SlzUgy0ueoMGzmUc",
    destroyed: ["8uF_k9U_bHsiXIC7FRsV9jCKFFOxkzdA", "ANZ-ekyT5xuY3OeqYoXIj3ktHMArEBsu"],
    expired: "V6REJc4EFk3lUDoiwfu0UrAddqpEZbnj",
};

async fn open(url: &str, name: &str) -> MysqlStore {
    let builder = MysqlStore::builder().url(url).pool_size(2).table(fresh_table(name));
    builder.connect_typeorm(ConnectTypeorm::new()).connect().await.unwrap()
}

/// A store whose connections cut and replace what does not fit.
async fn open_lax(url: &str, name: &str) -> MysqlStore {
    let pool = connection_pool(url, 2, "SET SESSION sql_mode = ''");
    let builder = MysqlStore::builder().pool(pool).table(fresh_table(name));
    builder.connect_typeorm(ConnectTypeorm::new()).connect().await.unwrap()
}

async fn load_dump(url: &str, table: &str) {
    let dump = include_str!("../../fixtures/typeorm-mariadb.dump.sql");
    sql(url, &dump.replace("`session`", table)).await;
}

/// A table of TypeORM's shape, but for the column of the id and the data.
async fn make(url: &str, name: &str, id: &str, json: &str) {
    drop_table(url, name).await;
    let table = fresh_table(name);
    sql(
        url,
        &format!(
            "CREATE TABLE {table} (expiredAt bigint NOT NULL, id {id} NOT NULL, json {json} NOT NULL, \
             destroyedAt datetime(6) NULL, INDEX (expiredAt), PRIMARY KEY (id)) ENGINE = InnoDB"
        ),
    )
    .await;
}

pub(super) async fn what_node_left_reads_as_node_reads_it(url: String) {
    load_dump(&url, &format!("`{}`", fresh_table("left"))).await;
    let store = open(&url, "left").await;
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Fault), "{findings:?}");
    connect_typeorm::what_node_left_reads_as_node_reads_it(&store, &LEFT).await;
    connect_typeorm::versions_and_principals_are_unsupported(Arc::new(store)).await;
    drop_table(&url, "left").await;
}

pub(super) async fn a_row_that_a_strange_index_refuses_has_no_taken_id(url: String) {
    drop_table(&url, "strange").await;
    let store = open(&url, "strange").await;
    store.create_table().await.unwrap();
    sql(&url, &format!("ALTER TABLE `{}` ADD UNIQUE INDEX (expiredAt)", fresh_table("strange"))).await;
    connect_typeorm::a_row_that_a_strange_index_refuses_has_no_taken_id(&store).await;
    drop_table(&url, "strange").await;
}

pub(super) async fn a_destroyed_session_is_marked_as_node_reads_it(url: String) {
    let table = fresh_table("mark");
    load_dump(&url, &format!("`{table}`")).await;
    let store = open(&url, "mark").await;
    let mut raw = raw(&url).await;
    let soft = |id: &str| Destroy { key: plain(id), mode: DestroyMode::Keep };
    let mut far = new("far", "{}");
    far.expires_at = Timestamp::NEVER;
    for id in ["far", "long ago"] {
        store.create(&Create { key: plain(id), ..far.clone() }, NOW).await.unwrap();
    }
    // Beyond the calendar it is marked all the same.
    for (id, now, mark) in [
        (LEFT.ann.0, NOW, "2026-11-22 05:10:00.000000"),
        ("far", Timestamp::from_millis(i64::MAX - 1), "9999-12-31 23:59:59.999000"),
        ("long ago", Timestamp::from_millis(i64::MIN), "1970-01-01 00:00:00.000000"),
    ] {
        assert!(store.destroy(&soft(id), now).await.unwrap(), "{id}");
        assert!(!store.destroy(&soft(id), now).await.unwrap(), "{id}");
        let select = format!("SELECT CAST(destroyedAt AS CHAR) FROM `{table}` WHERE id = ?");
        let marked: Option<String> = raw.exec_first(select, (id,)).await.unwrap();
        assert_eq!(marked.as_deref(), Some(mark), "{id}");
    }
    drop_table(&url, "mark").await;
}

pub(super) async fn an_entity_without_destroyed_at_is_recognised(url: String) {
    drop_table(&url, "old").await;
    let columns = "(id varchar(255) PRIMARY KEY NOT NULL, expiredAt bigint NOT NULL, json text NOT NULL)";
    sql(&url, &format!("CREATE TABLE {} {columns}", fresh_table("old"))).await;
    connect_typeorm::an_entity_without_destroyed_at_is_recognised(Arc::new(open(&url, "old").await)).await;
    drop_table(&url, "old").await;
}

/// As Node creates the table by default.
pub(super) async fn no_session_of_another_id_is_met(url: String) {
    let same = ["ann", "ANN", "Änn", "Ann ", "ann  "];
    for (name, id) in [
        ("fold", "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        ("fold3", "varchar(255) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci"),
        ("latin", "varchar(255) CHARACTER SET latin1 COLLATE latin1_general_ci"),
    ] {
        // This one keeps accents apart.
        let same: Vec<&str> = same.into_iter().filter(|id| name != "latin" || id.is_ascii()).collect();
        make(&url, name, id, "text").await;
        connect_typeorm::no_session_of_another_id_is_met(&open(&url, name).await, &same).await;
        drop_table(&url, name).await;
    }
}

pub(super) async fn a_lax_server_cuts_nothing(url: String) {
    make(&url, "lax", "varchar(8) CHARACTER SET utf8mb4", "text CHARACTER SET utf8mb4").await;
    let store = open_lax(&url, "lax").await;
    // 64 KiB less one byte are what fits, in characters of one byte and of two.
    for whole in ["x".repeat(65_535), format!("{}x", "é".repeat(32_767))] {
        assert_eq!(store.create(&new("whole", &whole), NOW).await.unwrap(), Created::Created);
        assert_eq!(payload(&store, "whole").await.as_deref(), Some(whole.as_str()));
        store.clear().await.unwrap();
    }
    store.create(&new("a", "{}"), NOW).await.unwrap();
    for large in ["x".repeat(65_536), "é".repeat(32_768)] {
        let moved = Rotate { payload: Some(large.as_str().into()), ..rotate("a", "b", DestroyMode::Keep) };
        let refused = [
            store.create(&new("b", &large), NOW).await.map(drop),
            store.update(&update("a", &large), NOW).await.map(drop),
            store.rotate(&moved, NOW).await.map(drop),
        ];
        for refusal in refused {
            assert_eq!(refusal.unwrap_err().kind(), ErrorKind::TooLarge);
        }
    }
    // An id that is cut would be another one.
    let long = store.create(&new("123456789", "{}"), NOW).await;
    assert_eq!(long.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(payload(&store, "12345678").await, None);
    assert_eq!(payload(&store, "a").await.as_deref(), Some("{}"));
    drop_table(&url, "lax").await;
}

pub(super) async fn no_character_is_lost_in_another_character_set(url: String) {
    for (charset, good, bad) in [
        ("latin1", "é€", "é語"),
        ("utf8mb3", "é語", "😀"),
        ("ascii", "e", "é"),
        // Neither a superset nor a subset of the others; it has no way to write ä.
        ("sjis", "語", "ä"),
    ] {
        let column = format!("CHARACTER SET {charset}");
        make(&url, "chars", &format!("varchar(64) {column}"), &format!("text {column}")).await;
        let store = open_lax(&url, "chars").await;
        let id = format!("{good}1");
        assert_eq!(store.create(&new(&id, good), NOW).await.unwrap(), Created::Created, "{charset}");
        assert_eq!(payload(&store, &id).await.as_deref(), Some(good), "{charset}");
        let moved = Rotate { payload: Some(bad.into()), ..rotate(&id, "2", DestroyMode::Keep) };
        let refused = [
            store.create(&new("2", bad), NOW).await.map(drop),
            store.create(&new(bad, good), NOW).await.map(drop),
            store.update(&update(&id, bad), NOW).await.map(drop),
            store.rotate(&rotate(&id, bad, DestroyMode::Remove), NOW).await.map(drop),
            store.rotate(&moved, NOW).await.map(drop),
        ];
        for refusal in refused {
            assert_eq!(refusal.unwrap_err().kind(), ErrorKind::InvalidInput, "{charset}");
        }
        // What a character would be replaced by is no way in.
        let replaced =
            bad.chars().map(|char| if good.contains(char) { char } else { '?' }).collect::<String>();
        store.create(&new(&replaced, good), NOW).await.unwrap();
        assert_eq!(payload(&store, bad).await, None, "{charset}");
        let moved = rotate(&id, "3", DestroyMode::Keep);
        store.rotate(&moved, NOW).await.unwrap();
        assert_eq!(payload(&store, "3").await.as_deref(), Some(good), "{charset}");
        drop_table(&url, "chars").await;
    }
}

pub(super) async fn a_table_that_we_make_is_the_one_that_typeorm_makes(url: String) {
    let database = format!("t_{}_made", std::process::id());
    let made = format!(
        "DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database} CHARACTER SET utf8mb4 \
         COLLATE utf8mb4_general_ci"
    );
    sql(&url, &made).await;
    let mut raw = raw(&url).await;
    load_dump(&url, &format!("{database}.`theirs`")).await;
    let table = TableName::new(&format!("{database}.session")).unwrap();
    let builder = MysqlStore::builder().url(&url).table(table);
    let store = builder.connect_typeorm(ConnectTypeorm::new()).connect().await.unwrap();
    assert!(store.capabilities().tombstones);
    let missing = store.fate(&plain("a"), NOW).await.unwrap_err();
    assert!(missing.code() == Some("1146") && missing.to_string().contains("CREATE TABLE"), "{missing}");
    store.create_table().await.unwrap();
    store.create_table().await.unwrap();
    store.create(&new("a", "{}"), NOW).await.unwrap();
    let mut shape = async |table: &str| -> String {
        let show = format!("SHOW CREATE TABLE {database}.{table}");
        let (_, shape): (String, String) = raw.query_first(show).await.unwrap().unwrap();
        shape.replace(table, "session")
    };
    assert_eq!(shape("session").await, shape("theirs").await);
    sql(&url, &format!("DROP DATABASE {database}")).await;
}

pub(super) async fn table_and_columns_may_have_other_names(url: String) {
    drop_table(&url, "names").await;
    let columns = ConnectTypeorm::new().id_column("sid").unwrap().expired_at_column("expires").unwrap();
    let columns = columns.json_column("data").unwrap().destroyed_at_column("goneAt").unwrap();
    let builder = || MysqlStore::builder().url(&url).table(fresh_table("names"));
    let store = builder().connect_typeorm(columns).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&new("a", "{}"), NOW).await.unwrap();
    assert_eq!(payload(&store, "a").await.as_deref(), Some("{}"));
    let select = format!(
        "SELECT sid FROM {} WHERE goneAt IS NULL AND expires = ? AND data <> ''",
        fresh_table("names")
    );
    let sid: Option<String> = raw(&url).await.exec_first(select, (LATER.as_millis(),)).await.unwrap();
    assert_eq!(sid.as_deref(), Some("a"));
    let hashed = builder().key_format(KeyFormat::Hashed).connect_typeorm(ConnectTypeorm::new()).build();
    assert_eq!(hashed.unwrap_err().kind(), ErrorKind::InvalidInput);
    drop_table(&url, "names").await;
}

/// A comparison of bytes alone would read every row, and wait for the one that is locked.
pub(super) async fn an_id_is_found_through_the_primary_key(url: String) {
    for charset in ["utf8mb4", "utf8mb3", "latin1"] {
        make(&url, "found", &format!("varchar(64) CHARACTER SET {charset}"), "text").await;
        let table = fresh_table("found");
        let rows: Vec<String> =
            (100..600).map(|row| format!("({}, 'id{row}', '')", LATER.as_millis())).collect();
        sql(&url, &format!("INSERT INTO {table} (expiredAt, id, json) VALUES {}", rows.join(", "))).await;
        let store = open(&url, "found").await;
        let mut other = raw(&url).await;
        other.query_drop("BEGIN").await.unwrap();
        other.query_drop(format!("SELECT 1 FROM {table} WHERE id = 'id300' FOR UPDATE")).await.unwrap();
        let act = async {
            assert!(store.destroy(&hard("id200"), NOW).await.unwrap());
            assert!(store.destroy(&hard("id400"), NOW).await.unwrap());
            let moved = store.rotate(&rotate("id500", "new", DestroyMode::Keep), NOW).await.unwrap();
            assert_eq!(moved, Rotated::Rotated(Version::NONE));
        };
        let acted = tokio::time::timeout(Duration::from_secs(10), act).await;
        assert!(acted.is_ok(), "{charset}: it waits for a row with another id");
        drop(other);
        drop_table(&url, "found").await;
    }
}

/// A Node application reads no such row, but one that reads it all the same finds an object.
pub(super) async fn what_is_forgotten_leaves_an_empty_row_that_node_can_read(url: String) {
    let table = fresh_table("forget");
    load_dump(&url, &format!("`{table}`")).await;
    let store = open(&url, "forget").await;
    let mut raw = raw(&url).await;
    let secret = r#"{"user":"ann"}"#;
    for mode in [DestroyMode::Forget, DestroyMode::Keep] {
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name} {mode:?}"));
        store.create(&new(&a, secret), NOW).await.unwrap();
        store.create(&new(&b, secret), NOW).await.unwrap();
        assert!(store.destroy(&Destroy { mode, ..hard(&a) }, NOW).await.unwrap());
        assert_eq!(store.rotate(&rotate(&b, &c, mode), NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
        let left = if mode == DestroyMode::Forget { "{}" } else { secret };
        for (id, data, dead) in [(&a, left, true), (&b, left, true), (&c, secret, false)] {
            let select = format!("SELECT json, destroyedAt IS NOT NULL FROM `{table}` WHERE id = ?");
            let row: Option<(String, bool)> = raw.exec_first(select, (id,)).await.unwrap();
            assert_eq!(row, Some((data.to_owned(), dead)), "{id}");
            let fate = if dead { Fate::Destroyed } else { Fate::Live };
            assert_eq!(store.fate(&plain(id), NOW).await.unwrap(), fate, "{id}");
        }
    }
    drop_table(&url, "forget").await;
}

/// A lazy store is told; one that is told wrongly refuses to work, whichever way it is wrong.
pub(super) async fn a_store_that_takes_no_notice_of_the_mark_is_found_out(url: String) {
    let lazy = |name: &str, names: ConnectTypeorm| {
        let builder = MysqlStore::builder().url(&url).table(fresh_table(name));
        builder.connect_typeorm(names).build().unwrap()
    };
    let (told, untold) = (ConnectTypeorm::new().without_destroyed_at(), ConnectTypeorm::new());
    load_dump(&url, &format!("`{}`", fresh_table("noticed"))).await;
    let without = lazy("unnoticed", told.clone());
    without.create_table().await.unwrap();
    assert!(!without.schema_sql().contains("destroyedAt"), "{}", without.schema_sql());
    without.create(&new("a", "{}"), NOW).await.unwrap();
    for store in [lazy("noticed", told), lazy("unnoticed", untold)] {
        let refused = store.fate(&plain("a"), NOW).await.unwrap_err();
        assert!(refused.to_string().contains("without_destroyed_at"), "{refused}");
        let findings = store.diagnose().await.unwrap();
        let fault =
            |finding: &&Finding| finding.severity == Severity::Fault && finding.what.contains("destroyedAt");
        assert_eq!(findings.iter().filter(fault).count(), 1, "{findings:?}");
    }
    for name in ["noticed", "unnoticed"] {
        let store = open(&url, name).await;
        assert_eq!(store.capabilities().tombstones, name == "noticed");
        assert_eq!(store.fate(&plain("nobody"), NOW).await.unwrap(), Fate::Unknown);
        drop_table(&url, name).await;
    }
}
