use session_core::contract::{Create, Created, Load, Loaded, Payload, Touched, Write, Written};
use session_core::{DestroyMode, ErrorKind, Result, Updated, Version};

use super::{LATER, NOW, key, native, record, rows};
use crate::scripted::words::{create, destroy, touch, update};
use crate::scripted::{Answer, Cell, Script};

const TAKEN: i64 = 0;
const GONE: i64 = 1;
const CHANGED: i64 = 2;
const LIVE: i64 = 3;
const REMOVED: i64 = 4;

fn outcomes(done: Vec<Result<Written>>) -> Vec<Written> {
    done.into_iter().map(|outcome| outcome.unwrap()).collect()
}

/// outcome, place, version
fn answer<const N: usize>(said: [[i64; 3]; N]) -> Answer {
    rows(said.map(|row| row.map(Some)))
}

#[tokio::test]
async fn what_the_answer_does_not_name_was_done_or_not_by_its_kind() {
    let writes = [
        create(1),
        update(2, None),
        touch(3, None),
        destroy(4, DestroyMode::Forget),
        destroy(5, DestroyMode::Remove),
    ];
    let script = Script::new([answer::<0>([])]);
    let done = native().write_many(&script, &writes, NOW).await.unwrap();
    assert_eq!(
        outcomes(done),
        [
            Written::Created(Created::Created),
            Written::Updated(Updated::Gone),
            Written::Touched(Touched::Gone),
            Written::Destroyed(false),
            Written::Destroyed(false),
        ]
    );
    let script = Script::new([answer([[GONE, 2, 0]])]);
    let done = native().write_many(&script, &[touch(1, None), touch(2, None)], NOW).await.unwrap();
    assert_eq!(outcomes(done), [Written::Touched(Touched::Moved), Written::Touched(Touched::Gone)]);
}

#[tokio::test]
async fn places_are_those_of_each_kind_in_the_order_of_keys() {
    let writes = [
        destroy(9, DestroyMode::Remove),
        create(8),
        touch(7, None),
        update(6, None),
        destroy(5, DestroyMode::Keep),
        create(4),
        destroy(3, DestroyMode::Remove),
    ];
    let script = Script::new([answer([
        [TAKEN, 2, 0],
        [CHANGED, 1, 3],
        [CHANGED, 2, 8],
        [CHANGED, 3, 3],
        [REMOVED, 2, 0],
    ])]);
    let done = native().write_many(&script, &writes, NOW).await.unwrap();
    assert_eq!(
        outcomes(done),
        [
            Written::Destroyed(true),
            Written::Created(Created::KeyTaken),
            Written::Touched(Touched::Moved),
            Written::Updated(Updated::Saved(Version::new(8))),
            Written::Destroyed(true),
            Written::Created(Created::Created),
            Written::Destroyed(false),
        ]
    );
}

#[tokio::test]
async fn a_session_that_was_live_with_another_version_is_stale() {
    let writes = [update(1, Some(3)), touch(2, Some(3)), touch(3, None), update(4, Some(3))];
    let script =
        Script::new([answer([[CHANGED, 4, 4], [LIVE, 1, 5], [LIVE, 2, 5], [LIVE, 3, 5], [LIVE, 4, 3]])]);
    let done = native().write_many(&script, &writes, NOW).await.unwrap();
    // The third expects nothing: it was live, and was ended before its turn came.
    assert_eq!(script.count(), 1, "{:?}", script.sent());
    assert_eq!(
        outcomes(done),
        [
            Written::Updated(Updated::Stale),
            Written::Touched(Touched::Stale),
            Written::Touched(Touched::Gone),
            Written::Updated(Updated::Saved(Version::new(4))),
        ]
    );
}

