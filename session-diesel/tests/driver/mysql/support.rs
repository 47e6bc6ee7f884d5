//! What the tests on MySQL and MariaDB share.

use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, SimpleAsyncConnection};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use session_core::TableName;
use session_diesel::MysqlStore;

use crate::support::fresh_table;

pub(super) const READ_COMMITTED: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

pub(super) async fn store(url: &str, name: &str) -> MysqlStore {
    let store = MysqlStore::builder().url(url).table(fresh_table(name)).build().unwrap();
    store.create_table().await.unwrap();
    store
}

pub(super) async fn raw(url: &str) -> Conn {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).prefer_socket(false);
    Conn::new(opts).await.unwrap()
}

pub(super) async fn sql(url: &str, statement: &str) {
    raw(url).await.query_drop(statement).await.unwrap();
}

pub(super) async fn drop_table(url: &str, name: &str) {
    sql(url, &format!("DROP TABLE IF EXISTS `{}`", fresh_table(name))).await;
}

pub(super) async fn is_mariadb(url: &str) -> bool {
    raw(url).await.query_first::<String, _>("SELECT VERSION()").await.unwrap().unwrap().contains("MariaDB")
}

/// Returns once a statement waits for a row of a table that another has locked.
pub(super) async fn somebody_waits(url: &str, table: &TableName) {
    let mut observer = raw(url).await;
    // MariaDB's table of locks is a cache that is not made anew while somebody keeps on asking.
    let mariadb = is_mariadb(url).await;
    let poll = async {
        loop {
            let waits = if mariadb {
                let status: (String, String, String) =
                    observer.query_first("SHOW ENGINE INNODB STATUS").await.unwrap().unwrap();
                // Behind the report of the last deadlock, which was waited for, too.
                let (_, now) = status.2.rsplit_once("\nTRANSACTIONS\n").unwrap();
                now.lines().any(|line| line.contains(&format!("`{table}` ")) && line.ends_with(" waiting"))
            } else {
                let query = "SELECT 1 FROM performance_schema.data_locks \
                     WHERE LOCK_STATUS = 'WAITING' AND OBJECT_NAME = ? LIMIT 1";
                observer.exec_first::<i64, _, _>(query, (table.table(),)).await.unwrap().is_some()
            };
            if waits {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), poll).await.expect("a statement waits for a row");
}

/// A pool of connections as an application would have it, each in a state of its own.
pub(super) fn connection_pool(url: &str, size: usize, set_up: &str) -> Pool<AsyncMysqlConnection> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let set_up = set_up.to_owned();
    config.custom_setup = Box::new(move |url| {
        let (url, set_up) = (format!("{url}?prefer_socket=false"), set_up.clone());
        Box::pin(async move {
            let mut connection = AsyncMysqlConnection::establish(&url).await?;
            connection
                .batch_execute(&set_up)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        })
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config(url, config)).max_size(size).build().unwrap()
}

/// The first column of a query.
pub(super) async fn numbers_of(connection: &mut AsyncMysqlConnection, query: &str) -> Vec<i64> {
    use diesel::row::{Field, Row};
    use diesel_async::AsyncConnectionCore;
    use futures_util::TryStreamExt;
    let rows = connection.load(diesel::sql_query(query)).await.unwrap();
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
    rows.map_ok(|row| number(row.get(0).unwrap().value().unwrap().as_bytes())).try_collect().await.unwrap()
}
