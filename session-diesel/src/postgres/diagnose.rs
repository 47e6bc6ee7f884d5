//! What the live table and server lack.

use session_core::{Finding, KeyFormat, Result, TableName};

use super::ddl::{self, SLOT_MILLIS};
use super::query::{Bind, PgRow, columns};
use super::statements;
use super::store::PostgresStore;
use crate::convert::{self, Value};

/// The quoted names of the table and its two indexes.
pub(super) fn relations(table: &TableName) -> [String; 3] {
    let quoted = |name: String| match table.schema() {
        Some(schema) => format!("\"{schema}\".\"{name}\""),
        None => format!("\"{name}\""),
    };
    [quoted(table.table().to_owned()), quoted(ddl::expiry_index(table)), quoted(ddl::principal_index(table))]
}

pub(super) async fn diagnose(store: &PostgresStore) -> Result<Vec<Finding>> {
    let name = store.table.quoted('"', '"');
    let name = [Bind::Text(&name)];
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
    judge_table(&table?, store, &mut findings);
    let columns = connections.read(statements::COLUMNS, &name, column).await?;
    judge_columns(&columns.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    let indexes = connections.read(statements::INDEXES, &name, index).await?;
    judge_indexes(&indexes.into_iter().collect::<Result<Vec<_>>>()?, store, &mut findings);
    Ok(findings)
}

pub(super) struct Server {
    version_number: i64,
    version: String,
    encoding: String,
    messages: String,
    isolation: String,
    standby: bool,
    synchronous_commit: String,
}

pub(super) fn server(row: &PgRow) -> Result<Server> {
    columns(row, |[number, version, encoding, messages, isolation, standby, commit]| {
        Ok(Server {
            version_number: convert::bigint("server_version_num", number)?,
            version: text(version)?,
            encoding: text(encoding)?,
            messages: text(messages)?,
            isolation: text(isolation)?,
            standby: flag(standby)?,
            synchronous_commit: text(commit)?,
        })
    })
}

pub(super) fn judge_server(server: &Server, findings: &mut Vec<Finding>) {
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
    if !["", "C", "POSIX", "en"].contains(&language) {
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
    persistence: String,
    options: String,
    updates: i64,
    hot_updates: i64,
    kind: String,
    pub(super) granted: bool,
}

pub(super) fn table(row: &PgRow) -> Result<Table> {
    columns(row, |[persistence, options, updates, hot_updates, kind, granted]| {
        Ok(Table {
            persistence: text(persistence)?,
            options: match options {
                Value::Null => String::new(),
                options => text(options)?,
            },
            updates: convert::bigint("n_tup_upd", updates)?,
            hot_updates: convert::bigint("n_tup_hot_upd", hot_updates)?,
            kind: text(kind)?,
            granted: flag(granted)?,
        })
    })
}

fn judge_table(table: &Table, store: &PostgresStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('"', '"');
    if !table.granted {
        findings.push(Finding::fault(
            "the user may not read and write the table",
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO the user"),
        ));
    }
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

pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) not_null: bool,
    pub(super) collation: String,
    pub(super) exact: bool,
    pub(super) generated: String,
}

pub(super) fn column(row: &PgRow) -> Result<Column> {
    columns(row, |[name, kind, not_null, collation, exact, generated]| {
        Ok(Column {
            name: text(name)?,
            kind: text(kind)?,
            not_null: flag(not_null)?,
            collation: text(collation)?,
            exact: flag(exact)?,
            generated: text(generated)?,
        })
    })
}

fn judge_columns(columns: &[Column], store: &PostgresStore, findings: &mut Vec<Finding>) {
    let name = store.table.quoted('"', '"');
    let key = match store.format {
        KeyFormat::Hashed => "bytea",
        KeyFormat::Plain => "text",
    };
    let expected = [
        ("key", key, true),
        ("payload", "text", true),
        ("expires_at", "bigint", true),
        ("created_at", "bigint", true),
        ("version", "bigint", true),
        ("principal", "text", false),
        ("destroyed_at", "bigint", false),
        ("expiry_slot", "bigint", true),
    ];
    for (wanted, kind, not_null) in expected {
        let Some(column) = columns.iter().find(|column| column.name == wanted) else {
            findings.push(Finding::fault(
                format!("the column {wanted} is missing"),
                format!("ALTER TABLE {name} ADD COLUMN {wanted} {kind}, as it stands in `schema_sql`"),
            ));
            continue;
        };
        if column.kind != kind {
            findings.push(Finding::fault(
                format!("the column {wanted} is {}, not {kind}", column.kind),
                format!("ALTER TABLE {name} ALTER COLUMN {wanted} TYPE {kind}"),
            ));
        }
        if not_null && !column.not_null {
            findings.push(Finding::warning(
                format!("the column {wanted} may be NULL, which makes a session unreadable"),
                format!("ALTER TABLE {name} ALTER COLUMN {wanted} SET NOT NULL"),
            ));
        }
        if !column.exact {
            findings.push(Finding::fault(
                format!(
                    "the collation {} of column {wanted} takes different texts for equal",
                    column.collation
                ),
                format!("ALTER TABLE {name} ALTER COLUMN {wanted} TYPE {kind} COLLATE \"C\""),
            ));
        } else if column.kind == "text" && wanted != "payload" && column.collation != "C" {
            findings.push(Finding::warning(
                format!("the column {wanted} has the collation {}, which is slower than C", column.collation),
                format!("ALTER TABLE {name} ALTER COLUMN {wanted} TYPE {kind} COLLATE \"C\""),
            ));
        }
        if wanted == "expiry_slot" && !column.generated.contains(&SLOT_MILLIS.to_string()) {
            findings.push(Finding::fault(
                "the column expiry_slot is not generated from expires_at as this version divides it, so that purges miss rows",
                format!("drop it, and add it as it stands in `schema_sql`: expires_at / {SLOT_MILLIS}"),
            ));
        }
    }
}

pub(super) struct Index {
    pub(super) columns: String,
    pub(super) primary: bool,
}

pub(super) fn index(row: &PgRow) -> Result<Index> {
    columns(row, |[columns, primary]| {
        Ok(Index {
            columns: match columns {
                Value::Null => String::new(),
                columns => text(columns)?,
            },
            primary: flag(primary)?,
        })
    })
}

fn judge_indexes(indexes: &[Index], store: &PostgresStore, findings: &mut Vec<Finding>) {
    if !indexes.iter().any(|index| index.primary && index.columns == "key") {
        findings.push(Finding::fault(
            "the primary key is not the column key alone, so that two sessions can have one key",
            format!("ALTER TABLE {} ADD PRIMARY KEY (key)", store.table.quoted('"', '"')),
        ));
    }
    let begins = |column: &str| indexes.iter().any(|index| index.columns.split(',').next() == Some(column));
    for (column, without) in
        [("expiry_slot", "a purge"), ("principal", "listing or ending a user's sessions")]
    {
        if !begins(column) {
            findings.push(Finding::warning(
                format!("there is no index on {column}: {without} reads the whole table"),
                "call `create_table`, which makes what is missing",
            ));
        }
    }
    if indexes.iter().any(|index| index.columns.split(',').any(|column| column == "expires_at")) {
        findings.push(Finding::warning(
            "there is an index on expires_at: every touch writes every index (no update is HOT)",
            "drop it; purges use the one on expiry_slot",
        ));
    }
}

fn text(value: Value<'_>) -> Result<String> {
    convert::text("catalog", value).map(str::to_owned)
}

fn flag(value: Value<'_>) -> Result<bool> {
    convert::bigint("catalog", value).map(|flag| flag != 0)
}
