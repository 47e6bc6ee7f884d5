//! What the live table and server lack.

use session_core::{Finding, KeyFormat, Result, TableName};

use super::catalogue::{Catalogue, names};
use super::server::Flavor;
use super::{cluster, server_settings};
use crate::engine::Engine;
use crate::value::{self, text_or_empty};
use crate::{
    ConnectTypeorm, Dialect, Expectation, ExpectedColumn, ExpectedIndex, FoundColumn, FoundIndex, Run,
};

/// The largest packet that a payload of 5 MiB needs, with room for the rest of a batch.
const ROOMY_PACKET: i64 = 16 << 20;

/// What a doctor looks at.
pub(super) struct Patient<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) flavor: Flavor,
    /// What answers in the server's place.
    pub(super) engine: Option<Engine>,
    pub(super) table: &'a TableName,
    /// What would make the table.
    pub(super) schema: &'a str,
}

pub(super) async fn native<R: Run>(
    run: &R,
    patient: &Patient<'_>,
    format: KeyFormat,
) -> Result<Vec<Finding>> {
    let expectation = native_expectation(patient.table, format);
    let mut findings = server(run, patient).await?;
    let Some(columns) = columns_of_table(run, patient, &expectation, &mut findings).await? else {
        return Ok(findings);
    };
    let indexes = indexes(run, patient).await?;
    findings.extend(judge(&expectation, &columns, &indexes));
    if let Some(payload) = find(&columns, "payload")
        && payload.charset != "utf8mb4"
    {
        findings.push(Finding::fault(
            format!(
                "the payload's collation is {}, which cannot hold every character",
                payload.found.collation
            ),
            format!(
                "ALTER TABLE {} MODIFY payload longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
                patient.table.quoted('`', '`')
            ),
        ));
    }
    Ok(findings)
}

pub(super) async fn connect_typeorm<R: Run>(
    run: &R,
    patient: &Patient<'_>,
    names: &ConnectTypeorm,
) -> Result<Vec<Finding>> {
    let mut findings = server(run, patient).await?;
    let expectation = typeorm_expectation(patient.table, names);
    let Some(columns) = columns_of_table(run, patient, &expectation, &mut findings).await? else {
        return Ok(findings);
    };
    let indexes = indexes(run, patient).await?;
    // Any length does.
    let columns: Vec<Column> = columns.into_iter().map(Column::without_length).collect();
    findings.extend(judge(&expectation, &columns, &indexes));
    findings.extend(names.judge_destroyed_at(find(&columns, names.destroyed_at()).is_some()));
    judge_texts(&columns, patient, names, &mut findings);
    Ok(findings)
}

/// The table's columns; without a table what is to be said of that.
async fn columns_of_table<R: Run>(
    run: &R,
    patient: &Patient<'_>,
    expectation: &Expectation<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Option<Vec<Column>>> {
    let engine = |row: &R::Row| R::columns(row, |[engine]| text_or_empty("catalog", engine));
    let found = run.read(patient.catalogue.table.bind(&names(patient.table)), engine).await?;
    let Some(engine) = found.into_iter().next() else {
        findings.push(expectation.missing(patient.schema));
        return Ok(None);
    };
    let engine = match engine? {
        engine if engine.is_empty() => "that of a view".to_owned(),
        engine => engine,
    };
    if engine != "InnoDB" {
        findings.push(Finding::fault(
            format!("the table's engine is {engine}, which has no transactions"),
            format!("ALTER TABLE {} ENGINE = InnoDB", patient.table.quoted('`', '`')),
        ));
    }
    columns(run, patient.catalogue, patient.table).await.map(Some)
}

fn native_expectation(table: &TableName, format: KeyFormat) -> Expectation<'_> {
    let key = match format {
        KeyFormat::Hashed => "binary(32)",
        KeyFormat::Plain => "varbinary(255)",
    };
    let name = table.quoted('`', '`');
    Expectation {
        dialect: Dialect::Mysql,
        table,
        key: "key",
        columns: vec![
            ExpectedColumn::new("key", key),
            ExpectedColumn::new("payload", "longtext"),
            ExpectedColumn::new("expires_at", "bigint"),
            ExpectedColumn::new("created_at", "bigint"),
            ExpectedColumn::new("version", "bigint"),
            ExpectedColumn::new("principal", "varbinary(255)").nullable(),
            ExpectedColumn::new("destroyed_at", "bigint").nullable(),
            ExpectedColumn::new("rotated", "tinyint"),
        ],
        indexes: vec![
            ExpectedIndex {
                column: "expires_at",
                without: "a purge reads the whole table",
                remedy: format!("ALTER TABLE {name} ADD INDEX expiry (expires_at)"),
            },
            ExpectedIndex {
                column: "principal",
                without: "listing or ending a user's sessions reads the whole table",
                remedy: format!("ALTER TABLE {name} ADD INDEX principal (principal, `key`)"),
            },
        ],
    }
}

