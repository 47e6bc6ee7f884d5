//! What the live table and server lack.

use std::sync::LazyLock;

use session_core::{ErrorKind, Finding, Result, TableName};
use session_sql::value::{bigint, flag, text, text_or_empty};
use session_sql::{Expectation, FoundColumn, FoundIndex, Statement};

use crate::run::Connections;
use crate::shared::{quoted_table, statement};

/// Of each column: its name, type, length in bytes (-1 for max), whether it takes NULL, and its collation.
static COLUMNS: LazyLock<Statement> = LazyLock::new(|| {
    statement(
        "SELECT c.[name], t.[name], CAST(c.[max_length] AS int), CAST(c.[is_nullable] AS int), c.[collation_name] \
         FROM sys.columns AS c JOIN sys.types AS t ON t.[user_type_id] = c.[user_type_id] \
         WHERE c.[object_id] = OBJECT_ID(:table)",
    )
});

/// Of each column of an index: the index's number, whether it is unique, and the column's name, in their order.
static INDEXES: LazyLock<Statement> = LazyLock::new(|| {
    statement(
        "SELECT CAST(i.[index_id] AS int), CAST(i.[is_unique] AS int), c.[name] \
         FROM sys.indexes AS i \
         JOIN sys.index_columns AS k ON k.[object_id] = i.[object_id] AND k.[index_id] = i.[index_id] \
         JOIN sys.columns AS c ON c.[object_id] = k.[object_id] AND c.[column_id] = k.[column_id] \
         WHERE i.[object_id] = OBJECT_ID(:table) AND k.[key_ordinal] > 0 \
         ORDER BY i.[index_id], k.[key_ordinal]",
    )
});

/// The server's version; the database's compatibility level, or 0 on Babelfish, which has none that means anything; and
/// how many triggers the table has.
static SERVER: LazyLock<Statement> = LazyLock::new(|| {
    statement(
        "SELECT CAST(@@VERSION AS nvarchar(4000)), \
         CASE WHEN SERVERPROPERTY(N'BabelfishVersion') IS NULL \
         THEN (SELECT CAST([compatibility_level] AS int) FROM sys.databases WHERE [name] = DB_NAME()) ELSE 0 END, \
         (SELECT COUNT(*) FROM sys.triggers WHERE [parent_id] = OBJECT_ID(:table))",
    )
});

/// Of the database: whether it only reads; whether readers wait for writers; whether commits may be acknowledged before they
/// are on the disk, and closing it between two users; and the isolation of this connection, 2 for READ COMMITTED.
static DATABASE: LazyLock<Statement> = LazyLock::new(|| {
    statement(
        "SELECT CASE WHEN CAST(DATABASEPROPERTYEX(DB_NAME(), N'Updateability') AS nvarchar(20)) = N'READ_ONLY' \
         OR d.[is_read_only] = 1 THEN 1 ELSE 0 END, \
         CAST(d.[is_read_committed_snapshot_on] AS int), CAST(d.[delayed_durability] AS int), \
         CAST(d.[is_auto_close_on] AS int), \
         COALESCE((SELECT CAST(s.[transaction_isolation_level] AS int) FROM sys.dm_exec_sessions AS s \
         WHERE s.[session_id] = @@SPID), 2) \
         FROM sys.databases AS d WHERE d.[name] = DB_NAME()",
    )
});

/// What a doctor looks at.
pub(crate) struct Patient<'a> {
    pub(crate) expectation: Expectation<'a>,
    /// What would make the table.
    pub(crate) schema: &'a str,
    /// A column that holds the length of the key, which is in the key's index, and makes two keys no more different than
    /// they are: `=` is blind to blanks at the end.
    pub(crate) length_column: Option<&'a str>,
}

