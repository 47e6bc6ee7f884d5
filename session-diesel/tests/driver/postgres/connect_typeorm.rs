//! The table that a Node application with connect-typeorm left behind on Postgres, and others of its layout.

use std::sync::Arc;

use session_core::contract::{Destroy, Rotate, Rotated, Store};
use session_core::{DestroyMode, ErrorKind, Fate, KeyFormat, Severity, TableName, Timestamp, Version};
use session_diesel::{ConnectTypeorm, PostgresBuilder, PostgresStore};

use super::support::raw;
use crate::support::connect_typeorm::{self, LATER, Left, NOW, hard, new, payload, plain, rotate};

const LEFT: Left = Left {
    live: 8,
    ann: ("jRrxWP93xeB9ioBhuXrgCnPfEB0hYmXm", 1_795_410_480_104),
    difficult: "WPNwBVR2ErS6PaUXkEtGILI3h5AIgqgP",
    destroyed: ["UiGxJ4gHm0hzClZml5HalvA89HHdRMro", "qChXmn96PKQUzQinaxcpYR-JbqotfbgE"],
    expired: "N0GN8ZLyQyIb7gN4EMJs8scrl6mZrbrn",
};

/// A schema of this test's own, made anew.
async fn schema(url: &str, name: &str) -> String {
    let schema = format!("t_{}_{name}", std::process::id());
    let make = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    raw(url).await.batch_execute(&make).await.unwrap();
    schema
}

async fn drop_schema(url: &str, schema: &str) {
    raw(url).await.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
}

fn builder(url: &str, schema: &str) -> PostgresBuilder {
    let table = TableName::new(&format!("{schema}.session")).unwrap();
    PostgresStore::builder().url(url).pool_size(2).table(table).connect_typeorm(ConnectTypeorm::new())
}

async fn open(url: &str, schema: &str) -> PostgresStore {
    builder(url, schema).connect().await.unwrap()
}

/// What Node left, without what concerns the server that it was on.
async fn load_dump(url: &str, schema: &str) {
    let dump = include_str!("../../fixtures/typeorm-postgres.dump.sql");
    let foreign = |line: &str| {
        line.starts_with('\\')
            || line.starts_with("SET ")
            || line.contains("OWNER TO")
            || line.contains("set_config")
    };
    let lines: Vec<&str> = dump.lines().filter(|line| !foreign(line)).collect();
    let dump = lines.join("\n").replace("public.session", &format!("{schema}.session"));
    raw(url).await.batch_execute(&dump).await.unwrap();
}

pub(super) async fn a_row_that_a_strange_index_refuses_has_no_taken_id(url: String) {
    let schema = schema(&url, "strange").await;
    let store = builder(&url, &schema).build().unwrap();
    store.create_table().await.unwrap();
    let index = format!("CREATE UNIQUE INDEX ON {schema}.session (\"expiredAt\")");
    raw(&url).await.batch_execute(&index).await.unwrap();
    connect_typeorm::a_row_that_a_strange_index_refuses_has_no_taken_id(&store).await;
    drop_schema(&url, &schema).await;
}

pub(super) async fn what_node_left_reads_as_node_reads_it(url: String) {
    let schema = schema(&url, "left").await;
    load_dump(&url, &schema).await;
    let store = open(&url, &schema).await;
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    connect_typeorm::what_node_left_reads_as_node_reads_it(&store, &LEFT).await;
    connect_typeorm::versions_and_principals_are_unsupported(Arc::new(store)).await;
    drop_schema(&url, &schema).await;
}

pub(super) async fn a_destroyed_session_is_marked_as_node_reads_it(url: String) {
    let schema = schema(&url, "mark").await;
    load_dump(&url, &schema).await;
    let store = open(&url, &schema).await;
    let raw = raw(&url).await;
    let marked = async |id: &str| -> String {
        let select = format!("SELECT \"destroyedAt\"::text FROM {schema}.session WHERE id = $1");
        raw.query_one(&select, &[&id]).await.unwrap().get(0)
    };
    let soft = |id: &str| Destroy { key: plain(id), mode: DestroyMode::Keep };
    assert!(store.destroy(&soft(LEFT.ann.0), NOW).await.unwrap());
    assert!(!store.destroy(&soft(LEFT.ann.0), NOW).await.unwrap());
    assert_eq!(marked(LEFT.ann.0).await, "2026-11-22 05:10:00");
    // Beyond the calendar it is marked all the same.
    for (id, now, mark) in
        [("far", i64::MAX - 1, "9999-12-31 23:59:59.999"), ("long ago", i64::MIN, "1970-01-01 00:00:00")]
    {
        let mut create = new(id, "{}");
        create.expires_at = Timestamp::NEVER;
        store.create(&create, NOW).await.unwrap();
        assert!(store.destroy(&soft(id), Timestamp::from_millis(now)).await.unwrap());
        assert_eq!(marked(id).await, mark);
    }
    drop_schema(&url, &schema).await;
}

pub(super) async fn an_entity_without_destroyed_at_is_recognised(url: String) {
    let schema = schema(&url, "old").await;
    let columns = "(id varchar(255) PRIMARY KEY NOT NULL, \"expiredAt\" bigint NOT NULL, json text NOT NULL)";
    raw(&url).await.batch_execute(&format!("CREATE TABLE {schema}.session {columns}")).await.unwrap();
    connect_typeorm::an_entity_without_destroyed_at_is_recognised(Arc::new(open(&url, &schema).await)).await;
    drop_schema(&url, &schema).await;
}

