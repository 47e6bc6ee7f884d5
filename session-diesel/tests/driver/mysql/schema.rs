//! Making the table.

use session_core::Severity;
use session_core::contract::Store;
use session_diesel::MysqlStore;

use super::support::drop_table;
use crate::support::fresh_table;

pub(super) async fn a_table_is_made_once_by_many(url: String) {
    let table = fresh_table("many");
    let stores: Vec<MysqlStore> = (0..16)
        .map(|_| MysqlStore::builder().url(&url).table(table.clone()).pool_size(1).build().unwrap())
        .collect();
    let made = futures_util::future::join_all(stores.iter().map(MysqlStore::create_table)).await;
    for outcome in made {
        outcome.unwrap();
    }
    let findings = stores[0].diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_table(&url, "many").await;
}
