//! The store, with the defaults of its driver.

use std::sync::Arc;

use harness::{Orders, Result};
use session_store::TableName;
use session_store::contract::Store;

pub(crate) async fn open(orders: &Orders) -> Result<(Arc<dyn Store>, String)> {
    let table = TableName::new(orders.table.as_str())?;
    match orders.backend.as_str() {
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let path = format!("{}/{}.sqlite", orders.url, orders.table);
            let store = session_store::SqliteStore::builder().path(path).table(table).connect().await?;
            store.create_table().await?;
            Ok((Arc::new(store), "defaults (WAL, synchronous=FULL)".to_owned()))
        }
        #[cfg(feature = "postgres")]
        "postgres" => {
            let store = session_store::PostgresStore::builder().url(&orders.url).table(table).build()?;
            store.create_table().await?;
            Ok((Arc::new(store), "defaults (pool of 10)".to_owned()))
        }
        #[cfg(feature = "mysql")]
        "mysql" => {
            let store = session_store::MysqlStore::builder().url(&orders.url).table(table).build()?;
            store.create_table().await?;
            Ok((Arc::new(store), "defaults (pool of 10)".to_owned()))
        }
        other => Err(format!("there is no application on {other}").into()),
    }
}
