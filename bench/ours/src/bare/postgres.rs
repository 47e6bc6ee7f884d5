//! tokio-postgres, with prepared statements and one call in flight on a connection.

use harness::{Data, Orders, Result, Subject, serve};
use tokio_postgres::{Client, NoTls, Statement};

use super::{DAY, Key, decode, encode, now, random_key};
use crate::pool::Pool;

struct Connection {
    client: Client,
    load: Statement,
    save: Statement,
    touch: Statement,
    create: Statement,
    destroy: Statement,
    purge: Statement,
}

struct Postgres(Pool<Connection>);

pub(crate) async fn run(orders: &Orders) -> Result<()> {
    let table = &orders.table;
    let mut connections = Vec::new();
    for index in 0..orders.pool {
        let (client, connection) = tokio_postgres::connect(&orders.url, NoTls).await?;
        tokio::spawn(connection);
        if index == 0 {
            client
                .batch_execute(&format!(
                    "CREATE TABLE {table} (key bytea PRIMARY KEY, payload text NOT NULL, \
                     expires_at bigint NOT NULL, created_at bigint NOT NULL, version bigint NOT NULL)"
                ))
                .await?;
        }
        connections.push(Connection::prepare(client, table).await?);
    }
    let settings = format!("pool of {}, prepared statements, one in flight per connection", orders.pool);
    serve(Postgres(Pool::new(connections)), &settings).await
}

impl Connection {
    async fn prepare(client: Client, table: &str) -> Result<Connection> {
        let live = "key = $1 AND expires_at > $2";
        Ok(Connection {
            load: client
                .prepare(&format!("SELECT payload, expires_at, version FROM {table} WHERE {live}"))
                .await?,
            save: client
                .prepare(&format!(
                    "UPDATE {table} SET payload = $3, expires_at = $4, version = version + 1 WHERE {live} \
                     RETURNING version"
                ))
                .await?,
            touch: client.prepare(&format!("UPDATE {table} SET expires_at = $3 WHERE {live}")).await?,
            create: client
                .prepare(&format!(
                    "INSERT INTO {table} (key, payload, expires_at, created_at, version) \
                     VALUES ($1, $2, $3, $4, 1) ON CONFLICT (key) DO NOTHING"
                ))
                .await?,
            destroy: client.prepare(&format!("DELETE FROM {table} WHERE {live}")).await?,
            purge: client.prepare(&format!("DELETE FROM {table} WHERE expires_at <= $1")).await?,
            client,
        })
    }
}

impl Subject for Postgres {
    type Id = Key;
    type Draft = Data;

    fn draft(&self, data: Data) -> Data {
        data
    }

    async fn create(&self, draft: &mut Data, expired: bool) -> Result<Key> {
        let (key, payload, now) = (random_key()?, encode(draft)?, now());
        let expires_at = if expired { now } else { now + DAY };
        let connection = self.0.get().await?;
        connection.client.execute(&connection.create, &[&&key[..], &payload, &expires_at, &now]).await?;
        Ok(key)
    }

    async fn load(&self, key: &Key) -> Result<bool> {
        let connection = self.0.get().await?;
        let row = connection.client.query_opt(&connection.load, &[&&key[..], &now()]).await?;
        drop(connection);
        let Some(row) = row else { return Ok(false) };
        decode(row.try_get(0)?)?;
        Ok(true)
    }

    async fn save(&self, key: &Key, draft: &mut Data) -> Result<()> {
        let (payload, now) = (encode(draft)?, now());
        let connection = self.0.get().await?;
        connection.client.query_opt(&connection.save, &[&&key[..], &now, &payload, &(now + DAY)]).await?;
        Ok(())
    }

    async fn touch(&self, key: &Key, _: &mut Data) -> Result<()> {
        let now = now();
        let connection = self.0.get().await?;
        connection.client.execute(&connection.touch, &[&&key[..], &now, &(now + DAY)]).await?;
        Ok(())
    }

    async fn destroy(&self, key: &Key) -> Result<()> {
        let connection = self.0.get().await?;
        connection.client.execute(&connection.destroy, &[&&key[..], &now()]).await?;
        Ok(())
    }

    async fn purge(&self) -> Result<()> {
        let connection = self.0.get().await?;
        connection.client.execute(&connection.purge, &[&now()]).await?;
        Ok(())
    }
}
