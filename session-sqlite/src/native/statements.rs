//! All SQL of the native layout.
//!
//! Numbered parameters, always bound; the table's name is a checked identifier. A session is live where
//! `destroyed_at IS NULL AND expires_at > now`.
//!
//! # Why the table looks like this
//! - **A rowid table, and the payload last.** With payloads of 1 KiB `WITHOUT ROWID` is 2-4 times slower, as the
//!   inner pages of its tree hold payloads too. The small columns come before the payload, so that none of them lies
//!   on an overflow page.
//! - **`STRICT`**, so that no other program can leave a value of a type that this one cannot read.
//! - **`expires_bucket`, indexed in the place of `expires_at`.** A purge needs an index, or each scans the table. But an
//!   index on `expires_at` is changed by every touch and dirties two pages more. Touches in groups of 32 on 100,000
//!   rows of 1 KiB at `synchronous=FULL`, per second: 30,000 with no index, 7,000-23,000 with one on `expires_at`,
//!   12,000-24,000 with one on a bucket that is written each time, 28,000-35,000 with the bucket left out of the `SET`
//!   where it stays the same, which is what [`Statements::touch_in_bucket`] does. SQLite decides by the columns in the
//!   `SET`, not by their values, which indexes to maintain: hence the two forms of touch and update.
//!   A bucket is 5 minutes: long enough that few touches leave it, short enough that a purge looks in vain at few rows
//!   of the present one (350 of 100,000 sessions that live a day).
//! - **An update finds its row, and then changes it by its number**, within one transaction, which holds the lock for
//!   writing. `UPDATE … RETURNING` would be one statement, but SQLite makes and drops a table for what it returns each
//!   time: 64 callers save 1.3 times as much without it.
//! - **`principal` and `key` in one partial index**, which lists a principal's sessions in the order of the keys. An
//!   update that leaves the principal as it is does not touch it either.

use session_core::{KeyFormat, TableName};

/// The statements, rendered once for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) schema: String,
    pub(super) create: String,
    pub(super) load: String,
    pub(super) find_live: String,
    pub(super) update_in_bucket: String,
    pub(super) update: String,
    pub(super) touch_in_bucket: String,
    pub(super) touch: String,
    pub(super) bury: String,
    pub(super) remove: String,
    pub(super) copy_to: String,
    pub(super) version: String,
    pub(super) bury_principal: String,
    pub(super) remove_principal: String,
    pub(super) purge: String,
    pub(super) find_expired: String,
    pub(super) purge_row: String,
    pub(super) list: String,
    pub(super) list_principal: String,
    pub(super) count: String,
    pub(super) count_principal: String,
    pub(super) clear: String,
}

/// The columns that a record is read from, in the order of [`super::record`].
const RECORD: &str = "payload, expires_at, created_at, version, principal";

