//! Connections of the pool: how one is taken, and what becomes of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use session_core::Result;
use session_sql::sqlite::BEGIN;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::client::{Client, Open, Purpose};
use super::error::{Failure, connecting};
use super::turns::{Turn, Turns};
use crate::checkout::{Checkout, Pools};
use crate::transaction::Lent;

type SqliteCheckout<'a> = Checkout<'a, Client, Sqlite>;

pub(super) struct Connections {
    pub(super) pool: Pools<Client, Sqlite>,
    /// Whose turn it is to write.
    pub(super) turns: Arc<Turns>,
    /// The table, for errors.
    pub(super) table: String,
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
}

impl Connections {
    /// The same within a transaction.
    pub(super) fn within(&self, lent: Lent<Sqlite>) -> Connections {
        Connections {
            pool: Pools::Within(lent),
            turns: Arc::default(),
            table: self.table.clone(),
            file: self.file.clone(),
        }
    }

    /// A connection to read with.
    pub(super) async fn reading(&self) -> Result<Reading<'_>> {
        let connection = self.pool.get(connecting).await?;
        Ok(Reading { connection, connections: self })
    }

    /// A connection for one statement, which is a transaction of its own.
    pub(super) async fn alone(&self) -> Result<Alone<'_>> {
        let mut turn = Turn::wait(&self.turns).await;
        let reading = self.reading().await?;
        turn.locked();
        Ok(Alone { reading, _turn: turn })
    }

    /// A connection within a transaction that holds the lock for writing.
    pub(super) async fn writing(&self) -> Result<Writing<'_>> {
        let mut turn = Turn::wait(&self.turns).await;
        let mut reading = self.reading().await?;
        if self.pool.is_within() {
            return Ok(Writing { reading, _turn: turn });
        }
        match reading.db().script(BEGIN).await {
            Ok(()) => {
                turn.locked();
                Ok(Writing { reading, _turn: turn })
            }
            Err(failure) => reading.end(Err(failure)),
        }
    }
}

/// A connection that is read with.
pub(super) struct Reading<'a> {
    connection: SqliteCheckout<'a>,
    connections: &'a Connections,
}

impl Reading<'_> {
    pub(super) fn db(&mut self) -> Open<'_> {
        self.open(Purpose::Reading)
    }

    fn open(&mut self, purpose: Purpose) -> Open<'_> {
        Open { connection: self.connection.connection(), purpose }
    }

    /// Decides what becomes of the connection.
    pub(super) fn end<T>(self, outcome: Result<T, Failure>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.connection.give_back();
                Ok(value)
            }
            Err(failure) => {
                // An error within a transaction ends it.
                if failure.spoils_connection() || self.connections.pool.is_within() {
                    self.connection.close();
                } else {
                    self.connection.give_back();
                }
                Err(failure.into_error(&self.connections.table))
            }
        }
    }
}

/// A connection on which one statement writes.
pub(super) struct Alone<'a> {
    reading: Reading<'a>,
    _turn: Turn<'a>,
}

impl Alone<'_> {
    pub(super) fn db(&mut self) -> Open<'_> {
        self.reading.open(Purpose::Writing)
    }

    /// Decides what becomes of the connection. The statement may have failed as it was committed.
    pub(super) fn end<T>(self, outcome: Result<T, Failure>) -> Result<T> {
        let in_doubt = outcome.as_ref().is_err_and(Failure::leaves_commit_in_doubt);
        self.reading.end(outcome).map_err(|error| if in_doubt { error.with_in_doubt(true) } else { error })
    }
}

/// A connection that is written with. Dropped, it is closed, which ends its transaction.
pub(super) struct Writing<'a> {
    reading: Reading<'a>,
    _turn: Turn<'a>,
}

impl Writing<'_> {
    pub(super) fn db(&mut self) -> Open<'_> {
        self.reading.open(Purpose::Writing)
    }

    /// Commits what was done, or undoes it.
    pub(super) async fn end<T>(mut self, outcome: Result<T, Failure>) -> Result<T> {
        let table = &self.reading.connections.table;
        if self.reading.connections.pool.is_within() {
            return self.reading.end(outcome);
        }
        let failure = match outcome {
            Ok(value) => match self.db().script("COMMIT").await {
                Ok(()) => return self.reading.end(Ok(value)),
                Err(failure) if failure.leaves_commit_in_doubt() => {
                    self.reading.connection.close();
                    return Err(failure.into_error(table).with_in_doubt(true));
                }
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        // SQLite may have done it already; closing the connection does it in any case.
        if failure.spoils_connection() || self.db().script("ROLLBACK").await.is_err() {
            self.reading.connection.close();
        } else {
            self.reading.connection.give_back();
        }
        Err(failure.into_error(table))
    }
}

impl SqliteCheckout<'_> {
    /// sqlx's connection.
    fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Checkout::Own(client) => &mut client.0,
            Checkout::Given(given) => given,
            Checkout::Within(held) => held,
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("pool", &self.pool).finish_non_exhaustive()
    }
}
