//! The statements on many rows at once.
//!
//! On MariaDB, one statement changes those that fit and returns their keys. MySQL has no RETURNING: there the forms that
//! end in `_all` change all of their rows or, if one of them is not live or has another version than the expected one,
//! none: so one count tells every outcome. If it is 0, `lock` tells them one by one, and the form that ends in `_locked`
//! makes the change, in one transaction.
//!
//! FIELD finds a row's place among the keys, and ELT the value at that place: a join with rows of values would be
//! written to a temporary table, on the disk if they hold payloads. The rows are read, and locked, in the order of
//! keys. What is handed over in `created_at` is the place, and is never stored, as the row is there.

use super::conditions::{FORGET, KEEP, LIVE_BY_KEY, READABLE};
use crate::Statement;
use crate::mysql::sending::statement;
use crate::mysql::sizes::{MAX_ROWS, size_index, sizes};

#[derive(Debug)]
pub(super) struct Many {
    /// For 1, 2, 4, … rows.
    sizes: Vec<OfSize>,
    /// For each number of rows that is [`insertable`].
    creates: Vec<(usize, Statement)>,
}

/// The forms for so many rows.
#[derive(Debug)]
pub(super) struct OfSize {
    pub(super) rows: usize,
    pub(super) load: Statement,
    /// For loads of which at least one knows a version.
    pub(super) load_known: Statement,
    pub(super) purge: Statement,
    /// MySQL. Gives key and version, and locks the rows in the order of keys.
    pub(super) lock: Statement,
    pub(super) update: Forms,
    /// On MariaDB it answers with all that are live, and changes those that have the expected version.
    pub(super) touch: Forms,
    pub(super) forget: Forms,
    pub(super) keep: Forms,
    pub(super) remove: Forms,
}

/// The forms of a change of many rows.
#[derive(Debug)]
pub(super) struct Forms {
    /// MariaDB. Gives key and version of those that it changed.
    pub(super) returning: Statement,
    /// MySQL: all or none.
    pub(super) all: Statement,
    /// MySQL: within a transaction that has locked the rows. As `returning`, without an answer.
    pub(super) locked: Statement,
}

impl Many {
    pub(super) fn new(t: &str) -> Many {
        let insertable = (1..=MAX_ROWS).filter(|&rows| insertable(rows) == rows);
        Many {
            sizes: sizes().map(|rows| OfSize::new(t, rows)).collect(),
            creates: insertable.map(|rows| (rows, create(t, rows))).collect(),
        }
    }

    /// Creates so many rows, a number that is [`insertable`].
    pub(super) fn create(&self, rows: usize) -> &Statement {
        let index = self.creates.binary_search_by_key(&rows, |(size, _)| *size);
        &self.creates[index.unwrap_or(0)].1
    }

    /// The forms for the least power of two that takes so many rows.
    pub(super) fn of_size(&self, rows: usize) -> &OfSize {
        &self.sizes[size_index(rows)]
    }
}

/// The first piece of an insert of so many rows: batches of them are not filled up, but cut, to the largest number of three significant bits (…, 28, 32, 40, 48, 56,
/// 64, …). Values cannot be filled up, and each piece is a commit of its own: most batches are one piece or two.
pub(super) fn insertable(rows: usize) -> usize {
    let rows = rows.clamp(1, MAX_ROWS);
    let insignificant = rows.ilog2().saturating_sub(2);
    rows >> insignificant << insignificant
}

