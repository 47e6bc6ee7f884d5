//! PostgreSQL.

#[path = "postgres_errors.rs"]
mod errors;
#[path = "postgres_outcomes.rs"]
mod outcomes;
#[path = "postgres_pgbouncer.rs"]
mod pgbouncer;
#[path = "postgres_typeorm.rs"]
mod typeorm;

use std::future::Future;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use libtest_mimic::Trial;
use session_core::{
    Destroy, DestroyMode, ErrorKind, Filter, Payload, Principal, Rotate, Rotated, Severity, Store, Timestamp,
    Touch, Update, Updated, Version, Write, Written,
};
use session_diesel::{PostgresBuilder, PostgresStore, TlsMode};
use tokio_postgres::NoTls;

use crate::scratch::{Scratch, command_as, find, run};
use crate::{LATER, NOW, address, create, fresh_table, key, numbers, trial};

const URL: &str = "SESSION_STORE_POSTGRES_URL";
const BINARIES: [&str; 4] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
];

pub(crate) fn trials() -> Vec<Trial> {
    let url = address(URL);
    let missing = url.clone().err();
    let with = |name: &str, test: fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>>| {
        let url = url.clone().unwrap_or_default();
        trial(&format!("postgres::{name}"), missing.clone(), move || test(url))
    };
    let own = || find("postgres", &BINARIES).and_then(|_| find("openssl", &[])).err();
    vec![
        with("faults_are_told_apart", |url| Box::pin(errors::faults_are_told_apart(url))),
        with("a_refused_connection_says_why", |url| Box::pin(errors::a_refused_connection_says_why(url))),
        with("a_plan_for_columns_that_changed_is_made_anew", |url| {
            Box::pin(errors::a_plan_for_columns_that_changed_is_made_anew(url))
        }),
        with("a_closed_connection_is_replaced", |url| Box::pin(a_closed_connection_is_replaced(url))),
        with("every_number_comes_back", |url| Box::pin(every_number_comes_back(url))),
        with("numbers_sent_as_text_are_read", |url| Box::pin(numbers_sent_as_text_are_read(url))),
        with("a_version_that_cannot_be_read_harms_no_other_write_of_its_batch", |url| {
            Box::pin(a_version_that_cannot_be_read_harms_no_other_write_of_its_batch(url))
        }),
        with("each_operation_is_one_statement_prepared_once", |url| {
            Box::pin(each_operation_is_one_statement_prepared_once(url))
        }),
        with("loads_and_throttled_touches_write_nothing", |url| {
            Box::pin(loads_and_throttled_touches_write_nothing(url))
        }),
        with("a_table_is_made_once_by_many", |url| Box::pin(a_table_is_made_once_by_many(url))),
        with("the_doctor_finds_what_is_wrong", |url| Box::pin(the_doctor_finds_what_is_wrong(url))),
        with("a_principal_is_ended_through_rotations", |url| {
            Box::pin(a_principal_is_ended_through_rotations(url))
        }),
        trial("postgres::tls_is_verified", own(), tls_is_verified),
        trial("postgres::the_writing_host_is_found", own(), the_writing_host_is_found),
    ]
    .into_iter()
    .chain(typeorm::trials(&url))
    .chain(outcomes::trials(own()))
    .chain(pgbouncer::trials(own()))
    .collect()
}

async fn store(url: &str, name: &str) -> PostgresStore {
    let store = PostgresStore::builder().url(url).table(fresh_table(name)).build().unwrap();
    store.create_table().await.unwrap();
    store
}

