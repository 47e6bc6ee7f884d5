//! PostgreSQL.

mod builder;
mod client;
mod connect;
mod doctor;
mod error;
mod pool;
mod run;
mod store;
mod url;
mod value;

pub use builder::PostgresBuilder;
pub use store::PostgresStore;
