//! Every statement on single sessions in the native layout, written once for a table.
//!
//! Each is one round trip. All run under READ COMMITTED: a statement that waited for a row sees its newest version
//! and tests its predicate again on it. `destroyed_at IS NULL AND expires_at > now` is what makes a session live.

use session_core::{DestroyMode, KeyFormat, TableName};

use super::schema::SLOT_MILLIS;
use crate::Statement;
use crate::postgres::shared::statement;

/// What a read returns, in the order that `value::record` takes, but for the payload.
const REST: &str = "expires_at, created_at, version, principal";

/// A session that is live.
const LIVE: &str = "destroyed_at IS NULL AND expires_at > :now";

/// A session that is live, or of which the expiry is NULL: that is found, and reported as corrupt.
const READABLE: &str = "destroyed_at IS NULL AND (expires_at > :now) IS NOT FALSE";

/// What empties a row.
const WIPE: &str = "payload = '', principal = NULL";

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: Statement,
    /// Gives a record, without its payload if the version is the known one.
    pub(super) load: Statement,
    /// As `load`, for keys and known versions. Gives each row's place among the keys, from 1 on, after its record.
    pub(super) load_many: Statement,
    /// Gives the new version.
    pub(super) update: Statement,
    /// Gives the new version and true, or if nothing was done the version of a live session and false.
    pub(super) update_expected: Statement,
    /// Counts.
    pub(super) touch: Statement,
    /// As `update_expected`, and the version stays.
    pub(super) touch_expected: Statement,
    /// Counts.
    pub(super) destroy: ByMode,
    /// Gives the version before and, if it was done, after.
    pub(super) rotate: ByMode,
    /// Gives whether it was destroyed, whether by a rotation, and the expiry.
    pub(super) fate: Statement,
    /// Gives how many it ended, or fails with `LOOK_AGAIN`.
    pub(super) destroy_principal: ByMode,
    /// Gives how many rows it wiped, or fails with `LOOK_AGAIN`.
    pub(super) forget_principal: Statement,
    pub(super) purge: Statement,
    /// Gives keys for `purge_keys`.
    pub(super) find_expired: Statement,
    pub(super) purge_keys: Statement,
    /// Gives records and keys.
    pub(super) list: Statement,
    pub(super) list_principal: Statement,
    pub(super) count: Statement,
    pub(super) count_principal: Statement,
    pub(super) clear: Statement,
}

/// A statement that ends sessions, for each [`DestroyMode`]. All three take the same values.
#[derive(Debug)]
pub(super) struct ByMode {
    forget: Statement,
    keep: Statement,
    remove: Statement,
}

impl ByMode {
    fn new(write: impl Fn(DestroyMode) -> String) -> ByMode {
        ByMode {
            forget: statement(write(DestroyMode::Forget)),
            keep: statement(write(DestroyMode::Keep)),
            remove: statement(write(DestroyMode::Remove)),
        }
    }

    pub(super) fn of(&self, mode: DestroyMode) -> &Statement {
        match mode {
            DestroyMode::Forget => &self.forget,
            DestroyMode::Keep => &self.keep,
            DestroyMode::Remove => &self.remove,
        }
    }
}

