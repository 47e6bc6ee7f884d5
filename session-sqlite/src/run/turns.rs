//! Whose turn it is to write, among the stores of this process on one file.
//!
//! SQLite's lock goes to whoever finds it free: a store that writes without pause takes it again before another has
//! looked. Within one process there is a better way than looking: the stores take turns, first come, first served.
//! Other processes, and the application's own statements, find the lock free between the turns ([`LockShare`]).

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use session_sql::sqlite::LockShare;

/// The queue of the writers on one file.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queue: Mutex<Tickets>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    /// The first has the turn.
    waiting: VecDeque<u64>,
    share: LockShare,
}

/// The turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'turns> {
    turns: &'turns Turns,
    /// Since when the lock is held.
    locked: Option<Instant>,
}

impl Turns {
    /// The queue that all stores on this file share; one of its own for a database in memory.
    pub(crate) fn of(file: Option<&Path>) -> Arc<Turns> {
        static FILES: Mutex<Option<HashMap<PathBuf, Weak<Turns>>>> = Mutex::new(None);

        let Some(file) = file else {
            return Arc::default();
        };
        // One file may have several paths. Where this fails the lock alone decides, as between processes.
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
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

    /// Waits for the turn, and until others had their share of the time; None if the turn does not come within this time.
    pub(crate) fn wait(&self, at_most: Duration) -> Option<Turn<'_>> {
        let mut queue = self.lock();
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.push_back(ticket);
        let began = Instant::now();
        while queue.waiting.front() != Some(&ticket) {
            let Some(left) = at_most.checked_sub(began.elapsed()) else {
                queue.waiting.retain(|waiting| *waiting != ticket);
                return None;
            };
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let pause = queue.share.pause(Instant::now());
        drop(queue);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        Some(Turn { turns: self, locked: None })
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        // Nothing above panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The lock is held from now until the turn ends.
    pub(crate) fn locked(&mut self) {
        self.locked = Some(Instant::now());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.lock();
        if let Some(since) = self.locked {
            queue.share.held(since, Instant::now());
        }
        queue.waiting.pop_front();
        drop(queue);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_turn_and_all_get_it() {
        let turns = Turns::default();
        let inside = Mutex::new(());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let turn = turns.wait(Duration::from_secs(60)).unwrap();
                        drop(inside.try_lock().unwrap());
                        drop(turn);
                    }
                });
            }
        });
        assert!(turns.lock().waiting.is_empty());
    }

    #[test]
    fn who_waits_in_vain_leaves_the_queue() {
        let turns = Turns::default();
        let turn = turns.wait(Duration::ZERO).unwrap();
        assert!(turns.wait(Duration::from_millis(1)).is_none());
        drop(turn);
        assert!(turns.wait(Duration::ZERO).is_some());
    }

    #[test]
    fn stores_on_one_file_share_their_turns() {
        let folder = std::env::temp_dir();
        let [one, same] =
            [folder.join("turns.db"), folder.join("turns.db")].map(|file| Turns::of(Some(&file)));
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &Turns::of(Some(&folder.join("other.db")))));
        assert!(!Arc::ptr_eq(&Turns::of(None), &Turns::of(None)));
    }
}
