//! Tables on a live server.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use session_core::{KeyFormat, TableName};
use session_mssql::MssqlStore;
use session_mssql::tiberius::{Client, Config};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

/// A table of this test alone.
pub(crate) fn fresh_table() -> TableName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    TableName::new(&format!("dbo.live_{}_{number}", process::id())).unwrap()
}

/// A store on a new table of the native layout.
pub(crate) async fn store(url: &str, format: KeyFormat) -> MssqlStore {
    // A busy machine takes its time for large payloads; what the limit does is another test's.
    let options =
        MssqlStore::builder().url(url).table(fresh_table()).key_format(format).statement_timeout(None);
    let store = options.connect().await.unwrap();
    store.create_table().await.unwrap();
    store
}

pub(crate) async fn drop_table(url: &str, table: &TableName) {
    sql(url, &format!("DROP TABLE {}", table.quoted('[', ']'))).await;
}

/// A connection that goes past the store.
pub(crate) async fn raw(url: &str) -> Client<Compat<TcpStream>> {
    let config = Config::from_ado_string(url).unwrap();
    let tcp = TcpStream::connect(config.get_addr()).await.unwrap();
    Box::pin(Client::connect(config, tcp.compat_write())).await.unwrap()
}

/// A statement that goes past the store.
pub(crate) async fn sql(url: &str, sql: &str) {
    raw(url).await.simple_query(sql).await.unwrap().into_results().await.unwrap();
}
