//! The table of connect-mssql-v2.

use libtest_mimic::Trial;
use session_core::contract::{Created, Load, Store};
use session_core::{DestroyMode, KeyFormat, Severity, TableName, Timestamp};
use session_mssql::{ConnectMssqlV2, MssqlStore};

use crate::support::{self, NOW, create, destroy, drop_table, fresh_table, key, load, on_a_server, sql};

pub(crate) fn trials() -> Vec<Trial> {
    on_a_server![a_table_of_node_is_shared, a_table_that_we_make_keeps_all_ids_apart]
}

async fn store(url: &str, table: &TableName) -> MssqlStore {
    let options = MssqlStore::builder().url(url).table(table.clone());
    options.connect_mssql_v2(ConnectMssqlV2::new()).connect().await.unwrap()
}

/// The table as Node's documentation has it, with the server's own collation, and a row that Node wrote.
async fn a_table_of_node_is_shared(url: String) {
    let table = fresh_table();
    let store = store(&url, &table).await;
    let json = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":"Ann"}"#;
    let name = table.quoted('[', ']');
    let script = format!(
        "CREATE TABLE {name} ([sid] nvarchar(255) NOT NULL PRIMARY KEY, [session] nvarchar(max) NOT NULL, \
         [expires] datetime NOT NULL); INSERT INTO {name} VALUES (N'Abc', N'{json}', '2030-01-02T03:04:05.677')"
    );
    sql(&url, &script).await;
    let (abc, other) = (key("Abc", KeyFormat::Plain), key("aBC", KeyFormat::Plain));
    let record = load(&store, &abc).await.unwrap();
    assert_eq!(record.payload.as_str(), json);
    // 05.677 is the step of 1/300 s at 05.676 and two thirds.
    assert_eq!(record.expires_at, Timestamp::from_millis(1_893_553_445_677));
    assert_eq!(load(&store, &other).await, None);
    assert!(!store.destroy(&destroy(&other, DestroyMode::Remove), NOW).await.unwrap());
    // Never early, and at most 4 ms late.
    for (now, is_live) in [(1_893_553_445_676, true), (1_893_553_445_681, false)] {
        let loaded = store.load(&Load::new(abc.clone()), Timestamp::from_millis(now)).await.unwrap();
        assert_eq!(loaded.record().is_some(), is_live, "at {now}");
    }
    assert!(store.destroy(&destroy(&abc, DestroyMode::Remove), NOW).await.unwrap());
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_table(&url, &table).await;
}

async fn a_table_that_we_make_keeps_all_ids_apart(url: String) {
    let table = fresh_table();
    let store = store(&url, &table).await;
    store.create_table().await.unwrap();
    for id in ["abc", "ABC", "abc ", "äbc", "\u{1f980}"] {
        let key = support::key(id, KeyFormat::Plain);
        assert_eq!(store.create(&create(&key, "{}"), NOW).await.unwrap(), Created::Created, "{id:?}");
    }
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_table(&url, &table).await;
}
