//! Every statement in MySQL's and MariaDB's dialect, rendered once for a table.
//!
//! Each is one round trip, and atomic by itself. READ COMMITTED locks no gaps, so that different sessions do not
//! wait for each other. `destroyed_at IS NULL AND expires_at > now` is what makes a session live.
//!
//! What changes a row by its key must find it by its key. In a small table the servers prefer the index on `expires_at`,
//! and a live session whose expiry others move, on and back, can pass behind such a scan: its end would say that it
//! is not live, and do nothing. So there it says `expires_at + 0`, which no index serves.
//!
//! MySQL has no RETURNING, and MariaDB has it on INSERT and DELETE alone. Where an outcome is more than whether a row
//! was found, an update is written as `INSERT … SELECT … FOR UPDATE ON DUPLICATE KEY UPDATE`: the select locks the
//! live row, so that the insert always meets a duplicate; a row that is not there is never made. Such a row counts 1
//! if it is left as it is (with CLIENT_FOUND_ROWS) and 2 if it changes: so 0, 1 and 2 say gone, stale and saved, at
//! one instant. The new version follows from the expected one. Without an expected one MariaDB returns it, and on MySQL
//! it is left open.
//!
//! The many-key forms of MySQL that end in `_all` change all of their rows or, if one of them is not live or has another
//! version than the expected one, none: so one count tells every outcome. If it is 0, `lock` tells them one by one, and
//! the form that ends in `_locked` makes the change, in one transaction.

use session_core::TableName;

/// What a read returns, in the order that `convert::record` takes.
const RECORD: &str = "payload, expires_at, created_at, version, principal";

/// The most rows of one statement. Batches are filled up to powers of two, and those of creates cut to [`insertable`]
/// pieces, so that a connection prepares few statements.
pub(super) const MAX_ROWS: usize = 128;

/// Of a row that is found by its key.
const LIVE_BY_KEY: &str = "destroyed_at IS NULL AND expires_at + 0 > ?";

#[derive(Debug)]
pub(super) struct Statements {
    /// key, payload, expires_at, created_at, principal.
    pub(super) create: String,
    /// key, now.
    pub(super) load: String,
    /// key, now, then expected before each of payload, expires_at, principal, and once more. Counts as [`counted`].
    pub(super) update_expected: String,
    /// payload, expires_at, principal, key, now.
    pub(super) update_any: String,
    /// key, now, payload, expires_at, principal. MariaDB: gives the version.
    pub(super) update_any_returning: String,
    /// expires_at, key, now.
    pub(super) touch: String,
    /// destroyed_at, key, now.
    pub(super) destroy: String,
    /// key, now.
    pub(super) remove: String,
    /// to, payload, expires_at, principal, expected, now, from, now, expected, and from three times. Counts as [`counted`].
    pub(super) rotate_expected: String,
    /// to, payload, expires_at, principal, now, from, now, and from three times.
    pub(super) rotate_any: String,
    /// As `rotate_any`. MariaDB: gives version and destroyed_at of both rows.
    pub(super) rotate_any_returning: String,
    /// from, now, then expected before each of to, payload, expires_at, principal, and once more. Counts as
    /// [`counted`].
    pub(super) rotate_removing_expected: String,
    /// to, payload, expires_at, principal, from, now.
    pub(super) rotate_removing_any: String,
    /// from, now, to, payload, expires_at, principal. MariaDB: gives the version.
    pub(super) rotate_removing_any_returning: String,
    /// principal, now, principal, now, key to spare, destroyed_at. Counts each row as [`counted::DONE`], or fails
    /// with `OUT_OF_RANGE`.
    pub(super) destroy_principal: String,
    /// As `destroy_principal`, and empties the rows for the next purge.
    pub(super) empty_principal: String,
    /// now, limit, now.
    pub(super) purge: String,
    /// now, limit. Gives keys for `purge_keys`.
    pub(super) find_expired: String,
    /// after, now, limit.
    pub(super) list: String,
    /// principal, after, now, limit.
    pub(super) list_principal: String,
    /// now.
    pub(super) count: String,
    /// now, principal.
    pub(super) count_principal: String,
    pub(super) clear: String,
    /// For 1, 2, 4, … rows.
    many: Vec<Many>,
    /// For each number of rows that is [`insertable`]. For each row: key, payload, expires_at, created_at, principal.
    creates: Vec<(usize, String)>,
}

