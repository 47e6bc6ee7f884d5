//! A store on a file, whatever the client library; session-sqlx's suite has it, too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use conformance::{Namespace, Part, Subject};
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use session_core::contract::Store;
use session_core::{Error, ErrorKind, Result, SessionKey, TableName};

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

    /// Behind the store's back.
    fn raw<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let result = Connection::open(self.path()).and_then(|db| {
            db.busy_handler(Some(|looked| {
                thread::sleep(LOOK);
                looked < LOOKS
            }))?;
            act(&db)
        });
        result.map_err(|error| {
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
            let columns = self.columns;
            self.raw(|db| {
                db.execute_batch(&format!("CREATE TABLE IF NOT EXISTS \"{namespace}\" {columns}"))
            })?;
        }
        (self.open)(self.path(), TableName::new(namespace.as_str())?).await
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
        let id = self.key;
        self.raw(|db| {
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

    async fn raw_rows(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        self.raw(|db| {
            let mut select = db.prepare(&format!("SELECT * FROM \"{namespace}\""))?;
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
    }
}
