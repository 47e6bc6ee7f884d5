//! All SQL of the layout of connect-typeorm.
//!
//! Numbered parameters, always bound; the names of table and columns are checked identifiers. Columns are always named, as
//! their order differs between versions of the entity. A session is live where
//! `destroyedAt IS NULL AND expiredAt > now`.
//!
//! Ids are compared twice: `=` finds the row through the primary key whatever its collation, and `COLLATE BINARY` then
//! makes sure that it is this very id, should somebody have declared the column to fold case.

use session_core::{ConnectTypeorm, TableName};

/// The statements, rendered once for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) schema: String,
    pub(super) create: String,
    pub(super) load: String,
    pub(super) update: String,
    pub(super) touch: String,
    pub(super) bury: String,
    pub(super) remove: String,
    pub(super) copy_to: String,
    pub(super) is_live: String,
    pub(super) purge: String,
    pub(super) find_expired: String,
    pub(super) purge_row: String,
    pub(super) list: String,
    pub(super) count: String,
    pub(super) clear: String,
}

impl Statements {
    pub(super) fn new(table: &TableName, columns: &ConnectTypeorm, tombstones: bool) -> Statements {
        // SQLite's only schema is `main`.
        let t = format!("\"{}\"", table.table());
        let [id, expires, json, destroyed] =
            [columns.id(), columns.expired_at(), columns.json(), columns.destroyed_at()]
                .map(|name| format!("\"{name}\""));
        // The entity of version 1.1.4 has no such column: there is nothing but rows that live.
        let (destroyed_column, not_destroyed) = match tombstones {
            true => (format!(", {destroyed} datetime"), format!("{destroyed} IS NULL AND ")),
            false => (String::new(), String::new()),
        };
        let this = format!("{id} = ?1 AND {id} = ?1 COLLATE BINARY");
        let expired = format!("SELECT rowid FROM {t} WHERE {expires} <= ?1 ORDER BY {expires} LIMIT ?2");
        Statements {
            // As TypeORM makes it, so that it finds nothing to change.
            schema: format!(
                "CREATE TABLE IF NOT EXISTS {t} ({expires} bigint NOT NULL, {id} varchar(255) PRIMARY KEY NOT NULL, \
                 {json} text NOT NULL{destroyed_column});\n\
                 CREATE INDEX IF NOT EXISTS \"{}\" ON {t} ({expires});\n",
                columns.index_name(table)
            ),
            create: format!("INSERT INTO {t} ({id}, {json}, {expires}) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"),
            // An expiry that is not an INTEGER is not `<=` any; the row is read, and found corrupt.
            load: format!(
                "SELECT {json}, {expires} FROM {t} WHERE {this} AND {not_destroyed}({expires} <= ?2) IS NOT TRUE"
            ),
            update: format!(
                "UPDATE {t} SET {json} = ?2, {expires} = ?3 WHERE {this} AND {not_destroyed}{expires} > ?4"
            ),
            touch: format!("UPDATE {t} SET {expires} = ?2 WHERE {this} AND {not_destroyed}{expires} > ?3"),
            // UTC to the second, which is what TypeORM writes. It is only ever tested for NULL, so it must not be
            // NULL where the time is beyond SQLite's calendar.
            bury: format!(
                "UPDATE {t} SET {destroyed} = coalesce(datetime(?2 / 1000, 'unixepoch'), '9999-12-31 23:59:59')
                 WHERE {this} AND {not_destroyed}{expires} > ?2"
            ),
            remove: format!("DELETE FROM {t} WHERE {this} AND {not_destroyed}{expires} > ?2"),
            // The new row of a rotation, made of the old one.
            copy_to: format!(
                "INSERT INTO {t} ({id}, {json}, {expires}) SELECT ?2, coalesce(?3, {json}), ?4 FROM {t}
                 WHERE {this} AND {not_destroyed}{expires} > ?5
                 ON CONFLICT DO NOTHING"
            ),
            is_live: format!("SELECT 1 FROM {t} WHERE {this} AND {not_destroyed}{expires} > ?2"),
            purge: format!("DELETE FROM {t} WHERE rowid IN ({expired})"),
            find_expired: expired,
            // Whatever has become of the row since it was found: only an expired one goes.
            purge_row: format!("DELETE FROM {t} WHERE rowid = ?1 AND {expires} <= ?2"),
            // An id that is not TEXT cannot be listed.
            list: format!(
                "SELECT {id}, {json}, {expires} FROM {t}
                 WHERE {id} > ?1 AND typeof({id}) = 'text' AND {not_destroyed}({expires} <= ?2) IS NOT TRUE
                 ORDER BY {id} LIMIT ?3"
            ),
            count: format!("SELECT count(*) FROM {t} WHERE {not_destroyed}{expires} > ?1"),
            clear: format!("DELETE FROM {t}"),
        }
    }
}
