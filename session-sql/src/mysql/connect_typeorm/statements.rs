//! Every statement of connect-typeorm's layout, rendered once for the columns that the table has.
//!
//! Columns are always named, as their order differs between versions of the entity. A session is live where
//! `destroyedAt IS NULL AND expiredAt > now`. What is not told here is as in the native layout.
//!
//! Ids are compared twice: `=` finds the row through the primary key, by the column's collation, which may take `abc`,
//! `ABC`, `âbc` and `abc ` for the same; and the comparison of bytes makes sure that it is this very id. A column of
//! another character set is compared with a value of that set, as its index would not be used otherwise.

use session_core::TableName;

use super::schema::quoted;
use crate::connect_typeorm::EMPTY;
use crate::mysql::sending::statement;
use crate::mysql::sizes::{size_index, sizes};
use crate::{ConnectTypeorm, Statement};

/// UTC. It is only ever tested for NULL.
const MOMENT: &str = "TIMESTAMPADD(MICROSECOND, :moment, '1970-01-01 00:00:00')";

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: Statement,
    /// A row if the id is taken, be it by one that the column takes for equal.
    pub(super) is_taken: Statement,
    pub(super) load: Statement,
    pub(super) update: Statement,
    pub(super) touch: Statement,
    pub(super) forget: Statement,
    pub(super) keep: Statement,
    pub(super) remove: Statement,
    /// This and the next one change nothing if the session is dead, and fail with `OUT_OF_RANGE` if the new id is taken.
    pub(super) rotate_forgetting: Statement,
    pub(super) rotate_keeping: Statement,
    pub(super) rotate_removing: Statement,
    pub(super) fate: Statement,
    pub(super) purge: Statement,
    /// Gives ids for [`Many::purge`].
    pub(super) find_expired: Statement,
    pub(super) list: Statement,
    pub(super) list_after: Statement,
    pub(super) count: Statement,
    pub(super) clear: Statement,
    /// For 1, 2, 4, … ids.
    many: Vec<Many>,
}

/// The forms for so many ids.
#[derive(Debug)]
pub(super) struct Many {
    pub(super) ids: usize,
    /// Gives the ids, too.
    pub(super) load: Statement,
    pub(super) purge: Statement,
}

impl Statements {
    /// `id_text` is a character set and a collation of the column of ids, as the catalogue has them.
    pub(super) fn new(table: &TableName, columns: &ConnectTypeorm, id_text: (&str, &str)) -> Statements {
        let tombstones = columns.has_destroyed_at();
        let t = table.quoted('`', '`');
        let [id, expires, json, destroyed] = quoted(columns);
        let render = |sql: String| statement(sql);
        // The entity of version 1.1.4 has no such column: there is nothing but rows that live.
        let not_destroyed = |of: &str| match tombstones {
            true => format!(" AND {of}{destroyed} IS NULL"),
            false => String::new(),
        };
        let found = |value: &str| match id_text {
            ("" | "utf8mb4", _) => value.to_owned(),
            (charset, collation) => format!("{} COLLATE {collation}", converted(value, charset)),
        };
        let this = |of: &str| {
            format!(
                "{of}{id} = {} AND CAST(CONVERT({of}{id} USING utf8mb4) AS BINARY) = CAST(:id AS BINARY)",
                found(":id")
            )
        };
        // Found by its id alone, as in the native layout: no index serves the sum.
        let live_of = |of: &str| format!("{} AND {of}{expires} + 0 > :now{}", this(of), not_destroyed(of));
        let live = live_of("");
        // A row of which the expiry is NULL is found, and reported as corrupt.
        let readable = format!("({expires} > :now) IS NOT FALSE{}", not_destroyed(""));
        let many = |ids: usize| {
            let list: Vec<String> = (0..ids).map(|index| found(&format!(":ids.{index}"))).collect();
            let list = list.join(", ");
            Many {
                ids,
                load: render(format!(
                    "SELECT {json}, {expires}, {id} FROM {t} WHERE {id} IN ({list}) AND {readable}"
                )),
                purge: render(format!("DELETE FROM {t} WHERE {expires} + 0 <= :now AND {id} IN ({list})")),
            }
        };
        // Without the column they are never sent.
        let marking = |sql: String| render(if tombstones { sql } else { String::new() });
        // Two rows, both locked by the select: the new one, not marked, is inserted; the old one, marked, meets
        // itself. If the new one meets a row, be it by collation the old one, the sum is out of range in every
        // `sql_mode`, and nothing is done.
        let rotate_marking = |change: &str| {
            marking(format!(
                "INSERT INTO {t} ({id}, {json}, {expires}, {destroyed}) \
                 SELECT IF(n.old, o.{id}, :to), IF(n.old, '', COALESCE(:json, o.{json})), \
                 IF(n.old, o.{expires}, COALESCE(:expires_at, o.{expires})), IF(n.old, {MOMENT}, o.{destroyed}) \
                 FROM {t} AS o CROSS JOIN (SELECT 0 AS old UNION ALL SELECT 1) AS n \
                 WHERE {} FOR UPDATE ON DUPLICATE KEY UPDATE \
                 {expires} = IF(VALUES({destroyed}) IS NULL, OCTET_LENGTH({t}.{id}) + 9223372036854775807, \
                 {t}.{expires}), \
                 {destroyed} = VALUES({destroyed}){change}",
                live_of("o.")
            ))
        };
        Statements {
            create: render(format!(
                "INSERT INTO {t} ({id}, {json}, {expires}) VALUES (:id, :json, :expires_at)"
            )),
            is_taken: render(format!("SELECT 1 FROM {t} WHERE {id} = {}", found(":id"))),
            load: render(format!("SELECT {json}, {expires} FROM {t} WHERE {} AND {readable}", this(""))),
            update: render(format!(
                "UPDATE {t} SET {json} = :json, {expires} = COALESCE(:expires_at, {expires}) WHERE {live}"
            )),
            touch: render(format!("UPDATE {t} SET {expires} = :expires_at WHERE {live}")),
            // Node reads what is left as JSON.
            forget: marking(format!(
                "UPDATE {t} SET {destroyed} = {MOMENT}, {json} = '{EMPTY}' WHERE {live}"
            )),
            keep: marking(format!("UPDATE {t} SET {destroyed} = {MOMENT} WHERE {live}")),
            remove: render(format!("DELETE FROM {t} WHERE {live}")),
            rotate_forgetting: rotate_marking(&format!(", {json} = '{EMPTY}'")),
            rotate_keeping: rotate_marking(""),
            rotate_removing: render(format!(
                "UPDATE {t} SET {id} = :to, {json} = COALESCE(:json, {json}), \
                 {expires} = COALESCE(:expires_at, {expires}) WHERE {live}"
            )),
            fate: render(format!(
                "SELECT {}, {expires} FROM {t} WHERE {}",
                if tombstones { format!("{destroyed} IS NOT NULL") } else { "FALSE".to_owned() },
                this("")
            )),
            purge: render(format!(
                "DELETE t FROM (SELECT {id} FROM {t} WHERE {expires} <= :now ORDER BY {expires} LIMIT :limit \
                 FOR UPDATE SKIP LOCKED) AS x STRAIGHT_JOIN {t} AS t FORCE INDEX (PRIMARY) ON t.{id} = x.{id} \
                 WHERE t.{expires} <= :now"
            )),
            find_expired: render(format!(
                "SELECT {id} FROM {t} WHERE {expires} <= :now ORDER BY {expires} LIMIT :limit"
            )),
            // In the order of the primary key, whatever its collation: no two ids are the same in it.
            list: render(format!(
                "SELECT {json}, {expires}, {id} FROM {t} FORCE INDEX (PRIMARY) WHERE {readable} \
                 ORDER BY {id} LIMIT :limit"
            )),
            list_after: render(format!(
                "SELECT {json}, {expires}, {id} FROM {t} FORCE INDEX (PRIMARY) \
                 WHERE {readable} AND {id} > {} ORDER BY {id} LIMIT :limit",
                found(":after")
            )),
            count: render(format!("SELECT COUNT(*) FROM {t} WHERE {expires} > :now{}", not_destroyed(""))),
            clear: render(format!("DELETE FROM {t}")),
            many: sizes().map(many).collect(),
        }
    }

