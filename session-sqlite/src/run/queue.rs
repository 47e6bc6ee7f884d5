//! A queue that threads wait on.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What callers hand to a thread. It has no bound of its own: each entry is a caller that waits, and one that has
/// gone is passed over.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    entries: VecDeque<T>,
    /// How many threads wait; nobody need be woken otherwise.
    waiting: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        let state = State { entries: VecDeque::new(), waiting: 0, closed: false };
        Queue { state: Mutex::new(state), ready: Condvar::new() }
    }

    /// Adds entries that stay together and in order.
    pub(crate) fn push(&self, entries: impl IntoIterator<Item = T>) {
        let mut state = self.lock();
        state.entries.extend(entries);
        let wake = state.waiting > 0;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
    }

    /// Waits for an entry; `None` once the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        self.wait().and_then(|mut state| state.entries.pop_front())
    }

    /// Waits for entries and moves all of them; false once the queue is closed and empty.
    pub(crate) fn wait_all(&self, into: &mut VecDeque<T>) -> bool {
        self.wait().map(|mut state| into.append(&mut state.entries)).is_some()
    }

    /// Moves what is there, without waiting.
    pub(crate) fn take_all(&self, into: &mut VecDeque<T>) {
        into.append(&mut self.lock().entries);
    }

    /// Lets the waiting threads go once they have taken what is there.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    fn wait(&self) -> Option<MutexGuard<'_, State<T>>> {
        let mut state = self.lock();
        while state.entries.is_empty() {
            if state.closed {
                return None;
            }
            state.waiting += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        Some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing above panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
