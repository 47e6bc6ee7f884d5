//! A primary and a standby, which somebody promotes: an operator, or what stands in his place.

use std::sync::Arc;
use std::time::Duration;

use conformance::ledger::under_load;
use conformance::{Drill, Finding, Options, block_on};
use session_core::contract::Store;
use tokio::time::{Instant, sleep};

use crate::postgres::{self, Node, follows_nobody, store, url};
use crate::{WRITERS, judge, must_complain};

/// With it no commit is acknowledged that the standby does not have.
const SYNCHRONOUS: &str = "synchronous_standby_names=*";

pub(crate) fn drills() -> Vec<Drill> {
    let drill = |name, run| Drill { name, missing: postgres::missing(), run };
    vec![
        drill("a_killed_primary_costs_no_session", |_| killed(&[SYNCHRONOUS])),
        drill("a_primary_that_hangs_is_left_for_the_new_one", a_primary_that_hangs_is_left_for_the_new_one),
        drill("a_primary_that_comes_back_is_refused", a_primary_that_comes_back_is_refused),
        drill("a_standby_that_stands_first_is_not_read", a_standby_that_stands_first_is_not_read),
        drill("without_a_synchronous_standby_the_ledger_complains", |_| killed(&[])),
        drill("over_a_standby_alone_the_ledger_complains", over_a_standby_alone_the_ledger_complains),
        drill("over_two_primaries_the_ledger_complains", over_two_primaries_the_ledger_complains),
    ]
}

async fn pair(name: &str, settings: &[&str]) -> (Node, Node) {
    // Nothing waits for a standby that does not exist yet.
    let mut primary = Node::primary(&format!("{name}-primary"), &[]);
    primary.sql("SELECT 1").await;
    store_with_table(&primary).await;
    let standby = Node::standby_of(&primary, &format!("{name}-standby"));
    primary.kill();
    primary.start(settings);
    primary.is_followed().await;
    (primary, standby)
}

async fn store_with_table(node: &Node) {
    let store = session_diesel::PostgresStore::builder().url(node.url()).build().expect("a store");
    store.create_table().await.expect("a table");
}

/// Two hosts of an application.
fn hosts(url: &str) -> [Arc<dyn Store>; 2] {
    [store(url), store(url)]
}

/// The standby hears nothing for longer than a call may take; then the primary dies.
fn killed(settings: &[&str]) -> Finding {
    block_on(async {
        let (mut primary, standby) = pair("killed", settings).await;
        let hosts = hosts(&url(&[&primary, &standby]));
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            follows_nobody(&standby.url()).await;
            // Longer than a call's deadline: a commit waits for its standby without end.
            sleep(Duration::from_secs(6)).await;
            primary.kill();
            let hurt = Instant::now();
            sleep(Duration::from_secs(3)).await;
            standby.promote();
            let recovered = Instant::now();
            sleep(Duration::from_secs(8)).await;
            (hurt, recovered)
        };
        let (ledger, (hurt, recovered)) =
            under_load(&hosts, WRITERS, faults).await.map_err(|e| e.to_string())?;
        let looks = [("the new primary", standby.store())];
        if settings.is_empty() {
            return must_complain(ledger, &looks).await;
        }
        judge(ledger, hurt, recovered, &looks).await
    })
}

fn a_primary_that_hangs_is_left_for_the_new_one(_: &Options) -> Finding {
    block_on(async {
        let (primary, standby) = pair("hangs", &[SYNCHRONOUS]).await;
        let hosts = hosts(&url(&[&primary, &standby]));
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            primary.process().pause();
            let hurt = Instant::now();
            sleep(Duration::from_secs(3)).await;
            standby.promote();
            let recovered = Instant::now();
            sleep(Duration::from_secs(15)).await;
            (hurt, recovered)
        };
        let (ledger, (hurt, recovered)) =
            under_load(&hosts, WRITERS, faults).await.map_err(|e| e.to_string())?;
        judge(ledger, hurt, recovered, &[("the new primary", standby.store())]).await
    })
}

/// After a failover the old primary comes back, as one that waits for no standby. Then all connections to the new one are
/// cut, and it hangs for a while: whoever logs in meanwhile meets the old one.
fn a_primary_that_comes_back_is_refused(_: &Options) -> Finding {
    block_on(async {
        let (mut primary, standby) = pair("back", &[SYNCHRONOUS]).await;
        let hosts = hosts(&url(&[&primary, &standby]));
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            primary.kill();
            standby.promote();
            sleep(Duration::from_secs(4)).await;
            primary.start(&[]);
            standby
                .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
                .await;
            standby.process().pause();
            let hurt = Instant::now();
            sleep(Duration::from_secs(6)).await;
            standby.process().resume();
            let recovered = Instant::now();
            sleep(Duration::from_secs(12)).await;
            (hurt, recovered)
        };
        let (ledger, (hurt, recovered)) =
            under_load(&hosts, WRITERS, faults).await.map_err(|e| e.to_string())?;
        judge(ledger, hurt, recovered, &[("the new primary", standby.store())]).await
    })
}

fn a_standby_that_stands_first_is_not_read(_: &Options) -> Finding {
    block_on(async {
        let (primary, standby) = pair("first", &[SYNCHRONOUS]).await;
        let hosts = hosts(&url(&[&standby, &primary]));
        standby.sql("SELECT pg_wal_replay_pause()").await;
        let hurt = Instant::now();
        let (ledger, ()) =
            under_load(&hosts, WRITERS, sleep(Duration::from_secs(5))).await.map_err(|e| e.to_string())?;
        judge(ledger, hurt, hurt, &[("the primary", primary.store())]).await
    })
}

fn over_a_standby_alone_the_ledger_complains(_: &Options) -> Finding {
    block_on(async {
        let (primary, standby) = pair("alone", &[]).await;
        standby.sql("SELECT pg_wal_replay_pause()").await;
        let hosts = [primary.store(), standby.store()];
        let (ledger, ()) =
            under_load(&hosts, WRITERS, sleep(Duration::from_secs(3))).await.map_err(|e| e.to_string())?;
        must_complain(ledger, &[("the primary", primary.store())]).await
    })
}

fn over_two_primaries_the_ledger_complains(_: &Options) -> Finding {
    block_on(async {
        let (primary, standby) = pair("two", &[]).await;
        standby.promote();
        let hosts = [primary.store(), standby.store()];
        let (ledger, ()) =
            under_load(&hosts, WRITERS, sleep(Duration::from_secs(3))).await.map_err(|e| e.to_string())?;
        must_complain(ledger, &[("one of them", primary.store())]).await
    })
}
