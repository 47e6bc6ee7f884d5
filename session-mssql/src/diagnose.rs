//! What is not as it should be in the live database.

use session_core::{ConnectTypeorm, Finding, KeyFormat, Result, TableName};

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
struct Wanted<'a> {
    name: &'a str,
    kind: &'static str,
    /// In bytes; -1 for max.
    length: i64,
    /// Byte-exact comparison matters here.
    exact: bool,
    indexed: bool,
}

const fn wanted<'a>(name: &'a str, kind: &'static str, length: i64) -> Wanted<'a> {
    Wanted { name, kind, length, exact: false, indexed: false }
}

pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    length: i64,
    pub(crate) collation: String,
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

/// TypeORM's own types are narrower than ours, and no fault as long as nobody needs more.
pub(crate) async fn connect_typeorm(
    database: &Database,
    table: &TableName,
    names: &ConnectTypeorm,
) -> Result<Vec<Finding>> {
    let name = table.quoted('[', ']');
    let found = columns(database, &name).await?;
    let find = |name: &str| found.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    let is_narrow = |column: &Column| ["varchar", "text"].contains(&column.kind.as_str());
    let id = match find(names.id()) {
        Some(column) if is_narrow(column) => wanted(names.id(), "varchar", 255),
        _ => wanted(names.id(), "nvarchar", 510),
    };
    let json = match find(names.json()) {
        Some(column) if column.kind == "text" => wanted(names.json(), "text", 16),
        Some(column) if is_narrow(column) => wanted(names.json(), "varchar", -1),
        _ => wanted(names.json(), "nvarchar", -1),
    };
    let expired_at = wanted(names.expired_at(), "bigint", 8);
    let wanted = [Wanted { indexed: true, ..id }, Wanted { indexed: true, ..expired_at }, json];
    let mut findings = check(database, table, &wanted).await?;
    for column in [names.id(), names.json()].into_iter().filter_map(find).filter(|column| is_narrow(column)) {
        findings.push(Finding::warning(
            format!(
                "the column `{}` of {name} holds the characters of the code page of {} alone, and others are refused",
                column.name, column.collation
            ),
            format!("ALTER TABLE {name} ALTER COLUMN [{}] nvarchar, as in `schema_sql`", column.name),
        ));
    }
    if let Some(column) = find(names.id()).filter(|column| !is_exact(column)) {
        findings.push(Finding::warning(
            format!(
                "the column `{}` of {name} has the collation {}, by which a Node application takes ids for one \
                 another that differ in case",
                column.name, column.collation
            ),
            format!(
                "ALTER TABLE {name} ALTER COLUMN [{}] … COLLATE Latin1_General_BIN2, as in `schema_sql`",
                column.name
            ),
        ));
    }
    if !found.is_empty() && find(names.destroyed_at()).is_none() {
        findings.push(Finding::note(format!(
            "the table {name} has no column `{}`: destroyed sessions are removed, and a Node application can bring \
             one back",
            names.destroyed_at()
        )));
    }
    Ok(findings)
}

fn is_exact(column: &Column) -> bool {
    column.collation.to_ascii_lowercase().contains("bin2")
}

async fn check(database: &Database, table: &TableName, wanted: &[Wanted<'_>]) -> Result<Vec<Finding>> {
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

fn compare(table: &str, wanted: &Wanted<'_>, column: &Column, findings: &mut Vec<Finding>) {
    let Wanted { name, kind, length, .. } = *wanted;
    if column.kind != kind || column.length != length {
        let length = if length < 0 { "max".to_owned() } else { length.to_string() };
        findings.push(Finding::fault(
            format!("the column `{name}` of {table} is {} with {} bytes", column.kind, column.length),
            format!("make it {kind} with {length} bytes, as in `schema_sql`"),
        ));
    }
    if wanted.exact && !is_exact(column) {
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

/// The table's columns; none if it is not there.
pub(crate) async fn columns(database: &Database, table: &str) -> Result<Vec<Column>> {
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
