#![cfg_attr(
    all(feature = "sqlite-bundled", feature = "tower-sessions"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(feature = "sqlite-bundled", feature = "tower-sessions")),
    doc = "Web sessions kept in a SQL database: one contract, four drivers, one proof. See the README."
)]

#[cfg(feature = "express")]
pub mod express;
mod open;
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
pub mod tower_sessions;

pub use open::open;
pub use session_core::*;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use session_diesel;
#[cfg(feature = "mysql")]
pub use session_diesel::{MysqlStore, MysqlTypeormStore};
#[cfg(feature = "postgres")]
pub use session_diesel::{PostgresStore, PostgresTypeormStore};
#[cfg(feature = "mssql")]
pub use session_mssql::{self, MssqlStore};
#[cfg(any(feature = "sqlite", feature = "sqlite-bundled"))]
pub use session_sqlite::{self, SqliteStore};
