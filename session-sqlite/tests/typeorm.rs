//! The table that a Node application with connect-typeorm 2.0.0 left behind, and one of version 1.1.4.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::num::NonZeroU32;

use rusqlite::Connection;
use session_core::{
    Create, Created, Destroy, DestroyMode, ErrorKind, Filter, KeyFormat, Principal, Rotate, Rotated,
    SessionId, SessionKey, Store as _, TableName, Timestamp, Touch, Update, Updated, Version,
};
use session_sqlite::{ConnectTypeorm, SqliteStore};

use support::{Folder, LATER, NOW};

const MANY: NonZeroU32 = NonZeroU32::new(1000).unwrap();
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
    Create { key: plain(id), payload: "{\"cookie\":{}}".into(), expires_at: LATER, principal: None }
}

fn raw(folder: &Folder) -> Connection {
    Connection::open(folder.database()).unwrap()
}

/// A store on what Node left.
fn fixture(folder: &Folder) -> SqliteStore {
    raw(folder).execute_batch(include_str!("fixtures/typeorm-sqlite.dump.sql")).unwrap();
    open(folder)
}

fn open(folder: &Folder) -> SqliteStore {
    SqliteStore::builder(folder.database()).connect_typeorm(ConnectTypeorm::new()).open().unwrap()
}

#[tokio::test]
async fn what_node_left_reads_as_node_reads_it() {
    let folder = Folder::new();
    let store = fixture(&folder);
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 8);
    let listed = store.list(&Filter::default(), None, MANY, NOW).await.unwrap();
    assert_eq!(listed.len(), 8);
    assert!(listed.iter().all(|listed| listed.record.is_ok()));
    let ann = store.load(&plain(ANN), NOW).await.unwrap().unwrap();
    assert_eq!(
        ann.payload.as_str(),
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"id":1,"name":"Ann"},"views":2}"#
    );
    assert_eq!(ann.expires_at.as_millis(), 1_795_410_458_051);
    assert_eq!((ann.version, ann.created_at, ann.principal), (Version::NONE, None, None));
    let difficult = store.load(&plain(DIFFICULT), NOW).await.unwrap().unwrap();
    assert!(
        difficult.payload.as_str().contains(r#"O'Brien \"q\" \\ é 😀"#),
        "{}",
        difficult.payload.as_str()
    );
    assert!(difficult.payload.as_str().contains(r"\u0000end"));
    for dead in DESTROYED.into_iter().chain([EXPIRED]) {
        assert_eq!(store.load(&plain(dead), NOW).await.unwrap(), None, "{dead}");
    }
    assert_eq!(store.load(&plain(&ANN.to_lowercase()), NOW).await.unwrap(), None);
    assert_eq!(
        store.diagnose().await.unwrap().iter().filter(|finding| !finding.what.contains("mode 644")).count(),
        0
    );
}

#[tokio::test]
async fn a_dead_session_of_node_stays_dead() {
    let folder = Folder::new();
    let store = fixture(&folder);
    for dead in DESTROYED.into_iter().chain([EXPIRED]) {
        let touch = Touch { key: plain(dead), expires_at: LATER };
        assert!(!store.touch(&touch, NOW).await.unwrap(), "{dead}");
        let update = Update {
            key: plain(dead),
            payload: "{}".into(),
            expires_at: LATER,
            principal: None,
            expected: None,
        };
        assert_eq!(store.update(&update, NOW).await.unwrap(), Updated::Gone, "{dead}");
        assert_eq!(store.create(&new(dead), NOW).await.unwrap(), Created::KeyTaken, "{dead}");
    }
    // Tombstones go once their expiry passes.
    assert_eq!(store.purge_expired(NOW, MANY).await.unwrap(), 1);
    assert_eq!(store.purge_expired(Timestamp::from_millis(1_795_410_460_135), MANY).await.unwrap(), 10);
}

#[tokio::test]
async fn a_destroyed_session_is_marked_as_node_marks_it() {
    let folder = Folder::new();
    let store = fixture(&folder);
    let destroyed_at = |id: &str| -> String {
        raw(&folder)
            .query_row("SELECT \"destroyedAt\" FROM session WHERE id = ?1", [id], |row| row.get(0))
            .unwrap()
    };
    let soft = |id: &str| Destroy { key: plain(id), mode: DestroyMode::Soft };
    assert!(store.destroy(&soft(ANN), NOW).await.unwrap());
    assert!(!store.destroy(&soft(ANN), NOW).await.unwrap());
    assert_eq!(destroyed_at(ANN), "2026-11-22 05:10:00");
    // Beyond the calendar it is marked all the same.
    let far = Timestamp::from_millis(i64::MAX - 1);
    store.create(&Create { expires_at: Timestamp::NEVER, ..new("far") }, NOW).await.unwrap();
    assert!(store.destroy(&soft("far"), far).await.unwrap());
    assert_eq!(destroyed_at("far"), "9999-12-31 23:59:59");
}