async fn raw(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn sql(url: &str, statements: &str) {
    raw(url).await.batch_execute(statements).await.unwrap();
}

async fn drop_table(url: &str, name: &str) {
    sql(url, &format!("DROP TABLE IF EXISTS \"{}\"", fresh_table(name))).await;
}

async fn a_closed_connection_is_replaced(url: String) {
    let store = store(&url, "closed").await;
    store.create(&create("a"), NOW).await.unwrap();
    let application = format!("closed_{}", std::process::id());
    let separator = if url.contains('?') { '&' } else { '?' };
    let named = PostgresStore::builder()
        .url(format!("{url}{separator}application_name={application}"))
        .table(fresh_table("closed"))
        .build()
        .unwrap();
    for round in 0..5 {
        let a = key("a");
        let loads = (0..4).map(|_| named.load(&a, NOW));
        assert!(futures_util::future::join_all(loads).await.into_iter().all(|load| load.unwrap().is_some()));
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        assert!(!raw(&url).await.query(kill, &[&application]).await.unwrap().is_empty(), "round {round}");
        // A read is repeated over a new connection, unseen.
        assert!(named.load(&key("a"), NOW).await.unwrap().is_some(), "round {round}");
    }
    drop_table(&url, "closed").await;
}

async fn every_number_comes_back(url: String) {
    let store = store(&url, "numbers").await;
    for number in numbers() {
        let mut new = create(&number.to_string());
        new.expires_at = Timestamp::from_millis(number);
        store.create(&new, Timestamp::from_millis(number)).await.unwrap();
        let before = Timestamp::from_millis(number.saturating_sub(1));
        let found = store.load(&new.key, before).await.unwrap();
        if number == i64::MIN {
            assert!(found.is_none());
            continue;
        }
        let found = found.unwrap();
        assert_eq!((found.expires_at, found.created_at), (new.expires_at, Some(new.expires_at)));
        assert!(store.load(&new.key, new.expires_at).await.unwrap().is_none(), "{number}");
    }
    let versions = format!("UPDATE \"{}\" SET version = 9223372036854775807", fresh_table("numbers"));
    sql(&url, &versions).await;
    let all = store.list(&Filter::default(), None, NonZeroU32::MAX, Timestamp::MIN).await.unwrap();
    assert!(all.into_iter().all(|entry| entry.record.unwrap().version == Version::new(i64::MAX)));
    drop_table(&url, "numbers").await;
}

async fn numbers_sent_as_text_are_read(url: String) {
    // A view with texts in place of numbers stands for a proxy that sends them so.
    let store = store(&url, "text").await;
    store.create(&create("a"), NOW).await.unwrap();
    let table = fresh_table("text");
    let script = format!(
        "ALTER TABLE \"{table}\" RENAME TO \"{table}_t\"; \
         CREATE VIEW \"{table}\" AS SELECT key, payload, expires_at, created_at::text AS created_at, \
         version::text AS version, principal, destroyed_at FROM \"{table}_t\""
    );
    sql(&url, &script).await;
    let fresh = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    let found = fresh.load(&key("a"), NOW).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.version), (Some(NOW), Version::FIRST));
    let raw = raw(&url).await;
    for number in numbers() {
        let update = format!("UPDATE \"{table}_t\" SET created_at = $1, version = $1");
        raw.execute(&update, &[&number]).await.unwrap();
        let found = fresh.load(&key("a"), NOW).await.unwrap().unwrap();
        assert_eq!(found.created_at, Some(Timestamp::from_millis(number)));
        assert_eq!(found.version, Version::new(number));
    }
    let script = format!(
        "CREATE OR REPLACE VIEW \"{table}\" AS SELECT key, payload, expires_at, NULL::text AS created_at, \
         version::text AS version, principal, destroyed_at FROM \"{table}_t\""
    );
    sql(&url, &script).await;
    let error = fresh.load(&key("a"), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("`created_at`"), "{error}");
    for wrong in ["9223372036854775808", "1e300", "x", ""] {
        let script = format!(
            "CREATE OR REPLACE VIEW \"{table}\" AS SELECT key, payload, expires_at, '{wrong}'::text AS created_at, \
             version::text AS version, principal, destroyed_at FROM \"{table}_t\""
        );
        sql(&url, &script).await;
        let error = fresh.load(&key("a"), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong}");
        assert!(error.to_string().contains("`created_at`"), "{error}");
    }
    sql(&url, &format!("DROP TABLE \"{table}_t\" CASCADE")).await;
}

