//! What the conformance suite does not show: transactions of the application's, and what becomes of its pool's connections.
//! A test whose server is not there is shown as ignored, with the reason.

#![expect(clippy::unwrap_used, reason = "a test that finds what it does not expect has failed")]

#[cfg(feature = "sqlite")]
mod doctor;
#[cfg(feature = "postgres")]
mod poolers;
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "servers have certificates, and poolers none")]
#[path = "../../../session-diesel/tests/driver/support/scratch.rs"]
mod scratch;
#[cfg(feature = "postgres")]
mod strangers;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod trips;

#[cfg(feature = "sqlite")]
#[path = "../../../session-sqlite/tests/driver/neighbours.rs"]
mod neighbours;
mod within;

use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use session_core::contract::Store;
use session_core::{Gathering, Sessions, TableName};

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = Vec::new();
    #[cfg(feature = "postgres")]
    trials.extend(within::postgres::trials());
    #[cfg(feature = "mysql")]
    trials.extend(within::mysql::trials());
    #[cfg(feature = "sqlite")]
    trials.extend(within::sqlite::trials());
    #[cfg(feature = "sqlite")]
    trials.push(trial(
        "sqlite::others_find_the_lock_free_while_a_store_writes_without_pause".into(),
        None,
        others_find_the_lock_free_while_a_store_writes_without_pause,
    ));
    #[cfg(feature = "sqlite")]
    trials.extend(doctor::trials());
    #[cfg(feature = "postgres")]
    trials.extend(strangers::trials());
    #[cfg(feature = "postgres")]
    trials.push(poolers::trial());
    #[cfg(feature = "postgres")]
    trials.extend(trips::postgres::trials());
    #[cfg(feature = "mysql")]
    trials.extend(trips::mysql::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test, or why it does not run.
fn trial<F: Future<Output = ()>>(
    name: String,
    missing: Option<String>,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    if let Some(why) = missing {
        return Trial::test(format!("{name} (not run: {why})"), || Ok(())).with_ignored_flag(true);
    }
    Trial::test(name, move || {
        tokio::runtime::Runtime::new()?.block_on(test());
        Ok(())
    })
}

/// What a call comes to that is polled once.
async fn polled<F: Future>(mut call: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await
}

/// An address from the environment.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn address(variable: &str) -> Result<String, String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty()).ok_or(format!("{variable} is not set"))
}

/// A table of this test alone.
fn fresh(name: &str) -> TableName {
    TableName::new(&format!("x_{}_{name}", std::process::id())).unwrap()
}

fn handle(store: impl Store) -> Sessions<String> {
    Sessions::builder(store)
        .gathering(Gathering::OFF)
        .deadline(Duration::from_secs(3))
        .principal(|name: &String| Some(name.clone()))
        .build()
        .unwrap()
}

/// Whoever else writes to a file of SQLite's.
#[cfg(feature = "sqlite")]
async fn others_find_the_lock_free_while_a_store_writes_without_pause() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("neighbours.db");
    let table = fresh("neighbours");
    let store = session_sqlx::SqliteStore::builder().path(&file).table(table).connect().await.unwrap();
    store.create_table().await.unwrap();
    let free = neighbours::looks_that_find_the_lock_free(std::sync::Arc::new(store), &file).await;
    // The store leaves it free for one part in 41 of the time, at least.
    assert!(free >= neighbours::LOOKS / 100, "{free} of {} looks found the lock free", neighbours::LOOKS);
}