impl Statements {
    pub(super) fn new(table: &TableName, format: KeyFormat) -> Statements {
        let name = table.table();
        let t = table.quoted('"', '"');
        let key = match format {
            KeyFormat::Hashed => "BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32)",
            // BINARY, the default collation, compares bytes.
            KeyFormat::Plain => "TEXT NOT NULL PRIMARY KEY COLLATE BINARY",
        };
        // Integer division, towards zero, never descends as the expiry ascends, over the whole range.
        let schema = format!(
            r#"CREATE TABLE IF NOT EXISTS {t} (
    key {key},
    expires_at INTEGER NOT NULL,
    expires_bucket INTEGER NOT NULL CHECK (expires_bucket = expires_at / {BUCKET}),
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    destroyed_at INTEGER,
    principal TEXT COLLATE BINARY,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS "{name}_expires" ON "{name}" (expires_bucket);
CREATE INDEX IF NOT EXISTS "{name}_principal" ON "{name}" (principal, key) WHERE principal IS NOT NULL;
"#
        );
        let page = format!(
            // An expiry that is not an INTEGER is not `<=` any; the row is read, and found corrupt. A key that is none
            // of this format's cannot be listed.
            "SELECT key, {RECORD} FROM {t}
             WHERE key > ?1 AND destroyed_at IS NULL AND (expires_at <= ?2) IS NOT TRUE AND {}",
            match format {
                KeyFormat::Hashed => "length(key) = 32",
                KeyFormat::Plain => "typeof(key) = 'text'",
            }
        );
        Statements {
            schema,
            create: format!(
                "INSERT INTO {t} (key, payload, expires_at, expires_bucket, created_at, version, principal)
                 VALUES (?1, ?2, ?3, ?3 / {BUCKET}, ?4, 1, ?5)
                 ON CONFLICT (key) DO NOTHING"
            ),
            load: format!(
                "SELECT {RECORD} FROM {t}
                 WHERE key = ?1 AND destroyed_at IS NULL AND (expires_at <= ?2) IS NOT TRUE"
            ),
            // Whether the update keeps bucket and principal, and with them the indexes, is the third column.
            find_live: format!(
                "SELECT rowid, version, expires_bucket = ?3 / {BUCKET} AND principal IS ?4 FROM {t}
                 WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?2"
            ),
            update_in_bucket: format!(
                "UPDATE {t} SET payload = ?2, expires_at = ?3, version = version + 1 WHERE rowid = ?1"
            ),
            update: format!(
                "UPDATE {t}
                 SET payload = ?2, expires_at = ?3, expires_bucket = ?3 / {BUCKET}, principal = ?4, version = version + 1
                 WHERE rowid = ?1"
            ),
            touch_in_bucket: format!(
                "UPDATE {t} SET expires_at = ?2
                 WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?3 AND expires_bucket = ?2 / {BUCKET}"
            ),
            touch: format!(
                "UPDATE {t} SET expires_at = ?2, expires_bucket = ?2 / {BUCKET}
                 WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?3"
            ),
            bury: format!(
                "UPDATE {t} SET destroyed_at = ?2 WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?2"
            ),
            remove: format!("DELETE FROM {t} WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?2"),
            // The new row of a rotation, made of the old one.
            copy_to: format!(
                "INSERT INTO {t} (key, payload, expires_at, expires_bucket, created_at, version, principal)
                 SELECT ?2, coalesce(?3, payload), ?4, ?4 / {BUCKET}, created_at, version + 1, ?5
                 FROM {t}
                 WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?7 AND (?6 IS NULL OR version = ?6)
                 ON CONFLICT (key) DO NOTHING
                 RETURNING version"
            ),
            version: format!(
                "SELECT version FROM {t} WHERE key = ?1 AND destroyed_at IS NULL AND expires_at > ?2"
            ),
            bury_principal: format!(
                "UPDATE {t} SET destroyed_at = ?3
                 WHERE principal = ?1 AND key IS NOT ?2 AND destroyed_at IS NULL AND expires_at > ?3"
            ),
            remove_principal: format!(
                "DELETE FROM {t} WHERE principal = ?1 AND key IS NOT ?2 AND destroyed_at IS NULL AND expires_at > ?3"
            ),
            purge: format!(
                "DELETE FROM {t} WHERE rowid IN (
                     SELECT rowid FROM {t} WHERE expires_bucket <= ?1 / {BUCKET} AND expires_at <= ?1
                     ORDER BY expires_bucket LIMIT ?2)"
            ),
            find_expired: format!(
                "SELECT rowid FROM {t} WHERE expires_bucket <= ?1 / {BUCKET} AND expires_at <= ?1
                 ORDER BY expires_bucket LIMIT ?2"
            ),
            // Whatever has become of the row since it was found: only an expired one goes.
            purge_row: format!("DELETE FROM {t} WHERE rowid = ?1 AND expires_at <= ?2"),
            list: format!("{page} ORDER BY key LIMIT ?3"),
            list_principal: format!("{page} AND principal = ?4 ORDER BY key LIMIT ?3"),
            count: format!("SELECT count(*) FROM {t} WHERE destroyed_at IS NULL AND expires_at > ?1"),
            count_principal: format!(
                "SELECT count(*) FROM {t} WHERE destroyed_at IS NULL AND expires_at > ?1 AND principal = ?2"
            ),
            clear: format!("DELETE FROM {t}"),
        }
    }
}

/// Milliseconds in one bucket of the index on the expiry.
const BUCKET: i64 = 300_000;
