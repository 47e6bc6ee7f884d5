//! The thread that writes.
//!
//! Everything that waits goes into one transaction, and each operation is answered with its own outcome after the
//! commit. While one batch is committed, the next one gathers; when nothing waits, a single
//! operation is one of its own, at once.
//!
//! A batch that fails as a whole (a full disk, a row that cannot be decoded after it was changed) is rolled back, and
//! its operations are done again one by one, each in a transaction of its own, so that none harms another.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use session_core::mutants::broken;
use session_core::{Error, Result};
use tokio::sync::oneshot;

use super::checkpointer::Log;
use super::control::{self, begin_writing};
use super::queue::Queue;
use super::thread::{receive, spawn};
use super::turns::{Turn, Turns};
use crate::connect::{Connector, Role};
use crate::error::{Answer, Failure, classify, leaves_commit_in_doubt};

/// The handle of the writing thread.
pub(crate) struct Writer {
    queue: Arc<Queue<Entry>>,
    thread: Option<JoinHandle<()>>,
}

/// An operation that waits for its turn.
struct Entry {
    work: Box<dyn Work>,
    since: Instant,
    /// About how many bytes of the log it fills.
    bytes: u64,
    error: Option<Error>,
}

impl Writer {
    /// Starts the thread. It opens its connection when there is something to write.
    pub(crate) fn start(
        connector: Connector,
        table: &str,
        batch_limit: NonZeroUsize,
        log: Arc<Log>,
    ) -> Result<Writer> {
        let queue = Arc::new(Queue::new());
        let thread = Thread {
            queue: Arc::clone(&queue),
            backlog: VecDeque::new(),
            db: None,
            turns: Turns::of(connector.path()),
            connector,
            table: table.to_owned(),
            batch_limit: batch_limit.get(),
            log,
        };
        let thread = spawn("sessions-write", move || thread.run())?;
        Ok(Writer { queue, thread: Some(thread) })
    }

    /// Does one operation and waits until it is committed.
    pub(crate) async fn write<T, F>(&self, payload: usize, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Answer<T> + Send + 'static,
    {
        let (entry, answer) = entry(payload, work);
        self.queue.push([entry]);
        receive(answer).await
    }

    /// Does operations, each with the length of its payload, that are put into the queue together.
    pub(crate) async fn write_all<T, F>(&self, works: impl Iterator<Item = (usize, F)>) -> Vec<Result<T>>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Answer<T> + Send + 'static,
    {
        let (entries, answers): (Vec<_>, Vec<_>) = works.map(|(payload, work)| entry(payload, work)).unzip();
        self.queue.push(entries);
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(receive(answer).await);
        }
        outcomes
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// An operation, and where its answer will come.
fn entry<T, F>(payload: usize, work: F) -> (Entry, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: Fn(&Connection) -> Answer<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let work = Box::new(Call { work, outcome: None, reply });
    // Each operation changes a page of the table and, as it may be, one of an index.
    let bytes = u64::try_from(payload).unwrap_or(u64::MAX).saturating_add(8192);
    (Entry { work, since: Instant::now(), bytes, error: None }, answer)
}

/// An operation without its types.
trait Work: Send {
    fn is_abandoned(&self) -> bool;
    /// May be called again after its transaction was rolled back.
    fn run(&mut self, db: &Connection) -> Answer<()>;
    fn answer(self: Box<Self>, error: Option<Error>);
}

struct Call<T, F> {
    work: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Work for Call<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Answer<T> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, db: &Connection) -> Answer<()> {
        self.outcome = Some((self.work)(db)?);
        Ok(())
    }

    fn answer(self: Box<Self>, error: Option<Error>) {
        let result = match (error, self.outcome) {
            (None, Some(outcome)) => Ok(outcome),
            (Some(error), _) => Err(error),
            // Without `reply` the caller learns that the thread did not get to it.
            (None, None) => return,
        };
        // A caller that has gone needs no answer.
        drop(self.reply.send(result));
    }
}

struct Thread {
    queue: Arc<Queue<Entry>>,
    /// Taken from the queue and not yet done.
    backlog: VecDeque<Entry>,
    /// None after an error that may be the connection's fault.
    db: Option<Connection>,
    connector: Connector,
    table: String,
    turns: Arc<Turns>,
    batch_limit: usize,
    log: Arc<Log>,
}

/// What became of a batch.
enum Outcome {
    Committed,
    /// Nothing was changed.
    RolledBack(Failure),
    /// The commit failed in a way that a crash might yet turn into a success.
    InDoubt(rusqlite::Error),
}

impl Thread {
    fn run(mut self) {
        while !self.backlog.is_empty() || self.queue.wait_all(&mut self.backlog) {
            match self.connect() {
                Ok(db) => self.write_batch(db),
                // The next one tries again: an error is answered to the operation that met it.
                Err(failure) => self.refuse_first(failure),
            }
        }
    }