#[tokio::test]
async fn what_somebody_changed_at_the_same_time_is_sent_again_alone() {
    let writes = [update(1, Some(3)), touch(2, Some(3))];
    let script = Script::new([
        answer([[LIVE, 1, 3], [LIVE, 2, 3]]),
        rows([[Some(4), Some(0)]]),
        rows([[Some(3), Some(1)]]),
    ]);
    let done = native().write_many(&script, &writes, NOW).await.unwrap();
    assert_eq!(outcomes(done), [Written::Updated(Updated::Stale), Written::Touched(Touched::Moved)]);
    assert_eq!(script.count(), 3);
}

#[tokio::test]
async fn a_version_that_cannot_be_read_concerns_its_own_update_alone() {
    let writes = [update(1, None), update(2, Some(1)), update(3, Some(1))];
    let script = Script::new([rows([
        [Some(CHANGED), Some(1), None],
        [Some(CHANGED), Some(3), Some(2)],
        [Some(LIVE), Some(2), None],
    ])]);
    let done = native().write_many(&script, &writes, NOW).await.unwrap();
    assert!(done[0].as_ref().unwrap_err().is_in_doubt());
    assert!(!done[1].as_ref().unwrap_err().is_in_doubt());
    assert_eq!(*done[2].as_ref().unwrap(), Written::Updated(Updated::Saved(Version::new(2))));
}

#[tokio::test]
async fn an_answer_for_nobody_leaves_all_in_doubt() {
    for place in [0, 3, -1] {
        let script = Script::new([answer([[CHANGED, place, 1]])]);
        let writes = [update(1, None), update(2, None)];
        assert!(native().write_many(&script, &writes, NOW).await.unwrap_err().is_in_doubt());
    }
}

#[tokio::test]
async fn a_write_that_is_refused_keeps_no_other_from_being_done() {
    let bad = Write::Create(Create {
        key: key(1),
        payload: Payload::from("\0"),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    });
    let script = Script::new([answer([[TAKEN, 1, 0]])]);
    let done = native().write_many(&script, &[bad.clone(), create(2)], NOW).await.unwrap();
    assert_eq!(done[0].as_ref().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(*done[1].as_ref().unwrap(), Written::Created(Created::KeyTaken));
    let script = Script::new([]);
    let done = native().write_many(&script, &[bad], NOW).await.unwrap();
    assert_eq!((done.len(), script.count()), (1, 0));
}

#[tokio::test]
async fn a_batch_of_every_set_of_kinds_binds_what_its_statement_names() {
    let kinds = [
        vec![create(1), create(2)],
        vec![touch(3, None), touch(4, None)],
        vec![touch(5, Some(1)), update(6, None), destroy(7, DestroyMode::Forget)],
        vec![destroy(8, DestroyMode::Remove), destroy(9, DestroyMode::Remove)],
    ];
    for set in 1..16_u8 {
        let chosen = kinds.iter().enumerate().filter(|(place, _)| set & (1 << place) != 0);
        let writes: Vec<Write> = chosen.flat_map(|(_, writes)| writes.clone()).collect();
        let script = Script::new([answer::<0>([])]);
        assert_eq!(native().write_many(&script, &writes, NOW).await.unwrap().len(), writes.len());
    }
}

#[tokio::test]
async fn loads_come_back_by_their_places_and_only_what_is_new_has_a_payload() {
    let load = |byte, known: Option<i64>| Load { key: key(byte), known: known.map(Version::new) };
    let loads = [load(1, Some(3)), load(2, None), load(3, Some(2)), load(4, None)];
    let placed = |payload: Cell, place: i64| {
        let mut row = record(payload, 3);
        row.push(place.into());
        row
    };
    let found = vec![placed("{}".into(), 3), placed(Cell::Null, 1), placed(Cell::Null, 4)];
    let script = Script::new([Answer::Rows(found)]);
    let outcomes = native().load_many(&script, &loads, NOW).await.unwrap();
    assert_eq!(*outcomes[0].as_ref().unwrap(), Loaded::Unchanged { expires_at: LATER });
    assert_eq!(*outcomes[1].as_ref().unwrap(), Loaded::Gone);
    assert!(matches!(outcomes[2], Ok(Loaded::Record(_))));
    assert_eq!(outcomes[3].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
}
