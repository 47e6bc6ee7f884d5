//! This project's drivers, each with a table of its own.

use harness::{Orders, Result};
use ours::run;
use session_core::TableName;

#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite(orders: &Orders) -> Result<()> {
    let mut builder = session_sqlite::SqliteStore::builder()
        .path(format!("{}/{}.sqlite", orders.url, orders.table))
        .table(TableName::new(orders.table.as_str())?);
    if orders.subject == "one-by-one" {
        builder = builder.batch_limit(std::num::NonZeroUsize::MIN);
    }
    let store = builder.connect().await?;
    store.create_table().await?;
    let group = if orders.subject == "one-by-one" { ", one write a transaction" } else { "" };
    run(store, orders, &format!("defaults (WAL, synchronous=FULL){group}")).await
}

#[cfg(feature = "postgres")]
pub(crate) async fn postgres(orders: &Orders) -> Result<()> {
    let store = session_diesel::PostgresStore::builder()
        .url(&orders.url)
        .pool_size(usize::try_from(orders.pool)?)
        .table(TableName::new(orders.table.as_str())?)
        .build()?;
    store.create_table().await?;
    run(store, orders, &format!("pool of {}", orders.pool)).await
}

#[cfg(feature = "mysql")]
pub(crate) async fn mysql(orders: &Orders) -> Result<()> {
    let store = session_diesel::MysqlStore::builder()
        .url(&orders.url)
        .pool_size(usize::try_from(orders.pool)?)
        .table(TableName::new(orders.table.as_str())?)
        .build()?;
    store.create_table().await?;
    run(store, orders, &format!("pool of {}", orders.pool)).await
}

#[cfg(feature = "mssql")]
pub(crate) async fn mssql(orders: &Orders) -> Result<()> {
    let store = session_mssql::MssqlStore::builder()
        .url(&orders.url)
        .pool_size(usize::try_from(orders.pool)?)
        .table(TableName::new(orders.table.as_str())?)
        .connect()
        .await?;
    store.create_table().await?;
    run(store, orders, &format!("pool of {}", orders.pool)).await
}
