//! Every statement of the native layout, rendered once for a table. Those on many rows at once stand in [`many`](super::many).
//!
//! Each is one round trip, and atomic by itself. READ COMMITTED locks no gaps, so that different sessions do not
//! wait for each other. `destroyed_at IS NULL AND expires_at > :now` is what makes a session live.
//!
//! What changes a row by its key must find it by its key. In a small table the servers prefer the index on `expires_at`,
//! and a live session whose expiry others move, on and back, can pass behind such a scan: its end would say that it
//! is not live, and do nothing. So there it says `expires_at + 0`, which no index serves.
//!
//! MySQL has no RETURNING, and MariaDB has it on INSERT and DELETE alone. Where an outcome is more than whether a row
//! was found, an update is written as `INSERT … SELECT … FOR UPDATE ON DUPLICATE KEY UPDATE`: the select locks the
//! live row, so that the insert always meets a duplicate; a row that is not there is never made. Such a row counts 1
//! if it is left as it is (with CLIENT_FOUND_ROWS) and 2 if it changes: so 0, 1 and more say gone, stale and done, at
//! one instant. The new version follows from the expected one. Without an expected one MariaDB returns it, and on MySQL
//! it is left open.

use session_core::TableName;

use super::conditions::{FORGET, KEEP, LIVE_BY_KEY, READABLE};
use super::many::Many;
use crate::Statement;
use crate::mysql::sending::statement;

/// What a read returns, in the order that the reading of a record takes.
const RECORD: &str = "payload, expires_at, created_at, version, principal";

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: Statement,
    pub(super) load: Statement,
    /// Counts as [`counted`](super::counted).
    pub(super) update_expected: Statement,
    pub(super) update_any: Statement,
    /// MariaDB: gives the version.
    pub(super) update_any_returning: Statement,
    pub(super) touch: Statement,
    /// Counts as [`counted`](super::counted).
    pub(super) touch_expected: Statement,
    pub(super) forget: Statement,
    pub(super) keep: Statement,
    pub(super) remove: Statement,
    pub(super) rotate_forgetting: Rotations,
    pub(super) rotate_keeping: Rotations,
    pub(super) rotate_removing: Rotations,
    pub(super) fate: Statement,
    /// Each of these three counts a row as [`counted::DONE`](super::counted::DONE), or fails with `OUT_OF_RANGE`.
    pub(super) forget_sessions: Statement,
    pub(super) keep_sessions: Statement,
    /// Empties the rows for the next purge.
    pub(super) empty_sessions: Statement,
    /// As those, for rows of dead sessions, too.
    pub(super) forget_principal: Statement,
    pub(super) purge: Statement,
    /// Gives keys for [`Many::purge_keys`](super::many::Many).
    pub(super) find_expired: Statement,
    pub(super) list: Statement,
    pub(super) list_principal: Statement,
    pub(super) count: Statement,
    pub(super) count_principal: Statement,
    pub(super) clear: Statement,
    pub(super) many: Many,
}

/// A rotation with one mode.
#[derive(Debug)]
pub(super) struct Rotations {
    /// Counts as [`counted`](super::counted).
    pub(super) expected: Statement,
    pub(super) any: Statement,
    /// MariaDB: gives version and destroyed_at of each row that it changed.
    pub(super) any_returning: Statement,
}

