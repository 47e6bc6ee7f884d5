//! The table that a Node application with connect-typeorm left behind on MariaDB, and others of its layout.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use libtest_mimic::Trial;
use mysql_async::prelude::Queryable;
use session_core::{
    ConnectTypeorm, Created, Destroy, DestroyMode, ErrorKind, KeyFormat, Rotate, Rotated, Severity, Store,
    TableName, Timestamp, Version,
};
use session_diesel::{MysqlStore, MysqlTypeormStore};

use super::{connection_pool, drop_table, raw, sql};
use crate::typeorm::{self, LATER, Left, NOW, new, payload, plain, rotate, update};
use crate::{fresh_table, trial};

const LEFT: Left = Left {
    live: 7,
    ann: ("PV9oifIU_FjXsM6LjFX1-lsh8w8RMYKC", 1_795_410_483_322),
    difficult: "qR6RArZX-6TA9WC5SlzUgy0ueoMGzmUc",
    destroyed: ["8uF_k9U_bHsiXIC7FRsV9jCKFFOxkzdA", "ANZ-ekyT5xuY3OeqYoXIj3ktHMArEBsu"],
    expired: "V6REJc4EFk3lUDoiwfu0UrAddqpEZbnj",
};

pub(super) fn trials(url: &Result<String, String>) -> Vec<Trial> {
    let with = |name: &str, test: fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>>| {
        let (missing, url) = (url.clone().err(), url.clone().unwrap_or_default());
        trial(&format!("mysql::connect_typeorm::{name}"), missing, move || test(url))
    };
    vec![
        with("what_node_left_reads_as_node_reads_it", |url| {
            Box::pin(what_node_left_reads_as_node_reads_it(url))
        }),
        with("a_destroyed_session_is_marked_as_node_reads_it", |url| {
            Box::pin(a_destroyed_session_is_marked_as_node_reads_it(url))
        }),
        with("an_entity_without_destroyed_at_is_recognised", |url| {
            Box::pin(an_entity_without_destroyed_at_is_recognised(url))
        }),
        with("no_session_of_another_id_is_met", |url| Box::pin(no_session_of_another_id_is_met(url))),
        with("a_table_that_we_make_is_the_one_that_typeorm_makes", |url| {
            Box::pin(a_table_that_we_make_is_the_one_that_typeorm_makes(url))
        }),
        with("table_and_columns_may_have_other_names", |url| {
            Box::pin(table_and_columns_may_have_other_names(url))
        }),
        with("a_lax_server_cuts_nothing", |url| Box::pin(a_lax_server_cuts_nothing(url))),
        with("no_character_is_lost_in_another_character_set", |url| {
            Box::pin(no_character_is_lost_in_another_character_set(url))
        }),
        with("an_id_is_found_through_the_primary_key", |url| {
            Box::pin(an_id_is_found_through_the_primary_key(url))
        }),
    ]
}

async fn open(url: &str, name: &str) -> MysqlTypeormStore {
    let builder = MysqlStore::builder().url(url).pool_size(2).table(fresh_table(name));
    builder.connect_typeorm(ConnectTypeorm::new()).await.unwrap()
}

/// A store whose connections cut and replace what does not fit.
async fn open_lax(url: &str, name: &str) -> MysqlTypeormStore {
    let pool = connection_pool(url, 2, "SET SESSION sql_mode = ''");
    let builder = MysqlStore::builder().pool(pool).table(fresh_table(name));
    builder.connect_typeorm(ConnectTypeorm::new()).await.unwrap()
}

async fn load_dump(url: &str, table: &str) {
    let dump = include_str!("../fixtures/typeorm-mariadb.dump.sql");
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

async fn what_node_left_reads_as_node_reads_it(url: String) {
    load_dump(&url, &format!("`{}`", fresh_table("left"))).await;
    let store = open(&url, "left").await;
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Fault), "{findings:?}");
    typeorm::what_node_left_reads_as_node_reads_it(&store, &LEFT).await;
    typeorm::versions_and_principals_are_unsupported(&store).await;
    drop_table(&url, "left").await;
}

