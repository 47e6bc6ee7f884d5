//! MySQL and MariaDB.

mod builder;
mod client;
mod connect;
mod error;
mod pool;
mod run;
mod store;
mod value;

pub use builder::MysqlBuilder;
pub use store::MysqlStore;
