//! A connection of our own, straight over tokio-postgres.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use futures_util::future::poll_fn;
use futures_util::{TryStreamExt, pin_mut};
use session_core::Result;
use session_sql::Bound;
use session_sql::postgres::settings;
use tokio::task::AbortHandle;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, CancelToken, Connection, Socket, Statement};

use super::value::{PgRow, pg_type};
use crate::checkout::{Alive, Own};
use crate::sendable::Hidden;

/// What came of a call: an error of the client, and whether the connection's own end explains it better.
pub(super) type Answer<T> = Result<T, Arc<tokio_postgres::Error>>;

pub(super) struct Client {
    client: tokio_postgres::Client,
    /// By their text, which is one of the store's.
    statements: HashMap<Box<str>, Statement>,
    keeps_statements: bool,
    end: Arc<OnceLock<Arc<tokio_postgres::Error>>>,
    task: AbortHandle,
}

impl Client {
    /// Takes a connection that has logged in. Without `keeps_statements` nothing stays on it from one call to the next.
    pub(super) fn new<S>(
        client: tokio_postgres::Client,
        mut connection: Connection<Socket, S>,
        keeps_statements: bool,
    ) -> Client
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        let end = Arc::new(OnceLock::new());
        let ended = Arc::clone(&end);
        let task = tokio::spawn(async move {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    // It is acknowledged next, and a failover would lose it: without an answer it is in doubt.
                    Ok(AsyncMessage::Notice(notice)) if was_not_replicated(&notice) => break,
                    Ok(_) => {}
                    Err(error) => {
                        // Before the connection is dropped, and those that wait for an answer hear of it.
                        let _ = ended.set(Arc::new(error));
                        break;
                    }
                }
            }
        });
        let (statements, task) = (HashMap::new(), task.abort_handle());
        Client { client, statements, keeps_statements, end, task }
    }

    /// What can ask the server to give up what this connection runs.
    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Runs statements without values.
    pub(super) async fn script(&self, sql: &str) -> Answer<()> {
        let outcome = self.client.batch_execute(sql).await;
        self.explained(outcome)
    }

    /// The first columns of the first row that a statement without values gives.
    pub(super) async fn texts<const N: usize>(&self, sql: &str) -> Answer<[Option<String>; N]> {
        let messages = self.client.simple_query(sql).await;
        let messages = self.explained(messages)?;
        let row = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(std::array::from_fn(|column| row?.try_get(column).ok()?.map(str::to_owned)))
    }

    /// The rows that a statement gives.
    pub(super) async fn rows<T>(&mut self, bound: Bound<'_>, row: impl Fn(&PgRow) -> T) -> Answer<Vec<T>> {
        let outcome = async {
            let rows = match self.prepared(&bound).await? {
                Some(statement) => self.client.query_raw(&statement, bound.value_refs().map(Hidden)).await?,
                None => self.client.query_typed_raw(bound.sql(), typed(&bound)).await?,
            };
            pin_mut!(rows);
            let mut found = Vec::new();
            while let Some(next) = rows.try_next().await? {
                found.push(row(&PgRow::Own(next)));
            }
            Ok(found)
        }
        .await;
        self.explained(outcome)
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&mut self, bound: Bound<'_>) -> Answer<u64> {
        let outcome = async {
            match self.prepared(&bound).await? {
                Some(statement) => self.client.execute_raw(&statement, bound.value_refs().map(Hidden)).await,
                None => {
                    let rows = self.client.query_typed_raw(bound.sql(), typed(&bound)).await?;
                    pin_mut!(rows);
                    while rows.try_next().await?.is_some() {}
                    Ok(rows.rows_affected().unwrap_or(0))
                }
            }
        }
        .await;
        self.explained(outcome)
    }

    /// The statement as the server has it, or `None` where it is to keep none.
    async fn prepared(&mut self, bound: &Bound<'_>) -> Result<Option<Statement>, tokio_postgres::Error> {
        if !self.keeps_statements {
            return Ok(None);
        }
        if let Some(known) = self.statements.get(bound.sql()) {
            return Ok(Some(known.clone()));
        }
        let types: Vec<Type> = bound.value_refs().map(pg_type).collect();
        let statement = self.client.prepare_typed(bound.sql(), &types).await?;
        self.statements.insert(bound.sql().into(), statement.clone());
        Ok(Some(statement))
    }

    /// `connection closed` says nothing: the connection's own end has the server's words.
    fn explained<T>(&self, outcome: Result<T, tokio_postgres::Error>) -> Answer<T> {
        outcome.map_err(|error| match self.end.get() {
            Some(end) if error.is_closed() => Arc::clone(end),
            _ => Arc::new(error),
        })
    }
}

/// Whether a commit was cancelled while it waited for a standby, as `synchronous_standby_names` asks for. The server says so
/// in a warning in its own language, and from where in its source.
fn was_not_replicated(notice: &DbError) -> bool {
    notice.routine() == Some("SyncRepWaitForLSN")
}

fn typed<'b>(bound: &Bound<'b>) -> impl Iterator<Item = (Hidden<'b>, Type)> + use<'b> {
    bound.value_refs().map(|value| (Hidden(value), pg_type(value)))
}

impl Own for Client {
    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Alive for Client {
    async fn sign_of_life(&mut self) -> bool {
        self.script(settings::SIGN_OF_LIFE).await.is_ok()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Closes the socket at once, whatever the server still works on.
        self.task.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
