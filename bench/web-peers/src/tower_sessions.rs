//! tower-sessions, with its layer as its documentation shows it.

use std::path::Path as FilePath;
use std::str::FromStr as _;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use harness::{Orders, Result, app};
use serde_json::Value;
use time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};
use tower_sessions_sqlx_store::sqlx::mysql::MySqlPoolOptions;
use tower_sessions_sqlx_store::sqlx::postgres::PgPoolOptions;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tower_sessions_sqlx_store::{MySqlStore, PostgresStore, SqliteStore};

use crate::server::Server;

type Answer<T> = std::result::Result<T, StatusCode>;

fn failed(_: tower_sessions::session::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn page(session: Session) -> Answer<String> {
    let user: Option<Value> = session.get("user").await.map_err(failed)?;
    Ok(app::page(user.as_ref()))
}

async fn change(session: Session) -> Answer<String> {
    let visits: Option<Value> = session.get("visits").await.map_err(failed)?;
    let visits = app::visits(visits.as_ref());
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(format!("{visits}\n"))
}

async fn sign_in(session: Session, Path(bytes): Path<usize>) -> Answer<()> {
    session.cycle_id().await.map_err(failed)?;
    for (name, value) in app::signed_in(bytes) {
        session.insert_value(&name, value).await.map_err(failed)?;
    }
    Ok(())
}

fn application<S: SessionStore + Clone>(store: S) -> Router {
    let expiry = Expiry::OnInactivity(Duration::DAY);
    let layer = SessionManagerLayer::new(store).with_secure(false).with_expiry(expiry);
    Router::new()
        .route("/", get(page))
        .route("/change", post(change))
        .route("/sign-in/{bytes}", post(sign_in))
        .layer(layer)
}

pub(crate) async fn sqlx(orders: &Orders) -> Result<()> {
    let settings = format!("pool of {}, no ping", orders.pool);
    match orders.backend.as_str() {
        "sqlite" => {
            let options = SqliteConnectOptions::from_str(&crate::file(orders))?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            let pool = SqlitePoolOptions::new().max_connections(orders.pool).test_before_acquire(false);
            let store = SqliteStore::new(pool.connect_with(options).await?);
            store.migrate().await?;
            let settings = format!("{settings}, WAL, synchronous=FULL");
            crate::listen(application(store), &settings, &[]).await
        }
        "postgres" => {
            let pool = PgPoolOptions::new().max_connections(orders.pool).test_before_acquire(false);
            let store = PostgresStore::new(pool.connect(&orders.url).await?);
            let store = store.with_table_name(&orders.table)?;
            store.migrate().await?;
            crate::listen(application(store), &settings, &[]).await
        }
        "mysql" => {
            let pool = MySqlPoolOptions::new().max_connections(orders.pool).test_before_acquire(false);
            let store = MySqlStore::new(pool.connect(&orders.url).await?);
            let store = store.with_table_name(&orders.table)?;
            store.migrate().await?;
            crate::listen(application(store), &settings, &[]).await
        }
        other => Err(format!("there is no tower-sessions on {other}").into()),
    }
}

pub(crate) async fn redis(orders: &Orders, appendfsync: &str) -> Result<()> {
    // On the disk of the database that it is compared with.
    let folder = (orders.backend == "sqlite").then(|| FilePath::new(&orders.url));
    let server = Server::start(folder, appendfsync).await?;
    let pool = Pool::new(Config::from_url(&server.url())?, None, None, None, usize::try_from(orders.pool)?)?;
    pool.init().await?;
    let settings =
        format!("{}, appendfsync {appendfsync}, no snapshots, pool of {}", server.version, orders.pool);
    let processes: Vec<u32> = server.process().into_iter().collect();
    crate::listen(application(RedisStore::new(pool)), &settings, &processes).await
}
