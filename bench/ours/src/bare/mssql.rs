//! tiberius: each call is one call of `sp_executesql`, whose plan the server keeps.

use harness::{Data, Orders, Result, Subject, serve};
use session_mssql::tiberius::{Client, Config, ToSql};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

use super::{DAY, Key, decode, encode, now, random_key};
use crate::pool::Pool;

struct Mssql {
    pool: Pool<Client<Compat<TcpStream>>>,
    load: String,
    save: String,
    touch: String,
    create: String,
    destroy: String,
    purge: String,
}

pub(crate) async fn run(orders: &Orders) -> Result<()> {
    let config = Config::from_ado_string(&orders.url)?;
    let table = &orders.table;
    let mut connections = Vec::new();
    for _ in 0..orders.pool {
        let tcp = TcpStream::connect(config.get_addr()).await?;
        tcp.set_nodelay(true)?;
        connections.push(Box::pin(Client::connect(config.clone(), tcp.compat_write())).await?);
    }
    if let Some(connection) = connections.first_mut() {
        connection
            .simple_query(format!(
                "CREATE TABLE {table} ([key] binary(32) NOT NULL PRIMARY KEY, [payload] nvarchar(max) NOT NULL, \
                 [expires_at] bigint NOT NULL, [created_at] bigint NOT NULL, [version] bigint NOT NULL)"
            ))
            .await?
            .into_results()
            .await?;
    }
    let live = "[key] = CAST(@P1 AS binary(32)) AND [expires_at] > @P2";
    let subject = Mssql {
        pool: Pool::new(connections),
        load: format!("SELECT [payload], [expires_at], [version] FROM {table} WHERE {live}"),
        save: format!(
            "UPDATE {table} SET [payload] = @P3, [expires_at] = @P4, [version] = [version] + 1 WHERE {live}"
        ),
        touch: format!("UPDATE {table} SET [expires_at] = @P3 WHERE {live}"),
        create: format!(
            "INSERT INTO {table} ([key], [payload], [expires_at], [created_at], [version]) \
             VALUES (CAST(@P1 AS binary(32)), @P2, @P3, @P4, 1)"
        ),
        destroy: format!("DELETE FROM {table} WHERE {live}"),
        purge: format!("DELETE FROM {table} WHERE [expires_at] <= @P1"),
    };
    serve(subject, &format!("pool of {}, sp_executesql", orders.pool)).await
}

impl Mssql {
    async fn execute(&self, statement: &str, params: &[&dyn ToSql]) -> Result<()> {
        self.pool.get().await?.execute(statement, params).await?;
        Ok(())
    }
}

impl Subject for Mssql {
    type Id = Key;
    type Draft = Data;

    fn draft(&self, data: Data) -> Data {
        data
    }

    async fn create(&self, draft: &mut Data, expired: bool) -> Result<Key> {
        let (key, payload, now) = (random_key()?, encode(draft)?, now());
        let expires_at = if expired { now } else { now + DAY };
        self.execute(&self.create, &[&key.as_slice(), &payload, &expires_at, &now]).await?;
        Ok(key)
    }

    async fn load(&self, key: &Key) -> Result<bool> {
        let mut connection = self.pool.get().await?;
        let row = connection.query(&self.load, &[&key.as_slice(), &now()]).await?.into_row().await?;
        drop(connection);
        let Some(row) = row else { return Ok(false) };
        decode(row.try_get(0)?.ok_or("a row without a payload")?)?;
        Ok(true)
    }

    async fn save(&self, key: &Key, draft: &mut Data) -> Result<()> {
        let (payload, now) = (encode(draft)?, now());
        self.execute(&self.save, &[&key.as_slice(), &now, &payload, &(now + DAY)]).await
    }

    async fn touch(&self, key: &Key, _: &mut Data) -> Result<()> {
        let now = now();
        self.execute(&self.touch, &[&key.as_slice(), &now, &(now + DAY)]).await
    }

    async fn destroy(&self, key: &Key) -> Result<()> {
        self.execute(&self.destroy, &[&key.as_slice(), &now()]).await
    }

    async fn purge(&self) -> Result<()> {
        self.execute(&self.purge, &[&now()]).await
    }
}