impl Statements {
    pub(super) fn new(table: &TableName) -> Statements {
        let t = &table.quoted('`', '`');
        let render = |sql: String| statement(sql);
        let by_key =
            |change: &str| render(format!("UPDATE {t} SET {change} WHERE `key` = :key AND {LIVE_BY_KEY}"));
        let live = "destroyed_at IS NULL AND expires_at > :now";
        Statements {
            create: render(format!(
                "INSERT INTO {t} (`key`, payload, expires_at, created_at, version, principal) \
                 VALUES (:key, :payload, :expires_at, :now, :version, :principal)"
            )),
            load: render(format!(
                "SELECT IF(version = :known, NULL, payload), expires_at, created_at, version, principal FROM {t} \
                 WHERE `key` = :key AND {READABLE}"
            )),
            update_expected: render(meet(
                t,
                &format!(
                    "payload = IF({t}.version = :expected, :payload, {t}.payload), \
                     expires_at = IF({t}.version = :expected, COALESCE(:expires_at, {t}.expires_at), {t}.expires_at), \
                     principal = IF({t}.version = :expected, :principal, {t}.principal), \
                     version = {t}.version + ({t}.version = :expected)"
                ),
            )),
            update_any: by_key(
                "payload = :payload, expires_at = COALESCE(:expires_at, expires_at), principal = :principal, \
                 version = version + 1",
            ),
            update_any_returning: render(meet(
                t,
                &format!(
                    "payload = :payload, expires_at = COALESCE(:expires_at, {t}.expires_at), \
                     principal = :principal, version = {t}.version + 1 RETURNING version"
                ),
            )),
            touch: by_key("expires_at = :expires_at"),
            touch_expected: render(touch_expected(t)),
            forget: by_key(FORGET),
            keep: by_key(KEEP),
            remove: render(format!("DELETE FROM {t} WHERE `key` = :key AND {LIVE_BY_KEY}")),
            rotate_forgetting: Rotations::marking(
                t,
                ", payload = IF({old}, '', {t}.payload), principal = IF({old}, NULL, {t}.principal)",
            ),
            rotate_keeping: Rotations::marking(t, ""),
            rotate_removing: Rotations::removing(t),
            fate: render(format!(
                "SELECT destroyed_at IS NOT NULL, rotated, expires_at FROM {t} WHERE `key` = :key"
            )),
            forget_sessions: render(end_sessions(t, FORGET)),
            keep_sessions: render(end_sessions(t, KEEP)),
            empty_sessions: render(end_sessions(t, &format!("{FORGET}, expires_at = -9223372036854775808"))),
            forget_principal: render(forget_principal(t)),
            // The derived table locks and skips; the DELETE then waits for nothing, so that it is in no deadlock.
            // MySQL has no LIMIT in an IN subquery, but in a derived table. STRAIGHT_JOIN and the index keep the
            // optimizer from reading, and locking, every expired row.
            purge: render(format!(
                "DELETE t FROM (SELECT `key` FROM {t} WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit \
                 FOR UPDATE SKIP LOCKED) AS x STRAIGHT_JOIN {t} AS t FORCE INDEX (PRIMARY) ON t.`key` = x.`key` \
                 WHERE t.expires_at <= :now"
            )),
            find_expired: render(format!(
                "SELECT `key` FROM {t} WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit"
            )),
            list: render(format!(
                "SELECT {RECORD}, `key` FROM {t} FORCE INDEX (PRIMARY) WHERE `key` > :after AND {READABLE} \
                 ORDER BY `key` LIMIT :limit"
            )),
            list_principal: render(format!(
                "SELECT {RECORD}, `key` FROM {t} WHERE principal = :principal AND `key` > :after AND {READABLE} \
                 ORDER BY `key` LIMIT :limit"
            )),
            count: render(format!("SELECT COUNT(*) FROM {t} WHERE {live}")),
            count_principal: render(format!(
                "SELECT COUNT(*) FROM {t} WHERE {live} AND principal = :principal"
            )),
            clear: render(format!("DELETE FROM {t}")),
            many: Many::new(t),
        }
    }
}

impl Rotations {
    /// The old row stays, marked, with a further `change`.
    fn marking(t: &str, change: &str) -> Rotations {
        let expected = rotate(t, "o.version = :expected", change);
        let any = rotate(t, "TRUE", change);
        Rotations {
            expected: statement(expected),
            any_returning: statement(format!("{any} RETURNING version, destroyed_at")),
            any: statement(any),
        }
    }

    /// The row itself gets the new key.
    fn removing(t: &str) -> Rotations {
        let expected = meet(
            t,
            &format!(
                "`key` = IF({t}.version = :expected, :to, {t}.`key`), \
                 payload = IF({t}.version = :expected, COALESCE(:payload, {t}.payload), {t}.payload), \
                 expires_at = IF({t}.version = :expected, COALESCE(:expires_at, {t}.expires_at), {t}.expires_at), \
                 principal = IF({t}.version = :expected, :principal, {t}.principal), \
                 version = {t}.version + ({t}.version = :expected)"
            ),
        );
        let any_returning = meet(
            t,
            &format!(
                "`key` = :to, payload = COALESCE(:payload, {t}.payload), \
                 expires_at = COALESCE(:expires_at, {t}.expires_at), principal = :principal, \
                 version = {t}.version + 1 RETURNING version, destroyed_at"
            ),
        );
        let any = format!(
            "UPDATE {t} SET `key` = :to, payload = COALESCE(:payload, payload), \
             expires_at = COALESCE(:expires_at, expires_at), principal = :principal, version = version + 1 \
             WHERE `key` = :key AND {LIVE_BY_KEY}"
        );
        Rotations {
            expected: statement(expected),
            any: statement(any),
            any_returning: statement(any_returning),
        }
    }
}

/// Changes the one live row with a key. What the select hands over besides the key is never stored, as the row is there.
fn meet(t: &str, change: &str) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) \
         SELECT o.`key`, '', 0, 0, 0 FROM {t} AS o \
         WHERE o.`key` = :key AND o.destroyed_at IS NULL AND o.expires_at > :now FOR UPDATE \
         ON DUPLICATE KEY UPDATE {change}"
    )
}

