//! What the live table and server lack, whatever the layout.

use session_core::{Finding, Result, TableName};

use super::catalogue::Catalogue;
use super::server_settings;
use crate::value::{flag, text_or_empty};
use crate::{Expectation, FoundColumn, FoundIndex, Run, value};

/// The table as it is.
pub(super) struct Found {
    pub(super) table: Table,
    pub(super) columns: Vec<Column>,
    pub(super) indexes: Vec<FoundIndex>,
}

/// Compares the server and the table with what they should be. `besides` is what the layout says of a table that is
/// there.
pub(super) async fn diagnose<R: Run>(
    run: &R,
    catalogue: &Catalogue,
    expectation: &Expectation<'_>,
    schema: &str,
    besides: impl FnOnce(&Found) -> Vec<Finding> + Send,
) -> Result<Vec<Finding>> {
    let mut findings = server(run, catalogue).await?;
    findings.extend(server_settings::diagnose(run, &catalogue.settings).await?);
    let Some(table) = found_table(run, catalogue, expectation.table).await? else {
        findings.push(expectation.missing(schema));
        return Ok(findings);
    };
    let columns = columns(run, catalogue, expectation.table).await?;
    let indexes = indexes(run, catalogue, expectation.table).await?;
    let found = Found { table, columns, indexes };
    if !found.table.granted {
        let name = expectation.table.quoted('"', '"');
        findings.push(Finding::fault(
            "the user may not read and write the table",
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO the user"),
        ));
    }
    judge_table(&found.table, expectation.table, &mut findings);
    let columns: Vec<FoundColumn> = found.columns.iter().map(|column| column.found.clone()).collect();
    findings.extend(expectation.judge(&columns, &found.indexes));
    findings.extend(besides(&found));
    Ok(findings)
}

async fn server<R: Run>(run: &R, catalogue: &Catalogue) -> Result<Vec<Finding>> {
    let read = |row: &R::Row| {
        R::columns(row, |[number, version, encoding, messages, isolation, standby, commit]| {
            Ok(Server {
                version_number: value::bigint("server_version_num", number)?,
                version: catalog_text(version)?,
                encoding: catalog_text(encoding)?,
                messages: catalog_text(messages)?,
                isolation: catalog_text(isolation)?,
                standby: flag("catalog", standby)?,
                synchronous_commit: catalog_text(commit)?,
            })
        })
    };
    let mut findings = Vec::new();
    for server in run.read(catalogue.server.bind(&[]), read).await? {
        judge_server(&server?, run.gives_codes(), &mut findings);
    }
    Ok(findings)
}

struct Server {
    version_number: i64,
    version: String,
    encoding: String,
    messages: String,
    isolation: String,
    standby: bool,
    synchronous_commit: String,
}

fn judge_server(server: &Server, gives_codes: bool, findings: &mut Vec<Finding>) {
    findings.push(Finding::note(format!("the server is PostgreSQL {}", server.version)));
    if server.version_number < 120_000 {
        findings.push(Finding::fault(
            "the server is older than PostgreSQL 12, which first had generated columns",
            "upgrade the server",
        ));
    }
    if server.encoding != "UTF8" {
        findings.push(Finding::fault(
            format!("the database's encoding is {}, which cannot hold every character", server.encoding),
            "make a database with ENCODING 'UTF8'",
        ));
    }
    if server.standby {
        findings.push(Finding::fault(
            "the server is a standby, which takes no writes",
            "name every host in the URL, and add target_session_attrs=read-write",
        ));
    }
    if server.isolation != "read committed" {
        findings.push(Finding::warning(
            format!(
                "transactions are {}: concurrent writes of one session end in conflicts",
                server.isolation
            ),
            "set default_transaction_isolation to 'read committed' for this user",
        ));
    }
    let language = server.messages.split(['.', '_']).next().unwrap_or_default();
    if !gives_codes && !["", "C", "POSIX", "en"].contains(&language) {
        findings.push(Finding::warning(
            format!("the server's messages are in {}, so that errors cannot be told apart", server.messages),
            "set lc_messages to 'C' for this user",
        ));
    }
    if server.synchronous_commit == "off" {
        findings.push(Finding::note(
            "synchronous_commit is off: the last sessions before a crash of the server are lost",
        ));
    }
}

