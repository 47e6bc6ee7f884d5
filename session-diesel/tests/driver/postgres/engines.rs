//! Engines that are like PostgreSQL. None of them is at hand: a real server takes their words.

use session_core::contract::Store;
use session_core::{ErrorKind, Finding, Severity};
use session_diesel::{PostgresBuilder, PostgresStore};

use super::support::{connection_pool, sql};
use crate::support::{NOW, create, fresh_table, load};

/// Schemas of tests alone, which go before PostgreSQL's own.
fn posing(url: &str, schema: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}options=-c%20search_path%3D{schema},pg_catalog,public")
}

async fn is_refused(builder: PostgresBuilder, name: &str) {
    let store = builder.build().unwrap();
    for _ in 0..2 {
        let refused = store.create(&create("a"), NOW).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused:?}");
        assert!(refused.to_string().contains(name) && !refused.is_in_doubt(), "{refused:?}");
    }
}

fn names_it(findings: &[Finding], name: &str) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Fault && finding.what.contains(name))
}

pub(super) async fn an_engine_that_was_not_proven_is_refused_with_the_reason(url: String) {
    let (table, schema) = (fresh_table("engines"), fresh_table("cockroach").to_string());
    sql(
        &url,
        &format!(
            "CREATE SCHEMA \"{schema}\"; CREATE FUNCTION \"{schema}\".version() RETURNS text LANGUAGE sql \
         AS $$ SELECT 'CockroachDB CCL v25.1.2 (x86_64-pc-linux-gnu)' $$"
        ),
    )
    .await;
    let posing = posing(&url, &schema);
    let builder = || PostgresStore::builder().url(&posing).table(table.clone());
    is_refused(builder(), "CockroachDB").await;
    let refused = builder().connect().await.unwrap_err();
    assert!(refused.to_string().contains("unproven_engine(true)"), "{refused}");

    let told = builder().unproven_engine(true).connect().await.unwrap();
    told.create_table().await.unwrap();
    told.create(&create("a"), NOW).await.unwrap();
    assert!(load(&told, "a").await.is_some());
    assert!(names_it(&told.diagnose().await.unwrap(), "CockroachDB, on which nothing was proven"));

    // Over connections of a pool of the application's own.
    let pool = || {
        let set_up = format!("SET search_path = \"{schema}\", pg_catalog, public");
        PostgresStore::builder().pool(connection_pool(url.clone(), 1, set_up)).table(table.clone())
    };
    assert!(pool().connect().await.unwrap_err().to_string().contains("CockroachDB"));
    assert!(names_it(&pool().build().unwrap().diagnose().await.unwrap(), "CockroachDB"));
    pool().unproven_engine(true).connect().await.unwrap();
    sql(&url, &format!("DROP SCHEMA \"{schema}\" CASCADE; DROP TABLE IF EXISTS \"{table}\"")).await;
}

pub(super) async fn a_table_that_is_distributed_by_key_is_refused(url: String) {
    let (table, schema) = (fresh_table("citus"), fresh_table("citus_catalogue").to_string());
    let plain = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    plain.create_table().await.unwrap();
    sql(
        &url,
        &format!(
            "CREATE SCHEMA \"{schema}\"; CREATE TABLE \"{schema}\".pg_dist_partition (logicalrelid regclass, \
         partmethod \"char\")"
        ),
    )
    .await;
    let posing = posing(&url, &schema);
    let builder = || PostgresStore::builder().url(&posing).table(table.clone());
    // Citus is there, and the table is no part of it; then it is, whole; then by the hash of its key.
    builder().connect().await.unwrap().create(&create("a"), NOW).await.unwrap();
    let partition = format!("\"{schema}\".pg_dist_partition");
    sql(&url, &format!("INSERT INTO {partition} VALUES ('\"{table}\"', 'n')")).await;
    builder().connect().await.unwrap();
    sql(&url, &format!("UPDATE {partition} SET partmethod = 'h'")).await;
    is_refused(builder(), "distributed by key").await;
    assert!(builder().connect().await.unwrap_err().to_string().contains("distributed by key"));
    let told = builder().unproven_engine(true).connect().await.unwrap();
    assert!(load(&told, "a").await.is_some());
    assert!(names_it(&told.diagnose().await.unwrap(), "distributed by key"));
    sql(&url, &format!("DROP SCHEMA \"{schema}\" CASCADE; DROP TABLE \"{table}\"")).await;
}
