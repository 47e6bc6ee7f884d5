//! PostgreSQL.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use conformance::{Availability, Backend, Namespace};
use session_core::{ConnectTypeorm, Error, KeyFormat, Result, SessionKey, Store, TableName};
use session_diesel::PostgresStore;
use tokio_postgres::NoTls;

use crate::{Variant, host_of, with_host};

const URL: &str = "SESSION_STORE_POSTGRES_URL";

pub(crate) fn backends() -> impl Iterator<Item = Availability> {
    Variant::ALL.into_iter().map(|variant| {
        Availability::from_env("postgres", variant.name(), URL, |url| Postgres { url, variant })
    })
}

struct Postgres {
    url: String,
    variant: Variant,
}

impl Postgres {
    async fn raw(&self) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.map_err(raw_error)?;
        tokio::spawn(connection);
        Ok(client)
    }
}

#[async_trait::async_trait]
impl Backend for Postgres {
    fn name(&self) -> String {
        "postgres".to_owned()
    }

    fn variant(&self) -> String {
        self.variant.name().to_owned()
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let url = via.map_or_else(|| self.url.clone(), |via| with_host(&self.url, &via.to_string()));
        let builder = PostgresStore::builder()
            .url(url)
            .table(TableName::new(namespace.as_str())?)
            .key_format(self.variant.key_format())
            .limit_subquery(self.variant.limit_subquery());
        if self.variant == Variant::TypeormOld {
            let columns =
                "(id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL, json text NOT NULL)";
            let create =
                format!("SELECT pg_advisory_lock(1); CREATE TABLE IF NOT EXISTS \"{namespace}\" {columns}");
            self.raw().await?.batch_execute(&create).await.map_err(raw_error)?;
        }
        if self.variant.is_typeorm() {
            let store = builder.connect_typeorm(ConnectTypeorm::new()).await?;
            store.create_table().await?;
            return Ok(Arc::new(store));
        }
        let store = builder.build()?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let drop = format!("DROP TABLE IF EXISTS \"{namespace}\"");
        self.raw().await?.batch_execute(&drop).await.map_err(raw_error)
    }

    fn address(&self) -> Option<SocketAddr> {
        host_of(&self.url)?.to_socket_addrs().ok()?.next()
    }

    fn durable(&self) -> bool {
        true
    }

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        let client = self.raw().await?;
        let [column, payload] = self.variant.columns();
        let alter = format!("ALTER TABLE \"{namespace}\" ALTER COLUMN {payload} DROP NOT NULL");
        client.batch_execute(&alter).await.map_err(raw_error)?;
        let update = format!("UPDATE \"{namespace}\" SET {payload} = NULL WHERE {column} = $1");
        let updated = match key.as_text() {
            Some(text) => client.execute(&update, &[&text]).await,
            None => client.execute(&update, &[&key.as_bytes()]).await,
        };
        Ok(updated.map_err(raw_error)? == 1)
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let client = self.raw().await?;
        let [column, _] = self.variant.columns();
        let key = match self.variant.key_format() {
            KeyFormat::Plain => format!("convert_to({column}, 'UTF8')"),
            KeyFormat::Hashed => column.to_owned(),
        };
        let select = format!("SELECT {key}, t::text FROM \"{namespace}\" AS t");
        let mut dump = Vec::new();
        for row in client.query(&select, &[]).await.map_err(raw_error)? {
            dump.extend_from_slice(row.get::<_, &[u8]>(0));
            dump.extend_from_slice(row.get::<_, String>(1).as_bytes());
        }
        Ok(Some(dump))
    }
}

fn raw_error(error: tokio_postgres::Error) -> Error {
    Error::unavailable("the suite's own connection failed").with_source(error)
}