/// The forms for so many rows.
#[derive(Debug)]
pub(super) struct Many {
    /// keys, now.
    pub(super) load: String,
    /// now, keys.
    pub(super) purge_keys: String,
    /// keys, keys, now, keys, expected versions, rows, payloads, expiries, principals. All or none.
    pub(super) update_all: String,
    /// keys, keys, now, rows, expiries. All or none.
    pub(super) touch_all: String,
    /// keys, now, rows, destroyed_at. All or none.
    pub(super) destroy_all: String,
    /// keys, now, rows. All or none.
    pub(super) remove_all: String,
    /// keys, now. Gives key and version, and locks the rows in the order of keys.
    pub(super) lock: String,
    /// For locked rows. keys, keys, payloads, expiries, principals.
    pub(super) update_locked: String,
    /// For locked rows. keys, expiries, keys.
    pub(super) touch_locked: String,
    /// For locked rows. destroyed_at, keys.
    pub(super) destroy_locked: String,
    /// For locked rows. keys.
    pub(super) remove_locked: String,
    /// keys, keys, now, keys, expected versions, payloads, expiries, principals. MariaDB: gives key and version.
    pub(super) update: String,
    /// keys, keys, now, expiries. MariaDB: gives keys.
    pub(super) touch: String,
    /// keys, now, destroyed_at. MariaDB: gives keys.
    pub(super) destroy: String,
    /// keys, now. MariaDB: gives keys.
    pub(super) remove: String,
}

/// What a statement with an expected version counts.
pub(super) mod counted {
    /// There was no live row.
    pub(in super::super) const NONE: u64 = 0;
    /// The live row was left as it is.
    pub(in super::super) const LEFT: u64 = 1;
    /// The row was changed; a rotation counts the new row besides.
    pub(in super::super) const DONE: u64 = 2;
}

impl Statements {
    pub(super) fn new(table: &TableName) -> Statements {
        let t = table.quoted('`', '`');
        let live = "destroyed_at IS NULL AND expires_at > ?";
        // A row of which the expiry is NULL is found, and reported as corrupt.
        let readable = "destroyed_at IS NULL AND (expires_at > ?) IS NOT FALSE";
        Statements {
            create: create_many(&t, 1),
            load: format!("SELECT {RECORD} FROM {t} WHERE `key` = ? AND {readable}"),
            update_expected: meet(
                &t,
                &format!(
                    "payload = IF({t}.version = ?, ?, {t}.payload), \
                     expires_at = IF({t}.version = ?, ?, {t}.expires_at), \
                     principal = IF({t}.version = ?, ?, {t}.principal), version = {t}.version + ({t}.version = ?)"
                ),
            ),
            update_any: format!(
                "UPDATE {t} SET payload = ?, expires_at = ?, principal = ?, version = version + 1 \
                 WHERE `key` = ? AND {LIVE_BY_KEY}"
            ),
            update_any_returning: meet(
                &t,
                &format!(
                    "payload = ?, expires_at = ?, principal = ?, version = {t}.version + 1 RETURNING version"
                ),
            ),
            touch: format!("UPDATE {t} SET expires_at = ? WHERE `key` = ? AND {LIVE_BY_KEY}"),
            destroy: format!("UPDATE {t} SET destroyed_at = ? WHERE `key` = ? AND {LIVE_BY_KEY}"),
            remove: format!("DELETE FROM {t} WHERE `key` = ? AND {LIVE_BY_KEY}"),
            rotate_expected: rotate(&t, "o.version = ?"),
            rotate_any_returning: format!("{} RETURNING version, destroyed_at", rotate(&t, "TRUE")),
            rotate_any: rotate(&t, "TRUE"),
            rotate_removing_expected: meet(
                &t,
                &format!(
                    "`key` = IF({t}.version = ?, ?, {t}.`key`), \
                     payload = IF({t}.version = ?, COALESCE(?, {t}.payload), {t}.payload), \
                     expires_at = IF({t}.version = ?, ?, {t}.expires_at), \
                     principal = IF({t}.version = ?, ?, {t}.principal), version = {t}.version + ({t}.version = ?)"
                ),
            ),
            rotate_removing_any: format!(
                "UPDATE {t} SET `key` = ?, payload = COALESCE(?, payload), expires_at = ?, principal = ?, \
                 version = version + 1 WHERE `key` = ? AND {LIVE_BY_KEY}"
            ),
            rotate_removing_any_returning: meet(
                &t,
                &format!(
                    "`key` = ?, payload = COALESCE(?, {t}.payload), expires_at = ?, principal = ?, \
                     version = {t}.version + 1 RETURNING version"
                ),
            ),
            destroy_principal: destroy_principal(&t, "destroyed_at = ?"),
            empty_principal: destroy_principal(
                &t,
                "destroyed_at = ?, payload = '', principal = NULL, expires_at = -9223372036854775808",
            ),
            // The derived table locks and skips; the DELETE then waits for nothing, so that it is in no deadlock.
            // MySQL has no LIMIT in an IN subquery, but in a derived table. STRAIGHT_JOIN and the index keep the
            // optimizer from reading, and locking, every expired row.
            purge: format!(
                "DELETE t FROM (SELECT `key` FROM {t} WHERE expires_at <= ? ORDER BY expires_at LIMIT ? \
                 FOR UPDATE SKIP LOCKED) AS x STRAIGHT_JOIN {t} AS t FORCE INDEX (PRIMARY) ON t.`key` = x.`key` \
                 WHERE t.expires_at <= ?"
            ),
            find_expired: format!("SELECT `key` FROM {t} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"),
            list: format!(
                "SELECT {RECORD}, `key` FROM {t} FORCE INDEX (PRIMARY) WHERE `key` > ? AND {readable} \
                 ORDER BY `key` LIMIT ?"
            ),
            list_principal: format!(
                "SELECT {RECORD}, `key` FROM {t} WHERE principal = ? AND `key` > ? AND {readable} \
                 ORDER BY `key` LIMIT ?"
            ),
            count: format!("SELECT COUNT(*) FROM {t} WHERE {live}"),
            count_principal: format!("SELECT COUNT(*) FROM {t} WHERE {live} AND principal = ?"),
            clear: format!("DELETE FROM {t}"),
            many: sizes().map(|rows| many(&t, rows)).collect(),
            creates: (1..=MAX_ROWS)
                .filter(|&rows| insertable(rows) == rows)
                .map(|rows| (rows, create_many(&t, rows)))
                .collect(),
        }
    }