fn create(t: &str, rows: usize) -> Statement {
    let row = |row| {
        format!("(:keys.{row}, :payloads.{row}, :expiries.{row}, :now, :versions.{row}, :principals.{row})")
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let columns = "`key`, payload, expires_at, created_at, version, principal";
    statement(format!("INSERT INTO {t} ({columns}) VALUES {}", rows.join(", ")))
}

impl OfSize {
    fn new(t: &str, rows: usize) -> OfSize {
        let render = |sql: String| statement(sql);
        let keys = format!(":keys*{rows}");
        // What ELT gives is text: a number in it keeps all its digits, however many earlier ones had.
        let value = |list: &str, place: &str| format!("ELT({place}, :{list}*{rows})");
        let number = |list: &str, place: &str| format!("CAST({} AS SIGNED)", value(list, place));
        let place = |of: &str| format!("FIELD({of}`key`, {keys})");
        let handed = "VALUES(created_at)";

        // A version that is NULL, in a table that somebody altered, is equal to none that is expected.
        let fits = |of: &str, place: &str| {
            format!(
                "(COALESCE({of}version, -9223372036854775807) = {}) IS NOT FALSE",
                number("expected", place)
            )
        };
        let new_values = format!(
            "payload = {}, expires_at = COALESCE({}, {t}.expires_at), principal = {}, version = VALUES(version)",
            value("payloads", handed),
            number("expiries", handed),
            value("principals", handed)
        );

        let o_live = "o.destroyed_at IS NULL AND o.expires_at > :now";
        let meet = |place: &str, version: &str, and: &str, change: &str| {
            format!(
                "INSERT INTO {t} (`key`, payload, expires_at, created_at, version) \
                 SELECT o.`key`, '', 0, {place}, {version} FROM {t} AS o FORCE INDEX (PRIMARY) \
                 WHERE o.`key` IN ({keys}){and} FOR UPDATE ON DUPLICATE KEY UPDATE {change}"
            )
        };
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
                 SELECT f.`key`, '', 0, {place}, {version} FROM {} WHERE f.fitting = :rows \
                 ON DUPLICATE KEY UPDATE {change}",
                fitting(and)
            )
        };
        let and_live = format!(" AND {o_live}");
        let and_fits = format!(" AND {}", fits("o.", &place("o.")));
        let forms = |change: String, all: String| Forms {
            returning: render(format!("{change} RETURNING `key`, version")),
            all: render(all),
            locked: render(change),
        };
        let ends = |change: &str| forms(meet("0", "0", &and_live, change), all("0", "0", "", change));
        let read = |payload: &str| {
            render(format!(
                "SELECT {payload}, expires_at, created_at, version, principal, `key` FROM {t} \
                 WHERE `key` IN ({keys}) AND {READABLE}"
            ))
        };
        let known = number("known", &place(""));
        OfSize {
            rows,
            load: read("payload"),
            load_known: read(&format!("IF(version = {known}, NULL, payload)")),
            purge: render(format!("DELETE FROM {t} WHERE expires_at + 0 <= :now AND `key` IN ({keys})")),
            lock: render(format!(
                "SELECT `key`, version FROM {t} FORCE INDEX (PRIMARY) WHERE `key` IN ({keys}) \
                 AND destroyed_at IS NULL AND expires_at > :now ORDER BY `key` FOR UPDATE"
            )),
            update: forms(
                meet(&place("o."), "o.version + 1", &format!("{and_live}{and_fits}"), &new_values),
                all(&place("f."), "f.version + 1", &and_fits, &new_values),
            ),
            touch: forms(
                meet(
                    &place("o."),
                    "0",
                    &and_live,
                    &format!(
                        "expires_at = IF({}, {}, {t}.expires_at)",
                        fits(&format!("{t}."), handed),
                        number("expiries", handed)
                    ),
                ),
                all(&place("f."), "0", &and_fits, &format!("expires_at = {}", number("expiries", handed))),
            ),
            forget: ends(FORGET),
            keep: ends(KEEP),
            remove: forms(
                format!("DELETE FROM {t} WHERE `key` IN ({keys}) AND {LIVE_BY_KEY}"),
                format!(
                    "DELETE t FROM {} STRAIGHT_JOIN {t} AS t FORCE INDEX (PRIMARY) ON t.`key` = f.`key` \
                     WHERE f.fitting = :rows",
                    fitting("")
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_is_cut_into_few_pieces_of_few_sizes() {
        let many = Many::new("t");
        assert_eq!(many.creates.len(), 24);
        for rows in 1..=MAX_ROWS {
            let mut pieces = Vec::new();
            let mut left = rows;
            while left > 0 {
                let piece = insertable(left);
                assert_eq!(many.create(piece).sql().matches("(?, ?, ?, ?, ?, ?)").count(), piece);
                pieces.push(piece);
                left -= piece;
            }
            assert_eq!(pieces.iter().sum::<usize>(), rows);
            assert!(pieces.len() <= 3, "{rows} rows: {pieces:?}");
        }
        assert_eq!(insertable(1000), MAX_ROWS);
    }

    #[test]
    fn no_index_but_the_key_finds_the_row_of_a_change() {
        for many in &Many::new("t").sizes {
            for statement in [&many.remove.returning, &many.remove.locked, &many.purge] {
                let sql = statement.sql();
                assert!(sql.contains("expires_at + 0 "), "{sql}");
                assert!(!sql.contains("expires_at >") && !sql.contains("expires_at <"), "{sql}");
            }
        }
    }
}
