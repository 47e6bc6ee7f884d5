use std::num::NonZeroU32;

use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Load, Loaded, Payload, Rotate, Rotated, Touch,
    Touched, Update,
};
use session_core::{DestroyMode, ErrorKind, Fate, KeyFormat, Principal, TableName, Updated, Version};

use super::{LATER, NOW, is_postgres, key, native, record, rows};
use crate::postgres::{Native, NativeOptions, TableOptions};
use crate::scripted::{Answer, Cell, Script};

const MODES: [DestroyMode; 3] = [DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove];

fn version(number: i64) -> Option<Version> {
    Some(Version::new(number))
}

fn update(expected: Option<Version>) -> Update {
    Update { key: key(1), payload: Payload::from("{}"), expires_at: None, principal: None, expected }
}

fn rotate(expected: Option<Version>, mode: DestroyMode) -> Rotate {
    Rotate { from: key(1), to: key(2), payload: None, expires_at: None, principal: None, expected, mode }
}

#[tokio::test]
async fn a_create_that_inserts_nothing_found_the_key_taken() {
    let create = Create {
        key: key(1),
        payload: Payload::from("{}"),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    };
    let script = Script::new([Answer::Count(1), Answer::Count(0)]);
    assert_eq!(native().create(&script, &create, NOW).await.unwrap(), Created::Created);
    assert_eq!(native().create(&script, &create, NOW).await.unwrap(), Created::KeyTaken);
}

