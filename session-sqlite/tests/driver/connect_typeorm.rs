//! The table that a Node application with connect-typeorm 2.0.0 left behind, and one of version 1.1.4.

use std::sync::Arc;

use libtest_mimic::Trial;
use session_core::contract::{
    Checked, Create, Created, Destroy, DestroyPrincipal, Filter, Load, Record, Rotate, Rotated, Store, Touch,
    Touched, Update,
};
use session_core::{
    DestroyMode, ErrorKind, Fate, KeyFormat, Principal, SessionId, SessionKey, TableName, Timestamp, Updated,
    Version,
};
use session_sqlite::{ConnectTypeorm, SqliteStore};

use crate::support::{Folder, LATER, MANY, NOW};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        what_node_left_reads_as_node_reads_it,
        a_dead_session_of_node_stays_dead,
        a_destroyed_session_is_marked_as_node_marks_it,
        a_forgotten_session_leaves_data_that_node_can_read,
        a_rotation_moves_the_session_in_one_step,
        what_the_table_cannot_hold_is_unsupported,
        an_entity_without_destroyed_at_is_recognised,
        a_store_that_is_built_is_told_of_the_entity,
        no_session_of_another_id_is_met_where_the_column_folds_case,
        a_table_that_we_make_is_the_one_that_typeorm_makes,
        table_and_columns_may_have_other_names,
        odd_names_and_hashed_ids_are_refused,
        a_row_that_a_strange_index_refuses_has_no_taken_id,
    ]
}

/// Live, of user 1 on the second view.
const ANN: &str = "7NJgOXpF0O7a8ZcbBrAp5Wb-SxXQVAN9";
const EXPIRED: &str = "MJ_O623qp4Rh80lk4w7RZYl7fTw3MWGh";
const DESTROYED: [&str; 2] = ["KKQtscOpOD5e9TLw02WgJvb7nQ-dwX0u", "6kGzP9bDFX_BQ7P5qrv5uxMyZQK4gmkm"];
/// Its text has a quotation mark, a backslash, an emoji and a U+0000.
const DIFFICULT: &str = "vfNNI-jPpkDdJDM-JX8xwQNV9HThODTT";

fn plain(id: &str) -> SessionKey {
    SessionId::new(id).unwrap().key(KeyFormat::Plain).unwrap()
}

fn new(id: &str) -> Create {
    Create {
        key: plain(id),
        payload: "{\"cookie\":{}}".into(),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

/// A store on what Node left.
async fn fixture(folder: &Folder) -> SqliteStore {
    folder.raw().execute_batch(include_str!("../fixtures/typeorm-sqlite.dump.sql")).unwrap();
    open(folder).await
}

async fn open(folder: &Folder) -> SqliteStore {
    folder.builder().connect_typeorm(ConnectTypeorm::new()).connect().await.unwrap()
}

/// The session, if it is live.
async fn load(store: &SqliteStore, id: &str) -> Option<Record> {
    store.load(&Load::new(plain(id)), NOW).await.unwrap().record()
}

fn touch(id: &str) -> Touch {
    Touch { key: plain(id), expires_at: LATER, expected: None }
}

fn destroy(id: &str, mode: DestroyMode) -> Destroy {
    Destroy { key: plain(id), mode }
}

fn rotate(from: &str, to: &str) -> Rotate {
    Rotate {
        from: plain(from),
        to: plain(to),
        payload: None,
        expires_at: None,
        principal: None,
        expected: None,
        mode: DestroyMode::Keep,
    }
}

fn update(id: &str, expected: Option<Version>) -> Update {
    Update { key: plain(id), payload: "{}".into(), expires_at: Some(LATER), principal: None, expected }
}

async fn what_node_left_reads_as_node_reads_it() {
    let folder = Folder::new();
    let store = fixture(&folder).await;
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 8);
    let listed = store.list(&Filter::default(), None, MANY, NOW).await.unwrap();
    assert_eq!(listed.len(), 8);
    assert!(listed.iter().all(|listed| listed.record.is_ok()));
    let ann = load(&store, ANN).await.unwrap();
    assert_eq!(
        ann.payload.as_str(),
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"id":1,"name":"Ann"},"views":2}"#
    );
    assert_eq!(ann.expires_at.as_millis(), 1_795_410_458_051);
    assert_eq!((ann.version, ann.created_at, ann.principal), (Version::NONE, None, None));
    let difficult = load(&store, DIFFICULT).await.unwrap();
    assert!(
        difficult.payload.as_str().contains(r#"O'Brien \"q\" \\ é 😀"#),
        "{}",
        difficult.payload.as_str()
    );
    assert!(difficult.payload.as_str().contains(r"\u0000end"));
    for dead in DESTROYED.into_iter().chain([EXPIRED]) {
        assert_eq!(load(&store, dead).await, None, "{dead}");
    }
    assert_eq!(load(&store, &ANN.to_lowercase()).await, None);
    assert_eq!(
        store.diagnose().await.unwrap().iter().filter(|finding| !finding.what.contains("mode 644")).count(),
        0
    );
}

