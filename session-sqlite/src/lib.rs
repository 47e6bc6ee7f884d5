//! Web sessions in a SQLite file, or in memory, through [rusqlite](https://docs.rs/rusqlite).
//!
//! ```
//! use session_sqlite::SqliteStore;
//!
//! # async fn example(folder: &std::path::Path) -> session_core::Result<()> {
//! let store = SqliteStore::open(folder.join("sessions.db"))?;
//! store.create_table().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//! **One thread writes.** It has a connection of its own and takes everything that waits, of whatever kind, into one
//! transaction: of 64 concurrent callers each pays a fraction of the `fsync` that makes a commit durable. Every
//! operation has its own outcome and is answered after the commit. A lone write goes at once; there is no timer.
//! So the handle need not gather writes, and is asked to gather loads alone.
//!
//! **Loads run on the caller**, on one of a few reading connections, in parallel with the writer: a read of cached
//! pages takes less than a hop to another thread and back. What finds all of them busy gathers, and is read in one
//! transaction. Where reads turn out slow (a cold file), the following ones go to threads; see [`Reads`]. Listing and
//! counting always do.
//!
//! **One thread moves the write-ahead log into the database**, so that no commit has to.
//!
//! The threads end when the last clone of the store is dropped.
//!
//! # Features
//! `bundled` compiles SQLite into the program. Without it the system's SQLite is linked: 3.37 or later by this crate's needs,
//! and 3.44 or later with rusqlite 0.41, which does not link otherwise (`sqlite3_set_clientdata`). Debian 12 has 3.40.

mod checkpointer;
mod column;
mod connection;
mod diagnose;
mod error;
mod flush;
mod layout;
mod native;
mod options;
mod pace;
mod queue;
mod readers;
mod rules;
mod statements;
mod store;
mod turns;
mod typeorm;
mod writer;

pub use options::{JournalMode, Reads, SqliteStoreBuilder, Synchronous};
pub use session_core::ConnectTypeorm;
pub use store::SqliteStore;
