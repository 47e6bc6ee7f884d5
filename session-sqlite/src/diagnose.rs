//! What is not as the store needs it.

use rusqlite::Connection;
use session_core::Finding;
use session_sql::sqlite::place;

use crate::connect::{Connector, JournalMode, Synchronous, current_journal_mode};
use crate::error::Answer;
use crate::layout::Layout;

/// Reads only. Every finding has a remedy.
pub(crate) fn diagnose(db: &Connection, layout: &Layout, connector: &Connector) -> Answer<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Some(path) = connector.path() {
        let is_wal = connector.options().journal_mode == JournalMode::Wal;
        findings.extend(place::diagnose(path, is_wal.then(|| connector.options().wal_limit.get())));
        check_settings(db, connector, &mut findings)?;
    }
    findings.extend(layout.diagnose(db)?);
    Ok(findings)
}

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
            "the store's first write changes it; if it has written, another program changed it back: build the store anew",
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
