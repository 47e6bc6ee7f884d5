//! Three nodes of Galera behind HAProxy, which asks each whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use conformance::ledger::under_load;
use conformance::{Drill, Finding, Options, block_on};
use diesel_async::AsyncMysqlConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use session_core::contract::Store;
use session_diesel::MysqlStore;
use tokio::time::{Instant, sleep};

use crate::mariadb::{self, Cluster, Node};
use crate::{WRITERS, judge, must_complain};

pub(crate) fn drills() -> Vec<Drill> {
    let drill = |name, run| Drill { name, missing: mariadb::missing(), run };
    vec![
        drill("a_killed_node_costs_no_session", a_killed_node_costs_no_session),
        drill("a_node_that_hangs_costs_no_session", |_| hangs(true)),
        drill("a_node_that_hangs_behind_an_open_port_costs_no_session", |_| hangs(false)),
        drill("a_node_cut_off_five_times_denies_nothing_that_it_did", a_node_cut_off_five_times),
        drill("without_wsrep_sync_wait_the_ledger_complains", without_wsrep_sync_wait_the_ledger_complains),
    ]
}

fn looks(nodes: &[Node]) -> Vec<(&'static str, Arc<dyn Store>)> {
    ["node 0", "node 1", "node 2"].into_iter().zip(nodes.iter().map(Node::store)).collect()
}

/// kill -9, and a start later, from what it had; once, or as often as is asked for, each time with a ledger of its own.
fn a_killed_node_costs_no_session(options: &Options) -> Finding {
    let kills = options.kills.unwrap_or(1);
    block_on(async {
        let mut cluster = Cluster::start().await;
        let hosts = cluster.hosts(true);
        let mut came_to = String::new();
        for kill in 0..kills {
            let place = if kill % 2 == 0 { 2 } else { 1 };
            let faults = async {
                sleep(Duration::from_secs(2)).await;
                cluster.nodes[place].kill();
                let hurt = Instant::now();
                let recovered = cluster.nodes[0].takes_writes().await;
                sleep(Duration::from_secs(2)).await;
                cluster.nodes[place].start_again();
                cluster.nodes[place].is_synced().await;
                sleep(Duration::from_secs(2)).await;
                (hurt, recovered)
            };
            let load = under_load(&hosts, WRITERS, faults).await;
            let (ledger, (hurt, recovered)) = load.map_err(|error| error.to_string())?;
            let judged = judge(ledger, hurt, recovered, &looks(&cluster.nodes)).await;
            came_to = judged.map_err(|wrong| format!("kill {}: {wrong}", kill + 1))?;
        }
        Ok(format!("{kills} kills, the last one: {came_to}"))
    })
}

fn hangs(checked: bool) -> Finding {
    block_on(async {
        let cluster = Cluster::start().await;
        let hosts = cluster.hosts(checked);
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            cluster.nodes[2].process().pause();
            let hurt = Instant::now();
            let recovered = cluster.nodes[0].takes_writes().await;
            sleep(Duration::from_secs(15)).await;
            cluster.nodes[2].process().resume();
            cluster.nodes[2].is_synced().await;
            sleep(Duration::from_secs(4)).await;
            (hurt, recovered)
        };
        let (ledger, (hurt, recovered)) =
            under_load(&hosts, WRITERS, faults).await.map_err(|e| e.to_string())?;
        judge(ledger, hurt, recovered, &looks(&cluster.nodes)).await
    })
}

/// A host is connected to the node itself, so that it gets what the node says meanwhile.
fn a_node_cut_off_five_times(_: &Options) -> Finding {
    block_on(async {
        let cluster = Cluster::start().await;
        let [host, _] = cluster.hosts(true);
        let hosts = [host, cluster.nodes[1].store(), cluster.nodes[2].store()];
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            let mut longest = (Instant::now(), Instant::now());
            for time in 0..5 {
                let node = &cluster.nodes[1 + time % 2];
                let hurt = Instant::now();
                node.isolate(true).await;
                let recovered = cluster.nodes[0].takes_writes().await;
                sleep(Duration::from_secs(5)).await;
                node.isolate(false).await;
                node.is_synced().await;
                sleep(Duration::from_secs(2)).await;
                if recovered - hurt >= longest.1 - longest.0 {
                    longest = (hurt, recovered);
                }
            }
            longest
        };
        let (ledger, (hurt, recovered)) =
            under_load(&hosts, WRITERS, faults).await.map_err(|e| e.to_string())?;
        judge(ledger, hurt, recovered, &looks(&cluster.nodes)).await
    })
}

/// Connections of an application's own pool ask for nothing.
fn without_wsrep_sync_wait_the_ledger_complains(_: &Options) -> Finding {
    block_on(async {
        let cluster = Cluster::start().await;
        let hosts: Vec<Arc<dyn Store>> = cluster.nodes.iter().map(|node| as_it_comes(node)).collect();
        let (ledger, ()) =
            under_load(&hosts, WRITERS, sleep(Duration::from_secs(6))).await.map_err(|e| e.to_string())?;
        must_complain(ledger, &looks(&cluster.nodes)).await
    })
}

fn as_it_comes(node: &Node) -> Arc<dyn Store> {
    let manager = AsyncDieselConnectionManager::<AsyncMysqlConnection>::new(node.url());
    let pool = Pool::builder(manager).max_size(10).build().expect("a pool");
    Arc::new(MysqlStore::builder().pool(pool).build().expect("a store"))
}
