//! tower-sessions-sqlx-store.

mod subject;

use std::str::FromStr as _;

use harness::{Orders, Result, serve};
use tower_sessions_sqlx_store::sqlx::mysql::MySqlPoolOptions;
use tower_sessions_sqlx_store::sqlx::postgres::PgPoolOptions;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tower_sessions_sqlx_store::{MySqlStore, PostgresStore, SqliteStore};

use subject::TowerSessions;

pub(crate) async fn sqlite(orders: &Orders) -> Result<()> {
    let path = format!("sqlite://{}/{}.sqlite", orders.url, orders.table);
    let options = SqliteConnectOptions::from_str(&path)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new()
        .max_connections(orders.pool)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    let store = SqliteStore::new(pool);
    store.migrate().await?;
    let settings = format!("pool of {}, WAL, synchronous=FULL, no ping", orders.pool);
    serve(TowerSessions(store), &settings).await
}

pub(crate) async fn postgres(orders: &Orders) -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(orders.pool)
        .min_connections(orders.pool)
        .test_before_acquire(false)
        .connect(&orders.url)
        .await?;
    let store = PostgresStore::new(pool).with_table_name(&orders.table)?;
    store.migrate().await?;
    serve(TowerSessions(store), &format!("pool of {}, no ping", orders.pool)).await
}

pub(crate) async fn mysql(orders: &Orders) -> Result<()> {
    let pool = MySqlPoolOptions::new()
        .max_connections(orders.pool)
        .min_connections(orders.pool)
        .test_before_acquire(false)
        .connect(&orders.url)
        .await?;
    let store = MySqlStore::new(pool).with_table_name(&orders.table)?;
    store.migrate().await?;
    serve(TowerSessions(store), &format!("pool of {}, no ping", orders.pool)).await
}
