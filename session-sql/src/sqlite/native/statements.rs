//! All statements of the native layout.
//!
//! Values are always bound; the table's name is a checked identifier. A session is live where
//! `destroyed_at IS NULL AND expires_at > :now`.
//!
//! **An update finds its row, and then changes it by its number**, within one transaction, which holds the lock for
//! writing. `UPDATE … RETURNING` would be one statement, but SQLite makes and drops a table for what it returns each
//! time: 64 callers save 1.3 times as much without it. Where each statement is a turn to another thread and back, one is
//! better (`update_at_once`).

use crate::{Dialect, Statement};
use session_core::{KeyFormat, TableName};

use super::schema::BUCKET;

/// The statements, written once for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: Statement,
    pub(super) load: Statement,
    pub(super) load_known: Statement,
    pub(super) update_in_bucket_at_once: AtOnce,
    pub(super) update_at_once: AtOnce,
    pub(super) find_live: Statement,
    pub(super) update_in_bucket: Statement,
    pub(super) update_keeping_expiry: Statement,
    pub(super) update: Statement,
    pub(super) touch_in_bucket: Statement,
    pub(super) touch: Statement,
    pub(super) forget: Statement,
    pub(super) keep: Statement,
    pub(super) remove: Statement,
    pub(super) fate: Statement,
    pub(super) copy_to: Statement,
    pub(super) version: Statement,
    pub(super) forget_sessions: Statement,
    pub(super) keep_sessions: Statement,
    pub(super) remove_sessions: Statement,
    pub(super) forget_principal: Statement,
    pub(super) purge: Statement,
    pub(super) find_expired: Statement,
    pub(super) purge_row: Statement,
    pub(super) list: Statement,
    pub(super) list_principal: Statement,
    pub(super) count: Statement,
    pub(super) count_principal: Statement,
    pub(super) clear: Statement,
}

/// An update by one statement.
#[derive(Debug)]
pub(super) struct AtOnce {
    /// Counts the row. Whoever expects a version knows the new one.
    pub(super) counting: Statement,
    /// Gives the new version.
    pub(super) telling: Statement,
}

impl AtOnce {
    fn new(update: &str) -> AtOnce {
        AtOnce {
            counting: Statement::new(Dialect::Sqlite, update),
            telling: Statement::new(Dialect::Sqlite, format!("{update} RETURNING version")),
        }
    }
}

