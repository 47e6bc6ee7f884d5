//! The whole of an application on axum that knows who is signed in, in 20 lines. README's first program is this one.
//!
//! ```console
//! $ cargo run --example axum --features axum,sqlite-bundled
//! $ curl -c jar -b jar -X POST http://127.0.0.1:3000/sign-in/ann
//! $ curl -b jar http://127.0.0.1:3000/
//! ```

use axum::{Router, extract::Path, routing::get, routing::post};
use session_store::web::{Result, Session, SessionLayer};

/// What a session holds is any type that serializes: here, the user's name.
async fn home(session: Session<Option<String>>) -> Result<String> {
    Ok(format!("hello, {}\n", session.get().await?.flatten().as_deref().unwrap_or("stranger")))
}

/// A new id and the new data, in one atomic step. Look at the password first.
async fn sign_in(session: Session<Option<String>>, Path(name): Path<String>) -> Result<()> {
    session.sign_in(|user| *user = Some(name.clone())).await
}

async fn sign_out_everywhere(session: Session<Option<String>>) -> Result<String> {
    Ok(format!("{} signed out\n", session.sign_out_everywhere().await?))
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let store = session_store::open("sqlite:shop.db").await?; // or postgres://…, mysql://…, server=…
    let sessions = session_store::Sessions::builder(store).principal(Option::<String>::clone).build()?;
    let layer = SessionLayer::builder(sessions).insecure_for_development().build()?; // http, not https
    let app = Router::new().route("/", get(home)).route("/sign-in/{name}", post(sign_in));
    let app = app.route("/sign-out-everywhere", post(sign_out_everywhere)).layer(layer);
    Ok(axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}
