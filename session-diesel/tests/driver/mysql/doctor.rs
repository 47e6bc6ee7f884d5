//! What the doctor finds.

use session_core::Severity;
use session_core::contract::Store;
use session_diesel::MysqlStore;

use super::support::{connection_pool, drop_table, sql};
use crate::support::fresh_table;

pub(super) async fn the_doctor_finds_what_is_wrong(url: String) {
    let table = fresh_table("doctor");
    let lax = connection_pool(&url, 1, "SET SESSION sql_mode = ''");
    let store = MysqlStore::builder().pool(lax).table(table.clone()).build().unwrap();
    let worst = |findings: &[session_core::Finding], part: &str| {
        findings.iter().find(|finding| finding.what.contains(part)).map(|finding| finding.severity)
    };
    let findings = store.diagnose().await.unwrap();
    assert_eq!(worst(&findings, "is missing"), Some(Severity::Fault));
    assert_eq!(worst(&findings, "not strict"), Some(Severity::Fault));
    store.create_table().await.unwrap();
    let alter = format!(
        "ALTER TABLE `{table}` DROP INDEX expiry, DROP COLUMN created_at, DROP COLUMN rotated, \
         MODIFY payload text CHARACTER SET latin1 NOT NULL"
    );
    sql(&url, &alter).await;
    let findings = store.diagnose().await.unwrap();
    for (part, severity) in [
        ("the column created_at is missing", Severity::Fault),
        ("the column rotated is missing", Severity::Fault),
        ("the column payload is text", Severity::Fault),
        ("the payload's collation is latin1", Severity::Fault),
        ("no index on expires_at", Severity::Warning),
    ] {
        assert_eq!(worst(&findings, part), Some(severity), "{part}: {findings:?}");
    }
    drop_table(&url, "doctor").await;
}

pub(super) async fn the_doctor_finds_wrong_settings(url: String) {
    let table = fresh_table("settings");
    let own = MysqlStore::builder().url(&url).table(table.clone()).build().unwrap();
    own.create_table().await.unwrap();
    let findings = own.diagnose().await.unwrap();
    let of_connections =
        ["autocommit", "character_set", "wait_timeout", "max_statement_time", "transactions are"];
    for part in of_connections {
        assert!(!findings.iter().any(|finding| finding.what.contains(part)), "{part}: {findings:?}");
    }
    let set_up = "SET SESSION autocommit = 0, character_set_client = 'latin1', character_set_results = 'latin1', \
                  wait_timeout = 2; SET SESSION TRANSACTION READ ONLY";
    for (number, statement) in set_up.split("; ").enumerate() {
        let pool = connection_pool(&url, 1, statement);
        let store = MysqlStore::builder().pool(pool).table(table.clone()).build().unwrap();
        let findings = store.diagnose().await.unwrap();
        let expected: &[(&str, Severity)] = match number {
            0 => &[
                ("autocommit is off", Severity::Fault),
                ("character_set_client is latin1", Severity::Fault),
                ("character_set_results is latin1", Severity::Fault),
                ("wait_timeout is 2 s", Severity::Warning),
            ],
            _ => &[("transactions are read-only", Severity::Fault)],
        };
        for (part, severity) in expected {
            let found = findings.iter().find(|finding| finding.what.contains(part));
            assert_eq!(found.map(|finding| finding.severity), Some(*severity), "{part}: {findings:?}");
        }
    }
    drop_table(&url, "settings").await;
}
