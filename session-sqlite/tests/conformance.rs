//! Runs the conformance suite on a file with each way of reading, key format and purge strategy, and in memory.
//!
//! All cases of a variant share one file, each with a table of its own, as applications may.
#![expect(clippy::unwrap_used, reason = "a poisoned lock ends the test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use conformance::{Availability, Backend, Namespace};
use rusqlite::Connection;
use session_core::{Error, ErrorKind, KeyFormat, Result, SessionKey, Store, TableName};
use session_sqlite::{ConnectTypeorm, Reads, SqliteStore, SqliteStoreBuilder, Synchronous};

fn main() -> ExitCode {
    conformance::main([
        Availability::ready(File::native("native", |options| options)),
        // The first variant has full durability; the others need not wait for the disk as well.
        Availability::ready(File::native(
            "plain keys, reads on threads, purge in two statements",
            |options| {
                let options = options.key_format(KeyFormat::Plain).synchronous(Synchronous::Off);
                options.reads(Reads::Threads).limit_subquery(false)
            },
        )),
        Availability::ready(File::typeorm("connect-typeorm", "")),
        Availability::ready(File::typeorm(
            "connect-typeorm without destroyedAt",
            "(id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL, json text NOT NULL)",
        )),
        Availability::ready(Memory::default()),
    ])
}

struct File {
    variant: &'static str,
    configure: fn(SqliteStoreBuilder) -> SqliteStoreBuilder,
    /// The columns of a table that is there before the store; empty to let the store make it.
    columns: &'static str,
    payload: &'static str,
    key: &'static str,
}

impl File {
    fn native(variant: &'static str, configure: fn(SqliteStoreBuilder) -> SqliteStoreBuilder) -> File {
        File { variant, configure, columns: "", payload: "payload", key: "key" }
    }

    fn typeorm(variant: &'static str, columns: &'static str) -> File {
        let configure = |options: SqliteStoreBuilder| {
            options.connect_typeorm(ConnectTypeorm::new()).synchronous(Synchronous::Off)
        };
        File { variant, configure, columns, payload: "json", key: "id" }
    }

    /// The same in a process that the suite starts.
    fn path(&self) -> PathBuf {
        let name: String = self.variant.chars().filter(char::is_ascii_alphanumeric).collect();
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{name}.db"))
    }

    /// Behind the store's back.
    fn raw<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let result = Connection::open(self.path()).and_then(|db| act(&db));
        result.map_err(|error| {
            Error::new(ErrorKind::Backend, "the test's own statement failed").with_source(error)
        })
    }
}

#[async_trait::async_trait]
impl Backend for File {
    fn name(&self) -> String {
        "sqlite".into()
    }

    fn variant(&self) -> String {
        self.variant.into()
    }

    fn durable(&self) -> bool {
        true
    }

    async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        if !self.columns.is_empty() {
            let columns = self.columns;
            self.raw(|db| {
                db.execute_batch(&format!("CREATE TABLE IF NOT EXISTS \"{namespace}\" {columns}"))
            })?;
        }
        let table = TableName::new(namespace.as_str())?;
        let store = (self.configure)(SqliteStore::builder(self.path()).table(table)).open()?;
        store.create_table().await?;
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let drop_table = |db: &Connection| db.execute_batch(&format!("DROP TABLE IF EXISTS \"{namespace}\""));
        self.raw(drop_table)
    }

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        self.raw(|db| {
            let File { payload, key: column, .. } = self;
            let sql =
                format!("UPDATE \"{namespace}\" SET {payload} = CAST(x'ff' AS TEXT) WHERE {column} = ?1");
            Ok(1 == match key.as_text() {
                Some(text) => db.execute(&sql, [text])?,
                None => db.execute(&sql, [key.as_bytes()])?,
            })
        })
    }

    async fn raw_dump(&self, _namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let mut dump = Vec::new();
        for suffix in ["", "-wal"] {
            let mut path = self.path().into_os_string();
            path.push(suffix);
            dump.extend(std::fs::read(path).unwrap_or_default());
        }
        Ok(Some(dump))
    }
}

/// Handles on one database in memory are clones of one store.
#[derive(Default)]
struct Memory(Mutex<HashMap<Namespace, SqliteStore>>);

#[async_trait::async_trait]
impl Backend for Memory {
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