async fn a_version_that_cannot_be_read_harms_no_other_write_of_its_batch(url: String) {
    let store = store(&url, "nulls").await;
    let table = fresh_table("nulls");
    for id in ["a", "b", "c", "d"] {
        store.create(&create(id), NOW).await.unwrap();
    }
    sql(&url, &format!("ALTER TABLE \"{table}\" ALTER version DROP NOT NULL")).await;
    let forget = format!("UPDATE \"{table}\" SET version = NULL WHERE key IN ($1, $2)");
    raw(&url).await.execute(&forget, &[&key("a").as_bytes(), &key("b").as_bytes()]).await.unwrap();
    let update = |id: &str, expected| {
        let (payload, principal) = (Payload::from("[]"), None);
        Update { key: key(id), payload, expires_at: LATER, principal, expected }
    };
    let writes = [
        Write::Update(update("a", None)),
        Write::Update(update("b", Some(Version::FIRST))),
        Write::Update(update("c", Some(Version::FIRST))),
        Write::Destroy(Destroy { key: key("d"), mode: DestroyMode::Soft }),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    let error = outcomes[0].as_ref().unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.is_indeterminate(), "it was done: {error:?}");
    let error = outcomes[1].as_ref().unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && !error.is_indeterminate(), "it was not done: {error:?}");
    assert!(
        matches!(outcomes[2], Ok(Written::Updated(Updated::Saved(version))) if version == Version::new(2))
    );
    assert!(matches!(outcomes[3], Ok(Written::Destroyed(true))));
    let error = store.update(&update("a", None), NOW).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.is_indeterminate(), "it was done: {error:?}");
    drop_table(&url, "nulls").await;
}

/// A pool of connections as an application would have it, each in a state of its own.
fn connection_pool(url: String, size: usize, set_up: String) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url| {
        let (url, set_up) = (url.to_owned(), set_up.clone());
        Box::pin(async move {
            let mut connection = AsyncPgConnection::establish(&url).await?;
            connection
                .batch_execute(&set_up)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        })
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Pool::builder(manager).max_size(size).build().unwrap()
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    statements: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    plans: i64,
}

async fn each_operation_is_one_statement_prepared_once(url: String) {
    let table = fresh_table("counted");
    let pool = connection_pool(url.clone(), 1, "SET plan_cache_mode = force_generic_plan".to_owned());
    let store = PostgresStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    let prepared = || async {
        use diesel_async::RunQueryDsl;
        let mut connection = pool.get().await.unwrap();
        let counted: Count = diesel::sql_query(format!(
            "SELECT count(*) AS statements, COALESCE(sum(generic_plans + custom_plans), 0)::bigint AS plans \
             FROM pg_prepared_statements WHERE statement LIKE '%\"{table}\"%' AND statement NOT LIKE '%pg_prepared%'"
        ))
        .get_result(&mut connection)
        .await
        .unwrap();
        (counted.statements, counted.plans)
    };
    let kinds = all_operations(&store, 0).await;
    let (statements, runs) = prepared().await;
    assert_eq!((statements, runs), (kinds, kinds), "each kind is prepared, and runs once");
    for round in 1..5 {
        all_operations(&store, round).await;
    }
    assert_eq!(
        prepared().await,
        (statements, kinds * 5),
        "nothing is prepared again, and each is one statement"
    );
    drop_table(&url, "counted").await;
}

/// Runs each kind of operation once, and gives their number.
async fn all_operations(store: &PostgresStore, round: u32) -> i64 {
    let id = |name: &str| format!("{name}{round}");
    store.create(&create(&id("a")), NOW).await.unwrap();
    assert!(store.load(&key(&id("a")), NOW).await.unwrap().is_some());
    let update = Update {
        key: key(&id("a")),
        payload: Payload::from("[]"),
        expires_at: LATER,
        principal: None,
        expected: Some(Version::FIRST),
    };
    assert_eq!(store.update(&update, NOW).await.unwrap(), Updated::Saved(Version::new(2)));
    let touch = Touch { key: key(&id("a")), expires_at: LATER };
    assert!(store.touch(&touch, NOW).await.unwrap());
    let rotate = Rotate {
        from: key(&id("a")),
        to: key(&id("b")),
        payload: None,
        expires_at: LATER,
        principal: None,
        expected: None,
        mode: DestroyMode::Soft,
    };
    assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(Version::new(3)));
    let destroy = Destroy { key: key(&id("b")), mode: DestroyMode::Soft };
    assert!(store.destroy(&destroy, NOW).await.unwrap());
    let ann = Principal::new("ann").unwrap();
    store.destroy_principal(&ann, None, DestroyMode::Soft, NOW).await.unwrap();
    store.list(&Filter::default(), None, NonZeroU32::MIN, NOW).await.unwrap();
    store.count(&Filter::default(), NOW).await.unwrap();
    store.purge_expired(NOW, NonZeroU32::MIN).await.unwrap();
    let keys: Vec<_> = (0..10 + round).map(|number| key(&number.to_string())).collect();
    store.load_many(&keys, NOW).await.unwrap();
    let touches: Vec<Write> =
        keys.into_iter().map(|key| Write::Touch(Touch { key, expires_at: LATER })).collect();
    store.write_many(&touches, NOW).await.unwrap();
    store.clear().await.unwrap();
    13
}

