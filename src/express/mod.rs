//! The formats of Node's [express-session]: its signed cookie, its sessions' JSON, and a layer for tower services that
//! keeps to both. With a table in one of the Node stores' layouts, a Node application and a Rust one share live
//! sessions: who signs in on one is known on the other.
//!
//! - [`Secrets`] signs and verifies the value of the cookie (`connect.sid`); [`find_cookie`] takes it out of a request's
//!   header, [`Cookie::render`] makes the header of the response.
//! - [`ExpressSession`] is the data: the `T` of a [`Sessions<T>`](session_core::Sessions). It keeps whatever a
//!   Node application wrote, byte for byte, and whatever it writes, a Node application can read.
//! - [`ExpressSession::time_to_live`] is the lifetime that the Node stores give a session.
//! - [`ExpressLayer`] puts all of that together for axum and every other tower service.
//!
//! `docs/moving-from-node.md` in the repository leads through a move, option by option.
//!
//! [express-session]: https://github.com/expressjs/session

mod cookie;
mod date;
mod fields;
mod header;
mod layer;
mod request;
mod session;
mod signature;

pub use cookie::{Cookie, Priority};
pub use header::find_cookie;
pub use layer::{ExpressLayer, ExpressService};
pub use request::RequestSession;
pub use session::ExpressSession;
pub use signature::Secrets;

pub use crate::web::SameSite;

/// The name that express-session gives its cookie where nothing else is asked for.
pub const COOKIE_NAME: &str = "connect.sid";

/// The examples of the page on moving compile.
#[cfg(all(doctest, feature = "mssql", feature = "mysql", feature = "postgres", feature = "sqlite-bundled"))]
#[doc = include_str!("../../docs/moving-from-node.md")]
struct MovingFromNode;