    /// Creates so many rows, a number that is [`insertable`].
    pub(super) fn create_many(&self, rows: usize) -> &str {
        let found = self.creates.iter().find(|(size, _)| *size == rows);
        found.map_or(&self.create, |(_, statement)| statement)
    }

    /// The forms for the least power of two that takes so many rows, and that power.
    pub(super) fn many(&self, rows: usize) -> (usize, &Many) {
        let size = rows.clamp(1, MAX_ROWS).next_power_of_two();
        let index = sizes().position(|candidate| candidate == size).unwrap_or(0);
        (size, &self.many[index])
    }
}

/// The first piece of an insert of so many rows: the largest number of three significant bits (…, 28, 32, 40, 48, 56,
/// 64, …). Values cannot be filled up, and each piece is a commit of its own: most batches are one piece or two.
pub(super) fn insertable(rows: usize) -> usize {
    let rows = rows.clamp(1, MAX_ROWS);
    let insignificant = rows.ilog2().saturating_sub(2);
    rows >> insignificant << insignificant
}

fn create_many(t: &str, rows: usize) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version, principal) VALUES {}",
        vec!["(?, ?, ?, ?, 1, ?)"; rows].join(", ")
    )
}

fn sizes() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |size| (size * 2 <= MAX_ROWS).then_some(size * 2))
}

/// Changes the one live row with a key: key, now, and the values of the change. What the select hands over besides the
/// key is never stored, as the row is there.
fn meet(t: &str, change: &str) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) \
         SELECT o.`key`, '', 0, 0, 0 FROM {t} AS o \
         WHERE o.`key` = ? AND o.destroyed_at IS NULL AND o.expires_at > ? FOR UPDATE \
         ON DUPLICATE KEY UPDATE {change}"
    )
}

/// Two rows: the new one is inserted, the old one meets itself and is marked; if it does not `fit`, the old one alone,
/// which is left as it is. A row that has the new key already must not be marked, but end the statement: it is to get
/// the old key, which is taken. Each value stands beside a column, whose type it so takes: MariaDB makes an INT of a bare
/// one that was small before.
fn rotate(t: &str, fit: &str) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version, principal, destroyed_at) \
         SELECT IF(n.old, o.`key`, ?), IF(n.old, '', COALESCE(?, o.payload)), IF(n.old, o.expires_at, ?), \
         o.created_at, o.version + 1, IF(n.old, o.principal, ?), \
         IF(n.old AND {fit}, ?, o.destroyed_at) \
         FROM {t} AS o CROSS JOIN (SELECT 0 AS old UNION ALL SELECT 1) AS n \
         WHERE o.`key` = ? AND o.destroyed_at IS NULL AND o.expires_at > ? AND (n.old OR {fit}) \
         FOR UPDATE ON DUPLICATE KEY UPDATE \
         destroyed_at = IF({t}.`key` = ?, VALUES(destroyed_at), {t}.destroyed_at), \
         `key` = IF({t}.`key` = ?, {t}.`key`, ?)"
    )
}

