//! The table of the native layout.

use session_core::{KeyFormat, TableName};

/// The statement that makes the table with its indexes, where it is not there yet.
///
/// Binary columns compare bytes: every collation for text folds something, if only trailing blanks. The payload is
/// LONGTEXT, as TEXT ends at 64 KiB.
pub(super) fn schema(table: &TableName, format: KeyFormat) -> String {
    let key = match format {
        KeyFormat::Hashed => "binary(32)",
        KeyFormat::Plain => "varbinary(255)",
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n\
         \x20   `key` {key} NOT NULL PRIMARY KEY,\n\
         \x20   payload longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,\n\
         \x20   expires_at bigint NOT NULL,\n\
         \x20   created_at bigint NOT NULL,\n\
         \x20   version bigint NOT NULL,\n\
         \x20   principal varbinary(255),\n\
         \x20   destroyed_at bigint,\n\
         \x20   rotated tinyint NOT NULL DEFAULT 0,\n\
         \x20   INDEX expiry (expires_at),\n\
         \x20   INDEX principal (principal, `key`)\n\
         ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
        table.quoted('`', '`')
    )
}
