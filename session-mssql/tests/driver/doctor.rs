//! What the doctor says.

use libtest_mimic::Trial;
use session_core::contract::{Load, Store};
use session_core::{ErrorKind, Finding, KeyFormat, Severity};
use session_mssql::MssqlStore;

use crate::support::{self, NOW, drop_table, fresh_table, key, on_a_server, sql};

pub(crate) fn trials() -> Vec<Trial> {
    on_a_server![
        a_missing_table_is_reported_and_found,
        the_own_table_has_no_findings,
        the_doctor_finds_what_is_wrong,
    ]
}

fn worst(findings: &[Finding], part: &str) -> Option<Severity> {
    findings.iter().find(|finding| finding.what.contains(part)).map(|finding| finding.severity)
}

async fn a_missing_table_is_reported_and_found(url: String) {
    let store = MssqlStore::builder().url(&url).table(fresh_table()).build().unwrap();
    let error = store.load(&Load::new(key("a", KeyFormat::Hashed)), NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error:?}");
    assert_eq!(worst(&store.diagnose().await.unwrap(), "is missing"), Some(Severity::Fault));
}

async fn the_own_table_has_no_findings(url: String) {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let store = support::store(&url, format).await;
        let findings = store.diagnose().await.unwrap();
        assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.what.contains("the server is")), "{findings:?}");
        drop_table(&url, store.table()).await;
    }
}

async fn the_doctor_finds_what_is_wrong(url: String) {
    let store = support::store(&url, KeyFormat::Plain).await;
    let (table, name) = (store.table().quoted('[', ']'), store.table().table());
    for statement in [
        format!("DROP TABLE {table}"),
        format!(
            "CREATE TABLE {table} ([key] nvarchar(255) COLLATE Latin1_General_CI_AS NOT NULL, \
             [key_bytes] smallint NOT NULL, [payload] nvarchar(10) NOT NULL, [expires_at] bigint NULL, \
             [version] bigint NOT NULL, [principal] nvarchar(255) COLLATE Latin1_General_BIN2 NULL, \
             [destroyed_at] bigint NULL, [rotated] bit NOT NULL)"
        ),
        format!("CREATE INDEX [{name}_expires_at] ON {table} ([expires_at])"),
    ] {
        sql(&url, &statement).await;
    }
    let findings = store.diagnose().await.unwrap();
    for (part, severity) in [
        ("the column created_at is missing", Severity::Fault),
        ("the column payload is nvarchar(10), not nvarchar(max)", Severity::Fault),
        ("the column expires_at may be NULL", Severity::Warning),
        ("takes different texts for equal", Severity::Fault),
        ("the column key is not unique by itself", Severity::Fault),
        ("no index on principal", Severity::Warning),
    ] {
        assert_eq!(worst(&findings, part), Some(severity), "{part}: {findings:?}");
    }
    assert_eq!(worst(&findings, "no index on expires_at"), None);
    drop_table(&url, store.table()).await;
}
