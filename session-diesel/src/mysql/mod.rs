//! MySQL and MariaDB.

mod batch;
mod builder;
mod connect;
mod ddl;
mod diagnose;
mod error;
mod locked;
mod pool;
mod query;
mod statements;
mod store;
mod typeorm;

pub use builder::MysqlBuilder;
pub use store::MysqlStore;
pub use typeorm::MysqlTypeormStore;
