//! What the table's columns can hold: TypeORM makes `varchar(255)` and `text`, which hold a code page and not every
//! character.

use session_core::{Error, ErrorKind, Result, TableName};
use session_sql::{ConnectTypeorm, FoundColumn};

use super::statements::{Shape, Statements, Text};

/// The statements for the table as it is.
pub(super) fn look(columns: &[FoundColumn], table: &TableName, names: &ConnectTypeorm) -> Result<Statements> {
    let text = |name: &str| match columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) {
        Some(column) if is_narrow(column) => collation(&column.collation).map(Text::Narrow),
        // Where it is missing the statements say so.
        _ => Ok(Text::Wide),
    };
    let shape =
        Shape { id: text(names.id())?, json: text(names.json())?, tombstones: names.has_destroyed_at() };
    Ok(Statements::new(table, names, &shape))
}

/// True for a column that holds a code page.
pub(super) fn is_narrow(column: &FoundColumn) -> bool {
    ["varchar", "text", "char"].iter().any(|kind| column.kind.starts_with(kind))
}

/// The catalogue's name of a collation, which goes into statements.
fn collation(name: &str) -> Result<String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if is_name(name) {
        return Ok(name.to_owned());
    }
    let what = "the catalogue does not say which collation a column of the table has";
    Err(Error::new(ErrorKind::Backend, what).with_in_doubt(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collation_that_is_no_name_goes_into_no_statement() {
        assert_eq!(collation("Latin1_General_BIN2").unwrap(), "Latin1_General_BIN2");
        for hostile in ["", "a; DROP TABLE x", "a b", "a]"] {
            assert!(collation(hostile).is_err(), "{hostile}");
        }
    }
}