impl Statements {
    pub(super) fn new(table: &TableName, format: KeyFormat) -> Statements {
        let t = table.quoted('"', '"');
        let key_type = key_type(format);
        // A payload that is left out is not even read where it lies apart from its row.
        let record = |known: &str| format!("CASE WHEN version = {known} THEN NULL ELSE payload END, {REST}");
        let set = "payload = :payload, expires_at = COALESCE(:expires_at, expires_at), principal = :principal, \
                   version = version + 1";
        Statements {
            create: statement(format!(
                "INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
                 VALUES (:key, :payload, :expires_at, :now, :version, :principal) ON CONFLICT (key) DO NOTHING"
            )),
            load: statement(format!("SELECT {} FROM {t} WHERE key = :key AND {READABLE}", record(":known"))),
            // A join with the keys in their order costs less than `= ANY`, which sorts them again.
            load_many: statement(format!(
                "SELECT {}, u.place \
                 FROM unnest(:keys::{key_type}[], :known::bigint[]) WITH ORDINALITY AS u (key, known, place) \
                 JOIN {t} AS t ON t.key = u.key WHERE {READABLE}",
                record("u.known")
            )),
            update: statement(format!("UPDATE {t} SET {set} WHERE key = :key AND {LIVE} RETURNING version")),
            update_expected: statement(expecting(&t, set)),
            touch: statement(format!("UPDATE {t} SET expires_at = :expires_at WHERE key = :key AND {LIVE}")),
            touch_expected: statement(expecting(&t, "expires_at = :expires_at")),
            destroy: ByMode::new(|mode| match mode {
                DestroyMode::Forget => {
                    format!("UPDATE {t} SET destroyed_at = :now, {WIPE} WHERE key = :key AND {LIVE}")
                }
                DestroyMode::Keep => {
                    format!("UPDATE {t} SET destroyed_at = :now WHERE key = :key AND {LIVE}")
                }
                DestroyMode::Remove => format!("DELETE FROM {t} WHERE key = :key AND {LIVE}"),
            }),
            rotate: ByMode::new(|mode| rotate(&t, mode)),
            fate: statement(format!(
                "SELECT destroyed_at IS NOT NULL, rotated, expires_at FROM {t} WHERE key = :key"
            )),
            destroy_principal: ByMode::new(|mode| destroy_principal(&t, mode)),
            forget_principal: statement(forget_principal(&t)),
            // ARRAY, not a join: the planner then takes the primary key whatever it thinks of the limit. The
            // predicate stands in the DELETE again, as READ COMMITTED tests only that one on a newer version.
            purge: statement(format!(
                "DELETE FROM {t} WHERE key = ANY(ARRAY(SELECT key FROM {t} WHERE expiry_slot <= :now / {SLOT_MILLIS} \
                 AND expires_at <= :now ORDER BY expiry_slot LIMIT :limit FOR UPDATE SKIP LOCKED)) \
                 AND expires_at <= :now"
            )),
            find_expired: statement(format!(
                "SELECT key FROM {t} WHERE expiry_slot <= :now / {SLOT_MILLIS} AND expires_at <= :now \
                 ORDER BY expiry_slot LIMIT :limit FOR UPDATE SKIP LOCKED"
            )),
            purge_keys: statement(format!(
                "DELETE FROM {t} WHERE key = ANY(ARRAY(SELECT key FROM {t} WHERE key = ANY(:keys) \
                 AND expires_at <= :now ORDER BY key FOR UPDATE SKIP LOCKED)) AND expires_at <= :now"
            )),
            list: statement(format!(
                "SELECT payload, {REST}, key FROM {t} WHERE key > :after AND {READABLE} ORDER BY key LIMIT :limit"
            )),
            list_principal: statement(format!(
                "SELECT payload, {REST}, key FROM {t} WHERE principal = :principal AND key > :after AND {READABLE} \
                 ORDER BY key LIMIT :limit"
            )),
            count: statement(format!("SELECT count(*) FROM {t} WHERE {LIVE}")),
            count_principal: statement(format!(
                "SELECT count(*) FROM {t} WHERE principal = :principal AND {LIVE}"
            )),
            clear: statement(format!("DELETE FROM {t}")),
        }
    }
}

pub(super) fn key_type(format: KeyFormat) -> &'static str {
    match format {
        KeyFormat::Hashed => "bytea",
        KeyFormat::Plain => "text",
    }
}

/// A change of a session that must have the expected version.
///
/// Both parts read the state at the statement's beginning, and the second one only if the first did nothing: then a
/// session with another version was stale at that instant, and no session was gone. With the expected version it was
/// changed or ended while the first part waited for it: that is neither.
fn expecting(t: &str, set: &str) -> String {
    format!(
        "WITH done AS (UPDATE {t} SET {set} WHERE key = :key AND {LIVE} AND version = :expected RETURNING version) \
         SELECT version, true FROM done UNION ALL SELECT version, false FROM {t} \
         WHERE key = :key AND {LIVE} AND NOT EXISTS (SELECT FROM done)"
    )
}

