//! What is not as a store needs it, whatever the layout.

use session_core::{Finding, Result};

use super::{Answer, Layout, Step};
use crate::value::{Column, bigint, flag, text, text_or_empty};
use crate::{Dialect, FoundColumn, FoundIndex, Statement};

/// What is wrong with the table, and with the database that it is in. Reads only. Every finding has a remedy.
///
/// # Errors
/// Those of the statements.
pub async fn diagnose<S: Step>(db: &mut S, layout: &Layout) -> Answer<Vec<Finding>, S> {
    let mut findings = Vec::new();
    let table = layout.table().table();
    let columns = columns(db, table).await?;
    if columns.is_empty() {
        findings.push(layout.expectation().missing(layout.schema_sql()));
    } else {
        findings.extend(layout.expectation().judge(&columns, &indexes(db, table).await?));
        findings.extend(layout.judge(&columns));
        check_triggers(db, table, &mut findings).await?;
    }
    check_integrity(db, &mut findings).await?;
    Ok(findings)
}

/// What is wrong with the settings of a connection that others opened. Reads only.
///
/// # Errors
/// Those of the statements.
pub async fn settings<S: Step>(db: &mut S) -> Answer<Vec<Finding>, S> {
    let mode =
        pragma(db, "PRAGMA journal_mode", |mode| text("journal_mode", mode).map(str::to_owned)).await?;
    let synchronous = pragma(db, "PRAGMA synchronous", |level| bigint("synchronous", level)).await?;
    let patience = pragma(db, "PRAGMA busy_timeout", |millis| bigint("busy_timeout", millis)).await?;
    let only_reads = pragma(db, "PRAGMA query_only", |only| flag("query_only", only)).await?;
    Ok(judge_settings(&mode.unwrap_or_default(), synchronous, patience, only_reads))
}

async fn pragma<S: Step, T: Send>(
    db: &mut S,
    sql: &'static str,
    read: impl Fn(Column<'_>) -> Result<T> + Send + Sync,
) -> Answer<Option<T>, S> {
    let sql = Statement::new(Dialect::Sqlite, sql);
    db.first(sql.bind(&[]), |row| S::columns(row, |[value]| read(value))).await
}

fn judge_settings(
    mode: &str,
    synchronous: Option<i64>,
    patience: Option<i64>,
    only_reads: Option<bool>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What is in memory has no log, and nothing that a power failure could damage.
    let in_memory = mode == "memory";
    if !in_memory && mode != "wal" {
        findings.push(Finding::warning(
            format!("the journal mode is \"{mode}\": readers and the writer wait for each other"),
            "open the file with journal_mode = WAL",
        ));
    }
    match synchronous {
        Some(0) if !in_memory => findings.push(Finding::warning(
            "synchronous is OFF: a power failure may damage the database",
            "open the file with synchronous = FULL",
        )),
        Some(1) if !in_memory => {
            findings.push(Finding::note("synchronous is NORMAL: a power failure may undo the last commits"));
        }
        _ => {}
    }
    if patience == Some(0) {
        findings.push(Finding::warning(
            "busy_timeout is 0: a call fails at once where another connection holds the lock",
            "open the file with a busy_timeout just below the deadline of a call, such as 4 seconds",
        ));
    }
    if only_reads == Some(true) {
        findings.push(Finding::fault(
            "query_only is on: nothing can be written over this connection",
            "switch it off, or give the store a pool of its own",
        ));
    }
    findings
}

/// Whether anybody is there: reads the file's header.
///
/// # Errors
/// Those of the statement.
pub async fn look<S: Step>(db: &mut S) -> Answer<(), S> {
    let sql = Statement::new(Dialect::Sqlite, "SELECT schema_version FROM pragma_schema_version");
    db.first(sql.bind(&[]), |_| Ok(())).await.map(drop)
}

/// The columns of a table; none if it is not there.
///
/// # Errors
/// Those of the statement.
pub async fn columns<S: Step>(db: &mut S, table: &str) -> Answer<Vec<FoundColumn>, S> {
    let sql = Statement::new(
        Dialect::Sqlite,
        // The least of the collations is not BINARY if one is not; SQLite tells that of a column in an index alone.
        "SELECT col.name, col.type, col.\"notnull\" = 0 AND col.pk = 0,
             (SELECT min(info.coll) FROM pragma_index_list(:table) AS list, pragma_index_xinfo(list.name) AS info
              WHERE info.seqno = 0 AND info.name = col.name AND info.coll <> 'BINARY')
         FROM pragma_table_info(:table) AS col",
    );
    let read = |row: &S::Row<'_>| {
        S::columns(row, |[name, declared, nullable, collation]| {
            let collation = text_or_empty("coll", collation)?;
            Ok(FoundColumn {
                name: text("name", name)?.to_owned(),
                kind: affinity(&text_or_empty("type", declared)?).to_owned(),
                nullable: flag("notnull", nullable)?,
                exact: collation.is_empty(),
                collation,
            })
        })
    };
    db.all(sql.bind(&[("table", table.into())]), read).await
}

