//! PostgreSQL.

use std::any::Any;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use conformance::{Availability, CaseInfo, Namespace, Objection, Part, Subject};
use session_core::contract::Store;
use session_core::{Error, KeyFormat, Result, SessionKey, TableName};
use session_sqlx::sqlx::postgres::{PgConnectOptions, PgConnection};
use session_sqlx::sqlx::{self, AssertSqlSafe, ConnectOptions, Executor, Row};
use session_sqlx::{ConnectTypeorm, PostgresStore};

use crate::variant::{
    POOL, Variant, host_of, is_our_own_server, no_objection, objection_of_postgres, password_of,
    with_database, with_host,
};

/// Tells the connections of the suite's own from those of the stores.
const OURS: &str = "the suite itself";

const URL: &str = "SESSION_STORE_POSTGRES_URL";

pub(crate) fn backends() -> impl Iterator<Item = Availability> {
    Variant::ALL.into_iter().map(|variant| {
        Availability::from_env("postgres", &format!("sqlx, {}", variant.name()), URL, |url| Postgres {
            url,
            variant,
        })
    })
}

struct Postgres {
    url: String,
    variant: Variant,
}

impl Postgres {
    async fn raw(&self) -> Result<PgConnection> {
        raw_at(&self.url).await
    }

    async fn run(&self, sql: &str) -> Result<()> {
        run_at(&self.url, sql).await
    }

    /// At a URL, of which `direct` is the one without a proxy.
    async fn store(&self, url: &str, direct: &str, namespace: &Namespace) -> Result<Arc<dyn Store>> {
        let builder = PostgresStore::builder()
            .url(url)
            .pool_size(POOL)
            .table(TableName::new(namespace.as_str())?)
            .key_format(self.variant.key_format())
            .limit_subquery(self.variant.limit_subquery());
        if self.variant == Variant::TypeormOld {
            let columns =
                "(id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL, json text NOT NULL)";
            let create =
                format!("SELECT pg_advisory_lock(1); CREATE TABLE IF NOT EXISTS \"{namespace}\" {columns}");
            run_at(direct, &create).await?;
        }
        let store = match self.variant.is_typeorm() {
            true => builder.connect_typeorm(ConnectTypeorm::new()).connect().await?,
            false => builder.build()?,
        };
        store.create_table().await?;
        Ok(Arc::new(store))
    }
}

async fn raw_at(url: &str) -> Result<PgConnection> {
    let options: PgConnectOptions = url.parse().map_err(raw_error)?;
    options.application_name(OURS).connect().await.map_err(raw_error)
}

async fn run_at(url: &str, sql: &str) -> Result<()> {
    run(&mut raw_at(url).await?, sql).await
}

async fn run(raw: &mut PgConnection, sql: &str) -> Result<()> {
    raw.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop).map_err(raw_error)
}

#[async_trait::async_trait]
impl Subject for Postgres {
    fn name(&self) -> String {
        "postgres".to_owned()
    }

    fn variant(&self) -> String {
        format!("sqlx, {}", self.variant.name())
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let url = via.map_or_else(|| self.url.clone(), |via| with_host(&self.url, &via.to_string()));
        self.store(&url, &self.url, namespace).await
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let drop = format!("DROP TABLE IF EXISTS \"{namespace}\"; {}", no_objection(namespace));
        self.run(&drop).await
    }

    fn address(&self) -> Option<SocketAddr> {
        host_of(&self.url)?.to_socket_addrs().ok()?.next()
    }

    fn durable(&self) -> bool {
        true
    }

    fn shared(&self, case: &CaseInfo, gathered: bool) -> Option<String> {
        self.variant.shared(case, gathered).map(|other| format!("sqlx, {other}"))
    }

    fn secrets(&self) -> Vec<String> {
        password_of(&self.url).into_iter().collect()
    }

    fn pool_size(&self) -> Option<usize> {
        Some(POOL)
    }

