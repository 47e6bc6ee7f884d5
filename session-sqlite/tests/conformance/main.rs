//! Runs the conformance suite on a file with each way of reading, key format and purge strategy, and in memory.
//!
//! All cases of a variant share one file, each with a table of its own, as applications may.
#![expect(clippy::unwrap_used, reason = "a poisoned lock ends the test")]

mod file;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use conformance::{Availability, Namespace, Subject};
use file::{File, WITHOUT_DESTROYED_AT};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use session_core::contract::Store;
use session_core::{KeyFormat, Result, TableName};
use session_sqlite::{ConnectTypeorm, Reads, SqliteBuilder, SqliteStore, Synchronous};

fn main() -> ExitCode {
    conformance::main([
        Availability::ready(File::native("native", |path, table| open(path, table, |options| options))),
        // The first variant has full durability; the others need not wait for the disk as well.
        Availability::ready(File::native(
            "plain keys, reads on threads, purge in two statements",
            |path, table| {
                open(path, table, |options| {
                    let options = options.key_format(KeyFormat::Plain).synchronous(Synchronous::Off);
                    options.reads(Reads::Threads).limit_subquery(false)
                })
            },
        )),
        Availability::ready(File::typeorm("connect-typeorm", "", typeorm)),
        Availability::ready(File::typeorm(
            "connect-typeorm without destroyedAt",
            WITHOUT_DESTROYED_AT,
            typeorm,
        )),
        Availability::ready(Memory::default()),
    ])
}

fn typeorm(path: PathBuf, table: TableName) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    open(path, table, |options| options.connect_typeorm(ConnectTypeorm::new()).synchronous(Synchronous::Off))
}

fn open(
    path: PathBuf,
    table: TableName,
    configure: fn(SqliteBuilder) -> SqliteBuilder,
) -> BoxFuture<'static, Result<Arc<dyn Store>>> {
    async move {
        let store = configure(SqliteStore::builder().path(path).table(table)).connect().await?;
        store.create_table().await?;
        Ok::<Arc<dyn Store>, _>(Arc::new(store))
    }
    .boxed()
}

/// Handles on one database in memory are clones of one store.
#[derive(Default)]
struct Memory(Mutex<HashMap<Namespace, SqliteStore>>);

#[async_trait::async_trait]
impl Subject for Memory {
    fn name(&self) -> String {
        "sqlite".into()
    }

    fn variant(&self) -> String {
        "in memory".into()
    }

    fn durable(&self) -> bool {
        false
    }

    async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let store = match self.0.lock().unwrap().entry(namespace.clone()) {
            std::collections::hash_map::Entry::Occupied(open) => open.get().clone(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(SqliteStore::in_memory()?).clone()
            }
        };
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        self.0.lock().unwrap().remove(namespace);
        Ok(())
    }
}
