//! The application of the web benchmark on the peers: tower-sessions on its sqlx and its Redis store, and axum_session.
//!
//! In their favour, and unlike their defaults: no ping of sqlx before each use of a connection, and SQLite in WAL mode
//! (with the durability of all other subjects). The cookies are for `http://`, as ours are here.

mod axum_session;
#[path = "../../peers-redis/src/server.rs"]
mod server;
mod tower_sessions;

use axum::Router;
use harness::{Orders, Result, app};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Orders::from_env()?;
    match orders.subject.as_str() {
        "tower-sessions-sqlx" => tower_sessions::sqlx(&orders).await,
        "redis-always" => tower_sessions::redis(&orders, "always").await,
        "redis-everysec" => tower_sessions::redis(&orders, "everysec").await,
        "axum_session" => axum_session::run(&orders).await,
        other => Err(format!("there is no {other} here").into()),
    }
}

/// Listens until the browsers are gone.
async fn listen(application: Router, settings: &str, processes: &[u32]) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    app::listening(listener.local_addr()?.port(), settings, processes)?;
    Ok(axum::serve(listener, application).with_graceful_shutdown(app::until_left()).await?)
}

/// The file of a subject on SQLite.
fn file(orders: &Orders) -> String {
    format!("sqlite://{}/{}.sqlite", orders.url, orders.table)
}
