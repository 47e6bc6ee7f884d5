//! The life of a connection.

use session_diesel::{PostgresBuilder, PostgresStore};

use super::support::{drop_table, raw, sql, store};
use crate::support::wire::Wire;
use crate::support::{fresh_table, host_of, life};

/// A store on a table of its own, over a network that misbehaves, with a name on the server.
async fn through(url: &str, name: &str) -> (PostgresBuilder, Wire) {
    store(url, name).await;
    let wire = Wire::to(host_of(url)).await;
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}application_name={}", wire.through(url), fresh_table(name));
    (PostgresStore::builder().url(url).table(fresh_table(name)), wire)
}

pub(super) async fn a_silent_loss_costs_less_than_a_deadline(url: String) {
    let (builder, wire) = through(&url, "life_silent").await;
    let store = builder.pool_size(4).build().unwrap();
    life::a_silent_loss_costs_less_than_a_deadline(store, wire, 4).await;
    drop_table(&url, "life_silent").await;
}

pub(super) async fn a_connection_closed_while_idle_is_no_outage(url: String) {
    let (builder, wire) = through(&url, "life_idle").await;
    let store = builder.build().unwrap();
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
        fresh_table("life_idle")
    );
    life::a_connection_closed_while_idle_is_no_outage(store.clone(), || sql(&url, &kill)).await;
    life::a_connection_closed_while_idle_is_no_outage(store, || async { wire.close() }).await;
    drop_table(&url, "life_idle").await;
}

pub(super) async fn a_broken_connection_is_not_an_outage(url: String) {
    let (builder, wire) = through(&url, "life_broken").await;
    life::a_broken_connection_is_not_an_outage(builder.build().unwrap(), wire).await;
    drop_table(&url, "life_broken").await;
}

pub(super) async fn a_locked_table_fills_no_server(url: String) {
    let (builder, _) = through(&url, "life_locked").await;
    let store = builder.pool_size(4).build().unwrap();
    let observer = std::sync::Arc::new(raw(&url).await);
    let backends = move || {
        let observer = std::sync::Arc::clone(&observer);
        async move {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
            let name = fresh_table("life_locked").to_string();
            let count: i64 = observer.query_one(count, &[&name]).await.unwrap().get(0);
            usize::try_from(count).unwrap()
        }
    };
    let lock = || async {
        let owner = raw(&url).await;
        owner.batch_execute(&format!("BEGIN; LOCK TABLE {}", fresh_table("life_locked"))).await.unwrap();
        owner
    };
    life::a_locked_table_fills_no_server(store, 4, lock, backends).await;
    drop_table(&url, "life_locked").await;
}

pub(super) async fn a_slow_login_is_waited_for_in_the_background(url: String) {
    let (builder, wire) = through(&url, "life_slow").await;
    life::a_slow_login_is_waited_for_in_the_background(builder.build().unwrap(), wire).await;
    drop_table(&url, "life_slow").await;
}

pub(super) async fn a_far_server_comes_back(url: String) {
    let (builder, wire) = through(&url, "life_far").await;
    life::a_far_server_comes_back(builder.build().unwrap(), wire).await;
    drop_table(&url, "life_far").await;
}
