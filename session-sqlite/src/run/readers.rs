//! Reading, in parallel with the writer.
//!
//! A load runs on its caller where it can: with 100,000 sessions of 1 KiB in the system's cache, on 2 cores, one
//! caller loads 118,000 a second that way, as many as with a bare prepared `SELECT` in the same place, and 15,000 to
//! 46,000 through a thread; 64 callers 117,000 and 50,000. What may take long (a listing, a count, a cold page, a lock) runs on threads,
//! so that it does not hold up a worker of the caller's runtime.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use session_core::Result;
use session_core::mutants::broken;
use tokio::sync::oneshot;

use super::pace::{self, Pace};
use super::queue::Queue;
use super::thread::{receive, spawn};
use crate::connect::{Connector, Role};
use crate::error::Answer;

/// Where loads run.
///
/// A load of cached pages takes a few microseconds, less than a hop to another thread and back; one that waits for
/// the disk may take 20 ms, during which an asynchronous runtime's worker does nothing else. Listing and counting
/// always run on threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reads {
    /// On the caller while reads are fast. After one that took over half a millisecond the next 8 run on threads, and
    /// four times as many, up to 512, whenever another slow one follows within 32. So of a cold file's reads one in
    /// 500 holds up a worker. The default.
    #[default]
    Adaptive,
    /// Always on the caller: for a file that the page cache holds.
    Inline,
    /// Always on threads: no load ever holds up a worker.
    Threads,
}

/// The connections for loads on the caller, and the threads for everything else.
pub(crate) struct Readers {
    table: String,
    connector: Connector,
    reads: Reads,
    /// One load at a time on each. None before the first, and after an error that may be the connection's fault.
    inline: Vec<Mutex<Option<Connection>>>,
    pace: Pace,
    queue: Arc<Queue<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// Something to read on a thread's connection. It answers by itself, and says whether the connection is still good.
type Job = Box<dyn FnOnce(Answer<&Connection>) -> bool + Send>;

impl Readers {
    pub(crate) fn start(
        connector: &Connector,
        table: &str,
        reads: Reads,
        count: NonZeroUsize,
    ) -> Result<Readers> {
        let inline = if reads == Reads::Threads { 0 } else { count.get() };
        let mut readers = Readers {
            table: table.to_owned(),
            connector: connector.clone(),
            reads,
            inline: (0..inline).map(|_| Mutex::default()).collect(),
            pace: Pace::default(),
            queue: Arc::new(Queue::new()),
            threads: Vec::new(),
        };
        for _ in 0..count.get() {
            let (queue, connector) = (Arc::clone(&readers.queue), connector.clone());
            readers.threads.push(spawn("sessions-read", move || serve(&queue, &connector))?);
        }
        Ok(readers)
    }

    /// How many can read at once.
    pub(crate) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Does so many loads on the caller's thread, of some microseconds each; None where a thread should do it: no
    /// connection is free, reads are slow, or the read met a lock or an error that a new connection may not meet.
    /// `read` is told after how long it should leave the rest to a thread.
    pub(crate) fn read_inline<T>(
        &self,
        loads: usize,
        read: impl FnOnce(&Connection, Option<Duration>) -> Answer<T>,
    ) -> Option<Result<T>> {
        let adaptive = self.reads == Reads::Adaptive;
        if adaptive && self.pace.takes_detour(loads) {
            return None;
        }
        let mut slot = self.free_slot()?;
        let db = slot.take().map_or_else(|| self.connector.open(Role::InlineReader), Ok).ok()?;
        let allowance = pace::allowance(loads);
        let began = Instant::now();
        let answer = read(&db, adaptive.then_some(allowance));
        if adaptive {
            self.pace.took(began.elapsed(), loads);
        }
        match answer {
            Err(failure)
                if failure.spoils_connection()
                    && !broken("sqlite: a reader keeps a connection that failed") =>
            {
                None
            }
            Err(failure) if failure.is_busy() => {
                *slot = Some(db);
                None
            }
            answer => {
                if db.is_autocommit() {
                    *slot = Some(db);
                }
                Some(answer.map_err(|failure| failure.into_error(&self.table)))
            }
        }
    }

    /// Reads on a thread.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Answer<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let table = self.table.clone();
        let job: Job = Box::new(move |db| {
            if reply.is_closed() {
                return true;
            }
            let result = db.and_then(read);
            let usable = !result.as_ref().is_err_and(|failure| failure.spoils_connection());
            // A caller that has gone needs no answer.
            drop(reply.send(result.map_err(|failure| failure.into_error(&table))));
            usable
        });
        self.queue.push([job]);
        receive(answer).await
    }

    /// Each thread begins at a connection of its own, so that two seldom ask for the same.
    fn free_slot(&self) -> Option<std::sync::MutexGuard<'_, Option<Connection>>> {
        let count = self.inline.len();
        let first = preferred_slot();
        (0..count).find_map(|step| match self.inline[(first + step) % count].try_lock() {
            Ok(slot) => Some(slot),
            Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => None,
        })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("reads", &self.reads)
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

fn serve(queue: &Queue<Job>, connector: &Connector) {
    let mut db = None;
    while let Some(job) = queue.pop() {
        let answer = match &db {
            Some(db) => Ok(db),
            None => connector.open(Role::Reader).map(|open| &*db.insert(open)),
        };
        if !job(answer) || !db.as_ref().is_some_and(Connection::is_autocommit) {
            db = None;
        }
    }
}

/// A number that differs between most threads.
fn preferred_slot() -> usize {
    thread_local! {
        static SLOT: usize = {
            let mut hasher = DefaultHasher::new();
            thread::current().id().hash(&mut hasher);
            usize::try_from(hasher.finish() >> 33).unwrap_or(0)
        };
    }
    SLOT.with(|slot| *slot)
}
