//! mysql_async, with its statement cache.

use harness::{Data, Orders, Result, Subject, serve};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::{DAY, Key, decode, encode, now, random_key};
use crate::pool::Pool;

struct MySql {
    pool: Pool<Conn>,
    load: String,
    save: String,
    touch: String,
    create: String,
    destroy: String,
    purge: String,
}

pub(crate) async fn run(orders: &Orders) -> Result<()> {
    let options = OptsBuilder::from_opts(Opts::from_url(&orders.url)?).prefer_socket(false);
    let table = &orders.table;
    let mut connections = Vec::new();
    for _ in 0..orders.pool {
        connections.push(Conn::new(options.clone()).await?);
    }
    if let Some(connection) = connections.first_mut() {
        connection
            .query_drop(format!(
                "CREATE TABLE {table} (`key` varbinary(32) PRIMARY KEY, payload longtext CHARACTER SET utf8mb4 \
                 COLLATE utf8mb4_bin NOT NULL, expires_at bigint NOT NULL, created_at bigint NOT NULL, \
                 version bigint NOT NULL)"
            ))
            .await?;
    }
    let live = "`key` = ? AND expires_at > ?";
    let subject = MySql {
        pool: Pool::new(connections),
        load: format!("SELECT payload, expires_at, version FROM {table} WHERE {live}"),
        save: format!("UPDATE {table} SET payload = ?, expires_at = ?, version = version + 1 WHERE {live}"),
        touch: format!("UPDATE {table} SET expires_at = ? WHERE {live}"),
        create: format!(
            "INSERT INTO {table} (`key`, payload, expires_at, created_at, version) VALUES (?, ?, ?, ?, 1)"
        ),
        destroy: format!("DELETE FROM {table} WHERE {live}"),
        purge: format!("DELETE FROM {table} WHERE expires_at <= ?"),
    };
    serve(subject, &format!("pool of {}, cached prepared statements", orders.pool)).await
}

impl Subject for MySql {
    type Id = Key;
    type Draft = Data;

    fn draft(&self, data: Data) -> Data {
        data
    }

    async fn create(&self, draft: &mut Data, expired: bool) -> Result<Key> {
        let (key, payload, now) = (random_key()?, encode(draft)?, now());
        let expires_at = if expired { now } else { now + DAY };
        self.pool.get().await?.exec_drop(&self.create, (&key[..], payload, expires_at, now)).await?;
        Ok(key)
    }

    async fn load(&self, key: &Key) -> Result<bool> {
        let mut connection = self.pool.get().await?;
        let row: Option<(String, i64, i64)> = connection.exec_first(&self.load, (&key[..], now())).await?;
        drop(connection);
        let Some((payload, _, _)) = row else { return Ok(false) };
        decode(&payload)?;
        Ok(true)
    }

    async fn save(&self, key: &Key, draft: &mut Data) -> Result<()> {
        let (payload, now) = (encode(draft)?, now());
        Ok(self.pool.get().await?.exec_drop(&self.save, (payload, now + DAY, &key[..], now)).await?)
    }

    async fn touch(&self, key: &Key, _: &mut Data) -> Result<()> {
        let now = now();
        Ok(self.pool.get().await?.exec_drop(&self.touch, (now + DAY, &key[..], now)).await?)
    }

    async fn destroy(&self, key: &Key) -> Result<()> {
        Ok(self.pool.get().await?.exec_drop(&self.destroy, (&key[..], now())).await?)
    }

    async fn purge(&self) -> Result<()> {
        Ok(self.pool.get().await?.exec_drop(&self.purge, (now(),)).await?)
    }
}