    fn connect(&mut self) -> Answer<Connection> {
        self.db.take().map_or_else(|| self.connector.open(Role::Writer), Ok)
    }

    /// Keeps the connection, unless a new one may do better. A database in memory is its connection.
    fn keep(&mut self, db: Connection, failure: &Failure) {
        let good = (!failure.spoils_connection() && db.is_autocommit())
            || broken("sqlite: keeps a connection that failed");
        if good || self.connector.path().is_none() {
            self.db = Some(db);
        }
    }

    /// Does what waits in one transaction.
    fn write_batch(&mut self, db: Connection) {
        let turns = Arc::clone(&self.turns);
        let turn = match self.begin(&db, &turns) {
            Ok(Some(turn)) => turn,
            Ok(None) => return self.db = Some(db),
            Err(failure) => {
                self.keep(db, &failure);
                return self.refuse_first(failure);
            }
        };
        let mut batch = Vec::new();
        let (mut bytes, mut failed) = (0_u64, None);
        while failed.is_none() && batch.len() < self.batch_limit && bytes < MOST_BYTES {
            let Some(mut entry) = self.next() else { break };
            failed = step(&db, &mut entry, &self.table);
            bytes = bytes.saturating_add(entry.bytes);
            batch.push(entry);
        }
        let outcome = match failed {
            None if broken("sqlite: never commits a batch") && batch.len() > 1 => {
                drop(control::roll_back(&db));
                Outcome::Committed
            }
            None => commit(&db),
            Some(failure) => roll_back(&db, failure),
        };
        drop(turn);
        self.finish(db, batch, outcome);
    }

    fn finish(&mut self, db: Connection, batch: Vec<Entry>, outcome: Outcome) {
        match outcome {
            Outcome::Committed => {
                let bytes = batch.iter().map(|entry| entry.bytes).sum();
                batch.into_iter().for_each(Entry::answer);
                self.log.written(bytes);
                self.log.begin_anew_if_due(&db, self.connector.options().busy_timeout);
                self.db = Some(db);
            }
            Outcome::RolledBack(_) if broken("sqlite: answers what was rolled back") => {
                batch.into_iter().for_each(Entry::answer);
                self.db = Some(db);
            }
            Outcome::RolledBack(failure) => {
                self.keep(db, &failure);
                match <[Entry; 1]>::try_from(batch) {
                    Ok([entry]) => entry.refuse(failure.into_error(&self.table)),
                    Err(batch) if broken("sqlite: a write that fails takes its batch along") => {
                        let error = Arc::new(failure.into_error(&self.table));
                        batch.into_iter().for_each(|entry| entry.refuse(Error::shared(&error)));
                    }
                    Err(batch) => batch.into_iter().for_each(|entry| self.write_alone(entry)),
                }
            }
            Outcome::InDoubt(error) => {
                if self.connector.path().is_none() {
                    self.db = Some(db);
                }
                let error = Arc::new(error);
                for entry in batch {
                    entry.refuse(classify(Arc::clone(&error), &self.table).with_in_doubt(true));
                }
            }
        }
    }