    /// The forms for the least power of two that takes so many ids.
    pub(super) fn many(&self, ids: usize) -> &Many {
        &self.many[size_index(ids)]
    }
}

/// How many bytes a text has in a character set, and whether every character of it is there.
pub(super) fn measure(charset: &str) -> Statement {
    let text = converted(":text", charset);
    statement(format!(
        "SELECT OCTET_LENGTH({text}), CAST(CONVERT({text} USING utf8mb4) AS BINARY) = CAST(:text AS BINARY)"
    ))
}

/// A value in a character set, with question marks for what is not in it. By way of its bytes, as MySQL takes a bare one
/// for a text of that character set, and fails if it is none.
fn converted(value: &str, charset: &str) -> String {
    format!("CONVERT(CONVERT(CAST({value} AS BINARY) USING utf8mb4) USING {charset})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_in_the_column_s_own_character_set() {
        let table = TableName::new("app.session").unwrap();
        let render = |text| Statements::new(&table, &ConnectTypeorm::new().without_destroyed_at(), text);
        let utf8 = render(("utf8mb4", "utf8mb4_general_ci"));
        let load = utf8.load.sql();
        assert!(load.contains("`app`.`session` WHERE `id` = ? AND CAST"), "{load}");
        assert!(!load.contains("destroyedAt"), "{load}");
        let latin = render(("latin1", "latin1_swedish_ci"));
        let compared = "`id` = CONVERT(CONVERT(CAST(? AS BINARY) USING utf8mb4) USING latin1) COLLATE latin1_swedish_ci AND CAST";
        for statement in [&latin.load, &latin.update, &latin.touch, &latin.remove, &latin.rotate_removing] {
            assert!(statement.sql().contains(compared), "{statement:?}");
        }
        let marking = Statements::new(&table, &ConnectTypeorm::new(), ("latin1", "latin1_swedish_ci"));
        let Statements { update, touch, forget, keep, remove, rotate_removing, .. } = &marking;
        for statement in [update, touch, forget, keep, remove, rotate_removing] {
            assert!(statement.sql().contains("`expiredAt` + 0 > ?"), "{statement:?}");
        }
    }

    #[test]
    fn a_session_that_is_forgotten_leaves_data_that_node_reads() {
        let statements = Statements::new(&TableName::default(), &ConnectTypeorm::new(), ("", ""));
        for statement in [&statements.forget, &statements.rotate_forgetting] {
            assert!(statement.sql().contains("`json` = '{}'"), "{statement:?}");
        }
        assert!(!statements.keep.sql().contains("json"));
    }
}
