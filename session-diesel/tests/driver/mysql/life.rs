//! The life of a connection.

use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use session_diesel::{MysqlBuilder, MysqlStore};
use tokio::sync::Mutex;

use super::support::{drop_table, raw, sql, store};
use crate::support::wire::Wire;
use crate::support::{fresh_table, host_of, life};

/// A store on a table of its own, over a network that misbehaves, with a user of its own.
async fn through(url: &str, name: &str) -> (MysqlBuilder, Wire) {
    store(url, name).await;
    let wire = Wire::to(host_of(url)).await;
    let user = user(name);
    sql(url, &format!("CREATE USER '{user}'@'%' IDENTIFIED BY ''")).await;
    sql(url, &format!("GRANT ALL ON *.* TO '{user}'@'%'")).await;
    let builder = MysqlStore::builder().url(wire.through(url)).credentials(user, "");
    (builder.table(fresh_table(name)), wire)
}

/// At most 32 letters.
fn user(name: &str) -> String {
    format!("l{}_{name}", std::process::id())
}

async fn done(url: &str, name: &str) {
    sql(url, &format!("DROP USER '{}'@'%'", user(name))).await;
    drop_table(url, name).await;
}

async fn numbers(observer: &mut Conn, name: &str) -> Vec<u64> {
    let query = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ?";
    observer.exec(query, (user(name),)).await.unwrap()
}

pub(super) async fn a_silent_loss_costs_less_than_a_deadline(url: String) {
    let (builder, wire) = through(&url, "silent").await;
    let store = builder.pool_size(4).build().unwrap();
    life::a_silent_loss_costs_less_than_a_deadline(store, wire, 4).await;
    done(&url, "silent").await;
}

pub(super) async fn a_connection_closed_while_idle_is_no_outage(url: String) {
    let (builder, wire) = through(&url, "idle").await;
    let store = builder.build().unwrap();
    let kill = || async {
        let mut killer = raw(&url).await;
        for number in numbers(&mut killer, "idle").await {
            // One of an earlier round may end by itself meanwhile.
            _ = killer.query_drop(format!("KILL {number}")).await;
        }
    };
    life::a_connection_closed_while_idle_is_no_outage(store.clone(), kill).await;
    life::a_connection_closed_while_idle_is_no_outage(store, || async { wire.close() }).await;
    done(&url, "idle").await;
}

pub(super) async fn a_broken_connection_is_not_an_outage(url: String) {
    let (builder, wire) = through(&url, "broken").await;
    life::a_broken_connection_is_not_an_outage(builder.build().unwrap(), wire).await;
    done(&url, "broken").await;
}

pub(super) async fn a_locked_table_fills_no_server(url: String) {
    let (builder, _) = through(&url, "locked").await;
    let store = builder.pool_size(4).build().unwrap();
    let observer = Arc::new(Mutex::new(raw(&url).await));
    let backends = move || {
        let observer = Arc::clone(&observer);
        async move { numbers(&mut *observer.lock().await, "locked").await.len() }
    };
    let lock = || async {
        let mut owner = raw(&url).await;
        owner.query_drop(format!("LOCK TABLES `{}` WRITE", fresh_table("locked"))).await.unwrap();
        owner
    };
    life::a_locked_table_fills_no_server(store, 4, lock, backends).await;
    done(&url, "locked").await;
}

pub(super) async fn a_slow_login_is_waited_for_in_the_background(url: String) {
    let (builder, wire) = through(&url, "slow").await;
    life::a_slow_login_is_waited_for_in_the_background(builder.build().unwrap(), wire).await;
    done(&url, "slow").await;
}

pub(super) async fn a_far_server_comes_back(url: String) {
    let (builder, wire) = through(&url, "far").await;
    life::a_far_server_comes_back(builder.build().unwrap(), wire).await;
    done(&url, "far").await;
}
