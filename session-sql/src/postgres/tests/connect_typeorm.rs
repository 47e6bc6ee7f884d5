use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, Load, Loaded, Payload, Rotate, Rotated, Touch, Touched, Update,
};
use session_core::{DestroyMode, Fate, Updated, Version};

use super::{LATER, NOW, id, is_postgres, rows, typeorm};
use crate::scripted::{Answer, Cell, Row, Script};

fn row(json: &str, columns: &[&str]) -> Row {
    let mut row: Row = vec![json.into(), LATER.as_millis().into()];
    row.extend(columns.iter().map(|&column| Cell::from(column)));
    row
}

#[tokio::test]
async fn what_has_no_versions_answers_with_none() {
    let typeorm = typeorm();
    let script = Script::new([
        Answer::Count(1),
        Answer::Rows(vec![row("{}", &[])]),
        Answer::Count(1),
        Answer::Count(0),
        Answer::Count(1),
        Answer::Count(0),
    ]);
    let create = Create {
        key: id("a"),
        payload: Payload::from("{}"),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    };
    assert_eq!(typeorm.create(&script, &create).await.unwrap(), Created::Created);
    let Loaded::Record(record) = typeorm.load(&script, &Load::new(id("a")), NOW).await.unwrap() else {
        panic!("it is there");
    };
    assert_eq!((record.version, record.created_at), (Version::NONE, None));
    let update = Update {
        key: id("a"),
        payload: Payload::from("{}"),
        expires_at: None,
        principal: None,
        expected: None,
    };
    assert_eq!(typeorm.update(&script, &update, NOW).await.unwrap(), Updated::Saved(Version::NONE));
    assert_eq!(typeorm.update(&script, &update, NOW).await.unwrap(), Updated::Gone);
    let touch = Touch { key: id("a"), expires_at: LATER, expected: None };
    assert_eq!(typeorm.touch(&script, &touch, NOW).await.unwrap(), Touched::Moved);
    assert_eq!(typeorm.touch(&script, &touch, NOW).await.unwrap(), Touched::Gone);
}

#[tokio::test]
async fn a_session_that_is_forgotten_leaves_data_that_node_can_read() {
    let typeorm = typeorm();
    for mode in [DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove] {
        let script = Script::new([Answer::Count(1), rows([[Some(1)]]), rows([[Some(0)]]), rows::<1>([])]);
        assert!(typeorm.destroy(&script, &Destroy { key: id("a"), mode }, NOW).await.unwrap());
        let rotate = Rotate {
            from: id("a"),
            to: id("b"),
            payload: None,
            expires_at: None,
            principal: None,
            expected: None,
            mode,
        };
        let expected = [Rotated::Rotated(Version::NONE), Rotated::KeyTaken, Rotated::Gone];
        for outcome in expected {
            assert_eq!(typeorm.rotate(&script, &rotate, NOW).await.unwrap(), outcome);
        }
        for sql in &script.sent()[..2] {
            assert_eq!(sql.contains("\"json\" = '{}'"), mode == DestroyMode::Forget, "{sql}");
            assert_eq!(sql.contains("DELETE"), mode == DestroyMode::Remove, "{sql}");
        }
    }
}

#[tokio::test]
async fn an_id_that_a_collation_takes_for_another_one_is_not_loaded_in_its_place() {
    let answer = Answer::Rows(vec![row("1", &["A"]), row("2", &["b"])]);
    let script = Script::new([answer]);
    let loads = ["a", "b"].map(|text| Load::new(id(text)));
    let outcomes = typeorm().load_many(&script, &loads, NOW).await.unwrap();
    assert_eq!(*outcomes[0].as_ref().unwrap(), Loaded::Gone);
    let Ok(Loaded::Record(record)) = &outcomes[1] else { panic!("it is there") };
    assert_eq!(record.payload.as_str(), "2");
}

#[tokio::test]
async fn a_row_tells_whether_its_session_was_destroyed() {
    let (past, future) = (Some(NOW.as_millis()), Some(LATER.as_millis()));
    let script = Script::new([
        rows([[Some(0), future]]),
        rows([[Some(0), past]]),
        rows([[Some(1), past]]),
        rows::<2>([]),
    ]);
    for fate in [Fate::Live, Fate::Expired, Fate::Destroyed, Fate::Unknown] {
        assert_eq!(typeorm().fate(&script, &id("a"), NOW).await.unwrap(), fate);
    }
}

#[tokio::test]
async fn what_remains_takes_the_values_that_its_statements_name() {
    let limit = NonZeroU32::new(10).unwrap();
    let typeorm = typeorm();
    let script = Script::new([
        Answer::Rows(vec![row("{}", &["a"])]),
        Answer::Rows(vec![row("{}", &["b"])]),
        rows([[Some(2)]]),
        Answer::Count(1),
        Answer::Count(2),
        rows([[Some(7)]]),
    ]);
    assert_eq!(typeorm.list(&script, None, limit, NOW).await.unwrap()[0].key, id("a"));
    assert_eq!(typeorm.list(&script, Some(&id("a")), limit, NOW).await.unwrap()[0].key, id("b"));
    assert_eq!(typeorm.count(&script, NOW).await.unwrap(), 2);
    assert_eq!(typeorm.purge_expired(&script, NOW, limit).await.unwrap(), 1);
    assert_eq!(typeorm.clear(&script).await.unwrap(), 2);
    assert_eq!(typeorm.server_time(&script).await.unwrap().as_millis(), 7);
}

#[tokio::test]
async fn a_look_at_the_table_finds_out_whether_ends_can_be_kept() {
    let column =
        |name: &str| -> Row { vec![name.into(), "bigint".into(), 1.into(), "".into(), 1.into(), "".into()] };
    for (names, has) in [(vec![], true), (vec!["id", "json"], false), (vec!["id", "destroyedAt"], true)] {
        let script = Script::new([is_postgres(), Answer::Rows(names.into_iter().map(column).collect())]);
        let found = typeorm().looking(&script).await.unwrap();
        assert_eq!(found.capabilities().tombstones, has);
    }
}
