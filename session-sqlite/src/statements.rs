//! What is asked of SQLite whatever the table's shape. The statements on sessions stand with each layout.

/// Takes the lock at once: a transaction that began with reading could fail when it comes to writing.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Begins to read. The lock for reading comes with the first read.
pub(crate) const BEGIN_READING: &str = "BEGIN";

/// The names of a table's columns; none if there is no such table.
pub(crate) const COLUMNS: &str = "SELECT name FROM pragma_table_info(?1)";

/// Moves what the log holds into the database, without waiting for anybody. The second column of the answer is the
/// number of pages in the log, the third how many of them are in the database now.
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The same, and makes the next write begin the log anew. Waits for those who read it.
pub(crate) const RESTART_LOG: &str = "PRAGMA wal_checkpoint(RESTART)";
