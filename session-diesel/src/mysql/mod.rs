//! MySQL and MariaDB.

mod builder;
mod cancel;
mod client;
mod connect;
mod error;
mod pool;
mod run;
mod store;
mod url;
mod value;

pub use builder::MysqlBuilder;
pub use store::MysqlStore;
