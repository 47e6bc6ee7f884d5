//! The dialect of MySQL, from version 8.0 on, and of MariaDB, from version 10.6 on.
//!
//! A layout ([`Native`], [`Typeorm`]) has its statements and knows what their answers mean. [`settings`] are those that
//! connections of one's own should have, [`number`] says what a server's error means for call and connection.

mod catalogue;
mod cluster;
mod connect_typeorm;
mod diagnose;
mod engine;
mod galera;
mod group_replication;
mod message;
mod native;
pub mod number;
mod sending;
mod server;
mod server_settings;
pub mod settings;
mod sizes;
#[cfg(test)]
mod tests;
pub mod url;

pub use connect_typeorm::Typeorm;
pub use native::{Native, NativeOptions, alone};
