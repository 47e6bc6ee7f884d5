//! The table of the native layout.
//!
//! # Why it looks like this
//! - **A rowid table, and the payload last.** With payloads of 1 KiB `WITHOUT ROWID` is 2-4 times slower, as the
//!   inner pages of its tree hold payloads too. The small columns come before the payload, so that none of them lies
//!   on an overflow page.
//! - **`STRICT`**, so that no other program can leave a value of a type that this one cannot read.
//! - **`expires_bucket`, indexed in the place of `expires_at`.** A purge needs an index, or each scans the table. But an
//!   index on `expires_at` is changed by every touch and dirties two pages more. Touches in batches of 32 on 100,000
//!   rows of 1 KiB at `synchronous=FULL`, per second: 30,000 with no index, 7,000-23,000 with one on `expires_at`,
//!   12,000-24,000 with one on a bucket that is written each time, 28,000-35,000 with the bucket left out of the `SET`
//!   where it stays the same, which is what `touch_in_bucket` does. SQLite decides by the columns in the `SET`, not by
//!   their values, which indexes to maintain: hence the two forms of touch and update.
//!   A bucket is 5 minutes: long enough that few touches leave it, short enough that a purge looks in vain at few rows
//!   of the present one (350 of 100,000 sessions that live a day).
//! - **`principal` and `key` in one partial index**, which lists a principal's sessions in the order of the keys. An
//!   update that leaves the principal as it is does not touch it either.

use session_core::{KeyFormat, TableName};

/// Milliseconds in one bucket of the index on the expiry.
pub(super) const BUCKET: i64 = 300_000;

pub(super) fn schema(table: &TableName, format: KeyFormat) -> String {
    let name = table.table();
    let t = table.quoted('"', '"');
    let key = match format {
        KeyFormat::Hashed => "BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32)",
        // BINARY, the default collation, compares bytes.
        KeyFormat::Plain => "TEXT NOT NULL PRIMARY KEY COLLATE BINARY",
    };
    // Integer division, towards zero, never descends as the expiry ascends, over the whole range.
    format!(
        r#"CREATE TABLE IF NOT EXISTS {t} (
    key {key},
    expires_at INTEGER NOT NULL,
    expires_bucket INTEGER NOT NULL CHECK (expires_bucket = expires_at / {BUCKET}),
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    destroyed_at INTEGER,
    rotated INTEGER NOT NULL DEFAULT 0,
    principal TEXT COLLATE BINARY,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS "{name}_expires" ON "{name}" (expires_bucket);
CREATE INDEX IF NOT EXISTS "{name}_principal" ON "{name}" (principal, key) WHERE principal IS NOT NULL;
"#
    )
}
