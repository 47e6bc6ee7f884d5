//! The benchmark's peer on rusqlite: tower-sessions-rusqlite-store.
//!
//! In its favour, and unlike its defaults: SQLite in WAL mode (with the durability of all other subjects). It has one
//! connection, on a thread of its own.

#[path = "../../peers-sqlx/src/tower_sessions/subject.rs"]
mod subject;

use harness::{Orders, Result, serve};
use subject::TowerSessions;
use tower_sessions_rusqlite_store::RusqliteStore;
use tower_sessions_rusqlite_store::tokio_rusqlite::Connection;

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Orders::from_env()?;
    let connection = Connection::open(format!("{}/{}.sqlite", orders.url, orders.table)).await?;
    connection
        .call(|connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")
        })
        .await?;
    let store = RusqliteStore::new(connection);
    store.migrate().await?;
    serve(TowerSessions(store), "one connection, WAL, synchronous=FULL").await
}
