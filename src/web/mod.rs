//! Sessions for web applications, from the cookie to the handler: a layer for axum and every other tower service, and an
//! engine for anything else.
//!
//! ```no_run
//! use axum::{Router, response::Redirect, routing::post};
//! use session_store::web::{Result, Session, SessionLayer};
//! use session_store::{MemoryStore, Sessions};
//!
//! #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! struct Visit { user: Option<String>, basket: Vec<String> }
//!
//! async fn add(session: Session<Visit>, item: String) -> Result<Redirect> {
//!     session.modify(|visit| visit.basket.push(item.clone())).await?; // atomic, and done when it returns
//!     Ok(Redirect::to("/"))
//! }
//!
//! async fn sign_in(session: Session<Visit>, name: String) -> Result<Redirect> {
//!     session.sign_in(|visit| visit.user = Some(name.clone())).await?; // a new id, in the same step
//!     Ok(Redirect::to("/"))
//! }
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = Sessions::builder(MemoryStore::new()).principal(|visit: &Visit| visit.user.clone()).build()?;
//! let app = Router::new()
//!     .route("/add", post(add))
//!     .route("/sign-in", post(sign_in))
//!     .layer(SessionLayer::new(sessions)); // the cookie: __Host-session, Secure, HttpOnly, SameSite=Lax
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?;
//! # Ok(()) }
//! ```
//!
//! | to | use |
//! |---|---|
//! | read and change what a session holds | [`Session::read`], [`Session::modify`] |
//! | sign in, sign out | [`Session::sign_in`], [`Session::sign_out`], [`Session::sign_out_everywhere`] |
//! | show where somebody is signed in | [`Session::devices`] |
//! | set the cookie, or what happens while the database is away | [`SessionLayer::builder`] |
//! | test handlers with somebody signed in | [`test`](mod@test) |
//! | use another framework | [`Engine`]: headers in, headers out |
//!
//! # What you can rely on
//! - **Nothing is lost.** A change is one atomic statement, done when its call returns. Parallel requests do not overwrite
//!   each other's changes, and an answer of 500, a panic, a stream or a WebSocket loses none.
//! - **Nothing is done for nothing.** A request reads its session at most once, and only if a handler asks. A visitor for
//!   whom nothing was written has no row and no cookie. A request that changes nothing renews the expiry once, at its end,
//!   if that has moved by a tenth of the time to live.
//! - **A sign-in changes the id** in the same step as the data. Whoever carries the old id is nobody, and no answer to
//!   him sets a cookie, so that a request that was under way does not sign the user out.
//! - **The cookie** is one that browsers take: what they drop is refused by `build`. Its `Max-Age` is what the session has
//!   left to live, and is renewed whenever that moves. No shared cache keeps an answer that sets it.
//! - **The database is away**: 503 with `Retry-After`, and the cookie stays.
//!
//! # What no server can do
//! A visitor who carries nothing yet and sends several changes at once gets a session for each, of which the browser keeps
//! the one that is answered last. So let a page make its first change, or its sign-in, alone.
//!
//! Where a table cannot tell that an id was rotated away ([`tells_rotation`](session_core::Capabilities::tells_rotation)),
//! whoever carries such an id is a new visitor. A browser that lost the answer to its sign-in carries one until that expires:
//! it has to sign in again before anything can be changed.

#[cfg(feature = "axum")]
mod axum;
mod caching;
mod config;
mod cookie;
mod devices;
mod engine;
mod error;
mod format;
mod layer;
mod session;
mod state;
pub mod test;

pub use config::WhileAway;
pub use cookie::{Cookie, SameSite};
pub use devices::Device;
pub use engine::Engine;
pub use error::{Error, Result};
pub use layer::{SessionLayer, SessionLayerBuilder, SessionService};
pub use session::Session;

#[cfg(feature = "express")]
pub(crate) use cookie::check_name;
#[cfg(feature = "express")]
pub(crate) use format::{Format, Kept};
