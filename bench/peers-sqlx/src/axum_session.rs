//! axum_session with axum_session_sqlx.

use std::str::FromStr as _;

use axum_session::DatabasePool;
use axum_session_sqlx::{SessionMySqlPool, SessionPgPool, SessionSqlitePool};
use harness::{Data, Orders, Result, Subject, serve};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Any of the crate's pools, without its cache in memory: the work on the database is compared here.
struct AxumSession<P> {
    pool: P,
    table: String,
}

pub(crate) async fn sqlite(orders: &Orders) -> Result<()> {
    let path = format!("sqlite://{}/{}.sqlite", orders.url, orders.table);
    let options = SqliteConnectOptions::from_str(&path)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new()
        .max_connections(orders.pool)
        .test_before_acquire(false)
        .connect_with(options)
        .await?;
    let settings = format!("pool of {}, WAL, synchronous=FULL, no ping, no cache", orders.pool);
    run(SessionSqlitePool::from(pool), orders, &settings).await
}

pub(crate) async fn postgres(orders: &Orders) -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(orders.pool)
        .min_connections(orders.pool)
        .test_before_acquire(false)
        .connect(&orders.url)
        .await?;
    run(SessionPgPool::from(pool), orders, &format!("pool of {}, no ping, no cache", orders.pool)).await
}

pub(crate) async fn mysql(orders: &Orders) -> Result<()> {
    let pool = MySqlPoolOptions::new()
        .max_connections(orders.pool)
        .min_connections(orders.pool)
        .test_before_acquire(false)
        .connect(&orders.url)
        .await?;
    run(SessionMySqlPool::from(pool), orders, &format!("pool of {}, no ping, no cache", orders.pool)).await
}

async fn run<P: DatabasePool + Send + Sync + 'static>(
    pool: P,
    orders: &Orders,
    settings: &str,
) -> Result<()> {
    let table = orders.table.clone();
    pool.initiate(&table).await?;
    serve(AxumSession { pool, table }, settings).await
}

fn expiry(expired: bool) -> i64 {
    (OffsetDateTime::now_utc() + if expired { -Duration::DAY } else { Duration::DAY }).unix_timestamp()
}

impl<P: DatabasePool + Send + Sync + 'static> AxumSession<P> {
    async fn store(&self, id: &str, data: &Data, expired: bool) -> Result<()> {
        let session = serde_json::to_string(data)?;
        Ok(self.pool.store(id, &session, expiry(expired), &self.table).await?)
    }
}

impl<P: DatabasePool + Send + Sync + 'static> Subject for AxumSession<P> {
    type Id = String;
    type Draft = Data;

    fn draft(&self, data: Data) -> Data {
        data
    }

    async fn create(&self, draft: &mut Data, expired: bool) -> Result<String> {
        let id = Uuid::new_v4().to_string();
        self.store(&id, draft, expired).await?;
        Ok(id)
    }

    async fn load(&self, id: &String) -> Result<bool> {
        let Some(session) = self.pool.load(id, &self.table).await? else { return Ok(false) };
        std::hint::black_box(serde_json::from_str::<Data>(&session)?);
        Ok(true)
    }

    async fn save(&self, id: &String, draft: &mut Data) -> Result<()> {
        self.store(id, draft, false).await
    }

    async fn touch(&self, id: &String, draft: &mut Data) -> Result<()> {
        self.store(id, draft, false).await
    }

    async fn destroy(&self, id: &String) -> Result<()> {
        Ok(self.pool.delete_one_by_id(id, &self.table).await?)
    }

    async fn purge(&self) -> Result<()> {
        self.pool.delete_by_expiry(&self.table).await?;
        Ok(())
    }
}
