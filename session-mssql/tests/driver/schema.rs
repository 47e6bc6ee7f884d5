//! The table as it is made, and the rights that it takes.

use std::num::NonZeroU32;
use std::process;

use libtest_mimic::Trial;
use session_core::contract::{Created, Rotated, Store, Touched};
use session_core::{DestroyMode, ErrorKind, KeyFormat, Severity, Version};
use session_mssql::MssqlStore;

use crate::support::{
    self, NOW, create, drop_table, fresh_table, key, load, on_a_server, rotate, sql, touch,
};

pub(crate) fn trials() -> Vec<Trial> {
    on_a_server![a_table_is_made_once_by_many_at_once, rights_to_the_rows_are_all_that_is_needed]
}

async fn a_table_is_made_once_by_many_at_once(url: String) {
    let table = fresh_table();
    let stores: Vec<MssqlStore> = (0..8)
        .map(|_| MssqlStore::builder().url(&url).table(table.clone()).pool_size(1).build().unwrap())
        .collect();
    let calls = stores.iter().map(|store| async move { store.create_table().await });
    for made in futures_util::future::join_all(calls).await {
        made.unwrap();
    }
    let findings = stores[0].diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_table(&url, &table).await;
}

/// A user that may not define anything: `clear` empties the table all the same.
async fn rights_to_the_rows_are_all_that_is_needed(url: String) {
    const PASSWORD: &str = "Rows-and-0-more";
    let owner = support::store(&url, KeyFormat::Hashed).await;
    let (table, login) = (owner.table().clone(), format!("live_{}", process::id()));
    for statement in [
        format!("CREATE LOGIN {login} WITH PASSWORD = '{PASSWORD}'"),
        format!("CREATE USER {login} FOR LOGIN {login}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {login}", table.quoted('[', ']')),
    ] {
        sql(&url, &statement).await;
    }
    let options = MssqlStore::builder().url(&url).credentials(&login, PASSWORD);
    let store = options.clone().table(table.clone()).build().unwrap();
    let limit = NonZeroU32::new(10).unwrap();
    let [a, b] = ["a", "b"].map(|id| key(id, KeyFormat::Hashed));
    assert_eq!(store.create(&create(&a, "{}"), NOW).await.unwrap(), Created::Created);
    let rotated = store.rotate(&rotate(&a, &b, DestroyMode::Forget), NOW).await.unwrap();
    assert_eq!(rotated, Rotated::Rotated(Version::new(2)));
    assert_eq!(store.touch(&touch(&b, None), NOW).await.unwrap(), Touched::Moved);
    assert!(load(&store, &b).await.is_some());
    assert_eq!(store.list(&Default::default(), None, limit, NOW).await.unwrap().len(), 1);
    assert_eq!(store.purge_expired(NOW, limit).await.unwrap(), 0);
    assert_eq!(store.clear().await.unwrap(), 2);
    // Where the table is there, it need not be made.
    store.create_table().await.unwrap();
    let error = options.table(fresh_table()).build().unwrap().create_table().await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error:?}");
    drop(store);
    drop_table(&url, &table).await;
    sql(&url, &format!("DROP USER {login}")).await;
}
