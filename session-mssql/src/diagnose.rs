//! What is not as it should be in the live database.

use session_core::{Finding, KeyFormat, Result, TableName};

use crate::convert::Cells;
use crate::pool::Database;

/// `@P1` is the table. Of each column: its name, type, length in bytes (-1 for max), whether it takes NULL, its
/// collation, and how many indexes begin with it.
const COLUMNS: &str = "SELECT c.[name], t.[name], CAST(c.[max_length] AS int), CAST(c.[is_nullable] AS int), \
    COALESCE(c.[collation_name], N''), \
    (SELECT COUNT(*) FROM sys.index_columns AS i WHERE i.[object_id] = c.[object_id] \
     AND i.[column_id] = c.[column_id] AND i.[key_ordinal] = 1) \
    FROM sys.columns AS c JOIN sys.types AS t ON t.[user_type_id] = c.[user_type_id] \
    WHERE c.[object_id] = OBJECT_ID(@P1)";

/// `@P1` is the table. The server's version; the database's compatibility level, or 0 on Babelfish, which has none
/// that means anything; and how many triggers the table has.
const SERVER: &str = "SELECT CAST(@@VERSION AS nvarchar(4000)), \
    CASE WHEN SERVERPROPERTY(N'BabelfishVersion') IS NULL \
    THEN (SELECT CAST([compatibility_level] AS int) FROM sys.databases WHERE [name] = DB_NAME()) ELSE 0 END, \
    (SELECT COUNT(*) FROM sys.triggers WHERE [parent_id] = OBJECT_ID(@P1))";

/// A column as a layout has it.
struct Wanted {
    name: &'static str,
    kind: &'static str,
    /// In bytes; -1 for max.
    length: i64,
    /// Byte-exact comparison matters here.
    exact: bool,
    indexed: bool,
}

const fn wanted(name: &'static str, kind: &'static str, length: i64) -> Wanted {
    Wanted { name, kind, length, exact: false, indexed: false }
}

struct Column {
    name: String,
    kind: String,
    length: i64,
    collation: String,
    indexes: i64,
}

pub(crate) async fn native(
    database: &Database,
    table: &TableName,
    format: KeyFormat,
) -> Result<Vec<Finding>> {
    let mut columns = vec![
        wanted("payload", "nvarchar", -1),
        Wanted { indexed: true, ..wanted("expires_at", "bigint", 8) },
        wanted("created_at", "bigint", 8),
        wanted("version", "bigint", 8),
        Wanted { exact: true, indexed: true, ..wanted("principal", "nvarchar", 510) },
        wanted("destroyed_at", "bigint", 8),
    ];
    match format {
        KeyFormat::Hashed => columns.push(Wanted { indexed: true, ..wanted("key", "binary", 32) }),
        KeyFormat::Plain => {
            columns.push(Wanted { exact: true, indexed: true, ..wanted("key", "nvarchar", 510) });
            columns.push(wanted("key_bytes", "smallint", 2));
        }
    }
    check(database, table, &columns).await
}

pub(crate) async fn connect_mssql_v2(database: &Database, table: &TableName) -> Result<Vec<Finding>> {
    let columns = [
        Wanted { indexed: true, ..wanted("sid", "nvarchar", 510) },
        wanted("session", "nvarchar", -1),
        wanted("expires", "datetime", 8),
    ];
    check(database, table, &columns).await
}

async fn check(database: &Database, table: &TableName, wanted: &[Wanted]) -> Result<Vec<Finding>> {
    let name = table.quoted('[', ']');
    let mut findings = server(database, &name).await?;
    let columns = columns(database, &name).await?;
    if columns.is_empty() {
        findings.push(Finding::fault(
            format!("there is no table {name}, or the login may not see it"),
            "call `create_table`, run the statements of `schema_sql`, or name the schema",
        ));
        return Ok(findings);
    }
    for wanted in wanted {
        match columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted.name)) {
            None => findings.push(Finding::fault(
                format!("the table {name} has no column `{}`", wanted.name),
                "compare the table with `schema_sql`",
            )),
            Some(column) => compare(&name, wanted, column, &mut findings),
        }
    }
    Ok(findings)
}

fn compare(table: &str, wanted: &Wanted, column: &Column, findings: &mut Vec<Finding>) {
    let Wanted { name, kind, length, .. } = *wanted;
    if column.kind != kind || column.length != length {
        let length = if length < 0 { "max".to_owned() } else { length.to_string() };
        findings.push(Finding::fault(
            format!("the column `{name}` of {table} is {} with {} bytes", column.kind, column.length),
            format!("make it {kind} with {length} bytes, as in `schema_sql`"),
        ));
    }
    if wanted.exact && !column.collation.to_ascii_lowercase().contains("bin2") {
        findings.push(Finding::fault(
            format!(
                "the column `{name}` of {table} has the collation {}, which folds texts",
                column.collation
            ),
            format!(
                "ALTER TABLE {table} ALTER COLUMN [{name}] … COLLATE Latin1_General_BIN2, as in `schema_sql`"
            ),
        ));
    }
    if wanted.indexed && column.indexes == 0 {
        findings.push(Finding::warning(
            format!("no index of {table} begins with `{name}`, so calls read and lock the whole table"),
            format!("CREATE INDEX [{name}_index] ON {table} ([{name}])"),
        ));
    }
}

async fn columns(database: &Database, table: &str) -> Result<Vec<Column>> {
    let sets = database.read(COLUMNS, &[&table]).await?;
    let rows = sets.into_iter().flatten();
    rows.map(|row| {
        let mut cells = Cells::of(row);
        let (name, kind, length) = (cells.text("name")?, cells.text("type")?, cells.number("length")?);
        cells.number("nullable")?;
        Ok(Column {
            name,
            kind,
            length,
            collation: cells.text("collation")?,
            indexes: cells.number("indexes")?,
        })
    })
    .collect()
}

async fn server(database: &Database, table: &str) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let sets = database.read(SERVER, &[&table]).await?;
    let Some(row) = sets.into_iter().flatten().next() else { return Ok(findings) };
    let mut cells = Cells::of(row);
    let version = cells.text("version")?;
    findings.push(Finding::note(format!("the server is {}", version.lines().next().unwrap_or_default())));
    let level = cells.number("compatibility level")?;
    if level != 0 && level < 130 {
        findings.push(Finding::fault(
            format!("the database has the compatibility level {level}, which has no OPENJSON"),
            "ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130, or higher",
        ));
    }
    if cells.number("triggers")? > 0 {
        findings.push(Finding::fault(
            format!("the table {table} has a trigger, with which the OUTPUT clause does not work"),
            "drop the trigger",
        ));
    }
    Ok(findings)
}
