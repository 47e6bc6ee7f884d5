//! What the live table and server lack.

use session_core::{Finding, Result};

use super::PostgresTypeormStore;
use crate::postgres::diagnose::{Column, Index, column, index, judge_server, server, table};
use crate::postgres::query::Bind;
use crate::postgres::statements;

pub(super) async fn diagnose(store: &PostgresTypeormStore) -> Result<Vec<Finding>> {
    let quoted = store.table.quoted('"', '"');
    let name = [Bind::Text(&quoted)];
    let connections = &store.connections;

    let mut findings = Vec::new();
    for server in connections.read(statements::SERVER, &[], server).await? {
        judge_server(&server?, &mut findings);
    }
    let Some(table) = connections.read(statements::TABLE, &name, table).await?.into_iter().next() else {
        findings.push(Finding::fault(
            format!("the table {} is missing", store.table),
            format!("call `create_table`, or run this: {}", store.schema_sql()),
        ));
        return Ok(findings);
    };
    if !table?.granted {
        findings.push(Finding::fault(
            "the user may not read and write the table",
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {quoted} TO the user"),
        ));
    }
    let columns = connections.read(statements::COLUMNS, &name, column).await?;
    judge_columns(&columns.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    let indexes = connections.read(statements::INDEXES, &name, index).await?;
    judge_indexes(&indexes.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    Ok(findings)
}

fn judge_columns(columns: &[Column], store: &PostgresTypeormStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('"', '"');
    let names = &store.columns;
    let expected =
        [(names.id(), "character varying(255)"), (names.expired_at(), "bigint"), (names.json(), "text")];
    for (wanted, kind) in expected {
        let Some(column) = columns.iter().find(|column| column.name == wanted) else {
            findings.push(Finding::fault(
                format!("the column {wanted} is missing"),
                format!("name the table's own column in `ConnectTypeorm`, or ALTER TABLE {name} ADD COLUMN \"{wanted}\" {kind}"),
            ));
            continue;
        };
        // Ids and data of any length are fine, and Node gives every id at most 255 bytes.
        let right = match kind {
            "bigint" => column.kind == kind,
            _ => column.kind == "text" || column.kind == "character varying" || column.kind == kind,
        };
        if !right {
            findings.push(Finding::fault(
                format!("the column {wanted} is {}, not {kind}", column.kind),
                format!("ALTER TABLE {name} ALTER COLUMN \"{wanted}\" TYPE {kind}"),
            ));
        }
        if !column.not_null {
            findings.push(Finding::warning(
                format!("the column {wanted} may be NULL, which makes a session unreadable"),
                format!("ALTER TABLE {name} ALTER COLUMN \"{wanted}\" SET NOT NULL"),
            ));
        }
        if wanted == names.id() && !column.exact {
            findings.push(Finding::fault(
                format!(
                    "the collation {} of column {wanted} takes different ids for the same: one of them cannot sign in",
                    column.collation
                ),
                format!("ALTER TABLE {name} ALTER COLUMN \"{wanted}\" TYPE {kind} COLLATE \"C\""),
            ));
        }
    }
    if !store.tombstones {
        findings.push(Finding::warning(
            format!(
                "there is no column {}: a destroyed session leaves nothing, and Node can bring it back",
                names.destroyed_at()
            ),
            format!(
                "ALTER TABLE {name} ADD COLUMN \"{}\" timestamp, and build the store anew",
                names.destroyed_at()
            ),
        ));
    }
}

fn judge_indexes(indexes: &[Index], store: &PostgresTypeormStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('"', '"');
    let (id, expired_at) = (store.columns.id(), store.columns.expired_at());
    if !indexes.iter().any(|index| index.primary && index.columns == id) {
        findings.push(Finding::fault(
            format!("the primary key is not the column {id} alone, so that two sessions can have one id"),
            format!("ALTER TABLE {name} ADD PRIMARY KEY (\"{id}\")"),
        ));
    }
    if !indexes.iter().any(|index| index.columns.split(',').next() == Some(expired_at)) {
        findings.push(Finding::warning(
            format!("there is no index on {expired_at}: a purge reads the whole table"),
            format!(
                "CREATE INDEX \"{}\" ON {name} (\"{expired_at}\")",
                store.columns.index_name(&store.table)
            ),
        ));
    }
}
