//! The thread that moves the write-ahead log into the database.
//!
//! Left to the writer, a checkpoint makes one commit in some hundred wait 20 ms. A PASSIVE one on a connection of its own
//! runs beside the writer. Under steady load it never catches up wholly, and only a log that is caught up with can be
//! begun anew: so when the log has grown over its limit, the writer itself pauses once for what little is left. To
//! keep that little, what was moved is also flushed beside the writer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use session_core::Result;

use super::control::{Checkpoint, LogState, checkpoint};
use super::flush::flush;
use super::queue::Queue;
use super::thread::spawn;
use crate::connect::{Connector, PAGE, Role, Synchronous};

/// What the writer and the checkpointer know of the log.
#[derive(Debug)]
pub(crate) struct Log {
    /// Bytes written since the last checkpoint was asked for, by estimate.
    written: AtomicU64,
    checkpoint_after: u64,
    /// The writer is to begin it anew, and the checkpointer rests until it has tried.
    over_limit: AtomicBool,
    wake: Queue<()>,
}

impl Log {
    pub(crate) fn new(checkpoint_after: u64) -> Log {
        Log {
            written: AtomicU64::new(0),
            checkpoint_after,
            over_limit: AtomicBool::new(false),
            wake: Queue::new(),
        }
    }

    /// The writer has committed this much.
    pub(crate) fn written(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) >= self.checkpoint_after {
            self.written.store(0, Ordering::Relaxed);
            self.wake.push([()]);
        }
    }

    /// Called by the writer between two transactions.
    pub(crate) fn begin_anew_if_due(&self, db: &Connection, busy_timeout: Duration) {
        if self.over_limit.load(Ordering::Acquire) {
            // If a reader stays in the log for longer, a backup for one, the next checkpoint asks again.
            drop(db.busy_timeout(PATIENCE).map(|()| checkpoint(db, Checkpoint::Restart)));
            drop(db.busy_timeout(busy_timeout));
            self.over_limit.store(false, Ordering::Release);
        }
    }
}

/// The handle of the checkpointing thread.
pub(crate) struct Checkpointer {
    log: Arc<Log>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(connector: Connector, log: Arc<Log>) -> Result<Checkpointer> {
        let shared = Arc::clone(&log);
        let thread = spawn("sessions-log", move || run(&connector, &shared))?;
        Ok(Checkpointer { log, thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.log.wake.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointer").field("log", &self.log).finish_non_exhaustive()
    }
}

fn run(connector: &Connector, log: &Log) {
    let limit = i64::try_from(connector.options().wal_limit.get()).unwrap_or(i64::MAX) / PAGE;
    let flushes = connector.options().synchronous != Synchronous::Off;
    let mut db = None;
    let mut calls = std::collections::VecDeque::new();
    while log.wake.wait_all(&mut calls) {
        calls.clear();
        // The writer is about to do it: it would have to wait for this one, asleep.
        if log.over_limit.load(Ordering::Acquire) {
            continue;
        }
        // Whatever fails here, the writer's own checkpoint at four times the limit is still there.
        let state = db
            .take()
            .map_or_else(|| connector.open(Role::Checkpointer), Ok)
            .and_then(|open| checkpoint(db.insert(open), Checkpoint::Passive));
        let Ok(LogState { pages, moved }) = state else {
            db = None;
            continue;
        };
        // SQLite itself has flushed them if none was left.
        if let (true, Some(path)) = (flushes && pages > limit / 8 && moved < pages, connector.path()) {
            flush(path);
        }
        if pages > limit {
            log.over_limit.store(true, Ordering::Release);
        }
    }
}

/// How long writes wait for readers to leave the log.
const PATIENCE: Duration = Duration::from_millis(50);
