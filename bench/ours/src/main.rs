//! The benchmark's subjects that share this project's versions of the drivers: session-store, with and without
//! gathering, with a cache, and the bare drivers.

mod bare;
mod pool;
mod store;

use harness::{Orders, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Orders::from_env()?;
    match (orders.subject.as_str(), orders.backend.as_str()) {
        #[cfg(feature = "sqlite")]
        ("session-store" | "cached" | "one-by-one", "sqlite") => store::sqlite(&orders).await,
        #[cfg(feature = "postgres")]
        ("session-store" | "cached" | "one-by-one", "postgres") => store::postgres(&orders).await,
        #[cfg(feature = "mysql")]
        ("session-store" | "cached" | "one-by-one", "mysql") => store::mysql(&orders).await,
        #[cfg(feature = "mssql")]
        ("session-store" | "cached" | "one-by-one", "mssql") => store::mssql(&orders).await,
        #[cfg(feature = "sqlite")]
        ("bare", "sqlite") => bare::sqlite::run(&orders).await,
        #[cfg(feature = "postgres")]
        ("bare", "postgres") => bare::postgres::run(&orders).await,
        #[cfg(feature = "mysql")]
        ("bare", "mysql") => bare::mysql::run(&orders).await,
        #[cfg(feature = "mssql")]
        ("bare", "mssql") => bare::mssql::run(&orders).await,
        (subject, backend) => Err(format!("there is no {subject} on {backend}").into()),
    }
}
