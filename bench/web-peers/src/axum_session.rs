//! axum_session with axum_session_sqlx, with its cache in memory as it is by default.

use std::str::FromStr as _;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use axum_session::{DatabasePool, Session, SessionConfig, SessionLayer, SessionStore};
use axum_session_sqlx::{SessionMySqlPool, SessionPgPool, SessionSqlitePool};
use harness::{Orders, Result, app};
use serde_json::Value;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

async fn page<P: DatabasePool + Clone + std::fmt::Debug + Sync + Send + 'static>(
    session: Session<P>,
) -> String {
    app::page(session.get::<Value>("user").as_ref())
}

async fn change<P: DatabasePool + Clone + std::fmt::Debug + Sync + Send + 'static>(
    session: Session<P>,
) -> String {
    let visits = app::visits(session.get::<Value>("visits").as_ref());
    session.set("visits", visits);
    format!("{visits}\n")
}

async fn sign_in<P: DatabasePool + Clone + std::fmt::Debug + Sync + Send + 'static>(
    session: Session<P>,
    Path(bytes): Path<usize>,
) {
    session.renew();
    for (name, value) in app::signed_in(bytes) {
        session.set(&name, value);
    }
}

async fn application<P: DatabasePool + Clone + std::fmt::Debug + Sync + Send + 'static>(
    pool: P,
    orders: &Orders,
) -> Result<Router> {
    let config = SessionConfig::default().with_table_name(orders.table.clone());
    let store = SessionStore::<P>::new(Some(pool), config).await?;
    Ok(Router::new()
        .route("/", get(page::<P>))
        .route("/change", post(change::<P>))
        .route("/sign-in/{bytes}", post(sign_in::<P>))
        .layer(SessionLayer::new(store)))
}

pub(crate) async fn run(orders: &Orders) -> Result<()> {
    let settings = format!("pool of {}, no ping, sessions in memory for as long as by default", orders.pool);
    let application = match orders.backend.as_str() {
        "sqlite" => {
            let options = SqliteConnectOptions::from_str(&crate::file(orders))?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            let pool = SqlitePoolOptions::new().max_connections(orders.pool).test_before_acquire(false);
            application(SessionSqlitePool::from(pool.connect_with(options).await?), orders).await?
        }
        "postgres" => {
            let pool = PgPoolOptions::new().max_connections(orders.pool).test_before_acquire(false);
            application(SessionPgPool::from(pool.connect(&orders.url).await?), orders).await?
        }
        "mysql" => {
            let pool = MySqlPoolOptions::new().max_connections(orders.pool).test_before_acquire(false);
            application(SessionMySqlPool::from(pool.connect(&orders.url).await?), orders).await?
        }
        other => return Err(format!("there is no axum_session on {other}").into()),
    };
    crate::listen(application, &settings, &[]).await
}
