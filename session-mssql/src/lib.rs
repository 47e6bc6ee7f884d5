//! Web sessions in SQL Server, through [tiberius].
//!
//! It needs SQL Server 2016 or later with compatibility level 130, Azure SQL, or Babelfish for PostgreSQL.
//!
//! # Connect
//! ```no_run
//! # async fn example() -> session_core::Result<()> {
//! use session_mssql::MssqlStore;
//!
//! let store = MssqlStore::connect("Server=tcp:localhost,1433;User=app;Password=secret;Database=web").await?;
//! store.create_table().await?;
//! # Ok(()) }
//! ```
//!
//! [`MssqlStore::builder`] has all options. Connections use TLS by rustls unless an option or the string says otherwise.
//!
//! # Log in
//! SQL logins and Azure access tokens work everywhere. Give a SQL login in the connection string or by
//! [`credentials`](MssqlBuilder::credentials), and a token by
//! [`access_token_from`](MssqlBuilder::access_token_from), which is asked for each new connection.
//!
//! Windows logins need a feature: `winauth` on Windows, `integrated-auth-gssapi` (Kerberos) on Unix. For NTLM on Unix the
//! application switches on tiberius' own feature `sspi-rs`.
//!
//! # Use a pool that you have
//! [`MssqlBuilder::pool`] takes a [`Pool`], which the application makes with limits and hooks of its own.
//!
//! # Make the table
//! [`MssqlStore::create_table`] makes it, and [`MssqlStore::schema_sql`] returns its text for a migration.
//!
//! # Share a table with Node
//! [`ConnectTypeorm`] and [`ConnectMssqlV2`] are options of the builder: the tables that those packages make.
//!
//! # Drop a call
//! A connection whose operation did not finish (an error, a time-out, a dropped future) is closed and never used
//! again.
//!
//! # Keep rows out of the log
//! tiberius traces what it receives, rows included, so its events are suppressed while a statement runs. A program
//! without any subscriber of `tracing` still gets them through the `log` crate: at TRACE, target `tiberius`. Leave that
//! level off.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod connect;
mod connect_mssql_v2;
mod connect_typeorm;
mod datetime;
mod diagnose;
mod error;
mod keywords;
mod lease;
mod login;
mod native;
mod pool;
mod run;
mod shared;
mod store;
mod value;

pub use builder::MssqlBuilder;
pub use connect::Connection;
pub use connect_mssql_v2::ConnectMssqlV2;
pub use pool::{Manager, Pool};
pub use session_sql::{ConnectTypeorm, Credentials, Tls};
pub use store::MssqlStore;
pub use {deadpool, tiberius};

/// Tries the example of the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
struct Readme;
