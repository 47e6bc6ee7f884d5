//! Sessions in Postgres, MySQL, MariaDB and SQLite, beside [sqlx](https://docs.rs/sqlx) 0.9.
//!
//! # Choose a store
//! - `PostgresStore` (feature `postgres`): PostgreSQL 12 and later.
//! - `MysqlStore` (feature `mysql`): MariaDB 10.6 and later, MySQL 8.0 and later.
//! - `SqliteStore` (feature `sqlite`, which compiles SQLite in): for applications that have sqlx with SQLite already, as no
//!   program can link another version of it beside. Otherwise take session-sqlite, which is quicker.
//!
//! No feature is on by default.
//!
//! # Use a pool that you have
//! The builder's `pool` takes a pool of sqlx's, which keeps its settings. The README has an example.
//!
//! # Connect by a URL
//! `PostgresStore::connect("postgres://app:secret@localhost/web")` opens connections of its own, 10 at most by default, with
//! the time limits and settings that the store needs. `PostgresStore::builder()` has all options.
//!
//! # Make the table
//! `create_table` makes the native table, and `schema_sql` returns its text for a migration.
//!
//! # Write a session and your own rows together
//! A session can be made, changed and ended within a transaction of the application's: see [`Transaction`].
//!
//! # Encrypt connections
//! It is the application's choice, among sqlx's own features, such as `tls-rustls`. Connections made from a URL go to a
//! server on another machine encrypted and verified, or not at all: without such a feature they are refused. MySQL 8 takes
//! a password over an encrypted connection alone, so its default accounts need such a feature on one machine, too, or
//! sqlx's `mysql-rsa`.
//!
//! # Share a table with Node
//! [`ConnectTypeorm`] is an option of each builder: the table that connect-typeorm makes.
//!
//! # Why not sqlx's own pool
//! Connections made from a URL have a pool of this crate's own, for three reasons.
//! - sqlx's pool takes a connection back whose call was dropped, and holds it for sound if a ping is answered. On MySQL the
//!   answer to a statement that was being prepared is then still on the wire. Here, a connection whose call was dropped is
//!   closed, whosever pool it is of.
//! - sqlx's pool pings whenever a connection comes back: a second round trip for each operation.
//! - sqlx's pool asks a server that refuses connections again and again, until the pool's time has passed.
//!
//! There is no SQL here: statements and what their answers mean are `session-sql`'s. This is how they are run.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod cancel;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod checkout;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod error;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod transaction;

#[cfg(feature = "mysql")]
pub use mysql::{MysqlBuilder, MysqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStore};
#[cfg(feature = "postgres")]
pub use session_sql::postgres::TableOptions;
pub use session_sql::{ConnectTypeorm, Credentials};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteBuilder, SqliteStore};
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub use transaction::{Speaks, Transaction};

/// The driver's crate, so that an application builds its pool with the same version.
pub use sqlx;

/// Tries the example of the crate's README.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
struct Readme;
