//! A session that a WebSocket shares with the pages around it: it changes what they see, and sees what they change.
//!
//! ```console
//! $ cargo run --example websocket --features axum,sqlite-bundled -- sqlite:sessions.db
//! ```
//!
//! Open http://127.0.0.1:3000 in two tabs. Without an argument the sessions are in memory; a second one is the address to listen on.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{Html, Response};
use axum::{Router, routing::get};
use session_store::Sessions;
use session_store::web::{Result, Session, SessionLayer};

const PAGE: &str = "<!doctype html><title>WebSocket</title>
<button onclick='socket.send(\"\")'>count</button> <output></output>
<script>
    const socket = new WebSocket(location.href.replace('http', 'ws') + 'socket');
    socket.onmessage = ({data}) => document.querySelector('output').value = data;
</script>";

/// The session begins here: once a WebSocket is open, no cookie can be set.
async fn home(session: Session<u64>) -> Result<Html<&'static str>> {
    session.modify(|_| ()).await?;
    Ok(Html(PAGE))
}

async fn socket(session: Session<u64>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| talk(socket, session))
}

async fn talk(mut socket: WebSocket, session: Session<u64>) {
    while let Some(Ok(Message::Text(_))) = socket.recv().await {
        let count = session.modify(|count| {
            *count += 1;
            *count
        });
        // Whoever signed out elsewhere meanwhile is told so.
        let text = count.await.map_or_else(|error| error.to_string(), |count| count.to_string());
        if socket.send(Message::Text(text.into())).await.is_err() {
            return;
        }
    }
}

fn app(layer: SessionLayer<u64>) -> Router {
    Router::new().route("/", get(home)).route("/socket", get(socket)).layer(layer)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let sessions = Sessions::builder(session_store::open(&url).await?).build()?;
    let layer = SessionLayer::builder(sessions).insecure_for_development().build()?; // for http://localhost
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app(layer)).await?;
    Ok(())
}
