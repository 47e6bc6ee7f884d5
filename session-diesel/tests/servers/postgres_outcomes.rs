//! Statements and round trips, as the server and the network count them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use libtest_mimic::Trial;
use session_core::Store;
use session_diesel::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{raw, ready, server};
use crate::outcomes::{Counter, Manners, many_at_once, single_operations};
use crate::{NOW, create, fresh_table, trial};

pub(super) fn trials(no_server: Option<String>) -> Vec<Trial> {
    vec![trial("postgres::each_operation_is_one_round_trip", no_server, each_operation_is_one_round_trip)]
}

/// The one connection of a store.
struct Counted {
    statistics: tokio_postgres::Client,
    trips: Arc<AtomicI64>,
    /// Whether every statement has been prepared before.
    warm: bool,
}

impl Counted {
    /// How many statements of any kind the server has run, but for those of this test.
    async fn statements(&self) -> i64 {
        let count = "SELECT COALESCE(sum(calls), 0)::bigint FROM pg_stat_statements \
                     WHERE query NOT LIKE '%pg_stat_statements%'";
        self.statistics.query_one(count, &[]).await.unwrap().get(0)
    }
}

impl Counter for Counted {
    async fn takes<T>(
        &self,
        what: &str,
        statements: i64,
        trips: i64,
        call: impl Future<Output = session_core::Result<T>>,
    ) -> T {
        let before = (self.statements().await, self.trips.load(Ordering::SeqCst));
        let outcome = call.await;
        let after = (self.statements().await, self.trips.load(Ordering::SeqCst));
        assert_eq!(after.0 - before.0, statements, "statements: {what}");
        if self.warm {
            assert_eq!(after.1 - before.1, trips, "round trips: {what}");
        }
        outcome.unwrap()
    }
}

async fn each_operation_is_one_round_trip() {
    let server = server("pg-counted", &["shared_preload_libraries=pg_stat_statements"]);
    let url = |port| format!("postgres://postgres@127.0.0.1:{port}/postgres");
    ready(|| PostgresStore::builder().url(url(server.port))).await;
    let statistics = raw(&url(server.port)).await;
    statistics.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let (port, trips) = counting(server.port).await;
    let store =
        PostgresStore::builder().url(url(port)).pool_size(1).table(fresh_table("counted")).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("from before the rounds"), NOW).await.unwrap();
    let mut counted = Counted { statistics, trips, warm: false };
    let manners = Manners { tells_versions: true, batch_with_one_gone: (1, 1) };
    for round in 0..4 {
        counted.warm = round > 0;
        single_operations(&counted, &store, manners, round).await;
        many_at_once(&counted, &store, manners).await;
    }
}

/// The port of a relay, and how often a client spoke after it had heard from the server.
async fn counting(server: u16) -> (u16, Arc<AtomicI64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let trips = Arc::new(AtomicI64::new(0));
    let counted = Arc::clone(&trips);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let heard = Arc::new(AtomicBool::new(true));
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let (hears, trips) = (Arc::clone(&heard), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    if heard.swap(false, Ordering::SeqCst) {
                        trips.fetch_add(1, Ordering::SeqCst);
                    }
                    if to_server.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    hears.store(true, Ordering::SeqCst);
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, trips)
}
