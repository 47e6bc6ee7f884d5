//! The benchmark's peers on sqlx: tower-sessions-sqlx-store and axum_session.
//!
//! In their favour, and unlike their defaults: no ping before each use of a connection, the pool size that did best,
//! and SQLite in WAL mode (with the durability of all other subjects).

mod axum_session;
mod tower_sessions;

use harness::{Orders, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Orders::from_env()?;
    match (orders.subject.as_str(), orders.backend.as_str()) {
        ("tower-sessions-sqlx", "sqlite") => tower_sessions::sqlite(&orders).await,
        ("tower-sessions-sqlx", "postgres") => tower_sessions::postgres(&orders).await,
        ("tower-sessions-sqlx", "mysql") => tower_sessions::mysql(&orders).await,
        ("axum_session", "sqlite") => axum_session::sqlite(&orders).await,
        ("axum_session", "postgres") => axum_session::postgres(&orders).await,
        ("axum_session", "mysql") => axum_session::mysql(&orders).await,
        (subject, backend) => Err(format!("there is no {subject} on {backend}").into()),
    }
}
