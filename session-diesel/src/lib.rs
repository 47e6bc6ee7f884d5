//! Sessions in Postgres, MySQL and MariaDB, through [diesel](https://diesel.rs) and
//! [diesel-async](https://docs.rs/diesel-async).
//!
//! - `PostgresStore` (feature `postgres`): PostgreSQL 12 and later.
//! - `MysqlStore` (feature `mysql`): MariaDB 10.6 and later, MySQL 8.0 and later.
//!
//! Neither needs a client library of the database to build. Each is made from a URL, or from a deadpool pool of
//! diesel-async connections that the application has already.

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod checkout;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod convert;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod statements;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod tls;

#[cfg(feature = "mysql")]
pub use mysql::{MysqlBuilder, MysqlStore};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStore, TableOptions};
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use tls::TlsMode;

/// The driver's crates, so that an application builds its pool with the same versions.
pub use {deadpool, diesel, diesel_async};
