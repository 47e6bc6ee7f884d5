use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Load, Loaded, Payload, Rotate, Rotated, Touch,
    Touched, Update,
};
use session_core::{DestroyMode, ErrorKind, Fate, Principal, Updated, Version};

use super::{LATER, MARIADB, MODES, MYSQL, NOW, is, key, native, record, rows, version};
use crate::scripted::{Answer, Cell, Script};

fn create() -> Create {
    Create {
        key: key(1),
        payload: Payload::from("{}"),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

fn update(expected: Option<Version>) -> Update {
    Update { key: key(1), payload: Payload::from("{}"), expires_at: None, principal: None, expected }
}

fn rotate(expected: Option<Version>, mode: DestroyMode) -> Rotate {
    Rotate { from: key(1), to: key(2), payload: None, expires_at: None, principal: None, expected, mode }
}

fn ann() -> Principal {
    Principal::new("ann").unwrap()
}

#[tokio::test]
async fn a_create_that_meets_a_row_found_the_key_taken_and_the_server_is_asked_once() {
    let native = native(true);
    let row = rows([[Some(0), Some(0), Some(LATER.as_millis())]]);
    let script = Script::new([is(MYSQL), Answer::Count(1), Answer::Code("1062"), row, Answer::Code("1146")]);
    assert_eq!(native.create(&script, &create(), NOW).await.unwrap(), Created::Created);
    assert_eq!(native.create(&script, &create(), NOW).await.unwrap(), Created::KeyTaken);
    let other = native.create(&script, &create(), NOW).await.unwrap_err();
    assert_eq!((other.code(), script.count()), (Some("1146"), 5));
}

#[tokio::test]
async fn a_row_that_a_unique_index_of_somebody_else_refuses_has_no_taken_key() {
    let native = native(true);
    let none = || rows::<3>([]);
    let refused = || Answer::Code("1062");
    let script = Script::new([is(MYSQL), refused(), none(), refused(), none()]);
    let error = native.create(&script, &create(), NOW).await.unwrap_err();
    assert_eq!((error.code(), error.is_in_doubt(), script.count()), (Some("1062"), false, 5));
    // The row that had the key may be removed before it is looked for.
    let script = Script::new([refused(), none(), Answer::Count(1)]);
    assert_eq!(native.create(&script, &create(), NOW).await.unwrap(), Created::Created);
    // The connection may be lost while it is looked for.
    let script = Script::new([refused(), Answer::Lost]);
    assert!(!native.create(&script, &create(), NOW).await.unwrap_err().is_in_doubt());
}

#[tokio::test]
async fn a_payload_over_the_packet_is_refused_before_it_is_sent() {
    let payload = Payload::from("x".repeat(1 << 20));
    let native = native(true);
    let script = Script::new([is(MARIADB)]);
    let create = Create { payload: payload.clone(), ..create() };
    assert_eq!(native.create(&script, &create, NOW).await.unwrap_err().kind(), ErrorKind::TooLarge);
    let update = Update { payload: payload.clone(), ..update(None) };
    assert_eq!(native.update(&script, &update, NOW).await.unwrap_err().kind(), ErrorKind::TooLarge);
    for mode in MODES {
        let rotate = Rotate { payload: Some(payload.clone()), ..rotate(None, mode) };
        assert_eq!(native.rotate(&script, &rotate, NOW).await.unwrap_err().kind(), ErrorKind::TooLarge);
    }
    assert_eq!(script.count(), 1);
}

#[tokio::test]
async fn a_load_of_a_known_version_reads_no_payload() {
    let native = native(true);
    let load = |known| Load { key: key(1), known };
    let script = Script::new([
        Answer::Rows(vec![record(Cell::Null, 3)]),
        Answer::Rows(vec![record("{}".into(), 3)]),
        Answer::Rows(vec![]),
        Answer::Rows(vec![record(Cell::Null, 3)]),
    ]);
    let unchanged = native.load(&script, &load(version(3)), NOW).await.unwrap();
    assert_eq!(unchanged, Loaded::Unchanged { expires_at: LATER });
    let loaded = native.load(&script, &load(version(2)), NOW).await.unwrap();
    assert_eq!(loaded.record().unwrap().version, Version::new(3));
    assert_eq!(native.load(&script, &load(None), NOW).await.unwrap(), Loaded::Gone);
    assert_eq!(native.load(&script, &load(None), NOW).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_count_tells_gone_stale_and_done_apart_where_a_version_is_expected() {
    for server in [MARIADB, MYSQL] {
        let native = native(true);
        let script = Script::new([is(server)].into_iter().chain([0, 1, 2].map(Answer::Count)));
        for outcome in [Updated::Gone, Updated::Stale, Updated::Saved(Version::new(4))] {
            assert_eq!(native.update(&script, &update(version(3)), NOW).await.unwrap(), outcome);
        }
        // A touch that leaves its row as it is meets it twice, and one that moves it meets it once more then.
        let script = Script::new([0, 1, 2, 3].map(Answer::Count));
        let touch = Touch { key: key(1), expires_at: LATER, expected: version(3) };
        for outcome in [Touched::Gone, Touched::Stale, Touched::Moved, Touched::Moved] {
            assert_eq!(native.touch(&script, &touch, NOW).await.unwrap(), outcome);
        }
        for mode in MODES {
            let answers = [Answer::Count(0), Answer::Count(1), Answer::Count(3), Answer::Code("1062")];
            let script = Script::new(answers);
            let moved = Rotated::Rotated(Version::new(4));
            for outcome in [Rotated::Gone, Rotated::Stale, moved, Rotated::KeyTaken] {
                let rotated = native.rotate(&script, &rotate(version(3), mode), NOW).await.unwrap();
                assert_eq!(rotated, outcome, "{mode:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_new_version_is_told_by_mariadb_and_left_open_by_mysql() {
    let mariadb = native(true);
    let script = Script::new([is(MARIADB), rows([[Some(7)]]), rows::<1>([]), rows([[None]])]);
    let saved = mariadb.update(&script, &update(None), NOW).await.unwrap();
    assert_eq!(saved, Updated::Saved(Version::new(7)));
    assert_eq!(mariadb.update(&script, &update(None), NOW).await.unwrap(), Updated::Gone);
    assert!(mariadb.update(&script, &update(None), NOW).await.unwrap_err().is_in_doubt());
    for mode in MODES {
        // The row of the old key, which is marked, and that of the new one.
        let both = rows([[Some(6), Some(1_000)], [Some(7), None]]);
        let script = Script::new([both, rows::<2>([]), rows([[None, None]])]);
        let moved = mariadb.rotate(&script, &rotate(None, mode), NOW).await.unwrap();
        assert_eq!(moved, Rotated::Rotated(Version::new(7)));
        assert_eq!(mariadb.rotate(&script, &rotate(None, mode), NOW).await.unwrap(), Rotated::Gone);
        assert!(mariadb.rotate(&script, &rotate(None, mode), NOW).await.unwrap_err().is_in_doubt());
    }

    let mysql = native(true);
    let script = Script::new([is(MYSQL), Answer::Count(1), Answer::Count(0)]);
    assert_eq!(mysql.update(&script, &update(None), NOW).await.unwrap(), Updated::Saved(Version::NONE));
    assert_eq!(mysql.update(&script, &update(None), NOW).await.unwrap(), Updated::Gone);
    for mode in MODES {
        let script = Script::new([Answer::Count(3), Answer::Count(0), Answer::Code("1062")]);
        for outcome in [Rotated::Rotated(Version::NONE), Rotated::Gone, Rotated::KeyTaken] {
            assert_eq!(mysql.rotate(&script, &rotate(None, mode), NOW).await.unwrap(), outcome);
        }
    }
}

#[tokio::test]
async fn a_touch_or_an_end_is_told_by_whether_a_row_was_found() {
    let native = native(true);
    let script = Script::new([1, 0].map(Answer::Count));
    let touch = Touch { key: key(1), expires_at: LATER, expected: None };
    assert_eq!(native.touch(&script, &touch, NOW).await.unwrap(), Touched::Moved);
    assert_eq!(native.touch(&script, &touch, NOW).await.unwrap(), Touched::Gone);
    for mode in MODES {
        let script = Script::new([1, 0].map(Answer::Count));
        let destroy = Destroy { key: key(1), mode };
        assert!(native.destroy(&script, &destroy, NOW).await.unwrap());
        assert!(!native.destroy(&script, &destroy, NOW).await.unwrap());
    }
}

#[tokio::test]
async fn a_row_tells_its_fate() {
    let native = native(true);
    let row = |row: [i64; 3]| rows([row.map(Some)]);
    let answers = [[0, 0, 1_001], [0, 0, 1_000], [1, 0, 1_001], [1, 1, 1_000]].map(row);
    let script = Script::new(answers.into_iter().chain([rows::<3>([])]));
    for fate in [Fate::Live, Fate::Expired, Fate::Destroyed, Fate::RotatedAway, Fate::Unknown] {
        assert_eq!(native.fate(&script, &key(1), NOW).await.unwrap(), fate);
    }
}

#[tokio::test]
async fn a_principal_s_rows_are_counted_once_none_of_them_moved_meanwhile() {
    let native = native(true);
    for mode in MODES {
        let script = Script::new([Answer::Code("1690"), Answer::Code("1690"), Answer::Count(6)]);
        let destroy =
            DestroyPrincipal { principal: ann(), except: Some(key(9)), created_before: Some(NOW), mode };
        assert_eq!(native.destroy_principal(&script, &destroy, NOW).await.unwrap(), 3, "{mode:?}");
        assert_eq!(script.count(), 3);
    }
    let script = Script::new([Answer::Code("1690"), Answer::Count(4), Answer::Code("1213")]);
    assert_eq!(native.forget_principal(&script, &ann(), NOW).await.unwrap(), 2);
    assert_eq!(native.forget_principal(&script, &ann(), NOW).await.unwrap_err().code(), Some("1213"));
}

/// 200 keys are two parts of a purge in two statements.
#[tokio::test]
async fn a_purge_that_fails_halfway_is_tried_again_and_then_in_doubt() {
    let limit = NonZeroU32::new(1_000).unwrap();
    let script = Script::new([Answer::Count(5)]);
    assert_eq!(native(true).purge_expired(&script, NOW, limit).await.unwrap(), 5);

    let native = native(false);
    let found = || Answer::Rows((0..200).map(|byte| vec![(&[byte; 32][..]).into()]).collect());
    let script = Script::new([found(), Answer::Count(128), Answer::Code("1213"), Answer::Count(72)]);
    assert_eq!(native.purge_expired(&script, NOW, limit).await.unwrap(), 200);
    let given_up = [1, 2, 3, 4].map(|_| Answer::Code("1213"));
    let script = Script::new([found(), Answer::Count(128)].into_iter().chain(given_up));
    assert!(native.purge_expired(&script, NOW, limit).await.unwrap_err().is_in_doubt());
    let script = Script::new([found(), Answer::Code("1213")]);
    assert!(!native.purge_expired(&script, NOW, limit).await.unwrap_err().is_in_doubt());
}

#[tokio::test]
async fn lists_and_counts_may_be_of_one_principal() {
    let native = native(true);
    let [all, hers] = [None, Some(ann())].map(|principal| Filter { principal });
    for filter in [&all, &hers] {
        let mut row = record("{}".into(), 3);
        row.push((&[7; 32][..]).into());
        let mut unreadable = record(Cell::Null, 3);
        unreadable.push((&[8; 32][..]).into());
        let script = Script::new([Answer::Rows(vec![row, unreadable]), rows([[Some(2)]])]);
        let page = native.list(&script, filter, Some(&key(6)), NonZeroU32::MIN, NOW).await.unwrap();
        let read: Vec<bool> = page.iter().map(|listed| listed.record.is_ok()).collect();
        assert_eq!((read, &page[1].key), (vec![true, false], &key(8)));
        assert_eq!(native.count(&script, filter, NOW).await.unwrap(), 2);
    }
}
