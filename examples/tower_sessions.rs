//! tower-sessions with its sessions in any database of ours: parallel requests lose nothing.
//!
//! ```console
//! $ cargo run --example tower_sessions --features tower-sessions,sqlite-bundled -- sqlite:sessions.db
//! $ curl -c jar -b jar http://127.0.0.1:3000/add/apple
//! ```
//!
//! Without an argument the sessions are in memory; a second one is the address to listen on.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::{Router, routing::get};
use session_store::tower_sessions::TowerStore;
use tower_sessions::{Session, SessionManagerLayer};

/// Remembers a thing.
async fn add(Path(thing): Path<String>, session: Session) -> Result<String, StatusCode> {
    session.insert(&thing, true).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("{thing} is in your basket\n"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let store = TowerStore::new(session_store::open(&url).await?);
    let layer = SessionManagerLayer::new(store).with_secure(false); // for http://localhost
    let app = Router::new().route("/add/{thing}", get(add)).layer(layer);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