#[tokio::test]
async fn a_rotation_moves_the_session_in_one_step() {
    let folder = Folder::new();
    let store = fixture(&folder);
    let rotate = |from: &str, to: &str| Rotate {
        from: plain(from),
        to: plain(to),
        payload: None,
        expires_at: LATER,
        principal: None,
        expected: None,
        mode: DestroyMode::Soft,
    };
    let before = store.load(&plain(ANN), NOW).await.unwrap().unwrap();
    assert_eq!(store.rotate(&rotate(ANN, DIFFICULT), NOW).await.unwrap(), Rotated::KeyTaken);
    assert_eq!(store.rotate(&rotate(EXPIRED, "new"), NOW).await.unwrap(), Rotated::Gone);
    assert_eq!(store.rotate(&rotate(ANN, "new"), NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
    assert_eq!(store.load(&plain(ANN), NOW).await.unwrap(), None);
    assert_eq!(store.load(&plain("new"), NOW).await.unwrap().unwrap().payload, before.payload);
}

#[tokio::test]
async fn what_the_table_cannot_hold_is_unsupported() {
    let folder = Folder::new();
    let store = fixture(&folder);
    let ann = Principal::new("ann").unwrap();
    let of_ann = Filter { principal: Some(ann.clone()) };
    let update = Update {
        key: plain(ANN),
        payload: "{}".into(),
        expires_at: LATER,
        principal: None,
        expected: Some(Version::FIRST),
    };
    let refused = [
        store.create(&Create { principal: Some(ann.clone()), ..new("x") }, NOW).await.map(drop),
        store.update(&update, NOW).await.map(drop),
        store.count(&of_ann, NOW).await.map(drop),
        store.list(&of_ann, None, MANY, NOW).await.map(drop),
        store.destroy_principal(&ann, None, DestroyMode::Hard, NOW).await.map(drop),
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 8);
}

#[tokio::test]
async fn an_entity_without_destroyed_at_is_recognised() {
    let folder = Folder::new();
    raw(&folder)
        .execute_batch(
            "CREATE TABLE session (id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL,
             json text NOT NULL)",
        )
        .unwrap();
    let store = open(&folder);
    assert!(!store.capabilities().tombstones);
    store.create(&new("a"), NOW).await.unwrap();
    let soft = Destroy { key: plain("a"), mode: DestroyMode::Soft };
    assert_eq!(store.destroy(&soft, NOW).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(store.destroy(&Destroy { mode: DestroyMode::Hard, ..soft }, NOW).await.unwrap());
    assert_eq!(store.load(&plain("a"), NOW).await.unwrap(), None);
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().any(|finding| finding.what.contains("\"expiredAt\"")), "{findings:?}");
}

#[tokio::test]
async fn no_session_of_another_id_is_met_where_the_column_folds_case() {
    let folder = Folder::new();
    raw(&folder)
        .execute_batch(
            "CREATE TABLE session (\"expiredAt\" bigint NOT NULL, id varchar(255) PRIMARY KEY COLLATE NOCASE NOT NULL,
             json text NOT NULL, \"destroyedAt\" datetime)",
        )
        .unwrap();
    let store = open(&folder);
    store.create(&new("Ann"), NOW).await.unwrap();
    assert_eq!(store.load(&plain("ann"), NOW).await.unwrap(), None);
    assert!(!store.touch(&Touch { key: plain("ANN"), expires_at: LATER }, NOW).await.unwrap());
    assert!(!store.destroy(&Destroy { key: plain("ann"), mode: DestroyMode::Hard }, NOW).await.unwrap());
    assert_eq!(store.create(&new("ann"), NOW).await.unwrap(), Created::KeyTaken);
    assert!(store.load(&plain("Ann"), NOW).await.unwrap().is_some());
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().any(|finding| finding.what.contains("NOCASE")), "{findings:?}");
}

#[tokio::test]
async fn a_table_that_we_make_is_the_one_that_typeorm_makes() {
    let (ours, theirs) = (Folder::new(), Folder::new());
    open(&ours).create_table().await.unwrap();
    fixture(&theirs);
    let shape = |folder: &Folder| -> Vec<(String, String)> {
        let db = raw(folder);
        let mut statement = db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.trim().to_owned())));
        rows.unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(shape(&ours), shape(&theirs));
}

#[tokio::test]
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
    let store = SqliteStore::builder(folder.database())
        .table(TableName::new("web_sessions").unwrap())
        .connect_typeorm(columns)
        .open()
        .unwrap();
    store.create_table().await.unwrap();
    store.create(&new("a"), NOW).await.unwrap();
    let sid: String = raw(&folder)
        .query_row(
            "SELECT sid FROM web_sessions WHERE gone_at IS NULL AND expires > 0 AND data <> ''",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(sid, "a");
}

#[test]
fn odd_names_and_hashed_ids_are_refused() {
    for name in ["", "a.b", "json; --", "a\"b"] {
        assert_eq!(ConnectTypeorm::new().json_column(name).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let hashed = SqliteStore::builder(":memory:").connect_typeorm(ConnectTypeorm::new());
    assert_eq!(hashed.key_format(KeyFormat::Hashed).open().unwrap_err().kind(), ErrorKind::InvalidInput);
}
