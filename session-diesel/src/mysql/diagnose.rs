//! What the live table and server lack.

use session_core::{Finding, KeyFormat, Result, TableName};

use super::query::{Bind, MysqlRow, columns};
use super::statements;
use super::store::{Flavor, MysqlStore};
use crate::convert::{self, Value};

/// The largest packet that a payload of 5 MiB needs, with room for the rest of a batch.
const ROOMY_PACKET: i64 = 16 << 20;

/// The table's schema and name, as the catalogue's statements take them.
pub(super) fn names(table: &TableName) -> [Bind<'_>; 2] {
    [Bind::OptionalText(table.schema()), Bind::Text(table.table())]
}

pub(super) async fn diagnose(store: &MysqlStore) -> Result<Vec<Finding>> {
    let names = names(&store.table);
    let connections = &store.connections;
    let mariadb = store.server().await?.flavor == Flavor::Mariadb;

    let mut findings = Vec::new();
    for row in connections.read(&statements::server(mariadb), &[], server).await? {
        judge_server(&row?, &mut findings);
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
            format!("ALTER TABLE {} ENGINE = InnoDB", store.table.quoted('`', '`')),
        ));
    }
    let columns = connections.read(statements::COLUMNS, &names, column).await?;
    judge_columns(&columns.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    let indexes = connections.read(statements::INDEXES, &names, index).await?;
    judge_indexes(&indexes.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    Ok(findings)
}

pub(super) struct Server {
    version: String,
    largest_packet: i64,
    sql_mode: String,
    read_only: bool,
    isolation: String,
    flush: i64,
}

pub(super) fn server(row: &MysqlRow) -> Result<Server> {
    columns(row, |[version, packet, mode, read_only, isolation, flush]| {
        Ok(Server {
            version: text(version)?,
            largest_packet: convert::bigint("max_allowed_packet", packet)?,
            sql_mode: text(mode)?,
            read_only: match read_only {
                Value::Bytes(word) => word != b"OFF" && word != b"0",
                number => convert::bigint("read_only", number)? != 0,
            },
            isolation: text(isolation)?,
            flush: convert::bigint("innodb_flush_log_at_trx_commit", flush)?,
        })
    })
}

pub(super) fn judge_server(server: &Server, findings: &mut Vec<Finding>) {
    findings.push(Finding::note(format!("the server is {}", server.version)));
    if server.largest_packet < ROOMY_PACKET {
        findings.push(Finding::warning(
            format!("max_allowed_packet is {} bytes: a larger payload is refused", server.largest_packet),
            format!("SET GLOBAL max_allowed_packet = {ROOMY_PACKET}, or keep the payload limit below it"),
        ));
    }
    if !server.sql_mode.contains("STRICT_ALL_TABLES") && !server.sql_mode.contains("STRICT_TRANS_TABLES") {
        findings.push(Finding::fault(
            "sql_mode is not strict, so that a value too long for its column would be cut",
            "SET sql_mode = 'STRICT_ALL_TABLES' on the connections of the pool",
        ));
    }
    if server.read_only {
        findings.push(Finding::fault("the server is read-only", "connect to the one that writes"));
    }
    if !server.isolation.eq_ignore_ascii_case("READ-COMMITTED") {
        findings.push(Finding::warning(
            format!(
                "transactions are {}: gaps are locked, and different sessions deadlock",
                server.isolation
            ),
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED on the connections of the pool",
        ));
    }
    if server.flush != 1 {
        findings.push(Finding::note(
            "innodb_flush_log_at_trx_commit is not 1: the last second of sessions before a crash of the machine is lost",
        ));
    }
}

pub(super) fn table(row: &MysqlRow) -> Result<String> {
    columns(row, |[engine]| match engine {
        Value::Null => Ok("a view".to_owned()),
        engine => text(engine),
    })
}

pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) nullable: bool,
    pub(super) collation: String,
}

pub(super) fn column(row: &MysqlRow) -> Result<Column> {
    columns(row, |[name, kind, nullable, collation]| {
        Ok(Column {
            name: text(name)?,
            kind: text(kind)?,
            nullable: text(nullable)? == "YES",
            collation: text(collation)?,
        })
    })
}

fn judge_columns(columns: &[Column], store: &MysqlStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('`', '`');
    let key = match store.format {
        KeyFormat::Hashed => "binary(32)",
        KeyFormat::Plain => "varbinary(255)",
    };
    let expected = [
        ("key", key, true),
        ("payload", "longtext", true),
        ("expires_at", "bigint", true),
        ("created_at", "bigint", true),
        ("version", "bigint", true),
        ("principal", "varbinary(255)", false),
        ("destroyed_at", "bigint", false),
    ];
    for (wanted, kind, not_null) in expected {
        let Some(column) = columns.iter().find(|column| column.name == wanted) else {
            findings.push(Finding::fault(
                format!("the column {wanted} is missing"),
                format!("ALTER TABLE {name} ADD COLUMN `{wanted}` {kind}, as it stands in `schema_sql`"),
            ));
            continue;
        };
        // MariaDB still shows a width: bigint(20).
        let right = column.kind == kind
            || (kind == "bigint" && column.kind.starts_with("bigint(") && !column.kind.contains("unsigned"));
        if !right {
            findings.push(Finding::fault(
                format!("the column {wanted} is {}, not {kind}", column.kind),
                format!("ALTER TABLE {name} MODIFY `{wanted}` {kind}, as it stands in `schema_sql`"),
            ));
        }
        if not_null && column.nullable {
            findings.push(Finding::warning(
                format!("the column {wanted} may be NULL, which makes a session unreadable"),
                format!("ALTER TABLE {name} MODIFY `{wanted}` {kind} NOT NULL"),
            ));
        }
        if wanted == "payload" && !column.collation.starts_with("utf8mb4") {
            findings.push(Finding::fault(
                format!("the payload's collation is {}, which cannot hold every character", column.collation),
                format!("ALTER TABLE {name} MODIFY payload longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"),
            ));
        }
    }
}

pub(super) struct Index {
    pub(super) name: String,
    pub(super) columns: String,
}

pub(super) fn index(row: &MysqlRow) -> Result<Index> {
    columns(row, |[name, columns]| Ok(Index { name: text(name)?, columns: text(columns)? }))
}

fn judge_indexes(indexes: &[Index], store: &MysqlStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('`', '`');
    if !indexes.iter().any(|index| index.name == "PRIMARY" && index.columns == "key") {
        findings.push(Finding::fault(
            "the primary key is not the column key alone, so that two sessions can have one key",
            format!("ALTER TABLE {name} ADD PRIMARY KEY (`key`)"),
        ));
    }
    let wanted = [
        ("expires_at", "expires_at", "a purge"),
        ("principal", "principal, `key`", "listing or ending a user's sessions"),
    ];
    for (first, all, without) in wanted {
        if !indexes.iter().any(|index| index.columns.split(',').next() == Some(first)) {
            findings.push(Finding::warning(
                format!("there is no index on {first}: {without} reads the whole table"),
                format!("ALTER TABLE {name} ADD INDEX ({all})"),
            ));
        }
    }
}

fn text(value: Value<'_>) -> Result<String> {
    convert::text("catalog", value).map(str::to_owned)
}
