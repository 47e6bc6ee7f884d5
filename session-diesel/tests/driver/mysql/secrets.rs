//! What a program that logs everything hears.

use session_core::KeyFormat;
use session_diesel::{MysqlBuilder, MysqlStore};

use super::support::{connection_pool, drop_table, sql};
use crate::support::fresh_table;
use crate::support::listener::{Listener, with_secrets};
use crate::support::secrets::{SECRETS, everything};

/// All operations, and then again on a table that takes a payload once.
async fn all(url: &str, name: &str, builder: MysqlBuilder) -> Vec<String> {
    let store = builder.table(fresh_table(name)).key_format(KeyFormat::Plain).build().unwrap();
    store.create_table().await.unwrap();
    let mut errors = everything(&store).await;
    let table = fresh_table(name);
    sql(url, &format!("DELETE FROM `{table}`")).await;
    sql(url, &format!("ALTER TABLE `{table}` ADD UNIQUE INDEX other (principal)")).await;
    errors.extend(everything(&store).await);
    drop_table(url, name).await;
    errors
}

pub(super) async fn nothing_secret_is_logged(url: String) {
    let listener = Listener::new().await;
    let mut heard = all(&url, "secrets", MysqlStore::builder().url(&url)).await;
    heard.extend(listener.heard());
    let shown = with_secrets(&heard, &SECRETS);
    assert!(shown.is_empty(), "{shown:#?}");
}

/// On a pool of the application's, diesel's instrumentation sees no value. The server's words of a duplicate quote it,
/// as the documents say, and here the search shows that it finds such a thing.
pub(super) async fn what_diesel_s_own_connections_show(url: String) {
    let listener = Listener::new().await;
    let builder = MysqlStore::builder().pool(connection_pool(&url, 2, "DO 0"));
    let errors = all(&url, "secrets_given", builder).await;
    assert_eq!(with_secrets(&errors, &SECRETS), [""; 0]);
    let heard = listener.heard();
    assert!(heard.iter().any(|line| line.starts_with("diesel") && line.contains("binds: [.., ")));
    let shown = with_secrets(&heard, &SECRETS);
    assert!(!shown.is_empty(), "the search finds what the server quotes");
    let others: Vec<_> = shown.iter().filter(|line| !line.contains("Duplicate entry")).collect();
    assert!(others.is_empty(), "{others:#?}");
}
