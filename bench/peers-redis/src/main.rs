//! The benchmark's peer on Redis: tower-sessions-redis-store, with the pool of 6 that its documentation shows, or the
//! size that did best, and its other defaults.
//!
//! It starts a Redis of its own, which appends each write to a file: `always` flushes it before the answer, which is the
//! durability of every other subject; `everysec` once a second, so that a power failure takes up to a second of writes. In
//! its favour it makes no snapshots beside.

mod server;
mod subject;

use std::path::Path;

use harness::{Orders, Result, serve};
use server::Server;
use subject::OnRedis;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Orders::from_env()?;
    let appendfsync = match orders.subject.as_str() {
        "redis-always" => "always",
        "redis-everysec" => "everysec",
        other => return Err(format!("there is no {other} here").into()),
    };
    // On the disk of the database that it is compared with.
    let folder = (orders.backend == "sqlite").then(|| Path::new(&orders.url));
    let server = Server::start(folder, appendfsync).await?;
    let pool = Pool::new(Config::from_url(&server.url())?, None, None, None, usize::try_from(orders.pool)?)?;
    pool.init().await?;
    let settings =
        format!("{}, appendfsync {appendfsync}, no snapshots, pool of {}", server.version, orders.pool);
    serve(OnRedis { store: RedisStore::new(pool), server }, &settings).await
}
