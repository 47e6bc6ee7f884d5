//! What the doctor says.

use session_core::contract::Store;
use session_core::{Finding, Severity};
use session_diesel::PostgresStore;

use super::support::{drop_table, sql};
use crate::support::fresh_table;

pub(super) async fn the_doctor_finds_what_is_wrong(url: String) {
    let table = fresh_table("doctor");
    let store = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    let worst = |findings: &[Finding], part: &str| {
        findings.iter().find(|finding| finding.what.contains(part)).map(|finding| finding.severity)
    };
    assert_eq!(worst(&store.diagnose().await.unwrap(), "is missing"), Some(Severity::Fault));
    store.create_table().await.unwrap();
    let script = format!(
        "ALTER TABLE \"{table}\" RESET (fillfactor); DROP INDEX \"{table}_principal\"; \
         ALTER TABLE \"{table}\" DROP COLUMN created_at, ALTER COLUMN payload TYPE varchar(10); \
         CREATE INDEX ON \"{table}\" (expires_at)"
    );
    sql(&url, &script).await;
    let findings = store.diagnose().await.unwrap();
    for (part, severity) in [
        ("the column created_at is missing", Severity::Fault),
        ("the column payload is character varying, not text", Severity::Fault),
        ("filled to the brim", Severity::Warning),
        ("no index on principal", Severity::Warning),
        ("an index on expires_at", Severity::Warning),
    ] {
        assert_eq!(worst(&findings, part), Some(severity), "{part}: {findings:?}");
    }
    let script = format!(
        "CREATE FUNCTION \"{table}_f\"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER t BEFORE INSERT ON \"{table}\" FOR EACH ROW EXECUTE FUNCTION \"{table}_f\"(); \
         ALTER TABLE \"{table}\" SET (autovacuum_enabled = false)"
    );
    sql(&url, &script).await;
    let findings = store.diagnose().await.unwrap();
    for part in ["triggers or rules", "autovacuum is switched off for the table"] {
        assert_eq!(worst(&findings, part), Some(Severity::Warning), "{part}: {findings:?}");
    }
    drop_table(&url, "doctor").await;
    sql(&url, &format!("DROP FUNCTION \"{table}_f\"()")).await;
}

pub(super) async fn the_doctor_finds_wrong_settings(url: String) {
    let role = fresh_table("patient").to_string();
    let table = fresh_table("settings");
    let store = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    let findings = store.diagnose().await.unwrap();
    let is_of_the_server = |finding: &&Finding| finding.severity != Severity::Note;
    let found: Vec<&Finding> = findings.iter().filter(is_of_the_server).collect();
    assert!(found.is_empty(), "{found:?}");
    let script = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT SELECT, INSERT, UPDATE, DELETE ON \"{table}\" TO {role}; \
         ALTER ROLE {role} SET default_transaction_read_only = on; ALTER ROLE {role} SET idle_session_timeout = 2000; \
         ALTER ROLE {role} SET statement_timeout = 100; ALTER TABLE \"{table}\" ENABLE ROW LEVEL SECURITY"
    );
    sql(&url, &script).await;
    let builder = || PostgresStore::builder().url(&url).table(table.clone()).credentials(&role, "pw");
    let findings = builder().build().unwrap().diagnose().await.unwrap();
    let worst = |findings: &[Finding], part: &str| {
        findings.iter().find(|finding| finding.what.contains(part)).map(|finding| finding.severity)
    };
    for (part, severity) in [
        ("default_transaction_read_only is on", Some(Severity::Fault)),
        ("row-level security hides rows", Some(Severity::Fault)),
        ("idle_session_timeout is 2000 ms", Some(Severity::Warning)),
        // Connections of our own say how long a statement may take.
        ("statement_timeout", None),
    ] {
        assert_eq!(worst(&findings, part), severity, "{part}: {findings:?}");
    }
    // What the builder is told counts, too.
    let hasty = builder().statement_timeout(std::time::Duration::from_millis(100)).build().unwrap();
    assert_eq!(
        worst(&hasty.diagnose().await.unwrap(), "statement_timeout is 100 ms"),
        Some(Severity::Warning)
    );
    // So does what a URL says, where the builder is told nothing.
    let separator = if url.contains('?') { '&' } else { '?' };
    let by_url = format!("{url}{separator}options=-c%20statement_timeout%3D900");
    let by_url = PostgresStore::builder().url(by_url).table(table.clone());
    let found = by_url.build().unwrap().diagnose().await.unwrap();
    assert_eq!(worst(&found, "statement_timeout is 900 ms"), Some(Severity::Warning), "{found:?}");
    drop((store, hasty));
    drop_table(&url, "settings").await;
    sql(&url, &format!("DROP ROLE {role}")).await;
}