async fn loads_and_throttled_touches_write_nothing(url: String) {
    use diesel_async::RunQueryDsl;

    let table = fresh_table("unwritten");
    let pool = connection_pool(url.clone(), 1, "SET plan_cache_mode = force_generic_plan".to_owned());
    let store = PostgresStore::builder().pool(pool.clone()).table(table.clone()).build().unwrap();
    store.create_table().await.unwrap();
    // Every statement of the store is prepared, and the server counts how often it ran each.
    let count = format!(
        "SELECT count(*) AS statements, COALESCE(sum(generic_plans + custom_plans), 0)::bigint AS plans \
         FROM pg_prepared_statements WHERE statement LIKE '%\"{table}\"%' AND statement !~ '^SELECT'"
    );
    let writes = move || {
        let (pool, count) = (pool.clone(), count.clone());
        let counted: Pin<Box<dyn Future<Output = i64> + Send>> = Box::pin(async move {
            let mut connection = pool.get().await.unwrap();
            let counted: Count = diesel::sql_query(count).get_result(&mut connection).await.unwrap();
            counted.plans
        });
        counted
    };
    crate::unwritten::loads_and_throttled_touches_write_nothing(Arc::new(store), Box::new(writes)).await;
    drop_table(&url, "unwritten").await;
}

