//! What is asked of SQLite itself, whatever the table: transactions, and the write-ahead log.

use rusqlite::Connection;
use session_core::mutants::broken;
use session_sql::sqlite;

use crate::error::Answer;

/// Begins a transaction with the lock for writing.
pub(crate) fn begin_writing(db: &Connection) -> Answer<()> {
    run(db, if broken("sqlite: takes the lock for writing late") { "BEGIN" } else { sqlite::BEGIN })
}

pub(crate) fn commit(db: &Connection) -> Answer<()> {
    run(db, "COMMIT")
}

pub(crate) fn roll_back(db: &Connection) -> Answer<()> {
    run(db, "ROLLBACK")
}

/// Reads in one transaction, if none is open: SQLite takes and leaves its lock for reading once, and looks once for what
/// others wrote.
pub(crate) fn in_one_snapshot<T>(db: &Connection, read: impl FnOnce() -> Answer<T>) -> Answer<T> {
    if !db.is_autocommit() {
        return read();
    }
    // The lock for reading comes with the first read.
    run(db, "BEGIN")?;
    let answer = read();
    // Nothing was written, so it ends either way; SQLite may have ended it already, after an error.
    if !db.is_autocommit() && commit(db).is_err() {
        drop(roll_back(db));
    }
    answer
}

fn run(db: &Connection, sql: &'static str) -> Answer<()> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// How the log is moved into the database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Checkpoint {
    /// Without waiting for anybody.
    Passive,
    /// The next write begins the log anew. Waits for those who read it.
    Restart,
}

/// What a checkpoint has left behind.
#[derive(Debug)]
pub(crate) struct LogState {
    /// Pages in the log.
    pub(crate) pages: i64,
    /// Those of them that are in the database too.
    pub(crate) moved: i64,
}

pub(crate) fn checkpoint(db: &Connection, how: Checkpoint) -> Answer<LogState> {
    let sql = match how {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
    };
    // The first column says whether it was kept from doing all.
    Ok(db.query_row(sql, [], |row| Ok(LogState { pages: row.get(1)?, moved: row.get(2)? }))?)
}
