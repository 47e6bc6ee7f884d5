//! What a program that logs everything hears.

use session_core::KeyFormat;
use session_core::contract::Store;
use session_diesel::{PostgresBuilder, PostgresStore};

use super::support::{connection_pool, drop_table, sql};
use crate::support::fresh_table;
use crate::support::listener::{Listener, with_secrets};
use crate::support::secrets::{SECRETS, everything};

/// All operations, and then again on a table that refuses every row, which the server quotes in its details.
async fn all(url: &str, name: &str, builder: PostgresBuilder) -> Vec<String> {
    let store = builder.table(fresh_table(name)).key_format(KeyFormat::Plain).build().unwrap();
    store.create_table().await.unwrap();
    let mut errors = everything(&store).await;
    let table = fresh_table(name);
    sql(url, &format!("TRUNCATE \"{table}\"; ALTER TABLE \"{table}\" ADD CHECK (version < 0)")).await;
    let refused = everything(&store).await;
    assert!(refused.iter().any(|error| error.contains("23514")), "{refused:?}");
    errors.extend(refused);
    drop_table(url, name).await;
    errors
}

pub(super) async fn nothing_secret_is_logged(url: String) {
    for pgbouncer in [false, true] {
        let listener = Listener::new().await;
        let builder = PostgresStore::builder().url(&url).pgbouncer(pgbouncer);
        let mut heard = all(&url, "secrets", builder).await;
        heard.extend(listener.heard());
        // The client does log, and at DEBUG: only not the values.
        assert!(heard.iter().any(|line| line.contains("DEBUG tokio_postgres")), "{}", heard.len());
        let shown = with_secrets(&heard, &SECRETS);
        assert!(shown.is_empty(), "pgbouncer({pgbouncer}): {shown:#?}");
    }
}

/// On a pool of the application's, diesel's instrumentation sees no value either. tokio-postgres logs what diesel-async
/// binds, as bytes: the documents say so, and here the search shows that it finds such a thing.
pub(super) async fn what_diesel_s_own_connections_show(url: String) {
    let listener = Listener::new().await;
    let pool = connection_pool(url.clone(), 2, String::new());
    // The doctor says so beforehand, and not of connections of our own.
    let says_so = async |builder: PostgresBuilder| {
        let findings = builder.build().unwrap().diagnose().await.unwrap();
        findings.iter().any(|finding| finding.what.contains("tokio_postgres::query"))
    };
    assert!(says_so(PostgresStore::builder().pool(pool.clone())).await);
    assert!(!says_so(PostgresStore::builder().url(&url)).await);
    let builder = PostgresStore::builder().pool(pool);
    let errors = all(&url, "secrets_given", builder).await;
    assert_eq!(with_secrets(&errors, &SECRETS), [""; 0]);
    let shown = with_secrets(&listener.heard(), &SECRETS);
    let (bytes, others): (Vec<_>, Vec<_>) =
        shown.into_iter().partition(|line| line.starts_with("log DEBUG tokio_postgres::query"));
    assert!(!bytes.is_empty(), "the search finds bytes in decimal");
    // The server's own details of a row that a foreign constraint refuses.
    let others: Vec<_> = others.iter().filter(|line| !line.contains("Failing row contains")).collect();
    assert!(others.is_empty(), "{others:#?}");
}
