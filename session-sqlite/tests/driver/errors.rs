//! What callers are told.

use libtest_mimic::Trial;
use session_core::contract::{Created, Load, Store as _};
use session_core::{ErrorKind, Severity};

use crate::support::{Folder, NOW, create, key, load};

pub(crate) fn trials() -> Vec<Trial> {
    trials![a_payload_over_sqlites_own_limit_is_too_large, a_missing_table_is_told_with_the_remedy,]
}

async fn a_payload_over_sqlites_own_limit_is_too_large() {
    let folder = Folder::new();
    let store = folder.store().await;
    // The limit is 1,000,000,000 bytes for a row.
    let error = store.create(&create("a", "x".repeat(1_000_000_001)), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(load(&store, "a", NOW).await, None);
}

async fn a_missing_table_is_told_with_the_remedy() {
    let folder = Folder::new();
    let store = folder.builder().build().unwrap();
    for error in [
        store.load(&Load::new(key("a")), NOW).await.unwrap_err(),
        store.create(&create("a", "{}"), NOW).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false));
        assert!(error.to_string().contains("create_table()"), "{error}");
    }
    assert_eq!(store.diagnose().await.unwrap()[0].severity, Severity::Fault);
    // The store works as soon as the table is there.
    store.create_table().await.unwrap();
    assert_eq!(store.create(&create("a", "{}"), NOW).await.unwrap(), Created::Created);
}