/// Reads only. `besides` is what the layout has to say of the columns.
pub(crate) async fn diagnose(
    run: &Connections,
    patient: &Patient<'_>,
    besides: impl FnOnce(&[FoundColumn]) -> Vec<Finding>,
) -> Result<Vec<Finding>> {
    let expectation = &patient.expectation;
    let mut findings = server(run, expectation.table).await?;
    let columns = columns(run, expectation.table).await?;
    if columns.is_empty() {
        findings.push(expectation.missing(patient.schema));
        return Ok(findings);
    }
    let indexes = indexes(run, expectation.table, patient.length_column).await?;
    findings.extend(expectation.judge(&columns, &indexes));
    findings.extend(besides(&columns));
    Ok(findings)
}

/// The table's columns; none if it is not there, or the login may not see it.
pub(crate) async fn columns(run: &Connections, table: &TableName) -> Result<Vec<FoundColumn>> {
    let table = quoted_table(table);
    let sets = run.read(COLUMNS.bind(&[("table", table.as_str().into())])).await?;
    let rows = sets.iter().flatten();
    rows.map(|row| {
        let [name, kind, length, nullable, collation] = row.columns();
        let collation = text_or_empty("collation_name", collation)?;
        Ok(FoundColumn {
            name: text("name", name)?.to_owned(),
            kind: spelled(text("name", kind)?, bigint("max_length", length)?),
            nullable: flag("is_nullable", nullable)?,
            exact: collation.to_ascii_lowercase().contains("bin2"),
            collation,
        })
    })
    .collect()
}

/// A type as it stands in a CREATE TABLE.
fn spelled(kind: &str, bytes: i64) -> String {
    let length = match kind {
        "nvarchar" | "nchar" => bytes / 2,
        "varchar" | "char" | "varbinary" | "binary" => bytes,
        _ => return kind.to_owned(),
    };
    if bytes < 0 { format!("{kind}(max)") } else { format!("{kind}({length})") }
}

async fn indexes(
    run: &Connections,
    table: &TableName,
    length_column: Option<&str>,
) -> Result<Vec<FoundIndex>> {
    let table = quoted_table(table);
    let sets = run.read(INDEXES.bind(&[("table", table.as_str().into())])).await?;
    let mut indexes: Vec<(i64, FoundIndex)> = Vec::new();
    for row in sets.iter().flatten() {
        let [number, unique, column] = row.columns();
        let (number, unique) = (bigint("index_id", number)?, flag("is_unique", unique)?);
        if indexes.last().is_none_or(|(last, _)| *last != number) {
            indexes.push((number, FoundIndex { columns: Vec::new(), unique }));
        }
        let column = text("name", column)?;
        let is_length = length_column.is_some_and(|length| length.eq_ignore_ascii_case(column));
        if let Some((_, index)) = indexes.last_mut().filter(|_| !is_length) {
            index.columns.push(column.to_owned());
        }
    }
    Ok(indexes.into_iter().map(|(_, index)| index).collect())
}

async fn server(run: &Connections, table: &TableName) -> Result<Vec<Finding>> {
    let name = quoted_table(table);
    let mut findings = Vec::new();
    let row = run.read_for_row(SERVER.bind(&[("table", name.as_str().into())])).await?;
    let Some(row) = row else { return Ok(findings) };
    let [version, level, triggers] = row.columns();
    let version = text("version", version)?;
    findings.push(Finding::note(format!("the server is {}", version.lines().next().unwrap_or_default())));
    let level = bigint("compatibility_level", level)?;
    if level != 0 && level < 130 {
        findings.push(Finding::fault(
            format!("the database has the compatibility level {level}, which has no OPENJSON"),
            "ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 130, or higher",
        ));
    }
    if bigint("triggers", triggers)? > 0 {
        findings.push(Finding::fault(
            format!("the table {name} has a trigger, with which the OUTPUT clause does not work"),
            "drop the trigger",
        ));
    }
    findings.extend(database(run, level == 0).await?);
    Ok(findings)
}

