//! What the live table and server lack.

use session_core::{Finding, Result};

use super::MysqlTypeormStore;
use super::text::{Layout, Text};
use crate::mysql::diagnose::{Column, Index, column, index, judge_server, names, server, table};
use crate::mysql::statements;
use crate::mysql::store::Flavor;

pub(super) async fn diagnose(store: &MysqlTypeormStore) -> Result<Vec<Finding>> {
    let names = names(&store.table);
    let connections = &store.connections;
    let name = store.table.quoted('`', '`');

    let mut findings = Vec::new();
    let mariadb = store.server.flavor == Flavor::Mariadb;
    for server in connections.read(&statements::server(mariadb), &[], server).await? {
        judge_server(&server?, &mut findings);
    }
    let Some(table) = connections.read(statements::TABLE, &names, table).await?.into_iter().next() else {
        findings.push(Finding::fault(
            format!("the table {} is missing", store.table),
            format!("call `create_table`, or run this: {}", store.schema_sql()),
        ));
        return Ok(findings);
    };
    let engine = table?;
    if engine != "InnoDB" {
        findings.push(Finding::fault(
            format!("the table's engine is {engine}, which has no transactions"),
            format!("ALTER TABLE {name} ENGINE = InnoDB"),
        ));
    }
    let columns = connections.read(statements::COLUMNS, &names, column).await?;
    judge_columns(&columns.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    // Not the look that the store took when it was made.
    if let Ok(Some(layout)) = Layout::look(connections, &store.table, &store.columns).await {
        judge_texts(&layout, store, &mut findings);
    }
    let indexes = connections.read(statements::INDEXES, &names, index).await?;
    judge_indexes(&indexes.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    Ok(findings)
}

fn judge_columns(columns: &[Column], store: &MysqlTypeormStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('`', '`');
    let find = |wanted: &str| columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted));
    let names = &store.columns;
    let expected = [
        (names.id(), "varchar(255)", ["varchar", "char"].as_slice()),
        (names.expired_at(), "bigint", &["bigint"]),
        (names.json(), "text", &["text", "mediumtext", "longtext", "varchar"]),
    ];
    for (wanted, kind, kinds) in expected {
        let Some(column) = find(wanted) else {
            findings.push(Finding::fault(
                format!("the column {wanted} is missing"),
                format!("name the table's own column in `ConnectTypeorm`, or ALTER TABLE {name} ADD COLUMN `{wanted}` {kind} NOT NULL"),
            ));
            continue;
        };
        let base = column.kind.split('(').next().unwrap_or_default();
        if !kinds.contains(&base) || column.kind.contains("unsigned") {
            findings.push(Finding::fault(
                format!("the column {wanted} is {}, not {kind}", column.kind),
                format!("ALTER TABLE {name} MODIFY `{wanted}` {kind} NOT NULL"),
            ));
        }
        if column.nullable {
            findings.push(Finding::warning(
                format!("the column {wanted} may be NULL, which makes a session unreadable"),
                format!("ALTER TABLE {name} MODIFY `{wanted}` {kind} NOT NULL"),
            ));
        }
    }
    let destroyed = names.destroyed_at();
    if find(destroyed).is_none() {
        findings.push(Finding::warning(
            format!("there is no column {destroyed}: a destroyed session leaves nothing, and Node can bring it back"),
            format!("ALTER TABLE {name} ADD COLUMN `{destroyed}` datetime(6) NULL, and build the store anew"),
        ));
    }
}

/// With `synchronize` TypeORM undoes what the entity does not say, and empties a column whose type it changes.
const AND_ENTITY: &str = "first say the same in Node's entity";

fn judge_texts(layout: &Layout, store: &MysqlTypeormStore, findings: &mut Vec<Finding>) {
    const SIXTY_FOUR_KIB: u64 = 65_535;
    let name = store.table.quoted('`', '`');
    let (id, json) = (store.columns.id(), store.columns.json());
    if !compares_bytes(&layout.id) {
        let collation =
            if store.server.flavor == Flavor::Mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        findings.push(Finding::warning(
            format!(
                "the collation {} of column {id} takes different ids for the same: the second one cannot be created here, \
                 and Node takes it for the first one",
                layout.id.collation
            ),
            format!(
                "ALTER TABLE {name} MODIFY `{id}` varchar(255) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL; \
                 {AND_ENTITY}"
            ),
        ));
    }
    if !["", "utf8mb4"].contains(&layout.json.charset.as_str()) {
        findings.push(Finding::fault(
            format!("the column {json} is in {}, which cannot hold every character", layout.json.charset),
            format!("ALTER TABLE {name} MODIFY `{json}` text CHARACTER SET utf8mb4 NOT NULL; {AND_ENTITY}"),
        ));
    }
    if layout.json.most_bytes <= SIXTY_FOUR_KIB {
        findings.push(Finding::note(format!(
            "the column {json} holds {} bytes: a larger session is refused; ALTER TABLE {name} MODIFY `{json}` longtext \
             NOT NULL makes room; {AND_ENTITY}",
            layout.json.most_bytes
        )));
    }
}

/// Every other collation folds something, if only trailing blanks.
fn compares_bytes(text: &Text) -> bool {
    let collation = text.collation.as_str();
    collation.is_empty() || collation.ends_with("_nopad_bin") || collation == "utf8mb4_0900_bin"
}

fn judge_indexes(indexes: &[Index], store: &MysqlTypeormStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('`', '`');
    let (id, expired_at) = (store.columns.id(), store.columns.expired_at());
    if !indexes.iter().any(|index| index.name == "PRIMARY" && index.columns.eq_ignore_ascii_case(id)) {
        findings.push(Finding::fault(
            format!("the primary key is not the column {id} alone, so that two sessions can have one id"),
            format!("ALTER TABLE {name} ADD PRIMARY KEY (`{id}`)"),
        ));
    }
    let first = |index: &Index| index.columns.split(',').next().map(str::to_ascii_lowercase);
    if !indexes.iter().any(|index| first(index) == Some(expired_at.to_ascii_lowercase())) {
        findings.push(Finding::warning(
            format!("there is no index on {expired_at}: a purge reads the whole table"),
            format!(
                "ALTER TABLE {name} ADD INDEX `{}` (`{expired_at}`)",
                store.columns.index_name(&store.table)
            ),
        ));
    }
}
