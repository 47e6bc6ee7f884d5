//! Whose turn it is to write, among the stores of this process on one file.
//!
//! SQLite's lock goes to whoever finds it free, and who does not find it sleeps, up to 0.1 s: a store that writes without
//! pause would keep others from it. The stores of one process take turns, first come, first served. Other processes, and
//! the application's own statements, find the lock free between the turns ([`LockShare`]).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use session_sql::sqlite::LockShare;
use tokio::sync::MutexGuard;
use tokio::time::sleep;

/// The turn is whose lock it is.
pub(super) type Turns = tokio::sync::Mutex<LockShare>;

/// The turn, until it is dropped.
pub(super) struct Turn<'turns> {
    share: MutexGuard<'turns, LockShare>,
    /// Since when SQLite's lock is held.
    locked: Option<Instant>,
}

impl<'turns> Turn<'turns> {
    /// Waits for the turn, and until others had their share of the time.
    pub(super) async fn wait(turns: &'turns Turns) -> Turn<'turns> {
        let share = turns.lock().await;
        let pause = share.pause(Instant::now());
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Turn { share, locked: None }
    }

    /// SQLite's lock is held from now until the turn ends.
    pub(super) fn locked(&mut self) {
        self.locked = Some(Instant::now());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.locked {
            self.share.held(since, Instant::now());
        }
    }
}

/// The queue that all stores on this file share; one of its own for a database in memory.
pub(super) fn of(file: &Path) -> Arc<Turns> {
    static FILES: Mutex<Option<HashMap<PathBuf, Weak<Turns>>>> = Mutex::new(None);

    // One file may have several paths.
    let Ok(file) = file.canonicalize() else { return Arc::default() };
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let files = files.get_or_insert_default();
    files.retain(|_, turns| turns.strong_count() > 0);
    if let Some(turns) = files.get(&file).and_then(Weak::upgrade) {
        return turns;
    }
    let turns = Arc::default();
    files.insert(file, Arc::downgrade(&turns));
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_on_one_file_share_their_turns() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let [one, same, other] =
            [root.join("src/lib.rs"), root.join("src/../src/lib.rs"), root.join("Cargo.toml")]
                .map(|path| of(&path));
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &other));
        assert!(!Arc::ptr_eq(&of(Path::new(":memory:")), &of(Path::new(":memory:"))));
    }
}
