//! The table of connect-typeorm's layout.

use session_core::TableName;

use crate::ConnectTypeorm;

/// The statement that makes the table, as TypeORM does, so that it finds nothing to change: with the database's
/// character set and collation.
pub(super) fn schema(table: &TableName, columns: &ConnectTypeorm) -> String {
    let [id, expires, json, destroyed] = quoted(columns);
    let mark = format!("    {destroyed} datetime(6) NULL,\n");
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\
         \x20   {expires} bigint NOT NULL,\n\
         \x20   {id} varchar(255) NOT NULL,\n\
         \x20   {json} text NOT NULL,\n\
         {}\
         \x20   INDEX `{}` ({expires}),\n\
         \x20   PRIMARY KEY ({id})\n\
         ) ENGINE = InnoDB",
        table.quoted('`', '`'),
        if columns.has_destroyed_at() { mark.as_str() } else { "" },
        columns.index_name(table)
    )
}

/// The columns of id, expiry, data and mark.
pub(super) fn quoted(columns: &ConnectTypeorm) -> [String; 4] {
    [columns.id(), columns.expired_at(), columns.json(), columns.destroyed_at()]
        .map(|name| format!("`{name}`"))
}
