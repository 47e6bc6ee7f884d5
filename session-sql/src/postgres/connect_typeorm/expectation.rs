//! How the table should look.

use session_core::{Severity, TableName};

use crate::{ConnectTypeorm, Dialect, Expectation, ExpectedColumn, ExpectedIndex};

/// Ids and data of any length are fine, and Node gives every id at most 255 bytes.
pub(super) fn expectation<'a>(table: &'a TableName, names: &'a ConnectTypeorm) -> Expectation<'a> {
    let name = table.quoted('"', '"');
    Expectation {
        dialect: Dialect::Postgres,
        table,
        key: names.id(),
        columns: vec![
            ExpectedColumn::new(names.id(), "character varying").or(&["text"]).collated("C", Severity::Fault),
            ExpectedColumn::new(names.expired_at(), "bigint"),
            ExpectedColumn::new(names.json(), "text").or(&["character varying"]),
        ],
        indexes: vec![ExpectedIndex {
            column: names.expired_at(),
            without: "a purge reads the whole table",
            remedy: format!(
                "CREATE INDEX \"{}\" ON {name} (\"{}\")",
                names.index_name(table),
                names.expired_at()
            ),
        }],
    }
}
