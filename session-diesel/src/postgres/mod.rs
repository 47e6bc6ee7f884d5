//! PostgreSQL.

mod batch;
mod builder;
mod connect;
mod ddl;
mod diagnose;
mod error;
mod pool;
mod query;
mod statements;
mod store;
mod typeorm;

pub use builder::PostgresBuilder;
pub use ddl::TableOptions;
pub use store::PostgresStore;
pub use typeorm::PostgresTypeormStore;