async fn a_table_is_made_once_by_many(url: String) {
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

async fn the_doctor_finds_what_is_wrong(url: String) {
    let table = fresh_table("doctor");
    let store = PostgresStore::builder().url(&url).table(table.clone()).build().unwrap();
    let worst = |findings: &[session_core::Finding], part: &str| {
        findings.iter().find(|finding| finding.what.contains(part)).map(|finding| finding.severity)
    };
    assert_eq!(worst(&store.diagnose().await.unwrap(), "is missing"), Some(Severity::Fault));
    store.create_table().await.unwrap();
    let script = format!(
        "ALTER TABLE \"{table}\" RESET (fillfactor); DROP INDEX \"{table}_principal\"; \
         ALTER TABLE \"{table}\" DROP COLUMN created_at, ALTER COLUMN payload TYPE varchar(10); \
         CREATE INDEX ON \"{table}\" (expires_at)"
    );
    sql(&url, &script).await;
    let findings = store.diagnose().await.unwrap();
    for (part, severity) in [
        ("the column created_at is missing", Severity::Fault),
        ("the column payload is character varying(10)", Severity::Fault),
        ("filled to the brim", Severity::Warning),
        ("no index on principal", Severity::Warning),
        ("an index on expires_at", Severity::Warning),
    ] {
        assert_eq!(worst(&findings, part), Some(severity), "{part}: {findings:?}");
    }
    drop_table(&url, "doctor").await;
}

/// A session that moves from key to key all the time cannot slip away from the end of all its user's sessions.
async fn a_principal_is_ended_through_rotations(url: String) {
    let store = Arc::new(store(&url, "slip").await);
    let ann = Principal::new("ann").unwrap();
    for round in 0..20 {
        store.create(&create(&format!("{round}-0")), NOW).await.unwrap();
        let mover = tokio::spawn({
            let (store, ann) = (Arc::clone(&store), ann.clone());
            async move {
                for step in 0.. {
                    let rotate = Rotate {
                        from: key(&format!("{round}-{step}")),
                        to: key(&format!("{round}-{}", step + 1)),
                        payload: None,
                        expires_at: LATER,
                        principal: Some(ann.clone()),
                        expected: None,
                        mode: if round % 2 == 0 { DestroyMode::Soft } else { DestroyMode::Hard },
                    };
                    match store.rotate(&rotate, NOW).await.unwrap() {
                        Rotated::Rotated(_) => {}
                        Rotated::Gone => return,
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let ended = store.destroy_principal(&ann, None, DestroyMode::Soft, NOW).await.unwrap();
        assert!(ended >= 1, "round {round}");
        let filter = Filter { principal: Some(ann.clone()) };
        assert_eq!(store.count(&filter, NOW).await.unwrap(), 0, "round {round}");
        mover.await.unwrap();
    }
    drop_table(&url, "slip").await;
}

/// A server of this test's own, with encryption, which demands it of everybody but the user `clear`.
fn server(name: &str, options: &[&str]) -> Scratch {
    let mut scratch = Scratch::new(name);
    scratch.certificates();
    scratch.give_to("postgres");
    let binaries = binaries();
    let data = scratch.path("data");
    run(command_as("postgres", &binaries.join("initdb"))
        .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
        .arg(&data)
        .current_dir("/"));
    let port = scratch.port.to_string();
    let dir = scratch.dir.display().to_string();
    let mut command = command_as("postgres", &binaries.join("postgres"));
    command.arg("-D").arg(&data).args(["-p", &port, "-k", &dir, "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "fsync=off", "-c", "timezone=Pacific/Kiritimati", "-c", "ssl=on"]);
    command.args([
        "-c",
        &format!("ssl_cert_file={dir}/server.pem"),
        "-c",
        &format!("ssl_key_file={dir}/server.key"),
    ]);
    for option in options {
        command.args(["-c", option]);
    }
    scratch.start(command.current_dir("/"));
    scratch
}

fn binaries() -> PathBuf {
    let postgres = find("postgres", &BINARIES).unwrap();
    postgres.parent().unwrap().to_owned()
}

/// Waits until the server takes connections; while it starts it refuses them.
async fn ready(builder: impl Fn() -> PostgresBuilder) -> PostgresStore {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let store = builder().build().unwrap();
        match store.server_time().await {
            Ok(_) => return store,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error} {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn tls_is_verified() {
    let server = server("pg-tls", &[]);
    let url = |host: &str, query: &str| format!("postgres://postgres@{host}:{}/postgres{query}", server.port);
    let encrypted = "SELECT ssl::int::bigint FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    ready(|| PostgresStore::builder().url(url("localhost", "?sslmode=disable"))).await;

    // By the URL alone, as libpq's users write it.
    let ca = server.path("ca.pem");
    let query = format!("?sslmode=verify-full&sslrootcert={}", ca.display());
    let store = PostgresStore::connect(url("localhost", &query)).await.unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    // What the server says of its connections, and not what the client believes.
    let observer = raw(&url("localhost", "?sslmode=disable")).await;
    let rows =
        observer.query("SELECT 1 FROM pg_stat_ssl WHERE ssl AND pid <> pg_backend_pid()", &[]).await.unwrap();
    assert!(!rows.is_empty(), "the store's connection is encrypted");
    assert_eq!(observer.query_one(encrypted, &[]).await.unwrap().get::<_, i64>(0), 0);

    let refused = |builder: PostgresBuilder| async move {
        let error = builder.build().unwrap().server_time().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    };
    // Another CA; the right CA and the wrong name; the system's CAs.
    let verified = || PostgresStore::builder().tls(TlsMode::Verified);
    refused(verified().url(url("localhost", "")).ca_certificate_file(server.path("other.pem"))).await;
    refused(verified().url(url("127.0.0.1", "")).ca_certificate_file(&ca)).await;
    refused(verified().url(url("localhost", ""))).await;
    // Without verification the name does not matter.
    let blind = PostgresStore::builder().url(url("127.0.0.1", "")).tls(TlsMode::Unverified).build().unwrap();
    assert!(blind.load(&key("a"), NOW).await.unwrap().is_some());
    // The text of the certificate, in place of a file.
    let pem = std::fs::read(&ca).unwrap();
    let store = verified().url(url("localhost", "")).ca_certificate_pem(pem).build().unwrap();
    assert!(store.load(&key("a"), NOW).await.unwrap().is_some());
}

async fn the_writing_host_is_found() {
    // A server that only reads stands for a standby.
    let reading = server("pg-reading", &["default_transaction_read_only=on"]);
    let writing = server("pg-writing", &[]);
    let of = |port: u16| format!("postgres://postgres@127.0.0.1:{port}/postgres");
    ready(|| PostgresStore::builder().url(of(reading.port))).await;
    ready(|| PostgresStore::builder().url(of(writing.port))).await;
    // A port where nobody listens, the standby, the one that writes.
    let hosts = format!("127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}", reading.port, writing.port);
    let url = format!("postgres://postgres@{hosts}/postgres?target_session_attrs=read-write");
    let store = PostgresStore::connect(url).await.unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    let there = PostgresStore::connect(of(writing.port)).await.unwrap();
    assert!(there.load(&key("a"), NOW).await.unwrap().is_some());
}
