//! Web sessions kept in your own SQL database: Postgres, MySQL, MariaDB, SQL Server and SQLite behind one contract.
//!
//! **Logout wins.** Whatever request arrives late, a session that is dead stays dead, and no two requests overwrite each
//! other's changes unnoticed. What is promised stands in `GUARANTEES.md` in the repository.
//!
//! # Keep sessions in an application of axum or tower
//! [`web`] (features `axum` and `web`) goes from the cookie to the handler: the layer, the extractor, sign-in, sign-out,
//! and a helper for your tests.
//!
//! # Keep them below another middleware
//! [`tower_sessions`] (features `tower-sessions` and `tower-sessions-0-14`, for axum-login) and [`actix_session`] are
//! stores for those, which merge what parallel requests write.
//!
//! # Use sessions without a framework
//! [`Sessions`] is the handle, with data of your own type:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> session_store::Result<()> {
//! use session_store::{MemoryStore, Sessions};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Visit { user: String, count: u64 }
//!
//! let sessions = Sessions::builder(MemoryStore::new()).principal(|visit: &Visit| Some(visit.user.clone())).build()?;
//!
//! let new = sessions.create(&Visit { user: "alice".into(), count: 0 }).await?; // new.id goes into the cookie
//! sessions.modify(&new.id, |visit| visit.count += 1).await?; // atomic: parallel requests lose no increment
//! let session = sessions.load(&new.id).await?.expect("alive");
//! assert_eq!(session.data.count, 1);
//!
//! sessions.rotate(&new.id).await?; // at sign-in: a new id, and the old one is dead
//! sessions.destroy_principal("alice").await?; // sign out everywhere
//! # Ok(()) }
//! ```
//!
//! # Choose a database
//! [`open`] takes a URL and makes the table. For options, or if the application may not create tables, use a builder:
//!
//! | database | store | feature |
//! |---|---|---|
//! | SQLite | [`SqliteStore`] | `sqlite`, or `sqlite-bundled` to compile it in |
//! | PostgreSQL | [`PostgresStore`] | `postgres` |
//! | MySQL, MariaDB | [`MysqlStore`] | `mysql` |
//! | SQL Server | [`MssqlStore`] | `mssql` |
//! | the first three, beside sqlx | those of [`session_sqlx`] | `sqlx-sqlite`, `sqlx-postgres`, `sqlx-mysql` |
//! | memory | [`MemoryStore`] | none |
//!
//! No feature is on by default, and features only add. Beside sqlx, a session and your own rows can be written in one
//! transaction: [`session_sqlx::Transaction`].
//!
//! # Decide how long a session lives
//! [`SessionsBuilder::time_to_live`] takes a [`TimeToLive`]; [`SessionsBuilder::touch_throttle`] saves writes on a busy
//! site; [`Sessions::sweeper`] removes expired rows.
//!
//! # Sign users out
//! [`Sessions::destroy`] ends one session, [`Sessions::destroy_principal`] all of a user's,
//! [`Sessions::forget_principal`] also wipes their rows. [`Sessions::list`] shows where a user is signed in.
//!
//! # Read the same sessions again and again
//! [`SessionsBuilder::cache`] keeps decoded sessions, and asks the database for the version each time, so that it is never
//! out of date. [`Sessions::load_shared`] reads one without a copy.
//!
//! # Test your application
//! [`MemoryStore`] needs no database, and [`SessionsBuilder::clock`] takes a [`ManualClock`], which the test turns.
//! [`web::test`](mod@web::test) is a browser that is signed in.
//!
//! # Operate it
//! [`Sessions::doctor`] looks at the table and its server, and says what is wrong. [`ErrorKind`] says what a caller can
//! do, [`SessionsBuilder::observer`] what happens. `docs/operations.md` in the repository has the settings of servers,
//! poolers, proxies and clouds.
//!
//! # Move from Node
//! [`express`] (feature `express`) reads and writes express-session's cookies and tables, so a Node application and yours
//! share them.
//!
//! # Write a backend
//! [`contract`] has what an implementer needs, [`contract::Store`] is the specification, and the crate
//! `session-conformance` proves yours.

#![cfg_attr(docsrs, feature(doc_cfg))]
// The page above speaks of every feature; with some of them off its links lead nowhere.
#![cfg_attr(
    not(all(
        feature = "actix-session",
        feature = "express",
        feature = "mssql",
        feature = "mysql",
        feature = "postgres",
        feature = "sqlite",
        any(feature = "sqlx-mysql", feature = "sqlx-postgres", feature = "sqlx-sqlite"),
        feature = "tower-sessions",
        feature = "web",
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

#[cfg(feature = "actix-session")]
pub mod actix_session;
#[cfg(any(feature = "actix-session", feature = "tower-sessions", feature = "tower-sessions-0-14"))]
mod adapter;
#[cfg(feature = "express")]
pub mod express;
mod open;
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
pub mod tower_sessions;

#[cfg(feature = "web")]
pub mod web;

pub use open::open;
pub use session_core::*;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use session_diesel;
#[cfg(feature = "mysql")]
pub use session_diesel::MysqlStore;
#[cfg(feature = "postgres")]
pub use session_diesel::PostgresStore;
#[cfg(feature = "mssql")]
pub use session_mssql::{self, MssqlStore};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql", feature = "mssql"))]
pub use session_sql::{ConnectTypeorm, Tls};
#[cfg(any(feature = "sqlite", feature = "sqlite-bundled"))]
pub use session_sqlite::{self, SqliteStore};
#[cfg(any(feature = "sqlx-mysql", feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub use session_sqlx;