/// What is said of the database alone.
async fn database(run: &Connections, is_babelfish: bool) -> Result<Vec<Finding>> {
    let row = match run.read_for_row(DATABASE.bind(&[])).await {
        // Whether it has all of the catalogue depends on its version.
        Err(error) if is_babelfish && error.kind() == ErrorKind::Backend => return Ok(Vec::new()),
        row => row?,
    };
    let Some(row) = row else { return Ok(Vec::new()) };
    let [read_only, snapshot, durability, auto_close, isolation] = row.columns();
    Ok(judge_database(&Database {
        read_only: flag("is_read_only", read_only)?,
        // Babelfish's readers never wait, whatever it says.
        snapshot: is_babelfish || flag("is_read_committed_snapshot_on", snapshot)?,
        durability: bigint("delayed_durability", durability)?,
        auto_close: flag("is_auto_close_on", auto_close)?,
        isolation: bigint("transaction_isolation_level", isolation)?,
    }))
}

struct Database {
    read_only: bool,
    snapshot: bool,
    durability: i64,
    auto_close: bool,
    isolation: i64,
}

fn judge_database(database: &Database) -> Vec<Finding> {
    let mut findings = Vec::new();
    if database.read_only {
        findings.push(Finding::fault(
            "the database only reads: every write fails with 3906",
            "connect to the primary replica, without ApplicationIntent=ReadOnly, or ALTER DATABASE CURRENT SET READ_WRITE",
        ));
    }
    if !database.snapshot {
        findings.push(Finding::note(
            "READ_COMMITTED_SNAPSHOT is off: loads and listings wait for writers; \
             ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON",
        ));
    }
    // 1 is ALLOWED, which a transaction has to ask for, and ours do not.
    if database.durability == 2 {
        findings.push(Finding::note(
            "DELAYED_DURABILITY is FORCED: the last sessions before a crash of the server are lost; \
             ALTER DATABASE CURRENT SET DELAYED_DURABILITY = DISABLED",
        ));
    }
    if database.auto_close {
        findings.push(Finding::warning(
            "AUTO_CLOSE is on: the first call after a rest waits until the database has started",
            "ALTER DATABASE CURRENT SET AUTO_CLOSE OFF",
        ));
    }
    if ![0, 2].contains(&database.isolation) {
        findings.push(Finding::warning(
            "transactions are not READ COMMITTED: different sessions lock one another, or end in conflicts",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED on the connections of the pool",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    #[test]
    fn each_wrong_setting_of_the_database_is_a_finding() {
        let right =
            || Database { read_only: false, snapshot: true, durability: 1, auto_close: false, isolation: 2 };
        assert_eq!(judge_database(&right()), []);
        for (database, part, severity) in [
            (Database { read_only: true, ..right() }, "only reads", Severity::Fault),
            (Database { snapshot: false, ..right() }, "READ_COMMITTED_SNAPSHOT", Severity::Note),
            (Database { durability: 2, ..right() }, "DELAYED_DURABILITY", Severity::Note),
            (Database { auto_close: true, ..right() }, "AUTO_CLOSE", Severity::Warning),
            (Database { isolation: 4, ..right() }, "READ COMMITTED", Severity::Warning),
        ] {
            let found = judge_database(&database);
            assert!(found.len() == 1 && found[0].what.contains(part), "{part}: {found:?}");
            assert_eq!(found[0].severity, severity, "{part}");
        }
    }

    #[test]
    fn a_type_is_spelled_as_it_is_made() {
        for (kind, bytes, spelling) in [
            ("nvarchar", 510, "nvarchar(255)"),
            ("nvarchar", -1, "nvarchar(max)"),
            ("varchar", 255, "varchar(255)"),
            ("binary", 32, "binary(32)"),
            ("text", 16, "text"),
            ("bigint", 8, "bigint"),
        ] {
            assert_eq!(spelled(kind, bytes), spelling);
        }
    }
}
