//! What SQLite sent, which may be of any type in any column.

use session_core::contract::{Listed, Loaded};
use session_core::{KeyFormat, Result, Version};

use super::Step;
use crate::Value;
use crate::value::{self, Column};

/// A whole number, and never a text of digits: SQLite puts any text after all numbers, so that an expiry of that kind would
/// never come.
pub(super) fn number(column: Column<'_>) -> Column<'_> {
    match column {
        Column::Text(_) => Column::Foreign,
        column => column,
    }
}

/// What a load found; see [`value::loaded`].
pub(super) fn loaded<S: Step>(row: &S::Row<'_>, known: Option<Version>) -> Result<Loaded> {
    S::columns(row, |columns| value::loaded(record_columns(columns), known))
}

/// An entry of a listing; see [`value::listed`].
pub(super) fn listed<S: Step>(row: &S::Row<'_>, format: KeyFormat) -> Result<Listed> {
    S::columns(row, |[payload, expires_at, created_at, version, principal, key]| {
        let [payload, expires_at, created_at, version, principal] =
            record_columns([payload, expires_at, created_at, version, principal]);
        value::listed(format, [payload, expires_at, created_at, version, principal, key])
    })
}

/// The number of a row.
pub(super) fn row_number<S: Step>(row: &S::Row<'_>) -> Result<i64> {
    S::columns(row, |[number]| value::bigint("rowid", number))
}

/// A count of rows.
pub(super) fn count<S: Step>(row: &S::Row<'_>) -> Result<u64> {
    S::columns(row, |[count]| value::bigint("count", count).map(value::count))
}

/// What sorts before every key of this format, as no key is empty.
pub(super) fn before_all_keys(format: KeyFormat) -> Value<'static> {
    match format {
        KeyFormat::Hashed => Value::Bytes(Some(&[])),
        KeyFormat::Plain => Value::Text(Some("")),
    }
}

fn record_columns([payload, expires_at, created_at, version, principal]: [Column<'_>; 5]) -> [Column<'_>; 5] {
    [payload, number(expires_at), number(created_at), number(version), principal]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_digits_is_no_number() {
        assert!(value::timestamp("expires_at", number(Column::Text(b"1"))).is_err());
        assert!(value::timestamp("expires_at", number(Column::Signed(1))).is_ok());
    }
}
