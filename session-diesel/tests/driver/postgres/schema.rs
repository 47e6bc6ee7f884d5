//! The table as it is made.

use session_core::contract::Store;
use session_core::{ErrorKind, Severity};
use session_diesel::PostgresStore;

use super::support::{connection_pool, drop_table, sql};
use crate::support::{NOW, create, fresh_table};

pub(super) async fn a_table_is_made_once_by_many(url: String) {
    let table = fresh_table("many");
    let stores: Vec<PostgresStore> = (0..16)
        .map(|_| PostgresStore::builder().url(&url).table(table.clone()).pool_size(1).build().unwrap())
        .collect();
    let made = futures_util::future::join_all(stores.iter().map(PostgresStore::create_table)).await;
    for outcome in made {
        outcome.unwrap();
    }
    let findings = stores[0].diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_table(&url, "many").await;
}

pub(super) async fn a_user_without_the_right_to_make_tables_may_where_the_table_is_complete(url: String) {
    let table = fresh_table("rights");
    let owner = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    let role = format!("r_{table}");
    sql(&url, &format!("CREATE ROLE {role}")).await;
    let pool = connection_pool(url.clone(), 1, format!("SET ROLE {role}"));
    let user = PostgresStore::builder().pool(pool).table(table.clone()).build().unwrap();
    let error = user.create_table().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("42501")), "{error}");
    assert!(error.to_string().contains("grant CREATE on the schema"), "{error}");
    owner.create_table().await.unwrap();
    user.create_table().await.unwrap();
    sql(&url, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON \"{table}\" TO {role}")).await;
    user.create(&create("a"), NOW).await.unwrap();
    assert_eq!(user.clear().await.unwrap(), 1);
    sql(&url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    drop_table(&url, "rights").await;
}
