//! Opening connections, all alike.

use std::num::NonZeroU64;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use session_core::mutants::drops;
use session_core::{Error, ErrorKind, Result};
use session_sql::sqlite::{self, Database, make_private};

use crate::error::{Answer, Failure};

/// What every connection to the database is told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) synchronous: Synchronous,
    pub(crate) journal_mode: JournalMode,
    pub(crate) busy_timeout: Duration,
    pub(crate) page_cache: u32,
    pub(crate) wal_limit: NonZeroU64,
}

/// When SQLite waits until the disk has what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Never. After a power failure the database may be damaged.
    Off,
    /// At checkpoints. After a power failure the last commits may be missing; a crash of the program loses nothing.
    Normal,
    /// At each commit: what is acknowledged survives a power failure. The default.
    #[default]
    Full,
    /// At each commit, and the folder's entry too: it matters with [`JournalMode::Delete`] alone.
    Extra,
}

impl Synchronous {
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Synchronous::Off => "OFF",
            Synchronous::Normal => "NORMAL",
            Synchronous::Full => "FULL",
            Synchronous::Extra => "EXTRA",
        }
    }
}

/// How SQLite makes a transaction atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalMode {
    /// A write-ahead log beside the file: readers and the writer do not wait for each other. It needs shared memory,
    /// so all processes must be on one machine. The default.
    #[default]
    Wal,
    /// A rollback journal, for file systems without shared memory: readers wait for the writer and the writer for
    /// readers.
    Delete,
}

impl JournalMode {
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            JournalMode::Wal => "wal",
            JournalMode::Delete => "delete",
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    /// On a thread.
    Reader,
    /// On a caller, which is a runtime's worker and must not sleep: a lock is told at once.
    InlineReader,
    Checkpointer,
}

/// Opens connections to one database.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    database: Database,
    options: Options,
}

impl Connector {
    /// Checks that there can be connections. Looks at nothing.
    pub(crate) fn new(database: Database, options: Options) -> Result<Connector> {
        if rusqlite::version_number() < sqlite::OLDEST {
            return Err(Error::unsupported(format!(
                "the system's SQLite is {}, and 3.37 is needed; take a later one, or the feature `bundled`",
                rusqlite::version()
            )));
        }
        Ok(Connector { database, options })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The file, unless the database is in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.database {
            Database::File(path) => Some(path),
            Database::Memory => None,
        }
    }

    pub(crate) fn open(&self, role: Role) -> Answer<Connection> {
        let db = match &self.database {
            Database::Memory => Connection::open_in_memory_with_flags(FLAGS)?,
            Database::File(path) => {
                make_private(path);
                Connection::open_with_flags(path, FLAGS)?
            }
        };
        // Three dozen statements at most, whatever the layout.
        db.set_prepared_statement_cache_capacity(64);
        db.busy_timeout(match role {
            Role::InlineReader => Duration::ZERO,
            Role::Writer | Role::Reader | Role::Checkpointer => self.options.busy_timeout,
        })?;
        if !drops("sqlite", "cache_size") {
            db.pragma_update(None, "cache_size", -i64::from(self.options.page_cache / 1024))?;
        }
        if !drops("sqlite", "synchronous") {
            db.pragma_update(None, "synchronous", self.options.synchronous.keyword())?;
        }
        match role {
            Role::Writer => self.prepare_writer(&db)?,
            Role::Reader | Role::InlineReader if drops("sqlite", "query_only") => {}
            Role::Reader | Role::InlineReader => db.pragma_update(None, "query_only", true)?,
            Role::Checkpointer => {}
        }
        Ok(db)
    }

    fn prepare_writer(&self, db: &Connection) -> Answer<()> {
        if matches!(self.database, Database::Memory) {
            return Ok(());
        }
        let wanted = self.options.journal_mode.keyword();
        let mode = self.set_journal_mode(db, wanted)?;
        if mode != wanted {
            return Err(Failure::Store(
                Error::new(
                    ErrorKind::Backend,
                    format!(
                        "SQLite keeps the journal mode \"{mode}\" here instead of \"{wanted}\"; on a file system without \
                         shared memory choose `JournalMode::Delete`"
                    ),
                )
                .with_in_doubt(false),
            ));
        }
        if self.options.journal_mode == JournalMode::Wal {
            let limit = i64::try_from(self.options.wal_limit.get()).unwrap_or(i64::MAX);
            // Keeps the file of a log that was begun anew from staying at its largest size.
            if !drops("sqlite", "journal_size_limit") {
                db.pragma_update(None, "journal_size_limit", limit)?;
            }
            // The checkpointer does the work; this is for the case that it cannot.
            db.pragma_update(None, "wal_autocheckpoint", (limit / PAGE).saturating_mul(4))?;
        }
        if db.is_readonly(rusqlite::MAIN_DB)? {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
            return Err(Failure::Sqlite(rusqlite::Error::SqliteFailure(error, None)));
        }
        Ok(())
    }

    /// SQLite answers "busy" at once, without the time-out, where waiting could be a deadlock: when several processes
    /// open a new file.
    fn set_journal_mode(&self, db: &Connection, wanted: &str) -> Answer<String> {
        let deadline = Instant::now() + self.options.busy_timeout;
        loop {
            let answer = current_journal_mode(db).and_then(|mode| {
                if mode == wanted {
                    return Ok(mode);
                }
                Ok(db.pragma_update_and_check(None, "journal_mode", wanted, |row| row.get(0))?)
            });
            match answer {
                Err(failure) if failure.is_busy() && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(5));
                }
                answer => return answer,
            }
        }
    }
}

pub(crate) fn current_journal_mode(db: &Connection) -> Answer<String> {
    Ok(db.pragma_query_value(None, "journal_mode", |row| row.get(0))?)
}

/// Each connection is used by one thread at a time, so it needs no lock of its own.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// SQLite's usual page.
pub(crate) const PAGE: i64 = 4096;