    async fn statements_under_way(&self, namespace: &Namespace) -> Result<Option<usize>> {
        let select = "SELECT count(*) FROM pg_stat_activity \
                      WHERE state = 'active' AND application_name <> $1 AND strpos(query, $2) > 0";
        let count = sqlx::query_scalar::<_, i64>(select).bind(OURS).bind(namespace.as_str());
        Ok(usize::try_from(count.fetch_one(&mut self.raw().await?).await.map_err(raw_error)?).ok())
    }

    async fn lock(&self, namespace: &Namespace) -> Result<Option<Box<dyn Any + Send>>> {
        let mut client = self.raw().await?;
        let lock = format!("BEGIN; LOCK TABLE \"{namespace}\" IN ACCESS EXCLUSIVE MODE");
        run(&mut client, &lock).await?;
        Ok(Some(Box::new(client)))
    }

    async fn limit_idle(&self, limit: bool) -> Result<Option<Duration>> {
        if !is_our_own_server() {
            return Ok(None);
        }
        let time = Duration::from_millis(300);
        let set = if limit {
            format!("SET idle_session_timeout = {}", time.as_millis())
        } else {
            "RESET idle_session_timeout".to_owned()
        };
        self.run(&format!("ALTER SYSTEM {set}")).await?;
        self.run("SELECT pg_reload_conf()").await?;
        // The server's processes read it a moment later.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(Some(time))
    }

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        self.damage(namespace, key, Part::Payload).await
    }

    async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
        let Some(damaged) = self.variant.column(part) else { return Ok(false) };
        let mut client = self.raw().await?;
        // No principal is empty, and a session may have none.
        let odd = if part == Part::Principal { "''" } else { "NULL" };
        let [column, _] = self.variant.columns();
        let alter = format!("ALTER TABLE \"{namespace}\" ALTER COLUMN \"{damaged}\" DROP NOT NULL");
        run(&mut client, &alter).await?;
        if part == Part::Expiry && !self.variant.is_typeorm() {
            // It is made of the expiry.
            let slot = format!("ALTER TABLE \"{namespace}\" ALTER COLUMN expiry_slot DROP NOT NULL");
            run(&mut client, &slot).await?;
        }
        let update = format!("UPDATE \"{namespace}\" SET \"{damaged}\" = {odd} WHERE {column} = $1");
        let update = sqlx::query(AssertSqlSafe(update));
        let update = match key.as_text() {
            Some(text) => update.bind(text.to_owned()),
            None => update.bind(key.as_bytes().to_vec()),
        };
        Ok(update.execute(&mut client).await.map_err(raw_error)?.rows_affected() == 1)
    }

    async fn object(&self, namespace: &Namespace, objection: Objection) -> Result<bool> {
        let [_, payload] = self.variant.columns();
        run_at(&self.url, &objection_of_postgres(objection, namespace, payload)).await?;
        Ok(true)
    }

    /// In a database of the suite's own server, which goes with it.
    async fn open_narrow(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Store>>> {
        if !is_our_own_server() {
            return Ok(None);
        }
        let database = format!("{namespace}_latin");
        let create = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
        run_at(&self.url, &format!("CREATE DATABASE {database} {create}")).await?;
        let url = with_database(&self.url, &database);
        self.store(&url, &url, namespace).await.map(Some)
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let mut client = self.raw().await?;
        let [column, _] = self.variant.columns();
        let key = match self.variant.key_format() {
            KeyFormat::Plain => format!("convert_to({column}, 'UTF8')"),
            KeyFormat::Hashed => column.to_owned(),
        };
        let select = format!("SELECT {key}, t::text FROM \"{namespace}\" AS t");
        let mut dump = Vec::new();
        for row in client.fetch_all(sqlx::query(AssertSqlSafe(select))).await.map_err(raw_error)? {
            dump.extend_from_slice(row.get::<&[u8], _>(0));
            dump.extend_from_slice(row.get::<&str, _>(1).as_bytes());
        }
        Ok(Some(dump))
    }
}

fn raw_error(error: sqlx::Error) -> Error {
    Error::unavailable("the suite's own connection failed").with_source(error)
}
