//! actix-session with its sessions in any database of ours.
//!
//! ```console
//! $ cargo run --example actix --features actix-session,sqlite-bundled -- sqlite:sessions.db
//! $ curl -c jar -b jar http://127.0.0.1:3000/add/apple
//! ```
//!
//! Without an argument the sessions are in memory; a second one is the address to listen on.

use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::{App, Error, HttpServer, web};
use session_store::actix_session::ActixStore;

/// Remembers a thing.
async fn add(thing: web::Path<String>, session: Session) -> Result<String, Error> {
    session.insert(thing.as_str(), true)?;
    Ok(format!("{thing} is in your basket\n"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let store = ActixStore::new(session_store::open(&url).await?);
    let key = Key::generate(); // an application keeps its key, so that cookies outlive a restart
    let server = HttpServer::new(move || {
        let sessions = SessionMiddleware::builder(store.clone(), key.clone()).cookie_secure(false).build();
        App::new().wrap(sessions).route("/add/{thing}", web::get().to(add))
    });
    let server = server.workers(2).bind(address)?;
    println!("http://{}", server.addrs()[0]);
    server.run().await?;
    Ok(())
}