async fn a_dead_session_of_node_stays_dead() {
    let folder = Folder::new();
    let store = fixture(&folder).await;
    for dead in DESTROYED.into_iter().chain([EXPIRED]) {
        assert_eq!(store.touch(&touch(dead), NOW).await.unwrap(), Touched::Gone, "{dead}");
        assert_eq!(store.update(&update(dead, None), NOW).await.unwrap(), Updated::Gone, "{dead}");
        assert_eq!(store.create(&new(dead), NOW).await.unwrap(), Created::KeyTaken, "{dead}");
    }
    // Tombstones go once their expiry passes.
    assert_eq!(store.purge_expired(NOW, MANY).await.unwrap(), 1);
    assert_eq!(store.purge_expired(Timestamp::from_millis(1_795_410_460_135), MANY).await.unwrap(), 10);
}

async fn a_destroyed_session_is_marked_as_node_marks_it() {
    let folder = Folder::new();
    let store = fixture(&folder).await;
    let destroyed_at = |id: &str| -> String {
        folder
            .raw()
            .query_row("SELECT \"destroyedAt\" FROM session WHERE id = ?1", [id], |row| row.get(0))
            .unwrap()
    };
    assert!(store.destroy(&destroy(ANN, DestroyMode::Keep), NOW).await.unwrap());
    assert!(!store.destroy(&destroy(ANN, DestroyMode::Keep), NOW).await.unwrap());
    assert_eq!(destroyed_at(ANN), "2026-11-22 05:10:00");
    // Beyond the calendar it is marked all the same.
    let far = Timestamp::from_millis(i64::MAX - 1);
    store.create(&Create { expires_at: Timestamp::NEVER, ..new("far") }, NOW).await.unwrap();
    assert!(store.destroy(&destroy("far", DestroyMode::Keep), far).await.unwrap());
    assert_eq!(destroyed_at("far"), "9999-12-31 23:59:59");
}

async fn a_forgotten_session_leaves_data_that_node_can_read() {
    let folder = Folder::new();
    let store = fixture(&folder).await;
    let row = |id: &str| -> (String, Option<String>) {
        let sql = "SELECT json, \"destroyedAt\" FROM session WHERE id = ?1";
        folder.raw().query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let marked = ("{}".to_owned(), Some("2026-11-22 05:10:00".to_owned()));
    assert!(store.destroy(&destroy(ANN, DestroyMode::Forget), NOW).await.unwrap());
    assert_eq!(row(ANN), marked);
    assert_eq!(store.fate(&plain(ANN), NOW).await.unwrap(), Fate::Destroyed);

    let before = load(&store, DIFFICULT).await.unwrap();
    let rotate = Rotate { mode: DestroyMode::Forget, ..rotate(DIFFICULT, "new") };
    assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
    assert_eq!(row(DIFFICULT), marked);
    assert_eq!(load(&store, "new").await.unwrap(), before);
    // The table does not tell it from one that was destroyed.
    assert_eq!(store.fate(&plain(DIFFICULT), NOW).await.unwrap(), Fate::Destroyed);
    assert_eq!(store.fate(&plain(EXPIRED), NOW).await.unwrap(), Fate::Expired);
    assert_eq!(store.fate(&plain("new"), NOW).await.unwrap(), Fate::Live);
    assert_eq!(store.fate(&plain("never was"), NOW).await.unwrap(), Fate::Unknown);
}

async fn a_rotation_moves_the_session_in_one_step() {
    let folder = Folder::new();
    let store = fixture(&folder).await;
    let before = load(&store, ANN).await.unwrap();
    assert_eq!(store.rotate(&rotate(ANN, DIFFICULT), NOW).await.unwrap(), Rotated::KeyTaken);
    assert_eq!(store.rotate(&rotate(EXPIRED, "new"), NOW).await.unwrap(), Rotated::Gone);
    assert_eq!(store.rotate(&rotate(ANN, "new"), NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
    assert_eq!(load(&store, ANN).await, None);
    assert_eq!(load(&store, "new").await.unwrap().payload, before.payload);
}

async fn what_the_table_cannot_hold_is_unsupported() {
    let folder = Folder::new();
    let store = Checked::new(Arc::new(fixture(&folder).await));
    let ann = Principal::new("ann").unwrap();
    let of_ann = Filter { principal: Some(ann.clone()) };
    let destroy = DestroyPrincipal {
        principal: ann.clone(),
        except: None,
        created_before: None,
        mode: DestroyMode::Remove,
    };
    let refused = [
        store.create(&Create { principal: Some(ann.clone()), ..new("x") }, NOW).await.map(drop),
        store.update(&update(ANN, Some(Version::FIRST)), NOW).await.map(drop),
        store.touch(&Touch { expected: Some(Version::FIRST), ..touch(ANN) }, NOW).await.map(drop),
        store.load(&Load { key: plain(ANN), known: Some(Version::FIRST) }, NOW).await.map(drop),
        store.count(&of_ann, NOW).await.map(drop),
        store.list(&of_ann, None, MANY, NOW).await.map(drop),
        store.destroy_principal(&destroy, NOW).await.map(drop),
        store.forget_principal(&ann, NOW).await.map(drop),
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 8);
}

const WITHOUT_DESTROYED_AT: &str = "CREATE TABLE session (
    id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL, json text NOT NULL)";

async fn an_entity_without_destroyed_at_is_recognised() {
    let folder = Folder::new();
    folder.raw().execute_batch(WITHOUT_DESTROYED_AT).unwrap();
    let store = open(&folder).await;
    assert!(!store.capabilities().tombstones);
    store.create(&new("a"), NOW).await.unwrap();
    assert!(store.destroy(&destroy("a", DestroyMode::Remove), NOW).await.unwrap());
    assert_eq!(load(&store, "a").await, None);
    assert_eq!(store.fate(&plain("a"), NOW).await.unwrap(), Fate::Unknown);
    let findings = store.diagnose().await.unwrap();
    for part in ["no index on expiredAt", "no column destroyedAt"] {
        assert!(findings.iter().any(|finding| finding.what.contains(part)), "{part}: {findings:?}");
    }
}

async fn a_store_that_is_built_is_told_of_the_entity() {
    let folder = Folder::new();
    folder.raw().execute_batch(WITHOUT_DESTROYED_AT).unwrap();
    let told = ConnectTypeorm::new().without_destroyed_at();
    let store = folder.builder().connect_typeorm(told).build().unwrap();
    store.create(&new("a"), NOW).await.unwrap();
    assert!(load(&store, "a").await.is_some());

    let untold = folder.builder().connect_typeorm(ConnectTypeorm::new()).build().unwrap();
    let error = untold.load(&Load::new(plain("a")), NOW).await.unwrap_err();
    assert!(error.to_string().contains("lacks a column"), "{error}");
    let findings = untold.diagnose().await.unwrap();
    assert!(findings.iter().any(|finding| finding.remedy.contains("without_destroyed_at()")), "{findings:?}");
}

async fn no_session_of_another_id_is_met_where_the_column_folds_case() {
    let folder = Folder::new();
    folder.raw()
        .execute_batch(
            "CREATE TABLE session (\"expiredAt\" bigint NOT NULL, id varchar(255) PRIMARY KEY COLLATE NOCASE NOT NULL,
             json text NOT NULL, \"destroyedAt\" datetime)",
        )
        .unwrap();
    let store = open(&folder).await;
    store.create(&new("Ann"), NOW).await.unwrap();
    assert_eq!(load(&store, "ann").await, None);
    assert_eq!(store.touch(&touch("ANN"), NOW).await.unwrap(), Touched::Gone);
    assert!(!store.destroy(&destroy("ann", DestroyMode::Remove), NOW).await.unwrap());
    assert_eq!(store.create(&new("ann"), NOW).await.unwrap(), Created::KeyTaken);
    assert!(load(&store, "Ann").await.is_some());
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().any(|finding| finding.what.contains("NOCASE")), "{findings:?}");
}

async fn a_table_that_we_make_is_the_one_that_typeorm_makes() {
    let (ours, theirs) = (Folder::new(), Folder::new());
    open(&ours).await.create_table().await.unwrap();
    fixture(&theirs).await;
    let shape = |folder: &Folder| -> Vec<(String, String)> {
        let db = folder.raw();
        let mut statement = db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.trim().to_owned())));
        rows.unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(shape(&ours), shape(&theirs));
}

