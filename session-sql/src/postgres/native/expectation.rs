//! How the table should look, and what is said of one that makes touches dear.

use session_core::{Finding, KeyFormat, Severity, TableName};

use super::schema::SLOT_MILLIS;
use crate::postgres::diagnose::{Column, Found, Table};
use crate::{Dialect, Expectation, ExpectedColumn, ExpectedIndex, FoundIndex};

pub(super) fn expectation(table: &TableName, format: KeyFormat) -> Expectation<'_> {
    let key = match format {
        KeyFormat::Hashed => ExpectedColumn::new("key", "bytea"),
        KeyFormat::Plain => ExpectedColumn::new("key", "text").collated("C", Severity::Fault),
    };
    let index = |column, without| ExpectedIndex {
        column,
        without,
        remedy: "call `create_table`, which makes what is missing".to_owned(),
    };
    Expectation {
        dialect: Dialect::Postgres,
        table,
        key: "key",
        columns: vec![
            key,
            ExpectedColumn::new("payload", "text"),
            ExpectedColumn::new("expires_at", "bigint"),
            ExpectedColumn::new("created_at", "bigint"),
            ExpectedColumn::new("version", "bigint"),
            ExpectedColumn::new("principal", "text").nullable().collated("C", Severity::Fault),
            ExpectedColumn::new("destroyed_at", "bigint").nullable(),
            ExpectedColumn::new("expiry_slot", "bigint"),
            ExpectedColumn::new("rotated", "boolean"),
        ],
        indexes: vec![
            index("expiry_slot", "a purge reads the whole table"),
            index("principal", "listing or ending a user's sessions reads the whole table"),
        ],
    }
}

/// What concerns speed, and purges.
pub(super) fn judge_storage(found: &Found, table: &TableName) -> Vec<Finding> {
    let mut findings = Vec::new();
    judge_pages(&found.table, table, &mut findings);
    judge_slots(&found.columns, &found.indexes, &mut findings);
    findings
}

fn judge_pages(table: &Table, name: &TableName, findings: &mut Vec<Finding>) {
    let name = name.quoted('"', '"');
    if table.persistence == "u" {
        findings.push(Finding::note("the table is unlogged: a crash of the server ends every session"));
    }
    if table.kind == "r" && !table.options.split(',').any(|option| option.starts_with("fillfactor=")) {
        findings.push(Finding::warning(
            "the table's pages are filled to the brim, so that a touch must move its row and write every index",
            format!("ALTER TABLE {name} SET (fillfactor = 80)"),
        ));
    }
    // A few thousand updates are enough to judge by.
    if table.updates >= 10_000 && table.hot_updates < table.updates / 2 {
        findings.push(Finding::warning(
            format!(
                "{} of {} updates wrote every index (were not HOT)",
                table.updates - table.hot_updates,
                table.updates
            ),
            format!(
                "drop indexes of columns that change with each request, and let autovacuum work more often: \
                 ALTER TABLE {name} SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)"
            ),
        ));
    }
}

/// What makes touches cheap.
fn judge_slots(columns: &[Column], indexes: &[FoundIndex], findings: &mut Vec<Finding>) {
    for Column { found, generated } in columns {
        if found.name == "expiry_slot" && !generated.contains(&SLOT_MILLIS.to_string()) {
            findings.push(Finding::fault(
                "the column expiry_slot is not generated from expires_at as this version divides it, so that purges miss rows",
                format!("drop it, and add it as it stands in `schema_sql`: expires_at / {SLOT_MILLIS}"),
            ));
        }
        if ["key", "principal"].contains(&found.name.as_str())
            && found.kind == "text"
            && found.exact
            && found.collation != "C"
        {
            findings.push(Finding::warning(
                format!(
                    "the column {} has the collation {}, which is slower than C",
                    found.name, found.collation
                ),
                format!("make it text COLLATE \"C\", as it stands in `schema_sql`: column {}", found.name),
            ));
        }
    }
    if indexes.iter().any(|index| index.columns.iter().any(|column| column == "expires_at")) {
        findings.push(Finding::warning(
            "there is an index on expires_at: every touch writes every index (no update is HOT)",
            "drop it; purges use the one on expiry_slot",
        ));
    }
}
