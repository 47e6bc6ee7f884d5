//! Web sessions in PostgreSQL, MySQL and MariaDB, beside [diesel](https://diesel.rs) and
//! [diesel-async](https://docs.rs/diesel-async).
//!
//! # Choose a store
//! - `PostgresStore` (feature `postgres`): PostgreSQL 12 and later.
//! - `MysqlStore` (feature `mysql`): MySQL 8.0, MariaDB 10.6, and later.
//!
//! No libpq and no libmysqlclient is needed. No feature is on by default.
//!
//! # Connect by a URL
//! `PostgresStore::connect("postgres://app:secret@localhost/web")` opens connections of its own, 10 at most by default,
//! with the time limits and settings that the store needs. `PostgresStore::builder()` has all options.
//!
//! Such connections speak to the client library itself, so each error has its SQLSTATE or number, and no log contains a
//! value.
//!
//! # Use a pool that you have
//! A builder also takes a [`deadpool`] pool of diesel-async connections, which keeps its settings. Two things are worse
//! there. diesel-async drops the codes of errors, so they are told by their English messages. tokio-postgres logs what it
//! binds at DEBUG, so keep that level off.
//!
//! # Make the table
//! `create_table` makes the native table, and `schema_sql` returns its text for a migration.
//!
//! # Share a table with Node
//! [`ConnectTypeorm`] is an option of each builder: the table that connect-typeorm makes.
//!
//! # Read the SQL
//! It is in `session-sql`, with what the answers of a server mean. This crate runs it.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod certificates;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod checkout;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sendable;

#[cfg(feature = "mysql")]
pub use mysql::{MysqlBuilder, MysqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStore};
#[cfg(feature = "postgres")]
pub use session_sql::postgres::TableOptions;
pub use session_sql::{ConnectTypeorm, Credentials, Tls};

/// The driver's crates, so that an application builds its pool with the same versions.
pub use {deadpool, diesel, diesel_async};

/// Tries the example of the crate's README.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
struct Readme;
