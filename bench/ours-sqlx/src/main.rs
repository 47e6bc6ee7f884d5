//! This project's dialects over sqlx, on a pool of the store's own.

use harness::{Orders, Result};
use ours::run;
use session_core::TableName;
use session_sqlx::{MysqlStore, PostgresStore, SqliteStore};

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Orders::from_env()?;
    match orders.backend.as_str() {
        "sqlite" => sqlite(&orders).await,
        "postgres" => postgres(&orders).await,
        "mysql" => mysql(&orders).await,
        backend => Err(format!("there is no {} on {backend}", orders.subject).into()),
    }
}

async fn sqlite(orders: &Orders) -> Result<()> {
    let store = SqliteStore::builder()
        .path(format!("{}/{}.sqlite", orders.url, orders.table))
        .table(TableName::new(orders.table.as_str())?)
        .connect()
        .await?;
    store.create_table().await?;
    run(store, orders, "defaults (WAL, synchronous=FULL)").await
}

async fn postgres(orders: &Orders) -> Result<()> {
    let store = PostgresStore::builder()
        .url(&orders.url)
        .pool_size(usize::try_from(orders.pool)?)
        .table(TableName::new(orders.table.as_str())?)
        .build()?;
    store.create_table().await?;
    run(store, orders, &format!("pool of {}", orders.pool)).await
}

async fn mysql(orders: &Orders) -> Result<()> {
    let store = MysqlStore::builder()
        .url(&orders.url)
        .pool_size(usize::try_from(orders.pool)?)
        .table(TableName::new(orders.table.as_str())?)
        .build()?;
    store.create_table().await?;
    run(store, orders, &format!("pool of {}", orders.pool)).await
}