/// The insert decides: without it the old row stays as it is. Both rows change in one statement, so together.
fn rotate(t: &str, mode: DestroyMode) -> String {
    let mark = "destroyed_at = :now, rotated = true";
    let end = match mode {
        DestroyMode::Forget => format!("UPDATE {t} AS t SET {mark}, {WIPE} FROM moved WHERE t.key = :from"),
        DestroyMode::Keep => format!("UPDATE {t} AS t SET {mark} FROM moved WHERE t.key = :from"),
        DestroyMode::Remove => format!("DELETE FROM {t} AS t USING moved WHERE t.key = :from"),
    };
    format!(
        "WITH live AS (SELECT payload, expires_at, created_at, version FROM {t} \
         WHERE key = :from AND {LIVE} FOR UPDATE), \
         moved AS (INSERT INTO {t} (key, payload, expires_at, created_at, version, principal) \
         SELECT :to, COALESCE(:payload, payload), COALESCE(:expires_at, expires_at), created_at, version + 1, \
         :principal FROM live \
         WHERE :expected IS NULL OR version = :expected ON CONFLICT (key) DO NOTHING RETURNING version), \
         ended AS ({end}) \
         SELECT live.version, moved.version FROM live LEFT JOIN moved ON TRUE"
    )
}

/// `theirs` counts what the statement's snapshot shows, `ended` what is left of it once every lock is held. If they
/// differ, a session may have been rotated away meanwhile, and its new row is in no snapshot of this statement: it
/// then divides by zero, so that nothing is done, and is to be sent again.
fn destroy_principal(t: &str, mode: DestroyMode) -> String {
    let theirs = format!(
        "principal = :principal AND {LIVE} AND key <> ALL(:spared) \
         AND (:created_before IS NULL OR created_at < :created_before)"
    );
    let end = match mode {
        DestroyMode::Forget => format!("UPDATE {t} AS t SET destroyed_at = :now, {WIPE} FROM"),
        DestroyMode::Keep => format!("UPDATE {t} AS t SET destroyed_at = :now FROM"),
        DestroyMode::Remove => format!("DELETE FROM {t} AS t USING"),
    };
    format!(
        "WITH theirs AS (SELECT count(*) AS rows FROM {t} WHERE {theirs}), \
         locked AS (SELECT key FROM {t} WHERE {theirs} ORDER BY key FOR UPDATE), \
         ended AS ({end} locked WHERE t.key = locked.key RETURNING 1) \
         SELECT e.rows / (CASE WHEN e.rows = theirs.rows THEN 1 ELSE 0 END) \
         FROM theirs, (SELECT count(*) AS rows FROM ended) AS e"
    )
}

/// As [`destroy_principal`]. A session that is rotated away with `Keep` stays theirs, and is not live any more: so the
/// live ones are counted besides.
fn forget_principal(t: &str) -> String {
    format!(
        "WITH theirs AS (SELECT count(*) AS rows, count(*) FILTER (WHERE {LIVE}) AS live FROM {t} \
         WHERE principal = :principal), \
         locked AS (SELECT key, {LIVE} AS live FROM {t} WHERE principal = :principal ORDER BY key FOR UPDATE), \
         wiped AS (UPDATE {t} AS t SET {WIPE}, version = t.version + 1, \
         destroyed_at = CASE WHEN locked.live THEN :now ELSE t.destroyed_at END \
         FROM locked WHERE t.key = locked.key RETURNING locked.live) \
         SELECT w.rows / (CASE WHEN w.rows = theirs.rows AND w.live = theirs.live THEN 1 ELSE 0 END) \
         FROM theirs, (SELECT count(*) AS rows, count(*) FILTER (WHERE live) AS live FROM wiped) AS w"
    )
}
