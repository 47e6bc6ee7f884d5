//! Web sessions in a SQLite file or in memory, through [rusqlite](https://docs.rs/rusqlite).
//!
//! # Open a file
//! ```
//! use session_sqlite::SqliteStore;
//!
//! # async fn example(folder: &std::path::Path) -> session_core::Result<()> {
//! let store = SqliteStore::connect(folder.join("sessions.db")).await?;
//! store.create_table().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`SqliteStore::builder`] has all options. Building a store touches no file: connections are opened when they are first
//! needed.
//!
//! # Make the table
//! [`SqliteStore::create_table`] makes it, and [`SqliteStore::schema_sql`] returns its text for a migration.
//!
//! # Test without a file
//! [`SqliteStore::in_memory`] is a new, empty database, which ends with the store.
//!
//! # Choose a SQLite
//! The feature `bundled` compiles SQLite into the program. Without it the program links the system's SQLite, 3.37 or
//! later. rusqlite 0.41 needs 3.44 or later to link (`sqlite3_set_clientdata`), and Debian 12 has 3.40.
//!
//! # Choose between speed and durability
//! [`SqliteBuilder::synchronous`] is [`Synchronous::Full`] by default: a commit survives a power failure.
//!
//! # Share a file with Node
//! [`ConnectTypeorm`] is an option of the builder: the table that connect-typeorm makes.
//!
//! # Know the threads
//! **One thread writes.** It has a connection of its own, and commits everything that waits in one transaction. So each
//! of 64 concurrent callers pays a fraction of the `fsync` that makes a commit durable. Each operation is answered with
//! its own outcome, after the commit. A lone write goes at once: there is no timer.
//!
//! **Loads run on the caller**, on one of a few reading connections, beside the writer: reading cached pages takes less
//! time than a hop to another thread and back. Loads that find all connections busy share the next transaction. Where
//! reads turn out slow (a cold file), the following ones go to threads: see [`Reads`]. Listing and counting always do.
//!
//! **One thread moves the write-ahead log into the database**, so that no commit has to.
//!
//! The threads end when the last clone of the store is dropped.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod connect;
mod diagnose;
mod error;
mod layout;
mod run;
mod store;
mod value;

pub use builder::SqliteBuilder;
pub use connect::{JournalMode, Synchronous};
pub use run::Reads;
pub use session_sql::ConnectTypeorm;
pub use store::SqliteStore;

/// Tries the example of the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
struct Readme;
