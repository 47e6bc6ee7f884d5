//! The application of the web benchmark on session-store: our layer with its defaults, but for the cookie, which is
//! for `http://` here.

mod store;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use harness::{Data, Orders, app};
use session_store::web::{Result, Session, SessionLayer};
use session_store::{CacheSize, Sessions};
use tokio::net::TcpListener;

/// More than any run has sessions.
const CACHED: CacheSize = CacheSize::sessions(10_000_000);

async fn page(session: Session<Data>) -> Result<String> {
    let page = session.read(|data| app::page(data.get("user"))).await?;
    Ok(page.unwrap_or_else(|| app::page(None)))
}

async fn change(session: Session<Data>) -> Result<String> {
    let visits = session.modify(|data| {
        let visits = app::visits(data.get("visits"));
        data.insert("visits".to_owned(), visits.into());
        visits
    });
    Ok(format!("{}\n", visits.await?))
}

async fn sign_in(session: Session<Data>, Path(bytes): Path<usize>) -> Result<()> {
    session.sign_in(|data| *data = app::signed_in(bytes)).await
}

#[tokio::main]
async fn main() -> harness::Result<()> {
    let orders = Orders::from_env()?;
    let (store, mut settings) = store::open(&orders).await?;
    let mut builder = Sessions::<Data>::builder(store);
    if orders.subject == "cached" {
        builder = builder.cache(CACHED);
        settings.push_str(", every session in the cache");
    }
    let layer = SessionLayer::builder(builder.build()?).insecure_for_development().build()?;
    let application = Router::new()
        .route("/", get(page))
        .route("/change", post(change))
        .route("/sign-in/{bytes}", post(sign_in))
        .layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    app::listening(listener.local_addr()?.port(), &settings, &[])?;
    Ok(axum::serve(listener, application).with_graceful_shutdown(app::until_left()).await?)
}
