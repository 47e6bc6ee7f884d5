//! Several hosts in a URL.

use std::time::Duration;

use futures_util::future::join_all;
use libtest_mimic::Trial;
use session_core::contract::Store;
use session_diesel::PostgresStore;
use tokio::time::Instant;

use super::support::{drop_table, no_server_of_its_own, promoted, raw, ready, server, sql, store};
use crate::support::wire::Wire;
use crate::support::{NOW, create, fresh_table, host_of, load, trial};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "postgres::hosts::the_writing_host_is_found",
            no_server_of_its_own(),
            the_writing_host_is_found,
        ),
        trial(
            "postgres::hosts::a_primary_left_behind_is_refused",
            no_server_of_its_own(),
            a_primary_left_behind_is_refused,
        ),
        trial(
            "postgres::hosts::a_commit_that_no_standby_has_is_in_doubt",
            no_server_of_its_own(),
            a_commit_that_no_standby_has_is_in_doubt,
        ),
    ]
}

pub(super) async fn a_host_that_says_nothing_costs_no_deadline(url: String) {
    store(&url, "hosts_silent").await.create(&create("a"), NOW).await.unwrap();
    // It takes connections, as a server that hangs does, and never greets.
    let silent = Wire::to(host_of(&url)).await;
    silent.greeting(Duration::from_secs(3600));
    let both = format!("127.0.0.1:{},{}", silent.port, host_of(&url));
    let both = url.replacen(&host_of(&url), &both, 1);
    let start = Instant::now();
    let store =
        PostgresStore::builder().url(both).table(fresh_table("hosts_silent")).connect().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // The next logins begin with the host that was good.
    let asked = silent.made();
    let start = Instant::now();
    let loads = join_all((0..4).map(|_| load(&store, "a"))).await;
    assert!(loads.into_iter().all(|load| load.is_some()));
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert_eq!(silent.made(), asked);
    drop_table(&url, "hosts_silent").await;
}

async fn a_primary_left_behind_is_refused() {
    let old = server("pg-left-behind", &[]);
    let new = promoted("pg-promoted");
    let of = |port: u16| format!("postgres://postgres@127.0.0.1:{port}/postgres");
    for server in [&old, &new] {
        let store = ready(|| PostgresStore::builder().url(of(server.port))).await;
        store.create_table().await.unwrap();
    }
    let timeline = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
    let timeline = raw(&of(new.port)).await.query_one(timeline, &[]).await.unwrap();
    assert_eq!(timeline.get::<_, String>(0), "00000002");
    let wires = [
        Wire::to(format!("127.0.0.1:{}", old.port)).await,
        Wire::to(format!("127.0.0.1:{}", new.port)).await,
    ];
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", wires[0].port, wires[1].port);
    let url = format!("postgres://postgres@{hosts}/postgres");
    // Before the failover the old one is good.
    let store = PostgresStore::builder().url(url).connect().await.unwrap();
    store.create(&create("old"), NOW).await.unwrap();
    wires[0].down(true);
    // A read notices, and is sent again.
    store.server_time().await.unwrap();
    store.create(&create("new"), NOW).await.unwrap();
    // The old one comes back, and the way to the new one is cut.
    wires[0].down(false);
    wires[1].down(true);
    for _ in 0..3 {
        let error = store.load(&session_core::contract::Load::new(crate::support::key("old")), NOW).await;
        let error = error.unwrap_err();
        assert!(error.is_unreachable() && !error.is_in_doubt(), "{error:?}");
        assert!(error.to_string().contains("timeline 1 was left behind"), "{error}");
    }
    wires[1].down(false);
    assert!(load(&store, "new").await.is_some());
}

/// Where somebody cancels a commit that waits for its standby, the server acknowledges it, with a warning.
async fn a_commit_that_no_standby_has_is_in_doubt() {
    let server = server("pg-unreplicated", &["synchronous_standby_names=nobody"]);
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    let store = ready(|| PostgresStore::builder().url(&url)).await;
    sql(&url, &format!("SET synchronous_commit = local; {}", store.schema_sql())).await;
    let cancelled = async {
        let administrator = raw(&url).await;
        let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while administrator.query(cancel, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let create = create("a");
    let (created, ()) = tokio::join!(store.create(&create, NOW), cancelled);
    let error = created.unwrap_err();
    assert!(error.is_in_doubt() && error.is_transient(), "{error:?}");
    // It was done here all the same, and reads wait for nobody.
    assert!(load(&store, "a").await.is_some());
}

async fn the_writing_host_is_found() {
    // A server that only reads stands for a standby.
    let reading = server("pg-reading", &["default_transaction_read_only=on"]);
    let writing = server("pg-writing", &[]);
    let of = |port: u16| format!("postgres://postgres@127.0.0.1:{port}/postgres");
    ready(|| PostgresStore::builder().url(of(reading.port))).await;
    ready(|| PostgresStore::builder().url(of(writing.port))).await;
    // A port where nobody listens, the standby, the one that writes; and not a word of which one is wanted.
    let hosts = format!("127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}", reading.port, writing.port);
    let url = format!("postgres://postgres@{hosts}/postgres");
    let store = PostgresStore::connect(url).await.unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    let there = PostgresStore::connect(of(writing.port)).await.unwrap();
    assert!(load(&there, "a").await.is_some());
}