async fn table_and_columns_may_have_other_names() {
    let folder = Folder::new();
    let columns = ConnectTypeorm::new()
        .id_column("sid")
        .unwrap()
        .expired_at_column("expires")
        .unwrap()
        .json_column("data")
        .unwrap()
        .destroyed_at_column("gone_at")
        .unwrap();
    let store = folder
        .builder()
        .table(TableName::new("web_sessions").unwrap())
        .connect_typeorm(columns)
        .build()
        .unwrap();
    store.create_table().await.unwrap();
    store.create(&new("a"), NOW).await.unwrap();
    let sid: String = folder
        .raw()
        .query_row(
            "SELECT sid FROM web_sessions WHERE gone_at IS NULL AND expires > 0 AND data <> ''",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(sid, "a");
}

async fn odd_names_and_hashed_ids_are_refused() {
    for name in ["", "a.b", "json; --", "a\"b"] {
        assert_eq!(ConnectTypeorm::new().json_column(name).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let hashed = SqliteStore::builder().path(":memory:").connect_typeorm(ConnectTypeorm::new());
    assert_eq!(hashed.key_format(KeyFormat::Hashed).build().unwrap_err().kind(), ErrorKind::InvalidInput);
}

async fn a_row_that_a_strange_index_refuses_has_no_taken_id() {
    let folder = Folder::new();
    let store = open(&folder).await;
    store.create_table().await.unwrap();
    folder.raw().execute_batch("CREATE UNIQUE INDEX strange ON session (expiredAt)").unwrap();
    assert_eq!(store.create(&new("one"), NOW).await.unwrap(), Created::Created);
    let error = store.create(&new("other"), NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error:?}");
    assert_eq!(store.create(&new("one"), NOW).await.unwrap(), Created::KeyTaken);
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().any(|found| found.what.contains("unique index on expiredAt")), "{findings:?}");
}
