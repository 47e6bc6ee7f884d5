use session_core::contract::{Create, Created, Load, Loaded, Payload, Touched, Write, Written};
use session_core::{DestroyMode, ErrorKind, Result, Updated, Version};

use super::{LATER, MARIADB, MODES, MYSQL, NOW, is, key, native, record, version};
use crate::scripted::words::{create, destroy, touch, update};
use crate::scripted::{Answer, Cell, Row, Script};

/// Keys, each with a version.
fn answer<const N: usize>(said: [(u8, Option<i64>); N]) -> Answer {
    let row = |(byte, version): (u8, Option<i64>)| -> Row {
        vec![(&[byte; 32][..]).into(), version.map_or(Cell::Null, Cell::Number)]
    };
    Answer::Rows(said.into_iter().map(row).collect())
}

/// The outcomes, of which `None` is to go alone.
fn told(outcomes: Vec<Option<Result<Written>>>) -> Vec<Option<Written>> {
    outcomes.into_iter().map(|outcome| outcome.map(|outcome| outcome.unwrap())).collect()
}

fn saved(version: i64) -> Option<Written> {
    Some(Written::Updated(Updated::Saved(Version::new(version))))
}

fn touched(touched: Touched) -> Option<Written> {
    Some(Written::Touched(touched))
}

#[tokio::test]
async fn mariadb_returns_the_rows_that_each_kind_changed() {
    let writes = [
        create(1),
        update(2, None),
        touch(3, None),
        destroy(4, DestroyMode::Forget),
        update(5, Some(3)),
        destroy(6, DestroyMode::Keep),
        touch(7, Some(3)),
        destroy(8, DestroyMode::Remove),
        touch(9, Some(3)),
        touch(10, None),
        destroy(11, DestroyMode::Remove),
    ];
    let script = Script::new([
        is(MARIADB),
        answer([(2, Some(8))]),
        answer([(3, Some(5)), (7, Some(3)), (9, Some(4))]),
        answer([(4, Some(1))]),
        answer([]),
        answer([(8, None)]),
        Answer::Count(1),
    ]);
    let outcomes = native(true).write_many(&script, &writes, NOW).await.unwrap();
    assert_eq!(
        told(outcomes),
        [
            Some(Written::Created(Created::Created)),
            saved(8),
            touched(Touched::Moved),
            Some(Written::Destroyed(true)),
            // Stale or gone.
            None,
            Some(Written::Destroyed(false)),
            touched(Touched::Moved),
            Some(Written::Destroyed(true)),
            touched(Touched::Stale),
            touched(Touched::Gone),
            Some(Written::Destroyed(false)),
        ]
    );
    assert_eq!(script.count(), 7);
}

#[tokio::test]
async fn mysql_makes_all_writes_of_a_kind_in_one_statement_if_all_fit() {
    let native = native(true);
    let script = Script::new([is(MYSQL)].into_iter().chain([4, 4, 4, 4, 2].map(Answer::Count)));
    for (writes, outcomes) in [
        ([update(1, Some(3)), update(2, None)], [saved(4), saved(Version::NONE.get())]),
        ([touch(1, Some(3)), touch(2, None)], [touched(Touched::Moved); 2]),
        ([destroy(1, MODES[0]), destroy(2, MODES[0])], [Some(Written::Destroyed(true)); 2]),
        ([destroy(1, MODES[1]), destroy(2, MODES[1])], [Some(Written::Destroyed(true)); 2]),
        ([destroy(1, MODES[2]), destroy(2, MODES[2])], [Some(Written::Destroyed(true)); 2]),
    ] {
        assert_eq!(told(native.write_many(&script, &writes, NOW).await.unwrap()), outcomes);
    }
    assert_eq!(script.count(), 6);
}

#[tokio::test]
async fn mysql_locks_the_rows_if_not_all_fit_and_changes_those_that_do() {
    let native = native(true);
    let script = Script::new([
        is(MYSQL),
        Answer::Count(0),
        answer([(1, Some(3)), (2, Some(7)), (4, Some(3))]),
        Answer::Count(4),
    ]);
    let writes = [update(1, None), update(2, Some(3)), update(3, None), update(4, Some(3))];
    let outcomes = told(native.write_many(&script, &writes, NOW).await.unwrap());
    let [stale, gone] = [Updated::Stale, Updated::Gone].map(|updated| Some(Written::Updated(updated)));
    assert_eq!(outcomes, [saved(4), stale, gone, saved(4)]);
    for mode in MODES {
        let script = Script::new([Answer::Count(0), answer([(2, Some(1))]), Answer::Count(2)]);
        let writes = [destroy(1, mode), destroy(2, mode), destroy(3, mode)];
        let outcomes = told(native.write_many(&script, &writes, NOW).await.unwrap());
        assert_eq!(outcomes, [false, true, false].map(|ended| Some(Written::Destroyed(ended))));
    }
    // If none fits there is nothing to change.
    let script = Script::new([Answer::Count(0), answer([(2, Some(1))])]);
    let outcomes = native.write_many(&script, &[touch(1, None), touch(2, Some(3))], NOW).await.unwrap();
    assert_eq!(told(outcomes), [touched(Touched::Gone), touched(Touched::Stale)]);
    assert_eq!(script.count(), 2);
}

