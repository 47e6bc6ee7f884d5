//! All statements of the layout of connect-typeorm.
//!
//! Values are always bound; the names of table and columns are checked identifiers. Columns are always named, as
//! their order differs between versions of the entity. A session is live where
//! `destroyedAt IS NULL AND expiredAt > :now`.
//!
//! Ids are compared twice: `=` finds the row through the primary key whatever its collation, and `COLLATE BINARY` then
//! makes sure that it is this very id, should somebody have declared the column to fold case.

use crate::connect_typeorm::EMPTY;
use crate::{ConnectTypeorm, Dialect, Statement};
use session_core::TableName;

/// The statements that make the table as TypeORM makes it, so that it finds nothing to change.
pub(super) fn schema(table: &TableName, names: &ConnectTypeorm) -> String {
    let t = quoted(table.table());
    let [id, expires, json, destroyed] = columns(names);
    let destroyed = if names.has_destroyed_at() { format!(", {destroyed} datetime") } else { String::new() };
    format!(
        "CREATE TABLE IF NOT EXISTS {t} ({expires} bigint NOT NULL, {id} varchar(255) PRIMARY KEY NOT NULL, \
         {json} text NOT NULL{destroyed});\n{};\n",
        index(table, names)
    )
}

/// The statement that makes its index.
pub(super) fn index(table: &TableName, names: &ConnectTypeorm) -> String {
    let [name, t, expires] = [&names.index_name(table), table.table(), names.expired_at()].map(quoted);
    format!("CREATE INDEX IF NOT EXISTS {name} ON {t} ({expires})")
}

/// The statements, written once for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: Statement,
    pub(super) load: Statement,
    pub(super) update: Statement,
    pub(super) touch: Statement,
    pub(super) forget: Statement,
    pub(super) keep: Statement,
    pub(super) remove: Statement,
    pub(super) fate: Statement,
    pub(super) copy_to: Statement,
    pub(super) is_live: Statement,
    pub(super) purge: Statement,
    pub(super) find_expired: Statement,
    pub(super) purge_row: Statement,
    pub(super) list: Statement,
    pub(super) count: Statement,
    pub(super) clear: Statement,
}

impl Statements {
    pub(super) fn new(table: &TableName, names: &ConnectTypeorm) -> Statements {
        // SQLite's only schema is `main`.
        let t = quoted(table.table());
        let [set_id, set_expires, set_json, set_destroyed] = columns(names);
        // With its table before it: SQLite takes a quoted name alone for a text where there is no such column.
        let [id, expires, json, destroyed] = columns(names).map(|column| format!("{t}.{column}"));
        // The entity of version 1.1.4 has no such column: there is nothing but rows that live.
        let (not_destroyed, is_destroyed) = match names.has_destroyed_at() {
            true => (format!("{destroyed} IS NULL AND "), format!("{destroyed} IS NOT NULL")),
            false => (String::new(), "0".to_owned()),
        };
        let this = format!("{id} = :id AND {id} = :id COLLATE BINARY");
        let live = format!("{this} AND {not_destroyed}{expires} > :now");
        // An expiry that is not an INTEGER is not `<=` any; the row is read, and found corrupt.
        let readable = format!("{not_destroyed}({expires} <= :now) IS NOT TRUE");
        let expired =
            format!("SELECT rowid FROM {t} WHERE {expires} <= :now ORDER BY {expires} LIMIT :limit");
        // UTC to the second, which is what TypeORM writes.
        let mark = format!("{set_destroyed} = datetime(:moment / 1000, 'unixepoch')");
        let statement = |template: String| Statement::new(Dialect::Sqlite, template);
        Statements {
            create: statement(format!(
                "INSERT INTO {t} ({set_id}, {set_json}, {set_expires}) VALUES (:id, :json, :expires_at) ON CONFLICT ({set_id}) DO NOTHING"
            )),
            load: statement(format!("SELECT {json}, {expires} FROM {t} WHERE {this} AND {readable}")),
            update: statement(format!(
                "UPDATE {t} SET {set_json} = :json, {set_expires} = coalesce(:expires_at, {expires}) WHERE {live}"
            )),
            touch: statement(format!("UPDATE {t} SET {set_expires} = :expires_at WHERE {live}")),
            forget: statement(format!("UPDATE {t} SET {mark}, {set_json} = '{EMPTY}' WHERE {live}")),
            keep: statement(format!("UPDATE {t} SET {mark} WHERE {live}")),
            remove: statement(format!("DELETE FROM {t} WHERE {live}")),
            fate: statement(format!("SELECT {is_destroyed}, {expires} FROM {t} WHERE {this}")),
            // The new row of a rotation, made of the old one.
            copy_to: statement(format!(
                "INSERT INTO {t} ({set_id}, {set_json}, {set_expires})
                 SELECT :to, coalesce(:json, {json}), coalesce(:expires_at, {expires}) FROM {t} WHERE {live}
                 ON CONFLICT ({set_id}) DO NOTHING"
            )),
            is_live: statement(format!("SELECT 1 FROM {t} WHERE {live}")),
            purge: statement(format!("DELETE FROM {t} WHERE rowid IN ({expired})")),
            find_expired: statement(expired),
            // Whatever has become of the row since it was found: only an expired one goes.
            purge_row: statement(format!("DELETE FROM {t} WHERE rowid = :row AND {expires} <= :now")),
            // An id that is not TEXT cannot be listed.
            list: statement(format!(
                "SELECT {json}, {expires}, {id} FROM {t}
                 WHERE {id} > :after AND typeof({id}) = 'text' AND {readable}
                 ORDER BY {id} LIMIT :limit"
            )),
            count: statement(format!("SELECT count(*) FROM {t} WHERE {not_destroyed}{expires} > :now")),
            clear: statement(format!("DELETE FROM {t}")),
        }
    }
}

fn columns(names: &ConnectTypeorm) -> [String; 4] {
    [names.id(), names.expired_at(), names.json(), names.destroyed_at()].map(quoted)
}

fn quoted(name: &str) -> String {
    Dialect::Sqlite.quoted(name)
}
