//! What is not as the store needs it.

use std::path::Path;

use rusqlite::Connection;
use session_core::Finding;

use crate::connection::{Connector, current_journal_mode};
use crate::layout::Answer;
use crate::options::{JournalMode, Synchronous};

/// How a layout's table should look.
#[derive(Debug)]
pub(crate) struct Expectation<'layout> {
    pub(crate) table: &'layout str,
    /// The column that must be unique.
    pub(crate) key: &'layout str,
    pub(crate) columns: Vec<ExpectedColumn<'layout>>,
    pub(crate) indexes: Vec<ExpectedIndex<'layout>>,
}

#[derive(Debug)]
pub(crate) struct ExpectedColumn<'layout> {
    pub(crate) name: &'layout str,
    pub(crate) affinity: Affinity,
    /// The column must not hold NULL.
    pub(crate) required: bool,
}

#[derive(Debug)]
pub(crate) struct ExpectedIndex<'layout> {
    /// The index's first column.
    pub(crate) column: &'layout str,
    /// What happens without it.
    pub(crate) purpose: &'layout str,
}

/// What SQLite makes of a declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    Blob,
    Integer,
    Numeric,
    Real,
    Text,
}

/// Reads only. Every finding has a remedy.
pub(crate) fn diagnose(
    db: &Connection,
    expected: &Expectation<'_>,
    connector: &Connector,
) -> Answer<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Some(path) = connector.path() {
        check_rights(path, &mut findings);
        check_settings(db, connector, &mut findings)?;
    }
    if check_columns(db, expected, &mut findings)? {
        check_indexes(db, expected, &mut findings)?;
    }
    check_integrity(db, &mut findings)?;
    Ok(findings)
}

/// Says so if the file of an open store is gone, after which nothing else matters.
pub(crate) fn missing_file(path: &Path) -> Option<Finding> {
    let error = path.metadata().err()?;
    let file = path.display();
    Some(Finding::fault(
        format!("the file {file} is not there: {error}; the open store writes into a file without a name"),
        "restore the file, or restart the application to begin with an empty one",
    ))
}

#[cfg(unix)]
fn check_rights(path: &Path, findings: &mut Vec<Finding>) {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        findings.push(Finding::warning(
            format!("every user of this machine has access to {} (mode {mode:o})", path.display()),
            format!("chmod o= {0} {0}-wal {0}-shm", path.display()),
        ));
    }
}

#[cfg(not(unix))]
fn check_rights(_path: &Path, _findings: &mut Vec<Finding>) {}

fn check_settings(db: &Connection, connector: &Connector, findings: &mut Vec<Finding>) -> Answer<()> {
    if db.is_readonly(rusqlite::MAIN_DB)? {
        findings.push(Finding::fault(
            "the database is read-only for this user",
            "let this user write the file and its folder",
        ));
    }
    let mode = current_journal_mode(db)?;
    if connector.options().journal_mode == JournalMode::Wal && mode != "wal" {
        findings.push(Finding::warning(
            format!("the journal mode is \"{mode}\": readers and the writer wait for each other"),
            "another program changed it; open the store anew, which changes it back",
        ));
    }
    match connector.options().synchronous {
        Synchronous::Off => findings.push(Finding::warning(
            "synchronous is OFF: a power failure may damage the database",
            "choose `Synchronous::Full`",
        )),
        Synchronous::Normal => {
            findings.push(Finding::note("synchronous is NORMAL: a power failure may undo the last commits"))
        }
        Synchronous::Full | Synchronous::Extra => {}
    }
    Ok(())
}

/// False if there is no table to go on with.
fn check_columns(db: &Connection, expected: &Expectation<'_>, findings: &mut Vec<Finding>) -> Answer<bool> {
    let table = expected.table;
    let mut statement = db.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)")?;
    let found: Vec<(String, String, bool, i64)> = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        findings.push(Finding::fault(
            format!("the table \"{table}\" is missing"),
            "call `create_table()`, or run the statements of `schema_sql()`",
        ));
        return Ok(false);
    }
    let compare = "compare the table with `schema_sql()`; SQLite changes a column by making the table anew";
    for column in &expected.columns {
        let name = column.name;
        let Some((_, declared, not_null, pk)) = found.iter().find(|found| found.0.eq_ignore_ascii_case(name))
        else {
            findings
                .push(Finding::fault(format!("the column \"{name}\" of \"{table}\" is missing"), compare));
            continue;
        };
        if affinity(declared) != column.affinity {
            findings.push(Finding::fault(
                format!(
                    "the column \"{name}\" of \"{table}\" is declared {declared:?}, with the affinity {:?} instead of {:?}",
                    affinity(declared),
                    column.affinity
                ),
                compare,
            ));
        }
        if column.required && !not_null && *pk == 0 {
            findings.push(Finding::warning(
                format!(
                    "the column \"{name}\" of \"{table}\" may be NULL; a session where it is cannot be read"
                ),
                compare,
            ));
        }
    }
    Ok(true)
}

fn check_indexes(db: &Connection, expected: &Expectation<'_>, findings: &mut Vec<Finding>) -> Answer<()> {
    let table = expected.table;
    let mut statement = db.prepare(
        "SELECT list.\"unique\" AND NOT list.partial, info.name, info.coll,
                (SELECT count(*) FROM pragma_index_info(list.name))
         FROM pragma_index_list(?1) AS list, pragma_index_xinfo(list.name) AS info
         WHERE info.seqno = 0",
    )?;
    let found: Vec<(bool, Option<String>, String, i64)> = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let on = |column: &str| {
        let column = column.to_owned();
        found
            .iter()
            .filter(move |index| index.1.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&column)))
    };
    if !on(expected.key).any(|(unique, _, _, columns)| *unique && *columns == 1) {
        findings.push(Finding::fault(
            format!(
                "the column \"{}\" of \"{table}\" is not unique: one id may have two sessions",
                expected.key
            ),
            "make it the primary key, as `schema_sql()` does",
        ));
    }
    for (_, name, collation, _) in &found {
        if !collation.eq_ignore_ascii_case("BINARY") {
            findings.push(Finding::fault(
                format!(
                    "the column {:?} of \"{table}\" is compared by the collation {collation}: different values count as one",
                    name.as_deref().unwrap_or("?")
                ),
                "declare it COLLATE BINARY, as `schema_sql()` does",
            ));
        }
    }
    for index in &expected.indexes {
        if on(index.column).next().is_none() {
            findings.push(Finding::warning(
                format!("no index on \"{table}\" begins with \"{}\": {}", index.column, index.purpose),
                "run the statements of `schema_sql()`",
            ));
        }
    }
    Ok(())
}

fn check_integrity(db: &Connection, findings: &mut Vec<Finding>) -> Answer<()> {
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let size: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
    // Beyond this the check takes seconds.
    if pages.saturating_mul(size) > 256 << 20 {
        return Ok(());
    }
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        findings.push(Finding::fault(
            format!("the database is damaged: {verdict}"),
            "stop the application, then restore a backup or use sqlite3's `.recover`",
        ));
    }
    Ok(())
}

/// The rules of <https://sqlite.org/datatype3.html#determination_of_column_affinity>, in their order.
fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if declared.is_empty() || has("BLOB") {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}
