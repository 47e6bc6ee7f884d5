use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Load, Loaded, Payload, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{DestroyMode, ErrorKind, Fate, SessionKey, TableName, Updated, Version};

use super::{LATER, MARIADB, MODES, NOW, is, rows};
use crate::ConnectTypeorm;
use crate::mysql::Typeorm;
use crate::scripted::{Answer, Cell, Row, Script};

fn typeorm(names: ConnectTypeorm) -> Typeorm {
    Typeorm::new(TableName::new(ConnectTypeorm::TABLE).unwrap(), names, true)
}

/// The columns as the catalogue has them; texts are in this character set, ids in a collation of it.
fn columns(charset: &str, marked: bool) -> Answer {
    let column = |name: &str, kind: &str, charset: &str, bytes: i64| -> Row {
        let collation = if charset.is_empty() { String::new() } else { format!("{charset}_general_ci") };
        let mut row = Row::from([name, kind, "NO", charset, &collation].map(Cell::from));
        row.extend([bytes, bytes].map(Cell::from));
        row
    };
    let mut rows = vec![
        column("expiredAt", "bigint(20)", "", 0),
        column("id", "varchar(255)", charset, 255),
        column("json", "text", charset, 64),
    ];
    if marked {
        rows.push(column("destroyedAt", "datetime(6)", "", 0));
    }
    Answer::Rows(rows)
}

/// A store that has looked at its table, which has the mark.
async fn looking(charset: &str) -> Typeorm {
    let script = Script::new([is(MARIADB), columns(charset, true)]);
    typeorm(ConnectTypeorm::new()).looking(&script).await.unwrap()
}

fn id(text: &str) -> SessionKey {
    SessionKey::from_text(text)
}