    /// Does an operation whose batch failed in a transaction of its own.
    fn write_alone(&mut self, mut entry: Entry) {
        entry.error = None;
        let began = self.connect().and_then(|db| match begin_writing(&db) {
            Ok(()) => Ok(db),
            Err(failure) => {
                self.keep(db, &failure);
                Err(failure)
            }
        });
        match began {
            Err(failure) => entry.refuse(failure.into_error(&self.table)),
            Ok(db) => {
                let outcome = match entry.work.run(&db) {
                    Ok(()) => commit(&db),
                    Err(failure) => roll_back(&db, failure),
                };
                self.finish(db, vec![entry], outcome);
            }
        }
    }

    /// Opens a transaction that holds the lock for writing. None if nobody waits for it any more.
    ///
    /// SQLite's own waiting sleeps up to 100 ms between two looks, and so would rarely find the lock free while
    /// another process writes without pause; this one looks at least every 2 ms. Nobody waits longer than the
    /// time-out from when he came.
    fn begin<'turns>(&mut self, db: &Connection, turns: &'turns Turns) -> Answer<Option<Turn<'turns>>> {
        let timeout = self.connector.options().busy_timeout;
        let mut pause = Duration::from_micros(50);
        let mut turn = None;
        db.busy_timeout(Duration::ZERO)?;
        let began = loop {
            turn = turn.or_else(|| turns.wait(timeout.min(LOOK_AROUND)));
            let failure = match turn.as_ref().map_or_else(|| Err(Failure::busy()), |_| begin_writing(db)) {
                Err(failure) if failure.is_busy() => failure,
                result => {
                    if let Some(turn) = &mut turn {
                        turn.locked();
                    }
                    break result.map(|()| turn);
                }
            };
            self.queue.take_all(&mut self.backlog);
            self.backlog.retain(|entry| !entry.work.is_abandoned());
            match self.backlog.front() {
                None => break Ok(None),
                Some(first)
                    if first.since.elapsed() >= timeout && !broken("sqlite: waits for ever for the lock") =>
                {
                    self.refuse_first(failure);
                }
                Some(_) if turn.is_none() => {}
                Some(_) => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
            }
        };
        db.busy_timeout(timeout)?;
        began
    }

    /// The next operation that somebody waits for, without waiting.
    fn next(&mut self) -> Option<Entry> {
        loop {
            if self.backlog.is_empty() {
                self.queue.take_all(&mut self.backlog);
            }
            let entry = self.backlog.pop_front()?;
            if !entry.work.is_abandoned() {
                return Some(entry);
            }
        }
    }

    fn refuse_first(&mut self, failure: Failure) {
        if let Some(entry) = self.backlog.pop_front() {
            entry.refuse(failure.into_error(&self.table));
        }
    }
}

/// Does one operation of a batch. Returns why the transaction cannot go on; an error that changed nothing is the
/// operation's own.
fn step(db: &Connection, entry: &mut Entry, table: &str) -> Option<Failure> {
    let changes = db.total_changes();
    let failure = entry.work.run(db).err()?;
    // SQLite ends the whole transaction by itself after some errors, such as a full disk.
    let is_half_done = db.total_changes() != changes && !broken("sqlite: a failure leaves half of a write");
    if is_half_done || db.is_autocommit() || failure.spoils_connection() {
        return Some(failure);
    }
    entry.error = Some(failure.into_error(table));
    None
}

fn commit(db: &Connection) -> Outcome {
    match control::commit(db) {
        Ok(()) => Outcome::Committed,
        Err(Failure::Sqlite(error)) if leaves_commit_in_doubt(&error) => {
            drop(control::roll_back(db));
            Outcome::InDoubt(error)
        }
        Err(failure) => roll_back(db, failure),
    }
}

fn roll_back(db: &Connection, failure: Failure) -> Outcome {
    // SQLite may have done it already. Should it fail, closing the connection does it.
    if !db.is_autocommit() {
        drop(control::roll_back(db));
    }
    Outcome::RolledBack(failure)
}

/// How often a thread that waits for its turn looks whether its callers still do.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// A batch ends once it fills this much of the log, so that nobody waits long for large neighbours.
const MOST_BYTES: u64 = 32 << 20;

impl Entry {
    fn answer(self) {
        self.work.answer(self.error);
    }

    fn refuse(mut self, error: Error) {
        self.error = Some(error);
        self.answer();
    }
}
