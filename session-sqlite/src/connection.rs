//! Opening connections, all alike.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use session_core::{Error, ErrorKind, Result};

use crate::error::Failure;
use crate::layout::Answer;
use crate::options::{ConnectionOptions, JournalMode, Place};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

/// Opens connections to one database.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    place: Place,
    options: ConnectionOptions,
}

impl Connector {
    /// Checks the place, and makes a missing file.
    pub(crate) fn new(place: Place, options: ConnectionOptions) -> Result<Connector> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::unsupported(format!(
                "the system's SQLite is {}, and 3.37 is needed; take a later one, or the feature `bundled`",
                rusqlite::version()
            )));
        }
        let place = match place {
            Place::Memory => Place::Memory,
            Place::File(path) => resolve(path)?,
        };
        Ok(Connector { place, options })
    }

    pub(crate) fn options(&self) -> &ConnectionOptions {
        &self.options
    }

    /// The file, unless the database is in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory => None,
        }
    }

    pub(crate) fn open(&self, role: Role) -> Answer<Connection> {
        let db = match &self.place {
            Place::Memory => Connection::open_in_memory_with_flags(FLAGS)?,
            Place::File(path) => Connection::open_with_flags(path, FLAGS)?,
        };
        // Three dozen statements at most, whatever the layout.
        db.set_prepared_statement_cache_capacity(64);
        db.busy_timeout(self.options.busy_timeout)?;
        db.pragma_update(None, "cache_size", -i64::from(self.options.page_cache / 1024))?;
        db.pragma_update(None, "synchronous", self.options.synchronous.keyword())?;
        match role {
            Role::Writer => self.prepare_writer(&db)?,
            Role::Reader => db.pragma_update(None, "query_only", true)?,
            Role::Checkpointer => {}
        }
        Ok(db)
    }

    fn prepare_writer(&self, db: &Connection) -> Answer<()> {
        if matches!(self.place, Place::Memory) {
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
                .with_indeterminate(false),
            ));
        }
        if self.options.journal_mode == JournalMode::Wal {
            let limit = i64::try_from(self.options.wal_limit.get()).unwrap_or(i64::MAX);
            // Keeps the file of a log that was begun anew from staying at its largest size.
            db.pragma_update(None, "journal_size_limit", limit)?;
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

/// The first with STRICT tables.
const OLDEST_SQLITE: i32 = 3_037_000;

/// SQLite's usual page.
pub(crate) const PAGE: i64 = 4096;

/// An absolute path is never taken for one of SQLite's special names, and stays right when the program changes its
/// folder.
fn resolve(path: PathBuf) -> Result<Place> {
    if path == Path::new(":memory:") {
        return Ok(Place::Memory);
    }
    if path.as_os_str().is_empty() {
        return Err(Error::invalid_input(
            "the path of the database is empty; give a file, or use `in_memory`",
        ));
    }
    if path.to_str().is_some_and(|text| text.starts_with("file:") || text.starts_with("sqlite:")) {
        return Err(Error::invalid_input("the path of the database is a URI; give the path of a file"));
    }
    let path = std::path::absolute(&path).map_err(|error| {
        Error::invalid_input("the path of the database cannot be made absolute; give an absolute path")
            .with_source(error)
    })?;
    make_private(&path);
    Ok(Place::File(path))
}

/// Makes a missing file readable by its owner alone: sessions concern nobody else. SQLite gives its log the same
/// rights. Whatever fails here, SQLite meets again and reports.
fn make_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}
