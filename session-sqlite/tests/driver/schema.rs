//! Making tables.

use libtest_mimic::Trial;
use session_core::TableName;
use session_core::contract::Store as _;

use crate::support::{Folder, NOW, create, load};

pub(crate) fn trials() -> Vec<Trial> {
    trials![the_printed_schema_makes_the_same_table, two_tables_in_one_file_do_not_see_each_other,]
}

async fn the_printed_schema_makes_the_same_table() {
    let (ours, theirs) = (Folder::new(), Folder::new());
    ours.store().await;
    let store = theirs.builder().build().unwrap();
    theirs.raw().execute_batch(store.schema_sql()).unwrap();
    let schema = |folder: &Folder| -> Vec<String> {
        let db = folder.raw();
        let mut statement = db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(schema(&ours), schema(&theirs));
    // Nothing is left to be done, and the first write sets the journal's mode.
    store.create_table().await.unwrap();
    assert_eq!(schema(&ours), schema(&theirs));
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.what.contains("mode 644")), "{findings:?}");
}

async fn two_tables_in_one_file_do_not_see_each_other() {
    let folder = Folder::new();
    let mut stores = Vec::new();
    for name in ["a", "main.b"] {
        let table = TableName::new(name).unwrap();
        let store = folder.builder().table(table).build().unwrap();
        store.create_table().await.unwrap();
        stores.push(store);
    }
    stores[0].create(&create("x", "{}"), NOW).await.unwrap();
    assert_eq!(load(&stores[1], "x", NOW).await, None);
    assert_eq!(stores[1].clear().await.unwrap(), 0);
    assert_eq!(stores[0].clear().await.unwrap(), 1);
}
