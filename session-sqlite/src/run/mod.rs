//! Running work on connections: a thread that writes, readers beside it, and a thread that moves the log.

mod checkpointer;
mod control;
mod flush;
mod pace;
mod queue;
mod readers;
mod statement;
mod thread;
mod turns;
mod writer;

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use session_core::Result;

use crate::connect::{Connector, JournalMode};
use crate::error::Answer;
use checkpointer::{Checkpointer, Log};
pub(crate) use control::in_one_snapshot;
use readers::Readers;
pub use readers::Reads;
pub(crate) use statement::Blocking;
use writer::Writer;

/// How work is run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) reads: Reads,
    pub(crate) readers: NonZeroUsize,
    pub(crate) batch_limit: NonZeroUsize,
    pub(crate) checkpoint_after: NonZeroU64,
}

/// The threads and connections of one store. No connection is open before something is to be run on it.
// In this order they are dropped: the writer's connection closes last and moves the rest of the log.
#[derive(Debug)]
pub(crate) struct Run {
    /// None for a database in memory, which has one connection: the writer's.
    readers: Option<Readers>,
    _checkpointer: Option<Checkpointer>,
    writer: Writer,
}

impl Run {
    /// Starts the threads. The table is named in errors.
    pub(crate) fn start(connector: &Connector, table: &str, options: &Options) -> Result<Run> {
        let log = Arc::new(Log::new(options.checkpoint_after.get()));
        let has_log = connector.options().journal_mode == JournalMode::Wal;
        let (mut readers, mut checkpointer) = (None, None);
        if connector.path().is_some() {
            readers = Some(Readers::start(connector, table, options.reads, options.readers)?);
            if has_log {
                checkpointer = Some(Checkpointer::start(connector.clone(), Arc::clone(&log))?);
            }
        }
        let writer = Writer::start(connector.clone(), table, options.batch_limit, log)?;
        Ok(Run { readers, _checkpointer: checkpointer, writer })
    }

    /// How many can read at once beside the writer; 0 if nobody can.
    pub(crate) fn readers(&self) -> usize {
        self.readers.as_ref().map_or(0, Readers::count)
    }

    /// Does one operation, with a payload of this length, in a transaction, and waits until it is committed. `work` is
    /// called again if the transaction was rolled back for another one's sake.
    pub(crate) async fn write<T, F>(&self, payload: usize, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Answer<T> + Send + 'static,
    {
        self.writer.write(payload, work).await
    }

    /// The same for several at once. Each has an outcome of its own.
    pub(crate) async fn write_all<T, F>(&self, works: impl Iterator<Item = (usize, F)>) -> Vec<Result<T>>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Answer<T> + Send + 'static,
    {
        self.writer.write_all(works).await
    }

    /// Does so many loads on the caller's thread, if it should be done there; see [`Readers::read_inline`].
    pub(crate) fn read_inline<T>(
        &self,
        loads: usize,
        read: impl FnOnce(&Connection, Option<Duration>) -> Answer<T>,
    ) -> Option<Result<T>> {
        self.readers.as_ref()?.read_inline(loads, read)
    }

    /// Reads on a thread.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Answer<T> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.read(read).await,
            None => self.write(0, read).await,
        }
    }
}
