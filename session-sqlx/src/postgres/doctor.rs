//! What the doctor sees of the way to the server.

use std::time::Duration;

use session_core::{Error, Finding, Result};
use session_sql::postgres::{pooler, sqlstate};
use session_sql::value::bigint;
use session_sql::{Dialect, Fault, Run, Statement};
use sqlx::postgres::PgConnection;
use tokio::time::timeout;

use super::client::{rows, script};
use super::pool::Connections;

/// How long a second connection is waited for: a pool that others use up tells nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pooler before a pool of the application's, if there is one. Connections of our own find it out as they log in.
pub(super) async fn pooler(connections: &Connections) -> Result<Option<Finding>> {
    if connections.pool.is_own() || connections.pool.is_within() {
        return Ok(None);
    }
    let mut one = connections.checkout().await?;
    let Ok(Ok(mut other)) = timeout(PATIENCE, connections.checkout()).await else {
        one.give_back();
        return Ok(None);
    };
    match look(one.connection(), other.connection()).await {
        Ok(finding) => {
            one.give_back();
            other.give_back();
            Ok(finding)
        }
        Err(failed) => {
            // It may be within its transaction.
            other.close();
            let error = connections.settle::<()>(one, Err(failed)).map_err(Fault::into_error).err();
            let code = error.as_ref().and_then(Error::code).unwrap_or_default();
            // Whatever else it is shows in the next statement.
            Ok(sqlstate::is_mixed(code).then(pooler::mixed))
        }
    }
}

async fn look(one: &mut PgConnection, other: &mut PgConnection) -> sqlx::Result<Option<Finding>> {
    let here = ask(one).await?;
    script(other, "BEGIN").await?;
    let there = ask(other).await?;
    script(other, "ROLLBACK").await?;
    Ok(here.zip(there).and_then(|(here, there)| pooler::finding(here, there)))
}

async fn ask(connection: &mut PgConnection) -> sqlx::Result<Option<[i64; 2]>> {
    let statement = Statement::new(Dialect::Postgres, pooler::ASK);
    let read = |row: &_| {
        Connections::columns(row, |[process, kept]| {
            Ok::<_, Error>([bigint("process", process)?, bigint("kept", kept)?])
        })
    };
    let rows = rows(connection, statement.bind(&[]), read).await?;
    Ok(rows.into_iter().next().and_then(Result::ok))
}
