//! Sessions in Postgres, MySQL and MariaDB, through [diesel](https://diesel.rs) and
//! [diesel-async](https://docs.rs/diesel-async).
//!
//! - `PostgresStore` (feature `postgres`): PostgreSQL 12 and later.
//! - `MysqlStore` (feature `mysql`): MariaDB 10.6 and later, MySQL 8.0 and later.
//!
//! Each has a second store for the table of a Node application with connect-typeorm: `PostgresTypeormStore` and
//! `MysqlTypeormStore`, from the same builders.
//!
//! Neither needs a client library of the database to build. Each is made from a URL, or from a deadpool pool of
//! diesel-async connections that the application has already.

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod checkout;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod convert;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod fault;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod statements;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod tls;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod typeorm;

#[cfg(feature = "mysql")]
pub use mysql::{MysqlBuilder, MysqlStore, MysqlTypeormStore};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStore, PostgresTypeormStore, TableOptions};
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use session_core::ConnectTypeorm;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use tls::TlsMode;

/// The driver's crates, so that an application builds its pool with the same versions.
pub use {deadpool, diesel, diesel_async};