fn typeorm_expectation<'a>(table: &'a TableName, names: &'a ConnectTypeorm) -> Expectation<'a> {
    let (name, expired_at) = (table.quoted('`', '`'), names.expired_at());
    Expectation {
        dialect: Dialect::Mysql,
        table,
        key: names.id(),
        columns: vec![
            ExpectedColumn::new(names.id(), "varchar(255)").or(&["varchar", "char"]),
            ExpectedColumn::new(expired_at, "bigint"),
            ExpectedColumn::new(names.json(), "text").or(&["mediumtext", "longtext", "varchar"]),
        ],
        indexes: vec![ExpectedIndex {
            column: expired_at,
            without: "a purge reads the whole table",
            remedy: format!("ALTER TABLE {name} ADD INDEX `{}` (`{expired_at}`)", names.index_name(table)),
        }],
    }
}

fn judge(expectation: &Expectation<'_>, columns: &[Column], indexes: &[FoundIndex]) -> Vec<Finding> {
    let columns: Vec<FoundColumn> = columns.iter().map(|column| column.found.clone()).collect();
    expectation.judge(&columns, indexes)
}

/// With `synchronize` TypeORM undoes what the entity does not say, and empties a column whose type it changes.
const AND_ENTITY: &str = "first say the same in Node's entity";

fn judge_texts(
    columns: &[Column],
    patient: &Patient<'_>,
    names: &ConnectTypeorm,
    findings: &mut Vec<Finding>,
) {
    const SIXTY_FOUR_KIB: u64 = 65_535;
    let name = patient.table.quoted('`', '`');
    if let Some(id) = find(columns, names.id())
        && !id.found.exact
    {
        let collation = match patient.flavor {
            Flavor::Mariadb => "utf8mb4_nopad_bin",
            Flavor::Mysql => "utf8mb4_0900_bin",
        };
        findings.push(Finding::warning(
            format!(
                "the collation {} of the column {} takes different texts for equal: the second of two such ids cannot be \
                 created here, and Node takes it for the first one",
                id.found.collation,
                names.id()
            ),
            format!(
                "ALTER TABLE {name} MODIFY `{}` varchar(255) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL; \
                 {AND_ENTITY}",
                names.id()
            ),
        ));
    }
    let Some(json) = find(columns, names.json()) else { return };
    if !["", "utf8mb4"].contains(&json.charset.as_str()) {
        findings.push(Finding::fault(
            format!("the column {} is in {}, which cannot hold every character", names.json(), json.charset),
            format!(
                "ALTER TABLE {name} MODIFY `{}` text CHARACTER SET utf8mb4 NOT NULL; {AND_ENTITY}",
                names.json()
            ),
        ));
    }
    if json.most_bytes <= SIXTY_FOUR_KIB {
        findings.push(Finding::note(format!(
            "the column {json} holds {} bytes: a larger session is refused; ALTER TABLE {name} MODIFY `{json}` longtext \
             NOT NULL makes room; {AND_ENTITY}",
            json.most_bytes,
            json = names.json()
        )));
    }
}

struct Server {
    version: String,
    largest_packet: i64,
    sql_mode: String,
    read_only: bool,
    isolation: String,
    flush: i64,
    /// The binary log holds statements, not rows.
    logs_statements: bool,
}