impl Statements {
    pub(super) fn new(table: &TableName, format: KeyFormat) -> Statements {
        let t = table.quoted('"', '"');
        let live = "key = :key AND destroyed_at IS NULL AND expires_at > :now";
        // An expiry that is not an INTEGER is not `<=` any; the row is read, and found corrupt.
        let readable = "destroyed_at IS NULL AND (expires_at <= :now) IS NOT TRUE";
        let as_expected = "(:expected IS NULL OR version = :expected)";
        let theirs =
            "principal = :principal AND key IS NOT :except AND destroyed_at IS NULL AND expires_at > :now
             AND (:created_before IS NULL OR created_at < :created_before)";
        let forgotten = "payload = '', principal = NULL";
        let expired = format!(
            "SELECT rowid FROM {t} WHERE expires_bucket <= :now / {BUCKET} AND expires_at <= :now
             ORDER BY expires_bucket LIMIT :limit"
        );
        let record = |payload: &str| {
            format!(
                "SELECT {payload}, expires_at, created_at, version, principal FROM {t} WHERE key = :key AND {readable}"
            )
        };
        let page = format!(
            "SELECT payload, expires_at, created_at, version, principal, key FROM {t}
             WHERE key > :after AND {readable} AND {}",
            // A key that is none of this format's cannot be listed.
            match format {
                KeyFormat::Hashed => "length(key) = 32",
                KeyFormat::Plain => "typeof(key) = 'text'",
            }
        );
        let statement = |template: String| Statement::new(Dialect::Sqlite, template);
        Statements {
            create: statement(format!(
                "INSERT INTO {t} (key, payload, expires_at, expires_bucket, created_at, version, principal)
                 VALUES (:key, :payload, :expires_at, :expires_at / {BUCKET}, :now, :version, :principal)
                 ON CONFLICT (key) DO NOTHING"
            )),
            load: statement(record("payload")),
            // A payload that the caller has is not read: it may lie on pages of its own.
            load_known: statement(record("CASE WHEN version = :known THEN NULL ELSE payload END")),
            // The update that keeps bucket and principal, and with them the indexes, in one statement.
            update_in_bucket_at_once: AtOnce::new(&format!(
                "UPDATE {t}
                 SET payload = :payload, expires_at = coalesce(:expires_at, expires_at), version = version + 1
                 WHERE {live} AND {as_expected} AND principal IS :principal
                     AND (:expires_at IS NULL OR expires_bucket = :expires_at / {BUCKET})"
            )),
            // Any update in one statement.
            update_at_once: AtOnce::new(&format!(
                "UPDATE {t}
                 SET payload = :payload, expires_at = coalesce(:expires_at, expires_at),
                     expires_bucket = coalesce(:expires_at, expires_at) / {BUCKET},
                     principal = :principal, version = version + 1
                 WHERE {live} AND {as_expected}"
            )),
            // Whether the update keeps bucket and principal, and with them the indexes, is the third column.
            find_live: statement(format!(
                "SELECT rowid, version,
                     (:expires_at IS NULL OR expires_bucket = :expires_at / {BUCKET}) AND principal IS :principal
                 FROM {t} WHERE {live}"
            )),
            update_in_bucket: statement(format!(
                "UPDATE {t}
                 SET payload = :payload, expires_at = coalesce(:expires_at, expires_at), version = version + 1
                 WHERE rowid = :row"
            )),
            update_keeping_expiry: statement(format!(
                "UPDATE {t} SET payload = :payload, principal = :principal, version = version + 1
                 WHERE rowid = :row"
            )),
            update: statement(format!(
                "UPDATE {t}
                 SET payload = :payload, expires_at = :expires_at, expires_bucket = :expires_at / {BUCKET},
                     principal = :principal, version = version + 1
                 WHERE rowid = :row"
            )),
            touch_in_bucket: statement(format!(
                "UPDATE {t} SET expires_at = :expires_at
                 WHERE {live} AND {as_expected} AND expires_bucket = :expires_at / {BUCKET}"
            )),
            touch: statement(format!(
                "UPDATE {t} SET expires_at = :expires_at, expires_bucket = :expires_at / {BUCKET}
                 WHERE {live} AND {as_expected}"
            )),
            forget: statement(format!(
                "UPDATE {t} SET destroyed_at = :now, rotated = :rotated, {forgotten} WHERE {live}"
            )),
            keep: statement(format!("UPDATE {t} SET destroyed_at = :now, rotated = :rotated WHERE {live}")),
            remove: statement(format!("DELETE FROM {t} WHERE {live}")),
            fate: statement(format!(
                "SELECT destroyed_at IS NOT NULL, rotated, expires_at FROM {t} WHERE key = :key"
            )),
            // The new row of a rotation, made of the old one.
            copy_to: statement(format!(
                "INSERT INTO {t} (key, payload, expires_at, expires_bucket, created_at, version, principal)
                 SELECT :to, coalesce(:payload, payload), coalesce(:expires_at, expires_at),
                     coalesce(:expires_at, expires_at) / {BUCKET}, created_at, version + 1, :principal
                 FROM {t} WHERE {live} AND {as_expected}
                 ON CONFLICT (key) DO NOTHING
                 RETURNING version"
            )),
            version: statement(format!("SELECT version FROM {t} WHERE {live}")),
            forget_sessions: statement(format!(
                "UPDATE {t} SET destroyed_at = :now, {forgotten} WHERE {theirs}"
            )),
            keep_sessions: statement(format!("UPDATE {t} SET destroyed_at = :now WHERE {theirs}")),
            remove_sessions: statement(format!("DELETE FROM {t} WHERE {theirs}")),
            // A row that is dead already keeps what became of it.
            forget_principal: statement(format!(
                "UPDATE {t} SET {forgotten}, version = version + 1, destroyed_at =
                     CASE WHEN destroyed_at IS NULL AND expires_at > :now THEN :now ELSE destroyed_at END
                 WHERE principal = :principal"
            )),
            purge: statement(format!("DELETE FROM {t} WHERE rowid IN ({expired})")),
            find_expired: statement(expired),
            // Whatever has become of the row since it was found: only an expired one goes.
            purge_row: statement(format!("DELETE FROM {t} WHERE rowid = :row AND expires_at <= :now")),
            list: statement(format!("{page} ORDER BY key LIMIT :limit")),
            list_principal: statement(format!(
                "{page} AND principal = :principal ORDER BY key LIMIT :limit"
            )),
            count: statement(format!(
                "SELECT count(*) FROM {t} WHERE destroyed_at IS NULL AND expires_at > :now"
            )),
            count_principal: statement(format!(
                "SELECT count(*) FROM {t}
                 WHERE destroyed_at IS NULL AND expires_at > :now AND principal = :principal"
            )),
            clear: statement(format!("DELETE FROM {t}")),
        }
    }
}