#[tokio::test]
async fn a_version_that_cannot_be_read_concerns_its_own_write_alone() {
    let writes = [update(1, None), update(2, None)];
    let mariadb = Script::new([is(MARIADB), answer([(1, None), (2, Some(5))])]);
    let outcomes = native(true).write_many(&mariadb, &writes, NOW).await.unwrap();
    let [Some(Err(unread)), Some(Ok(read))] = &outcomes[..] else { panic!("{outcomes:?}") };
    // It was changed by then.
    assert!(unread.kind() == ErrorKind::Corrupt && unread.is_in_doubt(), "{unread:?}");
    assert_eq!(Some(*read), saved(5));

    let answers = [is(MYSQL), Answer::Count(0), answer([(1, None), (2, Some(4))]), Answer::Count(2)];
    let mysql = Script::new(answers);
    let outcomes = native(true).write_many(&mysql, &writes, NOW).await.unwrap();
    let [Some(Err(unread)), Some(Ok(read))] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(unread.kind() == ErrorKind::Corrupt && !unread.is_in_doubt(), "{unread:?}");
    assert_eq!(Some(*read), saved(5));
}

#[tokio::test]
async fn what_was_not_done_goes_alone() {
    let native = native(true);
    // One of the keys is taken: no row was made.
    let script = Script::new([is(MARIADB), Answer::Code("1062")]);
    let outcomes = native.write_many(&script, &[create(1), create(2)], NOW).await.unwrap();
    assert_eq!(told(outcomes), [None, None]);
    // The server gave the statement up.
    let script = Script::new([Answer::Code("1213")]);
    let outcomes = native.write_many(&script, &[touch(1, None), touch(2, None)], NOW).await.unwrap();
    assert_eq!(told(outcomes), [None, None]);
    // Together they do not fit into a packet, and a lone one is nothing to gather.
    let large = |byte| {
        let payload = Payload::from("x".repeat(600_000));
        Write::Create(Create {
            key: key(byte),
            payload,
            expires_at: LATER,
            principal: None,
            version: Version::FIRST,
        })
    };
    let script = Script::new([]);
    let outcomes = native.write_many(&script, &[large(1), large(2)], NOW).await.unwrap();
    assert_eq!(told(outcomes), [None, None]);
    let outcomes = native.write_many(&script, &[create(1)], NOW).await.unwrap();
    assert_eq!(told(outcomes), [None]);
}

/// Every statement of every size, each of which is bound to all of its values.
#[tokio::test]
async fn a_batch_of_any_size_has_its_statements() {
    for server in [MARIADB, MYSQL] {
        let native = native(true);
        native.look(&Script::new([is(server)])).await.unwrap();
        for size in [2, 3, 5, 9, 17, 33, 65, 128, 130] {
            let all = |write: &dyn Fn(u8) -> Write| (0..size).map(write).collect::<Vec<_>>();
            let of = |mode| all(&move |byte| destroy(byte, mode));
            let touches = all(&|byte| touch(byte, Some(1)));
            let updates = all(&|byte| update(byte, Some(1)));
            for writes in [touches, updates, of(MODES[0]), of(MODES[1]), of(MODES[2])] {
                let parts: Vec<u8> = (0..size).step_by(128).collect();
                // The first of each part is live.
                let answers = parts.iter().flat_map(|&first| match server {
                    MARIADB => vec![answer([(first, Some(1))])],
                    _ => vec![Answer::Count(0), answer([(first, Some(1))]), Answer::Count(2)],
                });
                let script = Script::new(answers);
                let outcomes = told(native.write_many(&script, &writes, NOW).await.unwrap());
                assert_eq!(outcomes.len(), writes.len());
                assert!(outcomes[0].is_some());
                if server == MYSQL {
                    let script = Script::new(parts.iter().map(|_| Answer::Count(1)));
                    let outcomes = told(native.write_many(&script, &writes, NOW).await.unwrap());
                    assert!(outcomes.iter().all(Option::is_some));
                    assert_eq!(script.count(), parts.len());
                }
            }
            for known in [None, version(1)] {
                let loads: Vec<Load> = (0..size).map(|byte| Load { key: key(byte), known }).collect();
                let script = Script::new(loads.chunks(128).map(|_| answer([])));
                let loaded = native.load_many(&script, &loads, NOW).await.unwrap();
                assert!(loaded.into_iter().all(|loaded| loaded.unwrap() == Loaded::Gone));
            }
        }
        for size in 2..=130 {
            let creates: Vec<Write> = (0..size).map(create).collect();
            let script = Script::new((0..4).map(|_| Answer::Count(1)));
            let outcomes = told(native.write_many(&script, &creates, NOW).await.unwrap());
            assert_eq!(outcomes, vec![Some(Written::Created(Created::Created)); creates.len()]);
        }
    }
}

#[tokio::test]
async fn each_load_of_a_batch_has_a_version_of_its_own() {
    let row = |byte: u8, payload: Cell, version| {
        let mut row = record(payload, version);
        row.push((&[byte; 32][..]).into());
        row
    };
    let loads = [(1, version(3)), (2, version(3)), (3, None), (4, version(1)), (5, None)]
        .map(|(byte, known)| Load { key: key(byte), known });
    let script = Script::new([Answer::Rows(vec![
        row(1, Cell::Null, 3),
        row(2, "{}".into(), 4),
        row(3, "{}".into(), 3),
        row(5, Cell::Null, 3),
    ])]);
    let loaded = native(true).load_many(&script, &loads, NOW).await.unwrap();
    let [unchanged, changed, unknown, gone, corrupt] = <[_; 5]>::try_from(loaded).unwrap();
    assert_eq!(unchanged.unwrap(), Loaded::Unchanged { expires_at: LATER });
    assert_eq!(changed.unwrap().record().unwrap().version, Version::new(4));
    assert_eq!(unknown.unwrap().record().unwrap().version, Version::new(3));
    assert_eq!(gone.unwrap(), Loaded::Gone);
    assert_eq!(corrupt.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(script.sent()[0].contains("IF(version = "), "{:?}", script.sent());
}