async fn server<R: Run>(run: &R, patient: &Patient<'_>) -> Result<Vec<Finding>> {
    let read = |row: &R::Row| {
        R::columns(row, |[version, packet, mode, read_only, isolation, flush, statements]| {
            Ok(Server {
                version: text_or_empty("catalog", version)?,
                largest_packet: value::bigint("max_allowed_packet", packet)?,
                sql_mode: text_or_empty("catalog", mode)?,
                read_only: match read_only {
                    value::Column::Text(word) => word != b"OFF" && word != b"0",
                    number => value::flag("read_only", number)?,
                },
                isolation: text_or_empty("catalog", isolation)?,
                flush: value::bigint("innodb_flush_log_at_trx_commit", flush)?,
                logs_statements: value::flag("binlog_format", statements)?,
            })
        })
    };
    let mut findings: Vec<Finding> = patient.engine.map(Engine::finding).into_iter().collect();
    for server in run.read(patient.catalogue.server(patient.flavor).bind(&[]), read).await? {
        judge_server(&server?, &mut findings);
    }
    findings.extend(server_settings::diagnose(run, &patient.catalogue.settings).await?);
    cluster::diagnose(run, patient.catalogue.cluster.each_ref(), &mut findings).await?;
    if patient.flavor == Flavor::Mysql && patient.engine.is_none() {
        cluster::channels(run, &patient.catalogue.channels, &mut findings).await?;
    }
    Ok(findings)
}

fn judge_server(server: &Server, findings: &mut Vec<Finding>) {
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
    let committed = server.isolation.eq_ignore_ascii_case("READ-COMMITTED");
    if server.logs_statements {
        let advice = "SET GLOBAL binlog_format = 'ROW' (or MIXED), and make the connections anew";
        findings.push(match committed {
            true => Finding::fault(
                "binlog_format is STATEMENT at READ COMMITTED: every write fails with 1665",
                advice,
            ),
            false => Finding::warning(
                "binlog_format is STATEMENT: a purge may remove other rows on a replica than here, and gaps are locked",
                advice,
            ),
        });
    } else if !committed {
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

/// A column, and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) found: FoundColumn,
    pub(super) charset: String,
    pub(super) most_chars: u64,
    pub(super) most_bytes: u64,
}

impl Column {
    fn without_length(mut self) -> Column {
        if let Some((base, _)) = self.found.kind.split_once('(') {
            self.found.kind = base.to_owned();
        }
        self
    }
}

/// The column of this name: in any case, as in MySQL.
pub(super) fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns.iter().find(|column| column.found.name.eq_ignore_ascii_case(name))
}

/// The table's columns; none if there is no table.
pub(super) async fn columns<R: Run>(
    run: &R,
    catalogue: &Catalogue,
    table: &TableName,
) -> Result<Vec<Column>> {
    let read = |row: &R::Row| {
        R::columns(row, |[name, kind, nullable, charset, collation, chars, bytes]| {
            let collation = text_or_empty("catalog", collation)?;
            Ok(Column {
                found: FoundColumn {
                    name: text_or_empty("catalog", name)?,
                    kind: without_width(&text_or_empty("catalog", kind)?),
                    nullable: text_or_empty("catalog", nullable)? == "YES",
                    // Every other collation folds something, if only trailing blanks.
                    exact: collation.is_empty()
                        || collation.ends_with("_nopad_bin")
                        || collation == "utf8mb4_0900_bin",
                    collation,
                },
                charset: text_or_empty("catalog", charset)?,
                most_chars: value::count(value::bigint("catalog", chars)?),
                most_bytes: value::count(value::bigint("catalog", bytes)?),
            })
        })
    };
    run.read(catalogue.columns.bind(&names(table)), read).await?.into_iter().collect()
}

/// A whole number's type as MySQL 8 writes it; MariaDB still shows a width: `bigint(20) unsigned`.
fn without_width(kind: &str) -> String {
    match kind.split_once('(') {
        Some((base, rest)) if base.ends_with("int") => {
            format!("{base}{}", rest.split_once(')').map_or("", |(_, sign)| sign))
        }
        _ => kind.to_owned(),
    }
}

async fn indexes<R: Run>(run: &R, patient: &Patient<'_>) -> Result<Vec<FoundIndex>> {
    let read = |row: &R::Row| {
        R::columns(row, |[columns, unique]| {
            let columns = text_or_empty("catalog", columns)?;
            Ok(FoundIndex {
                columns: columns.split(',').map(str::to_owned).collect(),
                unique: value::flag("catalog", unique)?,
            })
        })
    };
    run.read(patient.catalogue.indexes.bind(&names(patient.table)), read).await?.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_of_a_number_is_no_part_of_its_type_and_its_sign_is() {
        for (kind, expected) in [
            ("bigint(20)", "bigint"),
            ("bigint", "bigint"),
            ("bigint(20) unsigned", "bigint unsigned"),
            ("tinyint(4)", "tinyint"),
            ("binary(32)", "binary(32)"),
            ("longtext", "longtext"),
        ] {
            assert_eq!(without_width(kind), expected);
        }
    }
}
