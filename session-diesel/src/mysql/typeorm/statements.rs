//! Every statement of connect-typeorm's layout in MySQL's and MariaDB's dialect, rendered once for the columns that the
//! table has.
//!
//! Columns are always named, as their order differs between versions of the entity. A session is live where
//! `destroyedAt IS NULL AND expiredAt > now`. What is not told here is as in the native layout.
//!
//! Ids are compared twice: `=` finds the row through the primary key, by the column's collation, which may take `abc`,
//! `ABC`, `âbc` and `abc ` for the same; and the comparison of bytes makes sure that it is this very id. A column of
//! another character set is compared with a value of that set, as its index would not be used otherwise.

use session_core::{ConnectTypeorm, TableName};

/// The most ids of one statement. Batches are filled up to powers of two, so that a connection prepares few statements.
pub(super) const MAX_ROWS: usize = 128;

#[derive(Debug)]
pub(super) struct Statements {
    /// id, json, expiredAt.
    pub(super) create: String,
    /// id twice, now.
    pub(super) load: String,
    /// json, expiredAt, id twice, now.
    pub(super) update: String,
    /// expiredAt, id twice, now.
    pub(super) touch: String,
    /// destroyedAt in µs, id twice, now.
    pub(super) bury: String,
    /// id twice, now.
    pub(super) remove: String,
    /// to, json, expiredAt, destroyedAt in µs, from twice, now. Changes nothing if the session is dead, and fails with
    /// `OUT_OF_RANGE` if the new id is taken.
    pub(super) rotate: String,
    /// to, json, expiredAt, from twice, now.
    pub(super) rotate_removing: String,
    /// now, limit, now.
    pub(super) purge: String,
    /// now, limit. Gives ids for `purge_ids`.
    pub(super) find_expired: String,
    /// now, limit.
    pub(super) list: String,
    /// now, after, limit.
    pub(super) list_after: String,
    /// now.
    pub(super) count: String,
    pub(super) clear: String,
    /// For 1, 2, 4, … ids.
    many: Vec<Many>,
}

/// The forms for so many ids.
#[derive(Debug)]
pub(super) struct Many {
    /// ids, now. Gives the ids, too.
    pub(super) load: String,
    /// now, ids.
    pub(super) purge_ids: String,
}

impl Statements {
    /// `id_text` is a character set and a collation of the column of ids, as the catalogue has them.
    pub(super) fn new(
        table: &TableName,
        columns: &ConnectTypeorm,
        id_text: (&str, &str),
        tombstones: bool,
    ) -> Statements {
        let t = table.quoted('`', '`');
        let [id, expires, json, destroyed] = quoted(columns);
        // The entity of version 1.1.4 has no such column: there is nothing but rows that live.
        let not_destroyed = |of: &str| match tombstones {
            true => format!(" AND {of}{destroyed} IS NULL"),
            false => String::new(),
        };
        let value = match id_text {
            ("" | "utf8mb4", _) => "?".to_owned(),
            (charset, collation) => format!("{} COLLATE {collation}", converted(charset)),
        };
        // Found by its id alone, as in the native layout: no index serves the sum.
        let live_of = |of: &str| {
            format!(
                "{of}{id} = {value} AND CAST(CONVERT({of}{id} USING utf8mb4) AS BINARY) = CAST(? AS BINARY) \
                 AND {of}{expires} + 0 > ?{}",
                not_destroyed(of)
            )
        };
        let live = live_of("");
        // A row of which the expiry is NULL is found, and reported as corrupt.
        let readable = format!("({expires} > ?) IS NOT FALSE{}", not_destroyed(""));
        // UTC. It is only ever tested for NULL.
        let moment = "TIMESTAMPADD(MICROSECOND, ?, '1970-01-01 00:00:00')";
        let many = |ids: usize| {
            let ids = vec![value.as_str(); ids].join(", ");
            Many {
                load: format!("SELECT {json}, {expires}, {id} FROM {t} WHERE {id} IN ({ids}) AND {readable}"),
                purge_ids: format!("DELETE FROM {t} WHERE {expires} + 0 <= ? AND {id} IN ({ids})"),
            }
        };
        Statements {
            create: format!("INSERT INTO {t} ({id}, {json}, {expires}) VALUES (?, ?, ?)"),
            load: format!(
                "SELECT {json}, {expires} FROM {t} WHERE {id} = {value} \
                 AND CAST(CONVERT({id} USING utf8mb4) AS BINARY) = CAST(? AS BINARY) AND {readable}"
            ),
            update: format!("UPDATE {t} SET {json} = ?, {expires} = ? WHERE {live}"),
            touch: format!("UPDATE {t} SET {expires} = ? WHERE {live}"),
            bury: format!("UPDATE {t} SET {destroyed} = {moment} WHERE {live}"),
            remove: format!("DELETE FROM {t} WHERE {live}"),
            // Two rows, both locked by the select: the new one, not marked, is inserted; the old one, marked, meets
            // itself. If the new one meets a row, be it by collation the old one, the sum is out of range in every
            // `sql_mode`, and nothing is done.
            rotate: format!(
                "INSERT INTO {t} ({id}, {json}, {expires}, {destroyed}) \
                 SELECT IF(n.old, o.{id}, ?), IF(n.old, '', COALESCE(?, o.{json})), IF(n.old, o.{expires}, ?), \
                 IF(n.old, {moment}, o.{destroyed}) \
                 FROM {t} AS o CROSS JOIN (SELECT 0 AS old UNION ALL SELECT 1) AS n \
                 WHERE {} FOR UPDATE ON DUPLICATE KEY UPDATE \
                 {expires} = IF(VALUES({destroyed}) IS NULL, OCTET_LENGTH({t}.{id}) + 9223372036854775807, \
                 {t}.{expires}), \
                 {destroyed} = VALUES({destroyed})",
                live_of("o.")
            ),
            rotate_removing: format!(
                "UPDATE {t} SET {id} = ?, {json} = COALESCE(?, {json}), {expires} = ? WHERE {live}"
            ),
            purge: format!(
                "DELETE t FROM (SELECT {id} FROM {t} WHERE {expires} <= ? ORDER BY {expires} LIMIT ? \
                 FOR UPDATE SKIP LOCKED) AS x STRAIGHT_JOIN {t} AS t FORCE INDEX (PRIMARY) ON t.{id} = x.{id} \
                 WHERE t.{expires} <= ?"
            ),
            find_expired: format!("SELECT {id} FROM {t} WHERE {expires} <= ? ORDER BY {expires} LIMIT ?"),
            // In the order of the primary key, whatever its collation: no two ids are the same in it.
            list: format!(
                "SELECT {json}, {expires}, {id} FROM {t} FORCE INDEX (PRIMARY) WHERE {readable} \
                 ORDER BY {id} LIMIT ?"
            ),
            list_after: format!(
                "SELECT {json}, {expires}, {id} FROM {t} FORCE INDEX (PRIMARY) \
                 WHERE {readable} AND {id} > {value} ORDER BY {id} LIMIT ?"
            ),
            count: format!("SELECT COUNT(*) FROM {t} WHERE {expires} > ?{}", not_destroyed("")),
            clear: format!("DELETE FROM {t}"),
            many: sizes().map(many).collect(),
        }
    }

