//! The stores that the facade's tests run on: memory always, SQLite with its feature, and each server with its feature where
//! `SESSION_STORE_{POSTGRES,MYSQL,MSSQL}_URL` names one. What is left out is said. `STORES=postgres,mssql` runs the tests on
//! these alone, and each of them has to be there.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};

use session_store::MemoryStore;
use session_store::contract::Store;

/// A store on a table of its own, without rows.
pub(crate) struct Opened {
    name: &'static str,
    store: Arc<dyn Store>,
    /// What is to go along with it.
    _file: Option<File>,
}

impl Opened {
    #[allow(dead_code, reason = "not every test program has a store of its own")]
    pub(crate) fn new(name: &'static str, store: Arc<dyn Store>) -> Opened {
        Opened { name, store, _file: None }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// So many rounds in memory, and as many as take a few seconds elsewhere; `ROUNDS` says otherwise.
    #[allow(dead_code, reason = "not every test program repeats itself")]
    pub(crate) fn rounds(&self, most: usize) -> usize {
        let asked = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
        asked.unwrap_or(if self.name == "memory" { most } else { most / 10 })
    }
}

/// Says what is left out.
#[allow(
    clippy::explicit_write,
    reason = "the harness keeps to itself what a test that passes prints with `eprintln!`"
)]
pub(crate) fn not_run(why: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "not run: {why}").unwrap();
}

/// Every store that can be had here, or those that `STORES` names.
pub(crate) async fn all() -> Vec<Opened> {
    static SAID: Once = Once::new();
    static TABLES: AtomicU32 = AtomicU32::new(0);
    let number = TABLES.fetch_add(1, Ordering::Relaxed);
    let asked = std::env::var("STORES").ok();
    let is_asked =
        |name: &str| asked.as_deref().is_none_or(|names| names.split(',').any(|asked| asked == name));
    let (mut opened, mut left_out) = (Vec::new(), Vec::new());
    if is_asked("memory") {
        opened.push(Opened::new("memory", Arc::new(MemoryStore::new())));
    }
    for name in ["sqlite", "postgres", "mysql", "mssql"] {
        if !is_asked(name) {
            left_out.push(format!("{name}, as STORES does not name it"));
            continue;
        }
        let other = match name {
            "sqlite" => sqlite(number).await,
            "postgres" => postgres(number).await,
            "mysql" => mysql(number).await,
            _ => mssql(number).await,
        };
        match other {
            Ok(other) => opened.push(other),
            Err(why) if asked.is_some() => panic!("STORES names it, and it is not to be had: {why}"),
            Err(why) => left_out.push(why.to_owned()),
        }
    }
    assert!(!opened.is_empty(), "STORES={} names no store", asked.unwrap_or_default());
    SAID.call_once(|| left_out.iter().for_each(|why| not_run(why)));
    opened
}

#[cfg(any(feature = "sqlite", feature = "sqlite-bundled"))]
async fn sqlite(number: u32) -> Result<Opened, &'static str> {
    let file = File(std::env::temp_dir().join(format!("session-store-{}-{number}.db", std::process::id())));
    let store = session_store::SqliteStore::builder().path(&file.0).build().unwrap();
    store.create_table().await.unwrap();
    Ok(Opened { name: "sqlite", store: Arc::new(store), _file: Some(file) })
}

#[cfg(not(any(feature = "sqlite", feature = "sqlite-bundled")))]
async fn sqlite(_: u32) -> Result<Opened, &'static str> {
    Err("sqlite, as the feature `sqlite-bundled` is off")
}

/// Tables of these names are used again by every run.
#[cfg(feature = "postgres")]
async fn postgres(number: u32) -> Result<Opened, &'static str> {
    use session_store::{PostgresStore, TableName};
    let Ok(url) = std::env::var("SESSION_STORE_POSTGRES_URL") else {
        return Err("postgres, as SESSION_STORE_POSTGRES_URL is not set");
    };
    let table = TableName::new(&format!("session_store_test_{number}")).unwrap();
    let store = PostgresStore::builder().url(url).table(table).build().unwrap();
    store.create_table().await.unwrap();
    store.clear().await.unwrap();
    Ok(Opened::new("postgres", Arc::new(store)))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: u32) -> Result<Opened, &'static str> {
    Err("postgres, as the feature `postgres` is off")
}

/// MariaDB or MySQL.
#[cfg(feature = "mysql")]
async fn mysql(number: u32) -> Result<Opened, &'static str> {
    use session_store::{MysqlStore, TableName};
    let Ok(url) = std::env::var("SESSION_STORE_MYSQL_URL") else {
        return Err("mysql, as SESSION_STORE_MYSQL_URL is not set");
    };
    let table = TableName::new(&format!("session_store_test_{number}")).unwrap();
    let store = MysqlStore::builder().url(url).table(table).build().unwrap();
    store.create_table().await.unwrap();
    store.clear().await.unwrap();
    Ok(Opened::new("mysql", Arc::new(store)))
}

#[cfg(not(feature = "mysql"))]
async fn mysql(_: u32) -> Result<Opened, &'static str> {
    Err("mysql, as the feature `mysql` is off")
}

#[cfg(feature = "mssql")]
async fn mssql(number: u32) -> Result<Opened, &'static str> {
    use session_store::{MssqlStore, TableName};
    let Ok(url) = std::env::var("SESSION_STORE_MSSQL_URL") else {
        return Err("mssql, as SESSION_STORE_MSSQL_URL is not set");
    };
    let table = TableName::new(&format!("session_store_test_{number}")).unwrap();
    let store = MssqlStore::builder().url(url).table(table).build().unwrap();
    store.create_table().await.unwrap();
    store.clear().await.unwrap();
    Ok(Opened::new("mssql", Arc::new(store)))
}

#[cfg(not(feature = "mssql"))]
async fn mssql(_: u32) -> Result<Opened, &'static str> {
    Err("mssql, as the feature `mssql` is off")
}

/// A database file, which goes with its guard.
#[allow(dead_code, reason = "without SQLite there is none")]
struct File(std::path::PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // What cannot be removed now is in the system's temporary folder anyway.
            _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}
