//! What the doctor finds.

use libtest_mimic::Trial;
use session_core::Severity;
use session_core::contract::Store as _;
use session_sqlite::Synchronous;

use crate::support::Folder;

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        the_doctor_finds_what_is_wrong_with_a_table,
        the_doctor_sees_a_file_that_was_removed_and_one_that_others_may_read,
    ]
}

async fn the_doctor_finds_what_is_wrong_with_a_table() {
    let folder = Folder::new();
    folder
        .raw()
        .execute_batch(
            "CREATE TABLE sessions (key TEXT COLLATE NOCASE PRIMARY KEY, payload TEXT NOT NULL,
             expires_at TEXT NOT NULL, expires_bucket INTEGER, version INTEGER NOT NULL, principal TEXT,
             destroyed_at INTEGER);
             CREATE TRIGGER t AFTER INSERT ON sessions BEGIN SELECT 1; END",
        )
        .unwrap();
    let store = folder.builder().synchronous(Synchronous::Off).build().unwrap();
    let findings = store.diagnose().await.unwrap();
    let text: String = findings.iter().map(|finding| format!("{finding:?}\n")).collect();
    for part in [
        "the column created_at is missing",
        "the column key is TEXT, not BLOB",
        "the column expires_at is TEXT, not INTEGER",
        "the collation NOCASE of the column key",
        "the column expires_bucket may be NULL",
        "there is no index on principal",
        "the journal mode is \\\"delete\\\"",
        "synchronous is OFF",
        "has 1 triggers",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note || !finding.remedy.is_empty()));
}

async fn the_doctor_sees_a_file_that_was_removed_and_one_that_others_may_read() {
    let folder = Folder::new();
    let store = folder.store().await;
    assert_eq!(store.diagnose().await.unwrap(), []);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.database(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(store.diagnose().await.unwrap()[0].severity, Severity::Warning);
    }
    std::fs::remove_file(folder.database()).unwrap();
    assert_eq!(store.diagnose().await.unwrap()[0].severity, Severity::Fault);
}
