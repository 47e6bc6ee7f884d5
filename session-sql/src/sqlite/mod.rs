//! SQLite's dialect, from version 3.37 on.
//!
//! A layout ([`Layout`]: [`Native`] or [`Typeorm`]) has its statements and knows what their answers mean. It is written
//! against [`Step`], one statement on an open connection, so that a client library that blocks and one that is asynchronous
//! run the same: the futures of the former never wait, and [`ready`] takes what came of them. [`code`] says what an error
//! means for call and connection.
//!
//! Where an operation that writes is several statements, nobody else may write between them: it is called within a
//! transaction that was begun with [`BEGIN`].

pub mod code;
mod connect_typeorm;
mod database;
pub mod diagnose;
mod layout;
mod lock_share;
mod native;
pub mod place;
mod step;
mod value;

pub use connect_typeorm::Typeorm;
pub use database::{Database, make_private};
pub use layout::Layout;
pub use lock_share::LockShare;
pub use native::Native;
pub use step::{Answer, Step, ready};

/// Begins a transaction with the lock for writing: one that began with reading could fail when it comes to writing.
pub const BEGIN: &str = "BEGIN IMMEDIATE";

/// The first version, in SQLite's own number for it: it has STRICT tables.
pub const OLDEST: i32 = 3_037_000;
