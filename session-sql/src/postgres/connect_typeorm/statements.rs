//! Every statement of connect-typeorm's layout, written once for a table.
//!
//! Names are quoted, as TypeORM makes them in camel case, and columns are always named, as their order differs between
//! versions of the entity. A session is live where `"destroyedAt" IS NULL AND "expiredAt" > now`. What is not told here
//! is as in the native layout.
//!
//! Ids are compared twice: `=` finds the row through the primary key, by whatever collation the column has, and
//! `COLLATE "C"` makes sure that it is this very id, should somebody have given the column one that folds case.

use session_core::{DestroyMode, TableName};

use crate::connect_typeorm::EMPTY;
use crate::postgres::shared::statement;
use crate::{ConnectTypeorm, Statement};

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: Statement,
    /// Gives data and expiry.
    pub(super) load: Statement,
    /// As `load`, and the ids.
    pub(super) load_many: Statement,
    pub(super) update: Statement,
    pub(super) touch: Statement,
    /// Marks, with `moment`, the time of it in ms, and empties the row.
    pub(super) forget: Statement,
    /// Marks, with `moment`.
    pub(super) keep: Statement,
    pub(super) remove: Statement,
    /// Gives a row if the session is live: 1 if it was moved. With `moment`.
    pub(super) rotate_forgetting: Statement,
    /// As `rotate_forgetting`, and the old row keeps its data.
    pub(super) rotate_keeping: Statement,
    /// As `rotate_forgetting`, without `moment`, and the old row goes.
    pub(super) rotate_removing: Statement,
    /// Gives whether it is marked, and the expiry.
    pub(super) fate: Statement,
    pub(super) purge: Statement,
    /// Gives ids for `purge_ids`.
    pub(super) find_expired: Statement,
    pub(super) purge_ids: Statement,
    pub(super) list: Statement,
    pub(super) list_after: Statement,
    pub(super) count: Statement,
    pub(super) clear: Statement,
}