/// `s` is what a snapshot shows; `o` are the same rows, locked in the order of keys, in their newest versions. If one
/// of them is theirs no more, it may have been rotated away meanwhile, to a row that is not in the snapshot: then the
/// sum is out of range, so that nothing is done, and the statement is to be sent again. The LIMIT keeps the snapshot
/// from being merged into the locking select. (Under REPEATABLE READ `s` locks its range instead.)
///
/// A DELETE reads no snapshot, so that it would miss such a session: a hard end empties the rows, and a purge removes them.
fn destroy_principal(t: &str, change: &str) -> String {
    format!(
        "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) SELECT s.`key`, '', 0, 0, \
         IF(o.principal <=> ? AND o.destroyed_at IS NULL AND o.expires_at > ?, \
         0, LENGTH(s.`key`) + 9223372036854775807) \
         FROM (SELECT `key` FROM {t} WHERE principal = ? AND destroyed_at IS NULL AND expires_at > ? AND `key` <> ? \
         ORDER BY `key` LIMIT 18446744073709551615) AS s \
         LEFT JOIN {t} AS o FORCE INDEX (PRIMARY) ON o.`key` = s.`key` \
         FOR UPDATE ON DUPLICATE KEY UPDATE {change}"
    )
}

/// FIELD finds a row's place among the keys, and ELT the value at that place: a join with rows of values would be
/// written to a temporary table, on the disk if they hold payloads. The rows are read, and locked, in the order of
/// keys. What is handed over in `created_at` is the place, and is never stored, as the row is there.
fn many(t: &str, rows: usize) -> Many {
    let repeat = |row: &str| vec![row; rows].join(", ");
    let live = "destroyed_at IS NULL AND expires_at > ?";
    let keys = repeat("?");
    let select = |created_at: &str, version: &str| {
        format!(
            "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) \
             SELECT o.`key`, '', 0, {created_at}, {version} FROM {t} AS o FORCE INDEX (PRIMARY) \
             WHERE o.`key` IN ({keys})"
        )
    };
    let place = format!("FIELD(o.`key`, {keys})");
    // What ELT gives is text: a number in it keeps all its digits, however many earlier ones had.
    let number = format!("CAST(ELT(VALUES(created_at), {keys}) AS SIGNED)");
    let new_values = format!(
        "payload = ELT(VALUES(created_at), {keys}), expires_at = {number}, \
         principal = ELT(VALUES(created_at), {keys}), version = VALUES(version)"
    );
    let change = format!("FOR UPDATE ON DUPLICATE KEY UPDATE {new_values}");
    let o_live = "o.destroyed_at IS NULL AND o.expires_at > ?";
    // A version that is NULL, in a table that somebody altered, is equal to none that is expected.
    let version = "COALESCE(o.version, -9223372036854775807)";
    let expected = format!("({version} = CAST(ELT({place}, {keys}) AS SIGNED)) IS NOT FALSE");
    // The rows that fit, locked, each with their number.
    let fitting = |and: &str| {
        format!(
            "(SELECT o.`key`, o.version, COUNT(*) OVER () AS fitting FROM {t} AS o FORCE INDEX (PRIMARY) \
             WHERE o.`key` IN ({keys}) AND {o_live}{and} FOR UPDATE) AS f"
        )
    };
    let all = |place: &str, version: &str, and: &str, change: &str| {
        format!(
            "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) \
             SELECT f.`key`, '', 0, {place}, {version} FROM {} WHERE f.fitting = ? ON DUPLICATE KEY UPDATE {change}",
            fitting(and)
        )
    };
    let f_place = format!("FIELD(f.`key`, {keys})");
    Many {
        update_all: all(&f_place, "f.version + 1", &format!(" AND {expected}"), &new_values),
        touch_all: all(&f_place, "0", "", &format!("expires_at = {number}")),
        destroy_all: all("0", "0", "", "destroyed_at = ?"),
        remove_all: format!(
            "DELETE t FROM {} STRAIGHT_JOIN {t} AS t FORCE INDEX (PRIMARY) ON t.`key` = f.`key` WHERE f.fitting = ?",
            fitting("")
        ),
        lock: format!(
            "SELECT `key`, version FROM {t} FORCE INDEX (PRIMARY) WHERE `key` IN ({keys}) AND {live} \
             ORDER BY `key` FOR UPDATE"
        ),
        update_locked: format!("{} {change}", select(&place, "o.version + 1")),
        touch_locked: format!(
            "UPDATE {t} SET expires_at = CAST(ELT(FIELD(`key`, {keys}), {keys}) AS SIGNED) WHERE `key` IN ({keys})"
        ),
        destroy_locked: format!("UPDATE {t} SET destroyed_at = ? WHERE `key` IN ({keys})"),
        remove_locked: format!("DELETE FROM {t} WHERE `key` IN ({keys})"),
        load: format!(
            "SELECT {RECORD}, `key` FROM {t} WHERE `key` IN ({keys}) AND destroyed_at IS NULL \
             AND (expires_at > ?) IS NOT FALSE"
        ),
        purge_keys: format!("DELETE FROM {t} WHERE expires_at + 0 <= ? AND `key` IN ({keys})"),
        update: format!(
            "{} AND {o_live} AND {expected} {change} RETURNING `key`, version",
            select(&place, "o.version + 1")
        ),
        touch: format!(
            "{} AND {o_live} FOR UPDATE ON DUPLICATE KEY UPDATE expires_at = {number} RETURNING `key`",
            select(&place, "0")
        ),
        destroy: format!(
            "{} AND {o_live} FOR UPDATE ON DUPLICATE KEY UPDATE destroyed_at = ? RETURNING `key`",
            select("0", "0")
        ),
        remove: format!("DELETE FROM {t} WHERE `key` IN ({keys}) AND {LIVE_BY_KEY} RETURNING `key`"),
    }
}

