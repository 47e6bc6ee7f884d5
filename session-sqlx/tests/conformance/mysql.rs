//! MySQL and MariaDB.

use std::any::Any;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use conformance::{Availability, CaseInfo, Namespace, Objection, Part, Subject};
use session_core::contract::Store;
use session_core::{Error, Result, SessionKey, TableName};
use session_sqlx::sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use session_sqlx::sqlx::{self, AssertSqlSafe, ConnectOptions, Executor, Row};
use session_sqlx::{ConnectTypeorm, MysqlStore};

use crate::variant::{POOL, Variant, host_of, is_our_own_server, objection_of_mysql, password_of, with_host};

const URL: &str = "SESSION_STORE_MYSQL_URL";

pub(crate) fn backends() -> impl Iterator<Item = Availability> {
    Variant::ALL.into_iter().map(|variant| {
        Availability::from_env("mysql", &format!("sqlx, {}", variant.name()), URL, |url| Mysql {
            url,
            variant,
        })
    })
}

struct Mysql {
    url: String,
    variant: Variant,
}

impl Mysql {
    async fn raw(&self) -> Result<MySqlConnection> {
        let options: MySqlConnectOptions = self.url.parse().map_err(raw_error)?;
        options.connect().await.map_err(raw_error)
    }

    /// TypeORM's table with what the doctor advises: a collation that keeps every two ids apart, and room for 5 MiB. What
    /// the store does where that is not so stands among the tests of servers.
    async fn create_typeorm(&self, namespace: &Namespace) -> Result<()> {
        let mut raw = self.raw().await?;
        let version = sqlx::query_scalar::<_, String>("SELECT VERSION()").fetch_one(&mut raw).await;
        let mariadb = version.map_err(raw_error)?.contains("MariaDB");
        let collation = if mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        let mark = if self.variant == Variant::Typeorm { ", destroyedAt datetime(6) NULL" } else { "" };
        let create = format!(
            "CREATE TABLE IF NOT EXISTS `{namespace}` (expiredAt bigint NOT NULL, \
             id varchar(255) COLLATE {collation} NOT NULL, json longtext NOT NULL{mark}, \
             INDEX (expiredAt), PRIMARY KEY (id)) CHARACTER SET utf8mb4"
        );
        run(&mut raw, &create).await
    }
}

async fn run(raw: &mut MySqlConnection, sql: &str) -> Result<()> {
    raw.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop).map_err(raw_error)
}

#[async_trait::async_trait]
impl Subject for Mysql {
    fn name(&self) -> String {
        "mysql".to_owned()
    }

    fn variant(&self) -> String {
        format!("sqlx, {}", self.variant.name())
    }

    async fn open(&self, namespace: &Namespace, via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let url = via.map_or_else(|| self.url.clone(), |via| with_host(&self.url, &via.to_string()));
        let builder = MysqlStore::builder()
            .url(url)
            .pool_size(POOL)
            .table(TableName::new(namespace.as_str())?)
            .key_format(self.variant.key_format())
            .limit_subquery(self.variant.limit_subquery());
        if self.variant.is_typeorm() {
            self.create_typeorm(namespace).await?;
            return Ok(Arc::new(builder.connect_typeorm(ConnectTypeorm::new()).connect().await?));
        }
        let store = builder.build()?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let mut raw = self.raw().await?;
        run(&mut raw, &format!("DROP TABLE IF EXISTS `{namespace}`")).await
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
        let select = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() \
                      AND INFO LIKE CONCAT('%', ?, '%')";
        let count = sqlx::query_scalar::<_, i64>(select).bind(namespace.as_str());
        Ok(usize::try_from(count.fetch_one(&mut self.raw().await?).await.map_err(raw_error)?).ok())
    }

    async fn lock(&self, namespace: &Namespace) -> Result<Option<Box<dyn Any + Send>>> {
        let mut raw = self.raw().await?;
        run(&mut raw, &format!("LOCK TABLES `{namespace}` WRITE")).await?;
        Ok(Some(Box::new(raw)))
    }

    /// For connections that are made from now on.
    async fn limit_idle(&self, limit: bool) -> Result<Option<Duration>> {
        if !is_our_own_server() {
            return Ok(None);
        }
        let time = Duration::from_secs(1);
        let value = if limit { time.as_secs().to_string() } else { "DEFAULT".to_owned() };
        run(&mut self.raw().await?, &format!("SET GLOBAL wait_timeout = {value}")).await?;
        Ok(Some(time))
    }

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        self.damage(namespace, key, Part::Payload).await
    }

    async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
        let Some(damaged) = self.variant.column(part) else { return Ok(false) };
        let mut raw = self.raw().await?;
        // No principal is empty, and a session may have none.
        let (odd, column_type) = match part {
            Part::Principal => ("''", None),
            Part::Payload => ("NULL", Some("longtext CHARACTER SET utf8mb4")),
            Part::Expiry | Part::Creation | Part::Version => ("NULL", Some("bigint")),
        };
        if let Some(column_type) = column_type {
            let alter = format!("ALTER TABLE `{namespace}` MODIFY `{damaged}` {column_type} NULL");
            run(&mut raw, &alter).await?;
        }
        let [column, _] = self.variant.columns();
        let update = format!("UPDATE `{namespace}` SET `{damaged}` = {odd} WHERE `{column}` = ?");
        let update = sqlx::query(AssertSqlSafe(update)).bind(key.as_bytes());
        Ok(update.execute(&mut raw).await.map_err(raw_error)?.rows_affected() == 1)
    }

    async fn object(&self, namespace: &Namespace, objection: Objection) -> Result<bool> {
        let mut raw = self.raw().await?;
        // A trigger keeps the mode in which it was made.
        let strict = "SET sql_mode = 'STRICT_ALL_TABLES'".to_owned();
        let [_, payload] = self.variant.columns();
        for statement in [vec![strict], objection_of_mysql(objection, namespace, payload)].concat() {
            run(&mut raw, &statement).await?;
        }
        Ok(true)
    }

    async fn open_narrow(&self, namespace: &Namespace) -> Result<Option<Arc<dyn Store>>> {
        drop(self.open(namespace, None).await?);
        let [_, payload] = self.variant.columns();
        let narrow =
            format!("ALTER TABLE `{namespace}` MODIFY `{payload}` longtext CHARACTER SET latin1 NOT NULL");
        let mut raw = self.raw().await?;
        run(&mut raw, &narrow).await?;
        self.open(namespace, None).await.map(Some)
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let mut raw = self.raw().await?;
        let select = format!("SELECT * FROM `{namespace}`");
        let rows = raw.fetch_all(sqlx::raw_sql(AssertSqlSafe(select.as_str()))).await.map_err(raw_error)?;
        let mut dump = Vec::new();
        for row in rows {
            // Unprepared, every column comes as its text.
            for column in 0..row.len() {
                let bytes: Option<&[u8]> = row.try_get_unchecked(column).map_err(raw_error)?;
                dump.extend_from_slice(bytes.unwrap_or_default());
                dump.push(b'\n');
            }
        }
        Ok(Some(dump))
    }
}

fn raw_error(error: sqlx::Error) -> Error {
    Error::unavailable("the suite's own connection failed").with_source(error)
}