    /// The forms for the least power of two that takes so many ids, and that power.
    pub(super) fn many(&self, ids: usize) -> (usize, &Many) {
        let size = ids.clamp(1, MAX_ROWS).next_power_of_two();
        let index = sizes().position(|candidate| candidate == size).unwrap_or(0);
        (size, &self.many[index])
    }
}

fn sizes() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |size| (size * 2 <= MAX_ROWS).then_some(size * 2))
}

/// The statement that makes the table, as TypeORM does, so that it finds nothing to change: with the database's
/// character set and collation.
pub(in super::super) fn schema(table: &TableName, columns: &ConnectTypeorm) -> String {
    let [id, expires, json, destroyed] = quoted(columns);
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\
         \x20   {expires} bigint NOT NULL,\n\
         \x20   {id} varchar(255) NOT NULL,\n\
         \x20   {json} text NOT NULL,\n\
         \x20   {destroyed} datetime(6) NULL,\n\
         \x20   INDEX `{}` ({expires}),\n\
         \x20   PRIMARY KEY ({id})\n\
         ) ENGINE = InnoDB",
        table.quoted('`', '`'),
        columns.index_name(table)
    )
}

fn quoted(columns: &ConnectTypeorm) -> [String; 4] {
    [columns.id(), columns.expired_at(), columns.json(), columns.destroyed_at()]
        .map(|name| format!("`{name}`"))
}

/// schema or NULL for the connection's own, table: each column's name, character set, collation, and the most characters
/// and bytes that it holds.
pub(super) const TEXTS: &str = "\
    SELECT COLUMN_NAME, COALESCE(CHARACTER_SET_NAME, ''), COALESCE(COLLATION_NAME, ''), \
    COALESCE(CHARACTER_MAXIMUM_LENGTH, 0), COALESCE(CHARACTER_OCTET_LENGTH, 0) FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";

/// A text, three times: how many bytes it has in a character set, and whether every character of it is there.
pub(super) fn measure(charset: &str) -> String {
    let text = converted(charset);
    format!("SELECT OCTET_LENGTH({text}), CAST(CONVERT({text} USING utf8mb4) AS BINARY) = CAST(? AS BINARY)")
}

/// A value in a character set, with question marks for what is not in it. By way of its bytes, as MySQL takes a bare one
/// for a text of that character set, and fails if it is none.
fn converted(charset: &str) -> String {
    format!("CONVERT(CONVERT(CAST(? AS BINARY) USING utf8mb4) USING {charset})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_in_the_column_s_own_character_set() {
        let table = TableName::new("app.session").unwrap();
        let render = |text| Statements::new(&table, &ConnectTypeorm::new(), text, false);
        let utf8 = render(("utf8mb4", "utf8mb4_general_ci"));
        assert!(utf8.load.contains("`app`.`session` WHERE `id` = ? AND CAST"), "{}", utf8.load);
        assert!(!utf8.load.contains("destroyedAt"), "{}", utf8.load);
        let latin = render(("latin1", "latin1_swedish_ci"));
        let compared = "`id` = CONVERT(CONVERT(CAST(? AS BINARY) USING utf8mb4) USING latin1) COLLATE latin1_swedish_ci AND CAST";
        for statement in [&latin.load, &latin.update, &latin.touch, &latin.remove, &latin.rotate_removing] {
            assert!(statement.contains(compared), "{statement}");
        }
        for statement in [&latin.update, &latin.touch, &latin.bury, &latin.remove, &latin.rotate_removing] {
            assert!(statement.contains("`expiredAt` + 0 > ?"), "{statement}");
        }
    }
}