#[tokio::test]
async fn a_payload_that_postgres_cannot_hold_is_refused_before_it_is_sent() {
    let payload = Payload::from("a\0b");
    let script = Script::new([]);
    let create = Create {
        key: key(1),
        payload: payload.clone(),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    };
    let outcome = native().create(&script, &create, NOW).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidInput);
    let update = Update { payload: payload.clone(), ..update(None) };
    assert_eq!(native().update(&script, &update, NOW).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let rotate = Rotate { payload: Some(payload), ..rotate(None, DestroyMode::Forget) };
    assert_eq!(native().rotate(&script, &rotate, NOW).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(script.count(), 0);
}

#[tokio::test]
async fn a_load_of_a_known_version_reads_no_payload() {
    let load = |known| Load { key: key(1), known };
    let script = Script::new([
        Answer::Rows(vec![record(Cell::Null, 3)]),
        Answer::Rows(vec![record("{}".into(), 3)]),
        Answer::Rows(vec![]),
        Answer::Rows(vec![record(Cell::Null, 3)]),
    ]);
    let native = native();
    let unchanged = native.load(&script, &load(version(3)), NOW).await.unwrap();
    assert_eq!(unchanged, Loaded::Unchanged { expires_at: LATER });
    let loaded = native.load(&script, &load(version(2)), NOW).await.unwrap();
    assert_eq!(loaded.record().unwrap().version, Version::new(3));
    assert_eq!(native.load(&script, &load(None), NOW).await.unwrap(), Loaded::Gone);
    let corrupt = native.load(&script, &load(None), NOW).await.unwrap_err();
    assert!(corrupt.kind() == ErrorKind::Corrupt && corrupt.to_string().contains("`payload`"), "{corrupt}");
}

#[tokio::test]
async fn an_update_tells_saved_stale_and_gone_apart() {
    let native = native();
    let script = Script::new([
        rows([[Some(7)]]),
        rows::<1>([]),
        rows([[Some(4), Some(1)]]),
        rows([[Some(5), Some(0)]]),
        rows::<2>([]),
    ]);
    let outcomes = [None, None, version(3), version(3), version(3)];
    let expected = [
        Updated::Saved(Version::new(7)),
        Updated::Gone,
        Updated::Saved(Version::new(4)),
        Updated::Stale,
        Updated::Gone,
    ];
    for (expects, outcome) in outcomes.into_iter().zip(expected) {
        assert_eq!(native.update(&script, &update(expects), NOW).await.unwrap(), outcome);
    }
}

#[tokio::test]
async fn a_change_of_a_session_that_somebody_changes_at_the_same_time_is_sent_again() {
    let native = native();
    let script = Script::new([
        rows([[Some(3), Some(0)]]),
        rows([[Some(4), Some(0)]]),
        rows([[Some(3), Some(0)]]),
        rows::<2>([]),
    ]);
    assert_eq!(native.update(&script, &update(version(3)), NOW).await.unwrap(), Updated::Stale);
    assert_eq!(script.count(), 2);
    let touch = Touch { key: key(1), expires_at: LATER, expected: version(3) };
    assert_eq!(native.touch(&script, &touch, NOW).await.unwrap(), Touched::Gone);
    assert_eq!(script.count(), 4);
}

#[tokio::test]
async fn the_unreadable_answer_to_a_change_that_was_done_leaves_doubt() {
    let native = native();
    let script = Script::new([rows([[None]]), rows([[None, Some(1)]]), rows([[None, Some(0)]])]);
    assert!(native.update(&script, &update(None), NOW).await.unwrap_err().is_in_doubt());
    assert!(native.update(&script, &update(version(3)), NOW).await.unwrap_err().is_in_doubt());
    assert!(!native.update(&script, &update(version(3)), NOW).await.unwrap_err().is_in_doubt());
}

#[tokio::test]
async fn a_touch_tells_moved_stale_and_gone_apart() {
    let native = native();
    let touch = |expected| Touch { key: key(1), expires_at: LATER, expected };
    let script = Script::new([
        Answer::Count(1),
        Answer::Count(0),
        rows([[Some(3), Some(1)]]),
        rows([[Some(4), Some(0)]]),
        rows::<2>([]),
    ]);
    let expected = [Touched::Moved, Touched::Gone, Touched::Moved, Touched::Stale, Touched::Gone];
    for (expects, outcome) in [None, None, version(3), version(3), version(3)].into_iter().zip(expected) {
        assert_eq!(native.touch(&script, &touch(expects), NOW).await.unwrap(), outcome);
    }
}

#[tokio::test]
async fn only_a_destroy_that_forgets_empties_the_row_and_only_one_that_removes_deletes_it() {
    let native = native();
    let script = Script::new([Answer::Count(1), Answer::Count(0), Answer::Count(1)]);
    for (mode, outcome) in MODES.into_iter().zip([true, false, true]) {
        let destroy = Destroy { key: key(1), mode };
        assert_eq!(native.destroy(&script, &destroy, NOW).await.unwrap(), outcome);
    }
    let [forget, keep, remove] = script.sent().try_into().unwrap();
    assert!(forget.contains("payload = ''") && forget.contains("principal = NULL"), "{forget}");
    assert!(keep.contains("destroyed_at = $") && !keep.contains("payload"), "{keep}");
    assert!(remove.starts_with("DELETE"), "{remove}");
}

#[tokio::test]
async fn a_rotation_tells_its_four_outcomes_apart() {
    let native = native();
    for mode in MODES {
        let script = Script::new([
            rows([[Some(3), Some(4)]]),
            rows([[Some(5), None]]),
            rows([[Some(3), None]]),
            rows([[Some(3), None]]),
            rows::<2>([]),
        ]);
        let expects = [version(3), version(3), version(3), None, None];
        let expected = [
            Rotated::Rotated(Version::new(4)),
            Rotated::Stale,
            Rotated::KeyTaken,
            Rotated::KeyTaken,
            Rotated::Gone,
        ];
        for (expects, outcome) in expects.into_iter().zip(expected) {
            assert_eq!(native.rotate(&script, &rotate(expects, mode), NOW).await.unwrap(), outcome);
        }
        let sql = &script.sent()[0];
        assert_eq!(sql.contains("rotated = true"), mode != DestroyMode::Remove, "{sql}");
        assert_eq!(sql.contains("payload = ''"), mode == DestroyMode::Forget, "{sql}");
    }
}

#[tokio::test]
async fn a_row_tells_the_fate_of_its_session() {
    let native = native();
    let (past, future) = (Some(NOW.as_millis()), Some(LATER.as_millis()));
    let table = [
        ([Some(0), Some(0), future], Fate::Live),
        ([Some(0), Some(0), past], Fate::Expired),
        ([Some(1), Some(0), past], Fate::Destroyed),
        ([Some(1), Some(1), future], Fate::RotatedAway),
    ];
    for (row, fate) in table {
        let script = Script::new([rows([row])]);
        assert_eq!(native.fate(&script, &key(1), NOW).await.unwrap(), fate);
    }
    let script = Script::new([rows::<3>([])]);
    assert_eq!(native.fate(&script, &key(1), NOW).await.unwrap(), Fate::Unknown);
}

#[tokio::test]
async fn what_ends_or_forgets_a_principal_looks_again_as_long_as_rows_change() {
    let native = native();
    let principal = Principal::new("ann").unwrap();
    for mode in MODES {
        let destroy = DestroyPrincipal {
            principal: principal.clone(),
            except: Some(key(1)),
            created_before: Some(NOW),
            mode,
        };
        let script = Script::new([Answer::Code("22012"), Answer::Code("22012"), rows([[Some(5)]])]);
        assert_eq!(native.destroy_principal(&script, &destroy, NOW).await.unwrap(), 5);
        assert_eq!(script.count(), 3);
    }
    let script = Script::new([Answer::Code("22012"), rows([[Some(2)]]), Answer::Code("40P01")]);
    assert_eq!(native.forget_principal(&script, &principal, NOW).await.unwrap(), 2);
    let error = native.forget_principal(&script, &principal, NOW).await.unwrap_err();
    assert_eq!(error.code(), Some("40P01"));
}

#[tokio::test]
async fn a_purge_is_one_statement_or_two() {
    let limit = NonZeroU32::new(10).unwrap();
    let script = Script::new([Answer::Count(3)]);
    assert_eq!(native().purge_expired(&script, NOW, limit).await.unwrap(), 3);
    let two = Native::new(NativeOptions {
        table: TableName::default(),
        key_format: KeyFormat::Hashed,
        table_options: TableOptions::default(),
        limit_subquery: false,
        ordered: true,
    });
    let found = vec![vec![[1_u8; 32].as_slice().into()], vec![[2_u8; 32].as_slice().into()]];
    let script = Script::new([Answer::Rows(found), Answer::Count(1)]);
    assert_eq!(two.purge_expired(&script, NOW, limit).await.unwrap(), 1);
}

#[tokio::test]
async fn a_listing_goes_on_over_a_session_that_cannot_be_read() {
    let limit = NonZeroU32::new(10).unwrap();
    let filters = [Filter::default(), Filter { principal: Principal::of("ann") }];
    for filter in filters {
        let entry = |payload: Cell, byte: u8| {
            let mut row = record(payload, 1);
            row.push([byte; 32].as_slice().into());
            row
        };
        let page = vec![entry("{}".into(), 1), entry(Cell::Null, 2), entry("{}".into(), 3)];
        let script = Script::new([Answer::Rows(page), rows([[Some(3)]])]);
        let page = native().list(&script, &filter, None, limit, NOW).await.unwrap();
        let readable: Vec<bool> = page.iter().map(|listed| listed.record.is_ok()).collect();
        assert_eq!(readable, [true, false, true]);
        assert_eq!(page[2].key, key(3));
        assert_eq!(native().count(&script, &filter, NOW).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_table_that_is_complete_is_not_made() {
    let script = Script::new([rows([[Some(0)]]), rows([[Some(1)]])]);
    native().create_table(&script).await.unwrap();
    assert_eq!(script.count(), 1);
    native().create_table(&script).await.unwrap();
    assert!(script.sent()[2].contains("pg_advisory_xact_lock") && script.sent()[2].contains("CREATE TABLE"));
}

#[tokio::test]
async fn the_doctor_says_of_a_missing_table_how_to_make_it() {
    let server = vec![
        150_000.into(),
        "15.1".into(),
        "UTF8".into(),
        "C".into(),
        "read committed".into(),
        0.into(),
        "on".into(),
    ];
    let none = || Answer::Rows(vec![]);
    let script = Script::new([is_postgres(), Answer::Rows(vec![server]), none(), none()]);
    let findings = native().diagnose(&script).await.unwrap();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[1].remedy.contains("CREATE TABLE"), "{findings:?}");
}
