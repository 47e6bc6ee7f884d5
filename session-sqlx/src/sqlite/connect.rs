//! Opening connections, all alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use session_core::{Error, Result};
use session_sql::sqlite::{Database, make_private};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use super::client::Client;
use super::error;

/// How long the log grows before a commit moves it into the file: 32 MiB, eight times SQLite's default. With a row in
/// three trees, as a session is, the default is full after 330 writes.
const LOG_PAGES: u32 = 8192;

/// Opens connections to one file.
#[derive(Clone)]
pub(super) struct Connector {
    path: PathBuf,
    options: SqliteConnectOptions,
}

impl Connector {
    pub(super) fn new(database: Database, busy_timeout: Duration) -> Result<Connector> {
        let Database::File(path) = database else {
            return Err(Error::invalid_input(
                "each connection to a database in memory has one of its own; give a file, or take session-sqlite",
            ));
        };
        // So that stores on one file find one another by it.
        make_private(&path);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What is acknowledged survives a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(busy_timeout)
            // Each checkpoint waits for the disk twice, and writes a page once however often it changed.
            .pragma("wal_autocheckpoint", LOG_PAGES.to_string())
            // Each of a store's statements stays prepared.
            .statement_cache_capacity(64)
            .disable_statement_logging();
        Ok(Connector { path, options })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn connect(&self) -> Result<Client> {
        make_private(&self.path);
        self.options.connect().await.map(Client).map_err(error::connecting)
    }
}
