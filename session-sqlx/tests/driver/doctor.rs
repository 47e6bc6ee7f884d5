//! What the doctor finds of a file, and of connections that the application opens.

use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::Trial;
use session_core::Severity;
use session_core::contract::Store as _;
use session_sqlx::SqliteStore;
use session_sqlx::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sqlite::the_doctor_looks_at_the_file".into(), None, the_doctor_looks_at_the_file),
        trial(
            "sqlite::the_doctor_looks_at_what_the_application_opened".into(),
            None,
            the_doctor_looks_at_what_the_application_opened,
        ),
    ]
}

/// A file of this test alone, which is not there yet.
fn file(name: &str) -> PathBuf {
    let name = format!("{name}_{}.db", std::process::id());
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

async fn the_doctor_looks_at_the_file() {
    let file = file("looked_at");
    let store = SqliteStore::connect(&file).await.unwrap();
    store.create_table().await.unwrap();
    assert_eq!(store.diagnose().await.unwrap(), []);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let findings = store.diagnose().await.unwrap();
        assert!(findings[0].what.contains("mode 644"), "{findings:?}");
    }
    std::fs::remove_file(&file).unwrap();
    let findings = store.diagnose().await.unwrap();
    assert_eq!((findings.len(), findings[0].severity), (1, Severity::Fault), "{findings:?}");
    assert!(!file.exists(), "the doctor makes no file");
}

async fn the_doctor_looks_at_what_the_application_opened() {
    let file = file("opened");
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(Duration::ZERO);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let store = SqliteStore::builder().pool(pool).build().unwrap();
    store.create_table().await.unwrap();
    let text = format!("{:?}", store.diagnose().await.unwrap());
    for part in ["journal mode", "synchronous is OFF", "busy_timeout is 0"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    std::fs::remove_file(&file).unwrap();
}
