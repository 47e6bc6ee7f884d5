//! rusqlite, with cached statements, called on the runtime's own threads: the least that a call can cost.
//!
//! Loads run on as many connections as there are in the pool; writes one after another on one more, each in a
//! transaction of its own.

use harness::{Data, Orders, Result, Subject, serve};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{DAY, Key, decode, encode, now, random_key};
use crate::pool::Pool;

struct Sqlite {
    readers: Pool<Connection>,
    writer: Pool<Connection>,
}

pub(crate) async fn run(orders: &Orders) -> Result<()> {
    let path = format!("{}/{}.sqlite", orders.url, orders.table);
    let open = || {
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok::<_, rusqlite::Error>(connection)
    };
    let writer = open()?;
    writer.execute_batch(
        "CREATE TABLE sessions (key BLOB PRIMARY KEY, payload TEXT NOT NULL, expires_at INTEGER NOT NULL, \
         created_at INTEGER NOT NULL, version INTEGER NOT NULL)",
    )?;
    let readers = (0..orders.pool).map(|_| open()).collect::<rusqlite::Result<Vec<_>>>()?;
    let subject = Sqlite { readers: Pool::new(readers), writer: Pool::new(vec![writer]) };
    let settings = format!("{} readers, WAL, synchronous=FULL, one transaction a write", orders.pool);
    serve(subject, &settings).await
}

impl Subject for Sqlite {
    type Id = Key;
    type Draft = Data;

    fn draft(&self, data: Data) -> Data {
        data
    }

    async fn create(&self, draft: &mut Data, expired: bool) -> Result<Key> {
        let (key, payload, now) = (random_key()?, encode(draft)?, now());
        let expires_at = if expired { now } else { now + DAY };
        let connection = self.writer.get().await?;
        connection
            .prepare_cached(
                "INSERT INTO sessions (key, payload, expires_at, created_at, version) VALUES (?, ?, ?, ?, 1) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![key, payload, expires_at, now])?;
        Ok(key)
    }

    async fn load(&self, key: &Key) -> Result<bool> {
        let connection = self.readers.get().await?;
        let payload: Option<String> = connection
            .prepare_cached(
                "SELECT payload, expires_at, version FROM sessions WHERE key = ? AND expires_at > ?",
            )?
            .query_row(params![key, now()], |row| row.get(0))
            .optional()?;
        drop(connection);
        let Some(payload) = payload else { return Ok(false) };
        decode(&payload)?;
        Ok(true)
    }

    async fn save(&self, key: &Key, draft: &mut Data) -> Result<()> {
        let (payload, now) = (encode(draft)?, now());
        let connection = self.writer.get().await?;
        connection
            .prepare_cached(
                "UPDATE sessions SET payload = ?, expires_at = ?, version = version + 1 \
                 WHERE key = ? AND expires_at > ?",
            )?
            .execute(params![payload, now + DAY, key, now])?;
        Ok(())
    }

    async fn touch(&self, key: &Key, _: &mut Data) -> Result<()> {
        let now = now();
        let connection = self.writer.get().await?;
        connection
            .prepare_cached("UPDATE sessions SET expires_at = ? WHERE key = ? AND expires_at > ?")?
            .execute(params![now + DAY, key, now])?;
        Ok(())
    }

    async fn destroy(&self, key: &Key) -> Result<()> {
        let connection = self.writer.get().await?;
        connection
            .prepare_cached("DELETE FROM sessions WHERE key = ? AND expires_at > ?")?
            .execute(params![key, now()])?;
        Ok(())
    }

    async fn purge(&self) -> Result<()> {
        let connection = self.writer.get().await?;
        connection.execute("DELETE FROM sessions WHERE expires_at <= ?", params![now()])?;
        Ok(())
    }
}
