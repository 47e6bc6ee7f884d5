//! The SQL of session-store: statements, values, dialects. It contains no client library and opens no connection.
//!
//! # Run the dialects over another client library
//! Implement [`Run`]. The modules `postgres` and `mysql` (features of the same names) then have the statements of both
//! table layouts, and say what a server's answers mean. SQLite's dialect, `sqlite`, is written against `sqlite::Step`.
//!
//! # Write a statement
//! [`Statement`] is SQL with named values. It can only be run once it is [bound](Statement::bind) to them:
//!
//! ```
//! use session_sql::{Dialect, Statement};
//!
//! let statement = Statement::new(Dialect::Mysql, "SELECT data FROM t WHERE id = :key AND expires_at > :now");
//! assert_eq!(statement.sql(), "SELECT data FROM t WHERE id = ? AND expires_at > ?");
//! ```
//!
//! # Read a row
//! [`value`] turns a column's value into a type of the contract, or into an error that names the column.
//!
//! # Check a table
//! [`Expectation`] says how a table should look, and what the doctor reports of one that looks otherwise.
//! [`ConnectTypeorm`] has the names of a table that connect-typeorm made.
//!
//! # Connect
//! [`Tls`] says how a connection is encrypted, [`Credentials`] who logs in, [`Limits`] how long anything on it may take.
//!
//! # Lend connections
//! `checkout` (a feature) is a pool of connections that a driver makes itself.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "checkout")]
pub mod checkout;
pub mod connect_typeorm;
mod credentials;
mod dialect;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod engine;
mod expectation;
mod limits;
#[cfg(feature = "__mutants")]
mod mutator;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
mod run;
#[cfg(test)]
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod scripted;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod statement;
mod tls;
mod url;
pub mod value;

pub use connect_typeorm::ConnectTypeorm;
pub use credentials::{Credentials, Login};
pub use dialect::Dialect;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use engine::Engine;
pub use expectation::{
    Expectation, ExpectedCollation, ExpectedColumn, ExpectedIndex, FoundColumn, FoundIndex,
};
pub use limits::{Limits, Told};
pub use run::{Fault, Link, Run, Transact};
pub use statement::{Bound, Named, Statement, Value};
pub use tls::{Tls, is_loopback, read_pem};
pub use url::{has_parameter, nearest, percent_decoded, percent_encoded, take_parameter};

/// Tries the example of the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
struct Readme;