fn create(payload: &str) -> Create {
    Create {
        key: id("a"),
        payload: Payload::from(payload),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

fn update(payload: &str) -> Update {
    let payload = Payload::from(payload);
    Update { key: id("a"), payload, expires_at: None, principal: None, expected: None }
}

fn rotate(mode: DestroyMode) -> Rotate {
    let (from, to) = (id("a"), id("b"));
    Rotate { from, to, payload: None, expires_at: None, principal: None, expected: None, mode }
}

#[tokio::test]
async fn a_look_finds_out_whether_there_is_a_mark() {
    for marked in [true, false] {
        let script = Script::new([is(MARIADB), columns("utf8mb4", marked)]);
        let told_wrongly = typeorm(ConnectTypeorm::new().with_destroyed_at(!marked));
        let typeorm = told_wrongly.looking(&script).await.unwrap();
        assert_eq!(typeorm.capabilities().tombstones, marked);
        assert_eq!(typeorm.schema_sql().contains("destroyedAt"), marked);
    }
    // A table that is not there yet.
    let script = Script::new([is(MARIADB), Answer::Rows(vec![])]);
    assert!(typeorm(ConnectTypeorm::new()).looking(&script).await.unwrap().capabilities().tombstones);
}

#[tokio::test]
async fn a_lazy_store_looks_once_and_refuses_a_table_that_is_not_as_it_was_told() {
    let touch = Touch { key: id("a"), expires_at: LATER, expected: None };
    let lazy = typeorm(ConnectTypeorm::new());
    let script =
        Script::new([Answer::Rows(vec![]), columns("utf8mb4", true), Answer::Count(1), Answer::Count(0)]);
    let missing = lazy.touch(&script, &touch, NOW).await.unwrap_err();
    assert!(missing.code() == Some("1146") && missing.to_string().contains("CREATE TABLE"), "{missing}");
    assert_eq!(lazy.touch(&script, &touch, NOW).await.unwrap(), Touched::Moved);
    assert_eq!(lazy.touch(&script, &touch, NOW).await.unwrap(), Touched::Gone);
    for marked in [true, false] {
        let lazy = typeorm(ConnectTypeorm::new().with_destroyed_at(!marked));
        let refused = lazy.touch(&Script::new([columns("utf8mb4", marked)]), &touch, NOW).await.unwrap_err();
        assert!(refused.to_string().contains("without_destroyed_at"), "{refused}");
        assert!(!refused.is_in_doubt());
    }
}

#[tokio::test]
async fn what_a_column_cannot_hold_is_refused_before_it_is_sent() {
    let utf8 = looking("utf8mb4").await;
    let large = utf8.create(&Script::new([]), &create(&"é".repeat(33))).await.unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge);
    let narrow = looking("utf8mb3").await;
    let refused = narrow.update(&Script::new([]), &update("😀"), NOW).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    // What another character set holds, the server knows: bytes, and whether that is all.
    let other = looking("sjis").await;
    let script = Script::new([
        rows([[Some(1), Some(1)]]),
        rows([[Some(2), Some(1)]]),
        Answer::Count(1),
        rows([[Some(1), Some(1)]]),
        rows([[Some(2), Some(0)]]),
    ]);
    assert_eq!(other.create(&script, &create("語")).await.unwrap(), Created::Created);
    assert_eq!(other.create(&script, &create("ä")).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn outcomes_are_told_by_counts_and_numbers_of_errors() {
    let typeorm = looking("utf8mb4").await;
    let script = Script::new([
        Answer::Count(1),
        Answer::Code("1062"),
        rows([[Some(1)]]),
        Answer::Count(1),
        Answer::Count(0),
    ]);
    assert_eq!(typeorm.create(&script, &create("{}")).await.unwrap(), Created::Created);
    assert_eq!(typeorm.create(&script, &create("{}")).await.unwrap(), Created::KeyTaken);
    let saved = typeorm.update(&script, &update("{}"), NOW).await.unwrap();
    assert_eq!(saved, Updated::Saved(Version::NONE));
    assert_eq!(typeorm.update(&script, &update("{}"), NOW).await.unwrap(), Updated::Gone);
    for mode in MODES {
        let taken = [Answer::Code("1062"), Answer::Code("1690")];
        let script = Script::new([3, 0].map(Answer::Count).into_iter().chain(taken));
        let moved = Rotated::Rotated(Version::NONE);
        for outcome in [moved, Rotated::Gone, Rotated::KeyTaken, Rotated::KeyTaken] {
            assert_eq!(typeorm.rotate(&script, &rotate(mode), NOW).await.unwrap(), outcome, "{mode:?}");
        }
        let script = Script::new([1, 0].map(Answer::Count));
        let destroy = Destroy { key: id("a"), mode };
        assert!(typeorm.destroy(&script, &destroy, NOW).await.unwrap());
        assert!(!typeorm.destroy(&script, &destroy, NOW).await.unwrap());
    }
    let row = |marked: i64, expired_at: i64| rows([[Some(marked), Some(expired_at)]]);
    let script = Script::new([row(0, 1_001), row(0, 1_000), row(1, 1_001), rows::<2>([])]);
    for fate in [Fate::Live, Fate::Expired, Fate::Destroyed, Fate::Unknown] {
        assert_eq!(typeorm.fate(&script, &id("a"), NOW).await.unwrap(), fate);
    }
}

#[tokio::test]
async fn a_row_of_another_id_is_not_what_was_asked_for() {
    let typeorm = looking("utf8mb4").await;
    let row = |id: &str| -> Row { vec!["{}".into(), LATER.as_millis().into(), id.into()] };
    let loads = ["ann", "bob", "eve"].map(|name| Load::new(id(name)));
    let script = Script::new([Answer::Rows(vec![row("ANN"), row("bob")])]);
    let loaded = typeorm.load_many(&script, &loads, NOW).await.unwrap();
    let found: Vec<bool> = loaded.into_iter().map(|loaded| loaded.unwrap() != Loaded::Gone).collect();
    assert_eq!(found, [false, true, false]);
}

#[tokio::test]
async fn a_page_begins_behind_an_id() {
    let typeorm = looking("utf8mb4").await;
    let page = |id: &str| Answer::Rows(vec![vec!["{}".into(), LATER.as_millis().into(), id.into()]]);
    let script = Script::new([page("a"), page("b"), rows([[Some(2)]])]);
    for (after, first) in [(None, id("a")), (Some(id("a")), id("b"))] {
        let page = typeorm.list(&script, after.as_ref(), NonZeroU32::MIN, NOW).await.unwrap();
        assert_eq!(page[0].key, first);
    }
    assert_eq!(typeorm.count(&script, NOW).await.unwrap(), 2);
}

#[tokio::test]
async fn a_purge_is_one_statement_or_finds_its_ids_first() {
    let limit = NonZeroU32::new(1_000).unwrap();
    let one = looking("utf8mb4").await;
    assert_eq!(one.purge_expired(&Script::new([Answer::Count(7)]), NOW, limit).await.unwrap(), 7);
    let two = Typeorm::new(TableName::default(), ConnectTypeorm::new(), false);
    let found =
        Answer::Rows((0..200).map(|number| vec![Cell::from(format!("id{number}").as_str())]).collect());
    let script = Script::new([columns("latin1", true), found, Answer::Count(128), Answer::Count(72)]);
    assert_eq!(two.purge_expired(&script, NOW, limit).await.unwrap(), 200);
}