pub(super) async fn no_session_of_another_id_is_met(url: String) {
    let schema = schema(&url, "fold").await;
    let make = format!(
        "CREATE COLLATION {schema}.folding (provider = icu, locale = 'und-u-ks-level1', deterministic = false); \
         CREATE TABLE {schema}.session (\"expiredAt\" bigint NOT NULL, \
         id varchar(255) COLLATE {schema}.folding PRIMARY KEY NOT NULL, json text NOT NULL, \"destroyedAt\" timestamp)"
    );
    raw(&url).await.batch_execute(&make).await.unwrap();
    connect_typeorm::no_session_of_another_id_is_met(&open(&url, &schema).await, &["ann", "ANN", "änn"])
        .await;
    drop_schema(&url, &schema).await;
}

pub(super) async fn a_table_that_we_make_is_the_one_that_typeorm_makes(url: String) {
    let (ours, theirs) = (schema(&url, "ours").await, schema(&url, "theirs").await);
    let store = open(&url, &ours).await;
    assert!(store.capabilities().tombstones);
    store.create_table().await.unwrap();
    store.create_table().await.unwrap();
    load_dump(&url, &theirs).await;
    let raw = raw(&url).await;
    let shape = async |schema: &str| -> Vec<String> {
        let columns = "SELECT concat_ws(' ', attnum, attname, format_type(atttypid, atttypmod), attnotnull) \
             FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum";
        let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY indexname";
        let mut rows = raw.query(columns, &[&format!("{schema}.session")]).await.unwrap();
        rows.extend(raw.query(indexes, &[&schema]).await.unwrap());
        rows.iter().map(|row| row.get::<_, String>(0).replace(schema, "")).collect()
    };
    let found = shape(&ours).await;
    assert_eq!(found, shape(&theirs).await);
    assert_eq!(found.len(), 6, "four columns and two indexes: {found:?}");
    drop_schema(&url, &ours).await;
    drop_schema(&url, &theirs).await;
}

pub(super) async fn table_and_columns_may_have_other_names(url: String) {
    let schema = schema(&url, "names").await;
    let columns = ConnectTypeorm::new().id_column("sid").unwrap().expired_at_column("Expires").unwrap();
    let columns = columns.json_column("data").unwrap().destroyed_at_column("goneAt").unwrap();
    let builder = || {
        let table = TableName::new(&format!("{schema}.web_sessions")).unwrap();
        PostgresStore::builder().url(&url).table(table)
    };
    let store = builder().connect_typeorm(columns).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&new("a", "{}"), NOW).await.unwrap();
    assert_eq!(payload(&store, "a").await.as_deref(), Some("{}"));
    let select = format!(
        "SELECT sid FROM {schema}.web_sessions WHERE \"goneAt\" IS NULL AND \"Expires\" = $1 AND data <> ''"
    );
    let sid: String = raw(&url).await.query_one(&select, &[&LATER.as_millis()]).await.unwrap().get(0);
    assert_eq!(sid, "a");
    let hashed = builder().key_format(KeyFormat::Hashed).connect_typeorm(ConnectTypeorm::new());
    assert_eq!(hashed.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    drop_schema(&url, &schema).await;
}

/// A Node application reads no such row, but one that reads it all the same finds an object.
pub(super) async fn what_is_forgotten_leaves_an_empty_row_that_node_can_read(url: String) {
    let schema = schema(&url, "forget").await;
    let store = open(&url, &schema).await;
    store.create_table().await.unwrap();
    let raw = raw(&url).await;
    let row = async |id: &str| -> (String, bool) {
        let select = format!("SELECT json, \"destroyedAt\" IS NOT NULL FROM {schema}.session WHERE id = $1");
        let row = raw.query_one(&select, &[&id]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let secret = r#"{"user":"ann"}"#;
    for mode in [DestroyMode::Forget, DestroyMode::Keep] {
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name} {mode:?}"));
        store.create(&new(&a, secret), NOW).await.unwrap();
        store.create(&new(&b, secret), NOW).await.unwrap();
        assert!(store.destroy(&Destroy { mode, ..hard(&a) }, NOW).await.unwrap());
        let moved: Rotate = rotate(&b, &c, mode);
        assert_eq!(store.rotate(&moved, NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
        let left = if mode == DestroyMode::Forget { "{}" } else { secret };
        for dead in [&a, &b] {
            assert_eq!(row(dead).await, (left.to_owned(), true), "{mode:?}");
            assert_eq!(store.fate(&plain(dead), NOW).await.unwrap(), Fate::Destroyed, "{mode:?}");
        }
        assert_eq!(row(&c).await, (secret.to_owned(), false), "{mode:?}");
    }
    drop_schema(&url, &schema).await;
}

pub(super) async fn a_store_that_takes_no_notice_of_the_mark_is_found_out(url: String) {
    let schema = schema(&url, "lazy").await;
    open(&url, &schema).await.create_table().await.unwrap();
    let names = ConnectTypeorm::new().without_destroyed_at();
    let blind = builder(&url, &schema).connect_typeorm(names.clone()).build().unwrap();
    assert!(!blind.capabilities().tombstones);
    let findings = blind.diagnose().await.unwrap();
    let fault = findings.iter().find(|finding| finding.severity == Severity::Fault).unwrap();
    assert!(fault.what.contains("destroyedAt"), "{findings:?}");
    let seeing = builder(&url, &schema).connect_typeorm(names).connect().await.unwrap();
    assert!(seeing.capabilities().tombstones);
    let findings = seeing.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    drop_schema(&url, &schema).await;
}