/// A touch may leave the row as it is, so that its count alone would look like that of a stale one: a row that has the
/// version is met twice.
fn touch_expected(t: &str) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) \
         SELECT o.`key`, '', 0, 0, 0 FROM {t} AS o CROSS JOIN (SELECT 0 AS again UNION ALL SELECT 1) AS n \
         WHERE o.`key` = :key AND o.destroyed_at IS NULL AND o.expires_at > :now \
         AND (n.again = 0 OR o.version = :expected) FOR UPDATE \
         ON DUPLICATE KEY UPDATE expires_at = IF({t}.version = :expected, :expires_at, {t}.expires_at)"
    )
}

/// Two rows: the new one is inserted, the old one meets itself and is marked; if it does not `fit`, the old one alone,
/// which is left as it is. A row that has the new key already must not be marked, but end the statement: it is to get
/// the old key, which is taken. Each value stands beside a column, whose type it so takes: MariaDB makes an INT of a bare
/// one that was small before.
fn rotate(t: &str, fit: &str, change: &str) -> String {
    // The old row, and it is to be marked.
    let old = format!("{t}.`key` = :key AND VALUES(rotated)");
    let change = change.replace("{old}", &old).replace("{t}", t);
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version, principal, destroyed_at, rotated) \
         SELECT IF(n.old, o.`key`, :to), IF(n.old, '', COALESCE(:payload, o.payload)), \
         IF(n.old, o.expires_at, COALESCE(:expires_at, o.expires_at)), \
         o.created_at, o.version + 1, IF(n.old, o.principal, :principal), \
         IF(n.old AND {fit}, :now, o.destroyed_at), IF(n.old AND {fit}, 1, 0) \
         FROM {t} AS o CROSS JOIN (SELECT 0 AS old UNION ALL SELECT 1) AS n \
         WHERE o.`key` = :key AND o.destroyed_at IS NULL AND o.expires_at > :now AND (n.old OR {fit}) \
         FOR UPDATE ON DUPLICATE KEY UPDATE \
         destroyed_at = IF({t}.`key` = :key, VALUES(destroyed_at), {t}.destroyed_at), \
         rotated = IF({t}.`key` = :key, VALUES(rotated), {t}.rotated){change}, \
         `key` = IF({t}.`key` = :key, {t}.`key`, :key)"
    )
}

/// Ends the live sessions of a principal.
///
/// `s` is what a snapshot shows; `o` are the same rows, locked in the order of keys, in their newest versions. If one
/// of them is not to be ended any more, it may have been rotated away meanwhile, to a row that is not in the snapshot: then
/// the sum is out of range, so that nothing is done, and the statement is to be sent again. The LIMIT keeps the snapshot
/// from being merged into the locking select. (Under REPEATABLE READ `s` locks its range instead.)
///
/// A DELETE reads no snapshot, so that it would miss such a session: one that removes empties the rows, and a purge takes
/// them.
fn end_sessions(t: &str, change: &str) -> String {
    let young = |of: &str| format!("({of}created_at < :created_before) IS NOT FALSE");
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) SELECT s.`key`, '', 0, 0, \
         IF(o.principal <=> :principal AND o.destroyed_at IS NULL AND o.expires_at > :now AND {}, \
         0, LENGTH(s.`key`) + 9223372036854775807) \
         FROM (SELECT `key` FROM {t} WHERE principal = :principal AND destroyed_at IS NULL AND expires_at > :now \
         AND `key` <> :except AND {} ORDER BY `key` LIMIT 18446744073709551615) AS s \
         LEFT JOIN {t} AS o FORCE INDEX (PRIMARY) ON o.`key` = s.`key` \
         FOR UPDATE ON DUPLICATE KEY UPDATE {change}",
        young("o."),
        young("")
    )
}

/// As [`end_sessions`], for every row of a principal. One whose session was rotated away meanwhile may still be theirs,
/// but then it was marked meanwhile.
fn forget_principal(t: &str) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) SELECT s.`key`, '', 0, 0, \
         IF(o.principal <=> :principal AND o.destroyed_at <=> s.destroyed_at, \
         0, LENGTH(s.`key`) + 9223372036854775807) \
         FROM (SELECT `key`, destroyed_at FROM {t} WHERE principal = :principal \
         ORDER BY `key` LIMIT 18446744073709551615) AS s \
         LEFT JOIN {t} AS o FORCE INDEX (PRIMARY) ON o.`key` = s.`key` FOR UPDATE ON DUPLICATE KEY UPDATE \
         destroyed_at = IF({t}.destroyed_at IS NULL AND {t}.expires_at > :now, :now, {t}.destroyed_at), \
         payload = '', principal = NULL, version = {t}.version + 1"
    )
}
