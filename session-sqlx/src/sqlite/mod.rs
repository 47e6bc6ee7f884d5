//! SQLite.

mod builder;
mod client;
mod connect;
mod error;
mod pool;
mod store;
mod turns;
mod value;

pub use builder::SqliteBuilder;
pub use store::SqliteStore;
