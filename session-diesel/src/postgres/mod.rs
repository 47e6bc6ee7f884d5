//! PostgreSQL.

mod builder;
mod cancel;
mod client;
mod connect;
mod doctor;
mod error;
mod hosts;
mod pool;
mod run;
mod store;
mod value;
mod way;

pub use builder::PostgresBuilder;
pub use store::PostgresStore;