async fn indexes<S: Step>(db: &mut S, table: &str) -> Answer<Vec<FoundIndex>, S> {
    let sql = Statement::new(
        Dialect::Sqlite,
        // An expression has no name.
        "SELECT list.\"unique\" AND NOT list.partial, (
             SELECT group_concat(name) FROM (
                 SELECT coalesce(name, '') AS name FROM pragma_index_info(list.name) ORDER BY seqno))
         FROM pragma_index_list(:table) AS list",
    );
    let read = |row: &S::Row<'_>| {
        S::columns(row, |[unique, columns]| {
            // No column of ours has a comma in its name.
            let columns = text("name", columns)?.split(',').map(str::to_owned).collect();
            Ok(FoundIndex { columns, unique: flag("unique", unique)? })
        })
    };
    db.all(sql.bind(&[("table", table.into())]), read).await
}

async fn check_triggers<S: Step>(db: &mut S, table: &str, findings: &mut Vec<Finding>) -> Answer<(), S> {
    let sql = Statement::new(
        Dialect::Sqlite,
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table COLLATE NOCASE",
    );
    let read = |row: &S::Row<'_>| S::columns(row, |[count]| bigint("count", count));
    let count = db.first(sql.bind(&[("table", table.into())]), read).await?.unwrap_or(0);
    if count > 0 {
        findings.push(Finding::warning(
            format!("the table has {count} triggers, which run with each write, and may change it"),
            "drop them, or see that they change no row of the table and never fail",
        ));
    }
    Ok(())
}

async fn check_integrity<S: Step>(db: &mut S, findings: &mut Vec<Finding>) -> Answer<(), S> {
    let size = Statement::new(
        Dialect::Sqlite,
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    );
    let bytes = db.first(size.bind(&[]), |row| S::columns(row, |[bytes]| bigint("bytes", bytes))).await?;
    // Beyond this the check takes seconds.
    if bytes.unwrap_or(0) > 256 << 20 {
        return Ok(());
    }
    let check = Statement::new(Dialect::Sqlite, "PRAGMA quick_check(1)");
    let read =
        |row: &S::Row<'_>| S::columns(row, |[verdict]| text("quick_check", verdict).map(str::to_owned));
    let verdict = db.first(check.bind(&[]), read).await?.unwrap_or_default();
    if verdict != "ok" {
        findings.push(Finding::fault(
            format!("the database is damaged: {verdict}"),
            "stop the application, then restore a backup or use sqlite3's `.recover`",
        ));
    }
    Ok(())
}

/// What SQLite makes of a declared type: the rules of
/// <https://sqlite.org/datatype3.html#determination_of_column_affinity>, in their order.
fn affinity(declared: &str) -> &'static str {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        "INTEGER"
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        "TEXT"
    } else if declared.is_empty() || has("BLOB") {
        "BLOB"
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        "REAL"
    } else {
        "NUMERIC"
    }
}

#[cfg(test)]
mod tests {
    use session_core::Severity;

    use super::*;

    #[test]
    fn each_wrong_setting_is_a_finding_and_a_right_one_is_none() {
        let of = |mode, synchronous, patience, only_reads| {
            judge_settings(mode, Some(synchronous), Some(patience), Some(only_reads))
        };
        assert_eq!(of("wal", 2, 4000, false), []);
        assert_eq!(of("memory", 0, 4000, false), []);
        assert_eq!(judge_settings("wal", None, None, None), []);
        for (found, severity, part) in [
            (of("delete", 2, 4000, false), Severity::Warning, "journal mode"),
            (of("wal", 0, 4000, false), Severity::Warning, "synchronous is OFF"),
            (of("wal", 1, 4000, false), Severity::Note, "synchronous is NORMAL"),
            (of("wal", 3, 0, false), Severity::Warning, "busy_timeout"),
            (of("wal", 2, 4000, true), Severity::Fault, "query_only"),
        ] {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].severity == severity && found[0].what.contains(part), "{found:?}");
        }
    }
}
