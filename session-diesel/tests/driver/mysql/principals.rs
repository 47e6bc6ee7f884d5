//! All sessions of a principal, while they move.

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use session_core::contract::{DestroyPrincipal, Filter, Rotated, Store};
use session_core::{DestroyMode, ErrorKind, Fate, Timestamp};
use session_diesel::MysqlStore;
use tokio::task::JoinHandle;

use super::support::{drop_table, raw, somebody_waits, store};
use crate::support::{LATER, MODES, NOW, ann, create, fresh_table, key, rotate};

fn end_all(mode: DestroyMode) -> DestroyPrincipal {
    DestroyPrincipal { principal: ann(), except: None, created_before: None, mode }
}

pub(super) async fn a_removing_end_by_principal_leaves_empty_rows_for_the_next_purge(url: String) {
    let store = store(&url, "emptied").await;
    let table = fresh_table("emptied");
    for id in ["a", "b"] {
        store.create(&create(id), NOW).await.unwrap();
    }
    assert_eq!(store.destroy_principal(&end_all(DestroyMode::Remove), NOW).await.unwrap(), 2);
    let left: i64 = raw(&url)
        .await
        .query_first(format!("SELECT COUNT(*) FROM `{table}` WHERE payload <> '' OR principal IS NOT NULL"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(left, 0, "rows with data");
    assert_eq!(store.purge_expired(Timestamp::MIN, NonZeroU32::new(10).unwrap()).await.unwrap(), 2);
    assert_eq!(store.clear().await.unwrap(), 0, "rows after a purge");
    drop_table(&url, "emptied").await;
}

/// The moved row stands where the search for the user's rows has been already, and was not there when it began.
pub(super) async fn a_principal_is_ended_past_a_row_that_moves_backwards(url: String) {
    let store = store(&url, "back").await;
    let table = fresh_table("back");
    let mut ids: Vec<String> = (0..4).map(|number| format!("back{number}")).collect();
    ids.sort_by_key(|id| key(id));
    for mode in MODES {
        for leaves_a_mark in [true, false] {
            for id in &ids[1..] {
                store.create(&create(id), NOW).await.unwrap();
            }
            let [first, last] = [key(&ids[0]), key(&ids[3])];
            let mut mover = raw(&url).await;
            mover.query_drop("BEGIN").await.unwrap();
            if leaves_a_mark {
                let mark = format!("UPDATE `{table}` SET destroyed_at = 1 WHERE `key` = ?");
                mover.exec_drop(mark, (last.as_bytes(),)).await.unwrap();
                let make = format!("INSERT INTO `{table}` VALUES (?, '', ?, 0, 1, 'ann', NULL, 0)");
                mover.exec_drop(make, (first.as_bytes(), LATER.as_millis())).await.unwrap();
            } else {
                let take = format!("UPDATE `{table}` SET `key` = ? WHERE `key` = ?");
                mover.exec_drop(take, (first.as_bytes(), last.as_bytes())).await.unwrap();
            }
            let end = tokio::spawn({
                let store = store.clone();
                async move { store.destroy_principal(&end_all(mode), NOW).await }
            });
            somebody_waits(&url, &table).await;
            mover.query_drop("COMMIT").await.unwrap();
            assert_eq!(end.await.unwrap().unwrap(), 3, "{mode:?}");
            let hers = Filter { principal: Some(ann()) };
            assert_eq!(store.count(&hers, NOW).await.unwrap(), 0, "{mode:?}, {leaves_a_mark}");
            store.clear().await.unwrap();
        }
    }
    drop_table(&url, "back").await;
}

/// A session that moves from key to key all the time, until it is gone. Gives the number of its last key.
fn mover(store: &MysqlStore, round: usize) -> JoinHandle<usize> {
    let store = store.clone();
    tokio::spawn(async move {
        let mut step = 0;
        loop {
            let [from, to] = [step, step + 1].map(|step| format!("{round}-{step}"));
            let moved = rotate(&from, &to, None, MODES[round % 3]);
            match retried(|| store.rotate(&moved, NOW)).await {
                Rotated::Rotated(_) => step += 1,
                Rotated::Gone => return step,
                other => panic!("{other:?}"),
            }
        }
    })
}

/// It cannot slip away from the end of all its user's sessions.
pub(super) async fn a_principal_is_ended_through_rotations(url: String) {
    let store = store(&url, "slip").await;
    let hers = Filter { principal: Some(ann()) };
    for round in 0..30 {
        store.create(&create(&format!("{round}-0")), NOW).await.unwrap();
        let mover = mover(&store, round);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let end = end_all(MODES[round / 3 % 3]);
        assert_eq!(retried(|| store.destroy_principal(&end, NOW)).await, 1, "round {round}");
        assert_eq!(store.count(&hers, NOW).await.unwrap(), 0, "round {round}");
        let last = mover.await.unwrap();
        let fate = store.fate(&key(&format!("{round}-{last}")), NOW).await.unwrap();
        assert_eq!(fate, Fate::Destroyed, "round {round}");
    }
    drop_table(&url, "slip").await;
}

/// Nor from being forgotten, with all that it left on its way.
pub(super) async fn a_principal_is_forgotten_through_rotations(url: String) {
    let store = store(&url, "forgotten").await;
    let traces = format!("SELECT COUNT(*) FROM `{}` WHERE principal IS NOT NULL", fresh_table("forgotten"));
    let mut raw = raw(&url).await;
    for round in 0..30 {
        store.create(&create(&format!("{round}-0")), NOW).await.unwrap();
        let mover = mover(&store, round);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let ann = ann();
        assert!(retried(|| store.forget_principal(&ann, NOW)).await >= 1, "round {round}");
        let left: Option<i64> = raw.query_first(&traces).await.unwrap();
        assert_eq!(left, Some(0), "round {round}");
        mover.await.unwrap();
    }
    drop_table(&url, "forgotten").await;
}

/// What the handle does about a deadlock.
async fn retried<T, F: Future<Output = session_core::Result<T>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => panic!("{error}"),
        }
    }
}