async fn a_destroyed_session_is_marked_as_node_reads_it(url: String) {
    let table = fresh_table("mark");
    load_dump(&url, &format!("`{table}`")).await;
    let store = open(&url, "mark").await;
    let mut raw = raw(&url).await;
    let soft = |id: &str| Destroy { key: plain(id), mode: DestroyMode::Soft };
    let mut far = new("far", "{}");
    far.expires_at = Timestamp::NEVER;
    for id in ["far", "long ago"] {
        store.create(&session_core::Create { key: plain(id), ..far.clone() }, NOW).await.unwrap();
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

async fn an_entity_without_destroyed_at_is_recognised(url: String) {
    drop_table(&url, "old").await;
    let columns = "(id varchar(255) PRIMARY KEY NOT NULL, expiredAt bigint NOT NULL, json text NOT NULL)";
    sql(&url, &format!("CREATE TABLE {} {columns}", fresh_table("old"))).await;
    typeorm::an_entity_without_destroyed_at_is_recognised(&open(&url, "old").await).await;
    drop_table(&url, "old").await;
}

/// As Node creates the table by default.
async fn no_session_of_another_id_is_met(url: String) {
    let same = ["ann", "ANN", "Änn", "Ann ", "ann  "];
    for (name, id) in [
        ("fold", "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        ("fold3", "varchar(255) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci"),
        ("latin", "varchar(255) CHARACTER SET latin1 COLLATE latin1_general_ci"),
    ] {
        // This one keeps accents apart.
        let same: Vec<&str> = same.into_iter().filter(|id| name != "latin" || id.is_ascii()).collect();
        make(&url, name, id, "text").await;
        typeorm::no_session_of_another_id_is_met(&open(&url, name).await, &same).await;
        drop_table(&url, name).await;
    }
}

async fn a_lax_server_cuts_nothing(url: String) {
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
        let moved = Rotate { payload: Some(large.as_str().into()), ..rotate("a", "b", DestroyMode::Soft) };
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

async fn no_character_is_lost_in_another_character_set(url: String) {
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
        let moved = Rotate { payload: Some(bad.into()), ..rotate(&id, "2", DestroyMode::Soft) };
        let refused = [
            store.create(&new("2", bad), NOW).await.map(drop),
            store.create(&new(bad, good), NOW).await.map(drop),
            store.update(&update(&id, bad), NOW).await.map(drop),
            store.rotate(&rotate(&id, bad, DestroyMode::Hard), NOW).await.map(drop),
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
        let moved = rotate(&id, "3", DestroyMode::Soft);
        store.rotate(&moved, NOW).await.unwrap();
        assert_eq!(payload(&store, "3").await.as_deref(), Some(good), "{charset}");
        drop_table(&url, "chars").await;
    }
}

async fn a_table_that_we_make_is_the_one_that_typeorm_makes(url: String) {
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
    let store = builder.connect_typeorm(ConnectTypeorm::new()).await.unwrap();
    assert!(store.capabilities().tombstones);
    let missing = store.load(&plain("a"), NOW).await.unwrap_err();
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

async fn table_and_columns_may_have_other_names(url: String) {
    drop_table(&url, "names").await;
    let columns = ConnectTypeorm::new().id_column("sid").unwrap().expired_at_column("expires").unwrap();
    let columns = columns.json_column("data").unwrap().destroyed_at_column("goneAt").unwrap();
    let builder = || MysqlStore::builder().url(&url).table(fresh_table("names"));
    let store = builder().connect_typeorm(columns).await.unwrap();
    store.create_table().await.unwrap();
    store.create(&new("a", "{}"), NOW).await.unwrap();
    assert_eq!(payload(&store, "a").await.as_deref(), Some("{}"));
    let select = format!(
        "SELECT sid FROM {} WHERE goneAt IS NULL AND expires = ? AND data <> ''",
        fresh_table("names")
    );
    let sid: Option<String> = raw(&url).await.exec_first(select, (LATER.as_millis(),)).await.unwrap();
    assert_eq!(sid.as_deref(), Some("a"));
    let hashed = builder().key_format(KeyFormat::Hashed).connect_typeorm(ConnectTypeorm::new()).await;
    assert_eq!(hashed.unwrap_err().kind(), ErrorKind::InvalidInput);
    drop_table(&url, "names").await;
}

/// A comparison of bytes alone would read every row, and wait for the one that is locked.
async fn an_id_is_found_through_the_primary_key(url: String) {
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
            assert!(store.destroy(&typeorm::hard("id200"), NOW).await.unwrap());
            assert!(store.destroy(&typeorm::hard("id400"), NOW).await.unwrap());
            let moved = store.rotate(&rotate("id500", "new", DestroyMode::Soft), NOW).await.unwrap();
            assert_eq!(moved, Rotated::Rotated(Version::NONE));
        };
        let acted = tokio::time::timeout(Duration::from_secs(10), act).await;
        assert!(acted.is_ok(), "{charset}: it waits for a row with another id");
        drop(other);
        drop_table(&url, "found").await;
    }
}
