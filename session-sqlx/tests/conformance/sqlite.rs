//! SQLite, on a file.

use std::path::PathBuf;
use std::sync::Arc;

use conformance::Availability;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use session_core::contract::Store;
use session_core::{KeyFormat, Result, TableName};
use session_sqlx::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use session_sqlx::{ConnectTypeorm, SqliteBuilder, SqliteStore};

use crate::file::{File, WITHOUT_DESTROYED_AT};

pub(crate) fn backends() -> impl Iterator<Item = Availability> {
    [
        File::native("sqlx, native", |path, table| open(SqliteStore::builder().path(path).table(table))),
        File::native("sqlx, plain keys, purge in two statements, the application's pool", |path, table| {
            let plain = |options: SqliteBuilder| options.key_format(KeyFormat::Plain).limit_subquery(false);
            on_a_pool(path, table, plain)
        }),
        File::typeorm("sqlx, connect-typeorm, the application's pool", "", typeorm),
        File::typeorm("sqlx, connect-typeorm without destroyedAt", WITHOUT_DESTROYED_AT, typeorm),
    ]
    .into_iter()
    .map(Availability::ready)
}

fn typeorm(path: PathBuf, table: TableName) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    on_a_pool(path, table, |options| options.connect_typeorm(ConnectTypeorm::new()))
}

/// The first variant has full durability; the others need not wait for the disk as well.
fn on_a_pool(
    path: PathBuf,
    table: TableName,
    configure: fn(SqliteBuilder) -> SqliteBuilder,
) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off);
    let pool =
        SqlitePoolOptions::new().max_connections(5).test_before_acquire(false).connect_lazy_with(options);
    open(configure(SqliteStore::builder().pool(pool).table(table)))
}

fn open(builder: SqliteBuilder) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    async move {
        let store = builder.connect().await?;
        store.create_table().await?;
        Ok::<Arc<dyn Store>, _>(Arc::new(store))
    }
    .boxed()
}
