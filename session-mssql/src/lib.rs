//! Sessions in SQL Server, through [tiberius].
//!
//! [`MssqlStore`] keeps them in a table of its own form ([`create_table`](MssqlStore::create_table)).
//! [`ConnectMssqlV2Store`] and [`MssqlTypeormStore`] share the tables of the Node packages `connect-mssql-v2` and
//! `connect-typeorm` with a Node application.
//!
//! ```no_run
//! # async fn example() -> session_core::Result<()> {
//! use session_mssql::MssqlStore;
//!
//! let store = MssqlStore::connect("Server=tcp:localhost,1433;User=app;Password=secret;Database=web").await?;
//! store.create_table().await?;
//! # Ok(()) }
//! ```
//!
//! All need SQL Server 2016 or later with compatibility level 130, or Azure SQL. They run on Babelfish for
//! PostgreSQL too. TLS is rustls.
//!
//! A connection whose operation did not finish (an error, a time-out, a dropped future) is closed and never used
//! again.
//!
//! # Logins
//! SQL logins and Azure access tokens work everywhere: an ADO string with `User` and `Password`, or a
//! [`tiberius::Config`] with [`AuthMethod::aad_token`](tiberius::AuthMethod::aad_token). Windows logins need a feature: `winauth` on Windows,
//! `integrated-auth-gssapi` (Kerberos) or `sspi-rs` (NTLM) on Unix.
//!
//! # Logging
//! tiberius traces what it receives, rows and all, so its events are suppressed while a statement runs. In a program
//! that has no subscriber of `tracing` at all they go to the `log` crate all the same, at the level TRACE under the
//! target `tiberius`: leave that level off.

mod batch;
mod builder;
mod connect_mssql_v2;
mod connect_typeorm;
mod convert;
mod datetime;
mod diagnose;
mod error;
mod pool;
mod statements;
mod store;

pub use builder::MssqlStoreBuilder;
pub use connect_mssql_v2::{ConnectMssqlV2Store, ConnectMssqlV2StoreBuilder};
pub use connect_typeorm::MssqlTypeormStore;
pub use pool::{Connection, Manager, Pool};
pub use session_core::ConnectTypeorm;
pub use store::MssqlStore;
pub use {deadpool, tiberius};

const BACKEND: &str = "mssql";
