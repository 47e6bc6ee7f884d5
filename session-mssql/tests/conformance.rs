//! The conformance suite on a live server: `SESSION_STORE_MSSQL_URL` is an ADO.NET connection string.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;

use conformance::{Availability, Backend, Namespace};
use session_core::{KeyFormat, Result, SessionKey, Store, TableName};
use session_mssql::tiberius::Config;
use session_mssql::{Manager, MssqlStore, Pool};

struct Mssql {
    config: Config,
    format: KeyFormat,
}

impl Mssql {
    fn new(ado_string: &str, format: KeyFormat) -> Mssql {
        let config = Config::from_ado_string(ado_string).expect("SESSION_STORE_MSSQL_URL is an ADO.NET string");
        Mssql { config, format }
    }

    fn pool(&self) -> Result<Pool> {
        MssqlStore::builder().config(self.config.clone()).build().map(|store| store.pool().clone())
    }
}

#[async_trait::async_trait]
impl Backend for Mssql {
    fn name(&self) -> String {
        "mssql".to_owned()
    }

    fn variant(&self) -> String {
        match self.format {
            KeyFormat::Hashed => "native".to_owned(),
            KeyFormat::Plain => "native with plain ids".to_owned(),
        }
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let mut config = self.config.clone();
        if let Some(proxy) = via {
            config.host(proxy.ip());
            config.port(proxy.port());
        }
        let store = MssqlStore::builder()
            .config(config)
            .pool_size(4)
            .table(TableName::new(namespace.as_str())?)
            .key_format(self.format)
            .build()?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        Ok(())
    }

    fn address(&self) -> Option<SocketAddr> {
        self.config.get_addr().to_socket_addrs().ok()?.next()
    }

    fn durable(&self) -> bool {
        true
    }
}

fn main() -> ExitCode {
    const URL: &str = "SESSION_STORE_MSSQL_URL";
    conformance::main([
        Availability::from_env("mssql", "native", URL, |url| Mssql::new(&url, KeyFormat::Hashed)),
        Availability::from_env("mssql", "native with plain ids", URL, |url| Mssql::new(&url, KeyFormat::Plain)),
    ])
}