/// The server's clock in ms, which no time zone touches.
pub(super) const SERVER_TIME: &str =
    "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000";

pub(super) const WHICH_SERVER: &str = "SELECT VERSION(), @@max_allowed_packet";

/// For each new connection of our own. Messages in English, as diesel-async drops the error's number.
pub(super) const SET_UP: [&str; 2] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', lc_messages = 'en_US', autocommit = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// What matters of the server: version, the largest packet, sql_mode, whether it only reads, isolation, durability.
/// `tx_isolation` is the name that MariaDB knows before 11.1, `transaction_isolation` the one of MySQL 8.
pub(super) fn server(mariadb: bool) -> String {
    let isolation = if mariadb { "@@tx_isolation" } else { "@@transaction_isolation" };
    format!(
        "SELECT VERSION(), @@max_allowed_packet, @@sql_mode, @@global.read_only, {isolation}, \
         @@innodb_flush_log_at_trx_commit"
    )
}

/// schema or NULL for the connection's own, table: its engine, options, rows.
pub(super) const TABLE: &str = "SELECT ENGINE, COALESCE(ROW_FORMAT, '') FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";

/// schema or NULL, table: each column's name, type, whether it may be NULL, collation.
pub(super) const COLUMNS: &str = "\
    SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COALESCE(COLLATION_NAME, '') FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";

/// schema or NULL, table: each index's name and columns.
pub(super) const INDEXES: &str = "\
    SELECT INDEX_NAME, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX SEPARATOR ',') \
    FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
    GROUP BY INDEX_NAME";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_index_but_the_key_finds_the_row_of_a_change() {
        let statements = Statements::new(&TableName::new("sessions").unwrap());
        let Statements { update_any, touch, destroy, remove, rotate_removing_any, many, .. } = &statements;
        let singles = [update_any, touch, destroy, remove, rotate_removing_any].into_iter();
        for statement in singles.chain(many.iter().flat_map(|many| [&many.remove, &many.purge_keys])) {
            assert!(statement.contains("expires_at + 0 "), "{statement}");
            assert!(
                !statement.contains("expires_at >") && !statement.contains("expires_at <"),
                "{statement}"
            );
        }
    }

    #[test]
    fn an_insert_is_cut_into_few_pieces_of_few_sizes() {
        let statements = Statements::new(&TableName::new("sessions").unwrap());
        assert_eq!(statements.creates.len(), 24);
        for rows in 1..=MAX_ROWS {
            let mut pieces = Vec::new();
            let mut left = rows;
            while left > 0 {
                let piece = insertable(left);
                assert_eq!(statements.create_many(piece).matches("(?, ?, ?, ?, 1, ?)").count(), piece);
                pieces.push(piece);
                left -= piece;
            }
            assert_eq!(pieces.iter().sum::<usize>(), rows);
            assert!(pieces.len() <= 3, "{rows} rows: {pieces:?}");
        }
        assert_eq!(insertable(1000), MAX_ROWS);
    }
}