impl Statements {
    pub(super) fn new(table: &TableName, names: &ConnectTypeorm) -> Statements {
        let t = table.quoted('"', '"');
        let [id, expires, json, destroyed] = quoted(names);
        // The entity of version 1.1.4 has no such column: there is nothing but rows that live.
        let (not_destroyed, is_destroyed) = match names.has_destroyed_at() {
            true => (format!(" AND {destroyed} IS NULL"), format!("{destroyed} IS NOT NULL")),
            false => (String::new(), "false".to_owned()),
        };
        let this = |key: &str| format!("{id} = {key} AND {id} COLLATE \"C\" = {key}");
        let live = |key: &str| format!("{} AND {expires} > :now{not_destroyed}", this(key));
        // A row of which the expiry is NULL is found, and reported as corrupt.
        let readable = format!("({expires} > :now) IS NOT FALSE{not_destroyed}");
        // UTC, in a column without a zone, and exact. It is only ever tested for NULL.
        let mark = format!(
            "{destroyed} = timestamp '1970-01-01' + (:moment::bigint / 1000) * interval '1 second' \
             + (:moment % 1000) * interval '1 millisecond'"
        );
        let forget = format!("{mark}, {json} = '{EMPTY}'");
        // The insert decides: without it the old row stays as it is. Both rows change in one statement, so together.
        let rotate = |mode: DestroyMode| {
            let from = this(":from");
            let end = match mode {
                DestroyMode::Forget => format!("UPDATE {t} SET {forget} FROM moved WHERE {from}"),
                DestroyMode::Keep => format!("UPDATE {t} SET {mark} FROM moved WHERE {from}"),
                DestroyMode::Remove => format!("DELETE FROM {t} USING moved WHERE {from}"),
            };
            statement(format!(
                "WITH live AS (SELECT {json} AS payload, {expires} AS expires_at FROM {t} WHERE {} FOR UPDATE), \
                 moved AS (INSERT INTO {t} ({id}, {json}, {expires}) \
                 SELECT :to, COALESCE(:payload, payload), COALESCE(:expires_at, expires_at) FROM live \
                 ON CONFLICT ({id}) DO NOTHING RETURNING 1 AS done), \
                 ended AS ({end}) \
                 SELECT COALESCE(moved.done, 0)::bigint FROM live LEFT JOIN moved ON TRUE",
                live(":from")
            ))
        };
        let live = live(":key");
        Statements {
            create: statement(format!(
                "INSERT INTO {t} ({id}, {json}, {expires}) VALUES (:key, :payload, :expires_at) \
                 ON CONFLICT ({id}) DO NOTHING"
            )),
            load: statement(format!(
                "SELECT {json}, {expires} FROM {t} WHERE {} AND {readable}",
                this(":key")
            )),
            load_many: statement(format!(
                "SELECT {json}, {expires}, {id} FROM {t} WHERE {id} = ANY(:keys) AND {readable}"
            )),
            update: statement(format!(
                "UPDATE {t} SET {json} = :payload, {expires} = COALESCE(:expires_at, {expires}) WHERE {live}"
            )),
            touch: statement(format!("UPDATE {t} SET {expires} = :expires_at WHERE {live}")),
            forget: statement(format!("UPDATE {t} SET {forget} WHERE {live}")),
            keep: statement(format!("UPDATE {t} SET {mark} WHERE {live}")),
            remove: statement(format!("DELETE FROM {t} WHERE {live}")),
            rotate_forgetting: rotate(DestroyMode::Forget),
            rotate_keeping: rotate(DestroyMode::Keep),
            rotate_removing: rotate(DestroyMode::Remove),
            fate: statement(format!("SELECT {is_destroyed}, {expires} FROM {t} WHERE {}", this(":key"))),
            purge: statement(format!(
                "DELETE FROM {t} WHERE {id} = ANY(ARRAY(SELECT {id} FROM {t} WHERE {expires} <= :now \
                 ORDER BY {expires} LIMIT :limit FOR UPDATE SKIP LOCKED)) AND {expires} <= :now"
            )),
            find_expired: statement(format!(
                "SELECT {id} FROM {t} WHERE {expires} <= :now ORDER BY {expires} LIMIT :limit FOR UPDATE SKIP LOCKED"
            )),
            purge_ids: statement(format!(
                "DELETE FROM {t} WHERE {id} = ANY(ARRAY(SELECT {id} FROM {t} WHERE {id} = ANY(:keys) \
                 AND {expires} <= :now ORDER BY {id} FOR UPDATE SKIP LOCKED)) AND {expires} <= :now"
            )),
            // In the order of the primary key, whatever its collation.
            list: statement(format!(
                "SELECT {json}, {expires}, {id} FROM {t} WHERE {readable} ORDER BY {id} LIMIT :limit"
            )),
            list_after: statement(format!(
                "SELECT {json}, {expires}, {id} FROM {t} WHERE {id} > :after AND {readable} \
                 ORDER BY {id} LIMIT :limit"
            )),
            count: statement(format!("SELECT count(*) FROM {t} WHERE {expires} > :now{not_destroyed}")),
            clear: statement(format!("DELETE FROM {t}")),
        }
    }
}

/// The statements that make the table, as TypeORM does, so that it finds nothing to change.
pub(super) fn schema(table: &TableName, names: &ConnectTypeorm) -> String {
    let t = table.quoted('"', '"');
    let [id, expires, json, destroyed] = quoted(names);
    let destroyed = match names.has_destroyed_at() {
        true => format!("\x20   {destroyed} timestamp without time zone,\n"),
        false => String::new(),
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {t} (\n\
         \x20   {expires} bigint NOT NULL,\n\
         \x20   {id} character varying(255) NOT NULL,\n\
         \x20   {json} text NOT NULL,\n\
         {destroyed}\
         \x20   CONSTRAINT \"{}\" PRIMARY KEY ({id})\n\
         );\n\
         CREATE INDEX IF NOT EXISTS \"{}\" ON {t} ({expires});\n",
        names.primary_key_name(table),
        names.index_name(table)
    )
}

fn quoted(names: &ConnectTypeorm) -> [String; 4] {
    [names.id(), names.expired_at(), names.json(), names.destroyed_at()].map(|name| format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_of_a_table_without_the_mark_names_it() {
        let table = TableName::new("web.session").unwrap();
        let names = ConnectTypeorm::new().without_destroyed_at();
        let Statements { load, load_many, update, touch, remove, rotate_removing, fate, list, count, .. } =
            Statements::new(&table, &names);
        for statement in [load, load_many, update, touch, remove, rotate_removing, fate, list, count] {
            let sql = statement.sql();
            assert!(sql.contains("\"web\".\"session\"") && !sql.contains("destroyedAt"), "{sql}");
        }
        assert!(!schema(&table, &names).contains("destroyedAt"));
        assert!(schema(&table, &ConnectTypeorm::new()).contains("destroyedAt"));
    }
}