pub(super) struct Table {
    pub(super) persistence: String,
    pub(super) options: String,
    pub(super) updates: i64,
    pub(super) hot_updates: i64,
    pub(super) kind: String,
    granted: bool,
    hides_rows: bool,
    /// Triggers and rules.
    strangers: i64,
}

/// What others have made of the table, whatever the layout.
fn judge_table(table: &Table, name: &TableName, findings: &mut Vec<Finding>) {
    let name = name.quoted('"', '"');
    if table.hides_rows {
        findings.push(Finding::fault(
            "row-level security hides rows of the table from this user: a session that is there is not found",
            format!("ALTER TABLE {name} DISABLE ROW LEVEL SECURITY, or grant the user BYPASSRLS"),
        ));
    }
    if table.strangers > 0 {
        findings.push(Finding::warning(
            format!(
                "the table has {} triggers or rules, which run with each write, and may change it",
                table.strangers
            ),
            "drop them, or see that they change no row of the table and never fail",
        ));
    }
    let is_kept = |option: &str| {
        !option
            .strip_prefix("autovacuum_enabled=")
            .is_some_and(|on| ["false", "off", "0", "no"].contains(&on))
    };
    if !table.options.split(',').all(is_kept) {
        findings.push(Finding::warning(
            "autovacuum is switched off for the table: touches and purges leave dead rows, and it grows without end",
            format!("ALTER TABLE {name} RESET (autovacuum_enabled)"),
        ));
    }
}

async fn found_table<R: Run>(run: &R, catalogue: &Catalogue, table: &TableName) -> Result<Option<Table>> {
    let read = |row: &R::Row| {
        R::columns(
            row,
            |[persistence, options, updates, hot_updates, kind, granted, hides_rows, strangers]| {
                Ok(Table {
                    persistence: catalog_text(persistence)?,
                    options: catalog_text(options)?,
                    updates: value::bigint("n_tup_upd", updates)?,
                    hot_updates: value::bigint("n_tup_hot_upd", hot_updates)?,
                    kind: catalog_text(kind)?,
                    granted: flag("catalog", granted)?,
                    hides_rows: flag("catalog", hides_rows)?,
                    strangers: value::bigint("catalog", strangers)?,
                })
            },
        )
    };
    let name = table.quoted('"', '"');
    let name = [("table", name.as_str().into())];
    run.read(catalogue.table.bind(&name), read).await?.into_iter().next().transpose()
}

/// A column, and what it is generated from.
pub(super) struct Column {
    pub(super) found: FoundColumn,
    pub(super) generated: String,
}

pub(super) async fn columns<R: Run>(
    run: &R,
    catalogue: &Catalogue,
    table: &TableName,
) -> Result<Vec<Column>> {
    let read = |row: &R::Row| {
        R::columns(row, |[name, kind, not_null, collation, exact, generated]| {
            let kind = catalog_text(kind)?;
            Ok(Column {
                found: FoundColumn {
                    name: catalog_text(name)?,
                    // The length stands apart: `character varying(255)`.
                    kind: kind.split('(').next().unwrap_or_default().to_owned(),
                    nullable: !flag("catalog", not_null)?,
                    collation: catalog_text(collation)?,
                    exact: flag("catalog", exact)?,
                },
                generated: catalog_text(generated)?,
            })
        })
    };
    let name = table.quoted('"', '"');
    let name = [("table", name.as_str().into())];
    run.read(catalogue.columns.bind(&name), read).await?.into_iter().collect()
}

async fn indexes<R: Run>(run: &R, catalogue: &Catalogue, table: &TableName) -> Result<Vec<FoundIndex>> {
    let read = |row: &R::Row| {
        R::columns(row, |[columns, unique]| {
            let columns = catalog_text(columns)?.split(',').map(str::to_owned).collect();
            Ok(FoundIndex { columns, unique: flag("catalog", unique)? })
        })
    };
    let name = table.quoted('"', '"');
    let name = [("table", name.as_str().into())];
    run.read(catalogue.indexes.bind(&name), read).await?.into_iter().collect()
}

fn catalog_text(column: value::Column<'_>) -> Result<String> {
    text_or_empty("catalog", column)
}
