//! A connection of our own, straight over mysql_async.

use std::collections::HashMap;
use std::fmt;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Statement, Value as Sent};
use session_sql::mysql::settings;
use session_sql::{Bound, Value};

use super::value::MysqlRow;
use crate::checkout::{Alive, Own};

pub(super) struct Client {
    connection: Conn,
    /// By their text, which is one of the store's.
    statements: HashMap<Box<str>, Statement>,
    /// The network or the server ended it.
    ended: bool,
}

impl Client {
    /// Takes a connection that has logged in, without a cache of statements of its own.
    pub(super) fn new(connection: Conn) -> Client {
        Client { connection, statements: HashMap::new(), ended: false }
    }

    /// The server's number of this connection.
    pub(super) fn number(&self) -> u32 {
        self.connection.id()
    }

    /// Runs statements without values.
    pub(super) async fn script(&mut self, sql: &str) -> mysql_async::Result<()> {
        let outcome = self.connection.query_drop(sql).await;
        self.noted(outcome)
    }

    /// The rows that a statement gives.
    pub(super) async fn rows<T>(
        &mut self,
        bound: Bound<'_>,
        row: impl Fn(&MysqlRow) -> T,
    ) -> mysql_async::Result<Vec<T>> {
        let outcome = async {
            let statement = self.prepared(bound.sql()).await?;
            let mut found = Vec::new();
            let answer = self.connection.exec_iter(statement, sent(&bound)?).await?;
            answer.for_each_and_drop(|next| found.push(row(&MysqlRow::Own(next)))).await?;
            Ok(found)
        }
        .await;
        self.noted(outcome)
    }

    /// How many rows a statement found.
    pub(super) async fn execute(&mut self, bound: Bound<'_>) -> mysql_async::Result<u64> {
        let outcome = async {
            let statement = self.prepared(bound.sql()).await?;
            self.connection.exec_drop(statement, sent(&bound)?).await?;
            Ok(self.connection.affected_rows())
        }
        .await;
        self.noted(outcome)
    }

    async fn prepared(&mut self, sql: &str) -> mysql_async::Result<Statement> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.connection.prep(sql).await?;
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    fn noted<T>(&mut self, outcome: mysql_async::Result<T>) -> mysql_async::Result<T> {
        self.ended |= outcome.as_ref().is_err_and(mysql_async::Error::is_fatal);
        outcome
    }
}

fn sent(bound: &Bound<'_>) -> mysql_async::Result<Params> {
    let value = |value: Value<'_>| {
        Ok(match value {
            Value::Bytes(Some(bytes)) => Sent::Bytes(bytes.to_vec()),
            Value::Text(Some(text)) => Sent::Bytes(text.as_bytes().to_vec()),
            Value::Bigint(Some(number)) => Sent::Int(number),
            Value::Bytes(None) | Value::Text(None) | Value::Bigint(None) => Sent::NULL,
            _ => {
                return Err(mysql_async::Error::Other(
                    "no statement of MySQL's dialect binds such a value".into(),
                ));
            }
        })
    };
    let values = bound.values().map(value).collect::<mysql_async::Result<Vec<Sent>>>()?;
    Ok(if values.is_empty() { Params::Empty } else { Params::Positional(values) })
}

impl Own for Client {
    fn is_closed(&self) -> bool {
        self.ended
    }
}

impl Alive for Client {
    async fn sign_of_life(&mut self) -> bool {
        self.script(settings::SIGN_OF_LIFE).await.is_ok()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
