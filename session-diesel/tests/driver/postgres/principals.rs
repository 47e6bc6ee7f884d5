//! All sessions of a principal, while they move.

use std::time::Duration;

use session_core::contract::{DestroyPrincipal, Filter, Rotated, Store};
use session_core::{DestroyMode, Fate};
use session_diesel::PostgresStore;
use tokio::task::JoinHandle;

use super::support::{drop_table, raw, store};
use crate::support::{MODES, NOW, ann, create, fresh_table, key, rotate};

/// A session that moves from key to key all the time, until it is gone. Gives the number of its last key.
fn mover(store: &PostgresStore, round: usize) -> JoinHandle<usize> {
    let store = store.clone();
    tokio::spawn(async move {
        let mut step = 0;
        loop {
            let [from, to] = [step, step + 1].map(|step| format!("{round}-{step}"));
            let moved = rotate(&from, &to, None, MODES[round % 3]);
            match store.rotate(&moved, NOW).await.unwrap() {
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
        let mode = MODES[round / 3 % 3];
        let end = DestroyPrincipal { principal: ann(), except: None, created_before: None, mode };
        assert_eq!(store.destroy_principal(&end, NOW).await.unwrap(), 1, "round {round}");
        assert_eq!(store.count(&hers, NOW).await.unwrap(), 0, "round {round}");
        let last = mover.await.unwrap();
        let fate = if mode == DestroyMode::Remove { Fate::Unknown } else { Fate::Destroyed };
        assert_eq!(store.fate(&key(&format!("{round}-{last}")), NOW).await.unwrap(), fate, "round {round}");
    }
    drop_table(&url, "slip").await;
}

/// Nor from being forgotten, with all that it left on its way.
pub(super) async fn a_principal_is_forgotten_through_rotations(url: String) {
    let store = store(&url, "forgotten").await;
    let traces = format!("SELECT count(*) FROM \"{}\" WHERE principal = 'ann'", fresh_table("forgotten"));
    let raw = raw(&url).await;
    for round in 0..30 {
        store.create(&create(&format!("{round}-0")), NOW).await.unwrap();
        let mover = mover(&store, round);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(store.forget_principal(&ann(), NOW).await.unwrap() >= 1, "round {round}");
        let left: i64 = raw.query_one(&traces, &[]).await.unwrap().get(0);
        assert_eq!(left, 0, "round {round}");
        let last = mover.await.unwrap();
        let fate = store.fate(&key(&format!("{round}-{last}")), NOW).await.unwrap();
        assert_eq!(fate, Fate::Destroyed, "round {round}");
        if last > 0 && MODES[round % 3] != DestroyMode::Remove {
            let before = store.fate(&key(&format!("{round}-{}", last - 1)), NOW).await.unwrap();
            assert_eq!(before, Fate::RotatedAway, "round {round}");
        }
    }
    drop_table(&url, "forgotten").await;
}
