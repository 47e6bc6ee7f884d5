//! Every statement of connect-typeorm's layout in Postgres' dialect, rendered once for a table.
//!
//! Names are quoted, as TypeORM makes them in camel case, and columns are always named, as their order differs between
//! versions of the entity. A session is live where `"destroyedAt" IS NULL AND "expiredAt" > now`. What is not told here
//! is as in the native layout.
//!
//! Ids are compared twice: `=` finds the row through the primary key, by whatever collation the column has, and
//! `COLLATE "C"` makes sure that it is this very id, should somebody have given the column one that folds case.

use session_core::{ConnectTypeorm, DestroyMode, TableName};

#[derive(Debug)]
pub(super) struct Statements {
    /// id, json, expiredAt.
    pub(super) create: String,
    /// id, now.
    pub(super) load: String,
    /// ids, now. Gives the ids, too.
    pub(super) load_many: String,
    /// id, now, json, expiredAt.
    pub(super) update: String,
    /// id, now, expiredAt.
    pub(super) touch: String,
    /// id, now, destroyedAt in ms.
    pub(super) bury: String,
    /// id, now.
    pub(super) remove: String,
    /// from, now, to, json, expiredAt, destroyedAt in ms. Gives a row if the session is live: 1 if it was moved.
    pub(super) rotate: String,
    /// from, now, to, json, expiredAt. As `rotate`, and the old row goes.
    pub(super) rotate_removing: String,
    /// now, limit.
    pub(super) purge: String,
    /// now, limit. Gives ids for `purge_ids`.
    pub(super) find_expired: String,
    /// now, ids.
    pub(super) purge_ids: String,
    /// now, limit.
    pub(super) list: String,
    /// now, limit, after.
    pub(super) list_after: String,
    /// now.
    pub(super) count: String,
    pub(super) clear: String,
}

impl Statements {
    pub(super) fn new(table: &TableName, columns: &ConnectTypeorm, tombstones: bool) -> Statements {
        let t = table.quoted('"', '"');
        let [id, expires, json, destroyed] = quoted(columns);
        // The entity of version 1.1.4 has no such column: there is nothing but rows that live.
        let not_destroyed = if tombstones { format!(" AND {destroyed} IS NULL") } else { String::new() };
        let this = format!("{id} = $1 AND {id} COLLATE \"C\" = $1");
        let live = format!("{this} AND {expires} > $2{not_destroyed}");
        // A row of which the expiry is NULL is found, and reported as corrupt.
        let readable = |now: &str| format!("({expires} > {now}) IS NOT FALSE{not_destroyed}");
        // UTC, in a column without a zone, and exact. It is only ever tested for NULL.
        let moment = |millis: &str| {
            format!(
                "timestamp '1970-01-01' + ({millis}::bigint / 1000) * interval '1 second' \
                 + ({millis} % 1000) * interval '1 millisecond'"
            )
        };
        // The insert decides: without it the old row stays as it is. Both rows change in one statement, so together.
        let rotate = |mode: DestroyMode| {
            let end = match mode {
                DestroyMode::Soft => {
                    format!("UPDATE {t} SET {destroyed} = {} FROM moved WHERE {this}", moment("$6"))
                }
                DestroyMode::Hard => format!("DELETE FROM {t} USING moved WHERE {this}"),
            };
            format!(
                "WITH live AS (SELECT {json} AS payload FROM {t} WHERE {live} FOR UPDATE), \
                 moved AS (INSERT INTO {t} ({id}, {json}, {expires}) SELECT $3, COALESCE($4, payload), $5 FROM live \
                 ON CONFLICT DO NOTHING RETURNING 1 AS done), \
                 ended AS ({end}) \
                 SELECT COALESCE(moved.done, 0)::bigint FROM live LEFT JOIN moved ON TRUE"
            )
        };
        Statements {
            create: format!(
                "INSERT INTO {t} ({id}, {json}, {expires}) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
            ),
            load: format!("SELECT {json}, {expires} FROM {t} WHERE {this} AND {}", readable("$2")),
            load_many: format!(
                "SELECT {json}, {expires}, {id} FROM {t} WHERE {id} = ANY($1) AND {}",
                readable("$2")
            ),
            update: format!("UPDATE {t} SET {json} = $3, {expires} = $4 WHERE {live}"),
            touch: format!("UPDATE {t} SET {expires} = $3 WHERE {live}"),
            bury: format!("UPDATE {t} SET {destroyed} = {} WHERE {live}", moment("$3")),
            remove: format!("DELETE FROM {t} WHERE {live}"),
            rotate: rotate(DestroyMode::Soft),
            rotate_removing: rotate(DestroyMode::Hard),
            purge: format!(
                "DELETE FROM {t} WHERE {id} = ANY(ARRAY(SELECT {id} FROM {t} WHERE {expires} <= $1 \
                 ORDER BY {expires} LIMIT $2 FOR UPDATE SKIP LOCKED)) AND {expires} <= $1"
            ),
            find_expired: format!(
                "SELECT {id} FROM {t} WHERE {expires} <= $1 ORDER BY {expires} LIMIT $2 FOR UPDATE SKIP LOCKED"
            ),
            purge_ids: format!(
                "DELETE FROM {t} WHERE {id} = ANY(ARRAY(SELECT {id} FROM {t} WHERE {id} = ANY($2) \
                 AND {expires} <= $1 ORDER BY {id} FOR UPDATE SKIP LOCKED)) AND {expires} <= $1"
            ),
            // In the order of the primary key, whatever its collation.
            list: format!(
                "SELECT {json}, {expires}, {id} FROM {t} WHERE {} ORDER BY {id} LIMIT $2",
                readable("$1")
            ),
            list_after: format!(
                "SELECT {json}, {expires}, {id} FROM {t} WHERE {id} > $3 AND {} ORDER BY {id} LIMIT $2",
                readable("$1")
            ),
            count: format!("SELECT count(*) FROM {t} WHERE {expires} > $1{not_destroyed}"),
            clear: format!("DELETE FROM {t}"),
        }
    }
}

/// The statements that make the table, as TypeORM does, so that it finds nothing to change.
pub(in super::super) fn schema(table: &TableName, columns: &ConnectTypeorm) -> String {
    let t = table.quoted('"', '"');
    let [id, expires, json, destroyed] = quoted(columns);
    format!(
        "CREATE TABLE IF NOT EXISTS {t} (\n\
         \x20   {expires} bigint NOT NULL,\n\
         \x20   {id} character varying(255) NOT NULL,\n\
         \x20   {json} text NOT NULL,\n\
         \x20   {destroyed} timestamp without time zone,\n\
         \x20   CONSTRAINT \"{}\" PRIMARY KEY ({id})\n\
         );\n\
         CREATE INDEX IF NOT EXISTS \"{}\" ON {t} ({expires});\n",
        columns.primary_key_name(table),
        columns.index_name(table)
    )
}

fn quoted(columns: &ConnectTypeorm) -> [String; 4] {
    [columns.id(), columns.expired_at(), columns.json(), columns.destroyed_at()]
        .map(|name| format!("\"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_of_a_table_without_the_mark_names_it() {
        let table = TableName::new("web.session").unwrap();
        let statements = Statements::new(&table, &ConnectTypeorm::new(), false);
        for statement in [&statements.load, &statements.update, &statements.touch, &statements.remove] {
            assert!(
                statement.contains("\"web\".\"session\"") && !statement.contains("destroyedAt"),
                "{statement}"
            );
        }
    }
}
