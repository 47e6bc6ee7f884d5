//! A store on a file, whatever the client library; session-sqlx's suite has it, too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use conformance::{Namespace, Objection, Part, Subject};
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use session_core::contract::Store;
use session_core::{Error, ErrorKind, Result, SessionKey, TableName};
use tokio::process::Command;
use tokio::task::spawn_blocking;

/// The table of connect-typeorm's version 1.1.4.
pub(crate) const WITHOUT_DESTROYED_AT: &str =
    "(id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL, json text NOT NULL)";

/// How often the test's own statement looks for the lock, for 60 s on a disk however slow. SQLite's own waiting looks every
/// 0.1 s, which on a slow disk finds it between the turns of cases that write without pause only by luck.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS: i32 = 30_000;

pub(crate) struct File {
    variant: &'static str,
    open: Open,
    /// The columns of a table that is there before the store; empty to let the store make it.
    columns: &'static str,
    payload: &'static str,
    key: &'static str,
}

/// Opens a store on a table of a file, which is there already if it is one of Node's.
pub(crate) type Open = fn(PathBuf, TableName) -> BoxFuture<'static, Result<Arc<dyn Store>>>;

impl File {
    pub(crate) fn native(variant: &'static str, open: Open) -> File {
        File { variant, open, columns: "", payload: "payload", key: "key" }
    }

    pub(crate) fn typeorm(variant: &'static str, columns: &'static str, open: Open) -> File {
        File { variant, open, columns, payload: "json", key: "id" }
    }

    /// The same in a process that the suite starts.
    fn path(&self) -> PathBuf {
        let name: String = self.variant.chars().filter(char::is_ascii_alphanumeric).collect();
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{name}.db"))
    }

    /// Behind the store's back, and on a thread that may wait: a store over an asynchronous client holds SQLite's lock while
    /// its next statement waits for a thread of the runtime.
    async fn raw<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path();
        let acted = spawn_blocking(move || {
            let db = Connection::open(path)?;
            db.busy_handler(Some(|looked| {
                thread::sleep(LOOK);
                looked < LOOKS
            }))?;
            act(&db)
        });
        acted.await.expect("it does not panic").map_err(|error| {
            Error::new(ErrorKind::Backend, "the test's own statement failed").with_source(error)
        })
    }
}

#[async_trait::async_trait]
impl Subject for File {
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
            let make = format!("CREATE TABLE IF NOT EXISTS \"{namespace}\" {}", self.columns);
            self.raw(move |db| db.execute_batch(&make)).await?;
        }
        (self.open)(self.path(), TableName::new(namespace.as_str())?).await
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let drop_table = format!("DROP TABLE IF EXISTS \"{namespace}\"");
        self.raw(move |db| db.execute_batch(&drop_table)).await
    }

    async fn corrupt(&self, namespace: &Namespace, key: &SessionKey) -> Result<bool> {
        let File { payload, key: column, .. } = self;
        let sql = format!("UPDATE \"{namespace}\" SET {payload} = CAST(x'ff' AS TEXT) WHERE {column} = ?1");
        let key = key.clone();
        self.raw(move |db| changes_one(db, &sql, &key)).await
    }

    async fn damage(&self, namespace: &Namespace, key: &SessionKey, part: Part) -> Result<bool> {
        let is_native = self.key == "key";
        let (column, odd) = match part {
            Part::Payload => return self.corrupt(namespace, key).await,
            Part::Expiry => (if is_native { "expires_at" } else { "expiredAt" }, "NULL"),
            Part::Creation if is_native => ("created_at", "'yesterday'"),
            Part::Version if is_native => ("version", "1.5"),
            Part::Principal if is_native => ("principal", "''"),
            Part::Creation | Part::Version | Part::Principal => return Ok(false),
        };
        let (id, namespace, key) = (self.key, namespace.to_string(), key.clone());
        self.raw(move |db| {
            // The same table as somebody makes it by hand: no types, so that anything can be in it.
            let columns: Vec<String> = db
                .prepare(&format!("SELECT name FROM pragma_table_info('{namespace}')"))?
                .query_map([], |row| row.get::<_, String>(0))?
                .map(|name| {
                    name.map(|name| {
                        if name == id { format!("\"{name}\" PRIMARY KEY") } else { format!("\"{name}\"") }
                    })
                })
                .collect::<rusqlite::Result<_>>()?;
            db.execute_batch(&format!(
                "BEGIN IMMEDIATE; ALTER TABLE \"{namespace}\" RENAME TO \"{namespace}_old\";
                 CREATE TABLE \"{namespace}\" ({});
                 INSERT INTO \"{namespace}\" SELECT * FROM \"{namespace}_old\";
                 DROP TABLE \"{namespace}_old\"; COMMIT",
                columns.join(", ")
            ))?;
            let sql = format!("UPDATE \"{namespace}\" SET \"{column}\" = {odd} WHERE \"{id}\" = ?1");
            changes_one(db, &sql, &key)
        })
        .await
    }

    /// No constraint and no conversion of SQLite's quotes a value.
    async fn object(&self, namespace: &Namespace, objection: Objection) -> Result<bool> {
        /// The first version that takes any expression for a trigger's words.
        const ANY_WORDS: i32 = 3_047_000;

        if objection != Objection::Trigger || rusqlite::version_number() < ANY_WORDS {
            return Ok(false);
        }
        let (payload, word) = (self.payload, Objection::WORD);
        let trigger = |on: &str| {
            format!(
                "CREATE TRIGGER \"{namespace}_{on}\" BEFORE {on} ON \"{namespace}\" \
                 WHEN NEW.{payload} LIKE '{word}%' \
                 BEGIN SELECT RAISE(ABORT, 'no: ' || NEW.{payload}); END;"
            )
        };
        let triggers = trigger("INSERT") + &trigger("UPDATE");
        self.raw(move |db| db.execute_batch(&triggers)).await?;
        Ok(true)
    }

    async fn raw_dump(&self, _namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        // Read by another process: whoever closes a file gives up all locks that his own process has on it, SQLite's too.
        let mut log = self.path().into_os_string();
        log.push("-wal");
        let read = Command::new("cat").arg(self.path()).arg(log).output().await;
        Ok(read.ok().map(|read| read.stdout).filter(|dump| !dump.is_empty()))
    }

    async fn raw_rows(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        let select = format!("SELECT * FROM \"{namespace}\"");
        self.raw(move |db| {
            let mut select = db.prepare(&select)?;
            let columns = select.column_count();
            let mut rows = select.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                for column in 0..columns {
                    match row.get_ref(column)? {
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => all.extend_from_slice(bytes),
                        other => all.extend(format!("{other:?}").bytes()),
                    }
                    all.push(b'\n');
                }
            }
            Ok(Some(all))
        })
        .await
    }
}

/// Whether a statement with a key changes one row.
fn changes_one(db: &Connection, sql: &str, key: &SessionKey) -> rusqlite::Result<bool> {
    Ok(1 == match key.as_text() {
        Some(text) => db.execute(sql, [text])?,
        None => db.execute(sql, [key.as_bytes()])?,
    })
}
