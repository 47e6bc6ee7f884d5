//! MySQL and MariaDB.

#[path = "mysql_outcomes.rs"]
mod outcomes;

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, SimpleAsyncConnection};
use libtest_mimic::Trial;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use session_core::{
    Destroy, DestroyMode, Error, ErrorKind, Filter, Payload, Principal, Rotate, Rotated, Severity, Store,
    Timestamp, Touch, Update, Version, Write,
};
use session_diesel::{MysqlBuilder, MysqlStore, TlsMode};

use crate::scratch::{Scratch, command_as, find, run};
use crate::{LATER, NOW, address, create, fresh_table, key, numbers, trial};

const URL: &str = "SESSION_STORE_MYSQL_URL";
const BINARIES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

pub(crate) fn trials() -> Vec<Trial> {
    let url = address(URL);
    let missing = url.clone().err();
    let with = |name: &str, test: fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>>| {
        let url = url.clone().unwrap_or_default();
        trial(&format!("mysql::{name}"), missing.clone(), move || test(url))
    };
    let own = find("mariadbd", &BINARIES)
        .and_then(|_| find("mariadb-install-db", &[]))
        .and_then(|_| find("openssl", &[]))
        .err();
    vec![
        with("errors_say_what_to_do", |url| Box::pin(errors_say_what_to_do(url))),
        with("a_payload_over_the_packet_is_too_large", |url| {
            Box::pin(a_payload_over_the_packet_is_too_large(url))
        }),
        with("a_closed_connection_is_replaced", |url| Box::pin(a_closed_connection_is_replaced(url))),
        with("every_number_comes_back", |url| Box::pin(every_number_comes_back(url))),
        with("numbers_sent_as_text_are_read", |url| Box::pin(numbers_sent_as_text_are_read(url))),
        with("each_operation_is_one_round_trip_prepared_once", |url| {
            Box::pin(outcomes::each_operation_is_one_round_trip_prepared_once(url))
        }),
        with("values_of_growing_size_are_never_cut", |url| {
            Box::pin(values_of_growing_size_are_never_cut(url))
        }),
        with("a_table_is_made_once_by_many", |url| Box::pin(a_table_is_made_once_by_many(url))),
        with("the_doctor_finds_what_is_wrong", |url| Box::pin(the_doctor_finds_what_is_wrong(url))),
        with("a_principal_is_ended_through_rotations", |url| {
            Box::pin(outcomes::a_principal_is_ended_through_rotations(url))
        }),
        with("a_principal_is_ended_past_a_row_that_moves_backwards", |url| {
            Box::pin(outcomes::a_principal_is_ended_past_a_row_that_moves_backwards(url))
        }),
        trial("mysql::tls_is_verified", own, tls_is_verified),
    ]
}

async fn store(url: &str, name: &str) -> MysqlStore {
    let store = MysqlStore::builder().url(url).table(fresh_table(name)).build().unwrap();
    store.create_table().await.unwrap();
    store
}

async fn raw(url: &str) -> Conn {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).prefer_socket(false);
    Conn::new(opts).await.unwrap()
}

async fn sql(url: &str, statement: &str) {
    raw(url).await.query_drop(statement).await.unwrap();
}

async fn drop_table(url: &str, name: &str) {
    sql(url, &format!("DROP TABLE IF EXISTS `{}`", fresh_table(name))).await;
}

fn assert_error(error: &Error, kind: ErrorKind, code: &str, indeterminate: bool) {
    assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{error}");
    assert_eq!(error.is_indeterminate(), indeterminate, "{error}");
    assert_eq!(error.backend(), Some("mysql"), "{error}");
}

async fn is_mariadb(url: &str) -> bool {
    raw(url).await.query_first::<String, _>("SELECT VERSION()").await.unwrap().unwrap().contains("MariaDB")
}

/// Returns once a statement waits for a row that another has locked.
async fn somebody_waits(url: &str) {
    // MySQL's own innodb_trx shows the text of the statements, and fails where a key stands in one.
    let waiting = if is_mariadb(url).await {
        "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    } else {
        "SELECT COUNT(*) FROM performance_schema.data_lock_waits"
    };
    let mut observer = raw(url).await;
    let poll = async {
        while observer.query_first::<i64, _>(waiting).await.unwrap() == Some(0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), poll).await.expect("a statement waits for a row");
}

/// A pool of connections as an application would have it, each in a state of its own.
fn connection_pool(url: &str, size: usize, set_up: &str) -> Pool<AsyncMysqlConnection> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let set_up = set_up.to_owned();
    config.custom_setup = Box::new(move |url| {
        let (url, set_up) = (format!("{url}?prefer_socket=false"), set_up.clone());
        Box::pin(async move {
            let mut connection = AsyncMysqlConnection::establish(&url).await?;
            connection
                .batch_execute(&set_up)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        })
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config(url, config)).max_size(size).build().unwrap()
}

async fn errors_say_what_to_do(url: String) {
    let name = fresh_table("errors");
    let store = MysqlStore::builder().url(&url).table(name.clone()).pool_size(1).build().unwrap();
    let error = store.load(&key("a"), NOW).await.unwrap_err();
    assert_error(&error, ErrorKind::Backend, "1146", false);
    assert!(error.to_string().contains(&format!("CREATE TABLE IF NOT EXISTS `{name}`")), "{error}");

    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    sql(&url, &format!("ALTER TABLE `{name}` RENAME COLUMN version TO versio")).await;
    assert_error(&store.load(&key("a"), NOW).await.unwrap_err(), ErrorKind::Backend, "1054", false);
    sql(&url, &format!("ALTER TABLE `{name}` RENAME COLUMN versio TO version")).await;

    let hurried = connection_pool(&url, 1, "SET innodb_lock_wait_timeout = 1");
    let hurried = MysqlStore::builder().pool(hurried).table(name.clone()).build().unwrap();
    let mut holder = raw(&url).await;
    holder.query_drop("BEGIN").await.unwrap();
    let lock = format!("SELECT 1 FROM `{name}` WHERE `key` = ? FOR UPDATE");
    holder.exec_drop(&lock, (key("a").as_bytes(),)).await.unwrap();
    let touch = Touch { key: key("a"), expires_at: LATER };
    assert_error(&hurried.touch(&touch, NOW).await.unwrap_err(), ErrorKind::Unavailable, "1205", false);

    // Two rows in opposite orders: this transaction has written more, so that the batch is the one that is given up.
    store.create(&create("b"), NOW).await.unwrap();
    let mut keys = [key("a"), key("b")];
    keys.sort();
    holder.query_drop("ROLLBACK").await.unwrap();
    holder.query_drop("BEGIN").await.unwrap();
    for number in 0..100 {
        let id = key(&format!("weight{number}"));
        let insert = format!("INSERT INTO `{name}` VALUES (?, '', 0, 0, 0, NULL, NULL)");
        holder.exec_drop(insert, (id.as_bytes(),)).await.unwrap();
    }
    holder.exec_drop(&lock, (keys[1].as_bytes(),)).await.unwrap();
    let writes: Vec<Write> = keys
        .iter()
        .map(|key| Write::Destroy(Destroy { key: key.clone(), mode: DestroyMode::Soft }))
        .collect();
    let batch = tokio::spawn(async move { store.write_many(&writes, NOW).await });
    somebody_waits(&url).await;
    holder.exec_drop(&lock, (keys[0].as_bytes(),)).await.unwrap();
    holder.query_drop("ROLLBACK").await.unwrap();
    // The batch fell to the deadlock and was then tried one by one.
    assert_eq!(batch.await.unwrap().unwrap().into_iter().filter(|outcome| outcome.is_ok()).count(), 2);

    let nowhere = MysqlStore::connect("mysql://u:hunter2@127.0.0.1:1/d").await.unwrap_err();
    assert!(nowhere.is_unreachable() && !nowhere.is_indeterminate(), "{nowhere}");
    assert!(!format!("{nowhere} {nowhere:?}").contains("hunter2"));
    let (base, _) = url.rsplit_once('/').unwrap();
    let missing = MysqlStore::connect(format!("{base}/no_such_database")).await.unwrap_err();
    assert!(["1049", "1044"].contains(&missing.code().unwrap()), "{missing}");
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').unwrap().1;
    sql(&url, "CREATE USER IF NOT EXISTS 'known'@'%' IDENTIFIED BY 'another'").await;
    for (user, codes) in [("known", &["1045"][..]), ("nobody", &["1045", "1251"])] {
        // For a user that is not there MySQL asks for any login method, which may be one that nobody has any more.
        let refused = MysqlStore::connect(format!("{scheme}://{user}:hunter2@{host}")).await.unwrap_err();
        assert!(codes.contains(&refused.code().unwrap()), "{user}: {refused}");
        assert_error(&refused, ErrorKind::Backend, refused.code().unwrap(), false);
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    sql(&url, "DROP USER 'known'@'%'").await;
    drop_table(&url, "errors").await;
}

async fn a_payload_over_the_packet_is_too_large(url: String) {
    let store = store(&url, "packet").await;
    let largest: usize = raw(&url).await.query_first("SELECT @@max_allowed_packet").await.unwrap().unwrap();
    if largest > 64 << 20 {
        // Not worth the memory: the server's own limit is the test's.
        return drop_table(&url, "packet").await;
    }
    let mut large = create("a");
    large.payload = Payload::from("x".repeat(largest + 1));
    let error = store.create(&large, NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert!(!error.is_indeterminate());
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    assert!(store.load(&large.key, NOW).await.unwrap().is_none());
    store.create(&create("a"), NOW).await.unwrap();
    drop_table(&url, "packet").await;
}

async fn a_closed_connection_is_replaced(url: String) {
    let pool = connection_pool(&url, 4, "SET autocommit = 1");
    let store = MysqlStore::builder().pool(pool.clone()).table(fresh_table("closed")).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    for round in 0..5 {
        let a = key("a");
        let loads = (0..4).map(|_| store.load(&a, NOW));
        assert!(futures_util::future::join_all(loads).await.into_iter().all(|load| load.unwrap().is_some()));
        // All of the pool's connections at once, to learn their numbers.
        let mut connections = Vec::new();
        for _ in 0..pool.status().size {
            connections.push(pool.get().await.unwrap());
        }
        let mut ids = Vec::new();
        for connection in &mut connections {
            ids.extend(numbers_of(connection, "SELECT CONNECTION_ID()").await);
        }
        drop(connections);
        let mut killer = raw(&url).await;
        for id in ids {
            killer.query_drop(format!("KILL {id}")).await.unwrap();
        }
        assert!(store.load(&key("a"), NOW).await.unwrap().is_some(), "round {round}");
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
    sql(&url, &format!("UPDATE `{}` SET version = 9223372036854775807", fresh_table("numbers"))).await;
    let all = store.list(&Filter::default(), None, NonZeroU32::MAX, Timestamp::MIN).await.unwrap();
    assert!(all.into_iter().all(|entry| entry.record.unwrap().version == Version::new(i64::MAX)));
    drop_table(&url, "numbers").await;
}

async fn numbers_sent_as_text_are_read(url: String) {
    // A view with texts in place of numbers stands for a proxy that sends them so.
    let store = store(&url, "text").await;
    store.create(&create("a"), NOW).await.unwrap();
    let table = fresh_table("text");
    sql(&url, &format!("RENAME TABLE `{table}` TO `{table}_t`")).await;
    let view = |created_at: &str| {
        format!(
            "CREATE OR REPLACE VIEW `{table}` AS SELECT `key`, payload, expires_at, {created_at} AS created_at, \
             CONCAT(version, '') AS version, principal, destroyed_at FROM `{table}_t`"
        )
    };
    sql(&url, &view("CONCAT(created_at, '')")).await;
    let found = store.load(&key("a"), NOW).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.version), (Some(NOW), Version::FIRST));
    for wrong in ["CAST(18446744073709551615 AS UNSIGNED)", "1e300", "'x'"] {
        sql(&url, &view(wrong)).await;
        let error = store.load(&key("a"), NOW).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{wrong}: {error}");
        assert!(error.to_string().contains("`created_at`"), "{error}");
    }
    sql(&url, &format!("DROP VIEW `{table}`")).await;
    sql(&url, &format!("DROP TABLE `{table}_t`")).await;
}

/// The first column of a query.
async fn numbers_of(connection: &mut AsyncMysqlConnection, query: &str) -> Vec<i64> {
    use diesel::row::{Field, Row};
    use diesel_async::AsyncConnectionCore;
    use futures_util::TryStreamExt;
    let rows = connection.load(diesel::sql_query(query)).await.unwrap();
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
    rows.map_ok(|row| number(row.get(0).unwrap().value().unwrap().as_bytes())).try_collect().await.unwrap()
}

/// MariaDB gives the columns of a temporary table types by the values that it saw first.
async fn values_of_growing_size_are_never_cut(url: String) {
    let store = MysqlStore::builder().url(&url).table(fresh_table("grow")).pool_size(1).build().unwrap();
    store.create_table().await.unwrap();
    let mut version = 1;
    store.create(&create("a"), NOW).await.unwrap();
    store.create(&create("b"), NOW).await.unwrap();
    for (length, expiry) in
        [(0, 1), (3, 70_000), (70_000, 1 << 40), (300, i64::MAX), (6_000_000, i64::MAX), (1, 2)]
    {
        let now = Timestamp::MIN;
        for expected in [None, Some(())] {
            for many in [false, true] {
                let before = version;
                let update = |id: &str| Update {
                    key: key(id),
                    payload: Payload::from("é".repeat(length)),
                    expires_at: Timestamp::from_millis(expiry),
                    principal: (length > 0).then(|| Principal::new("p".repeat(length.min(255))).unwrap()),
                    expected: expected.map(|()| Version::new(before)),
                };
                if many {
                    let writes = [Write::Update(update("a")), Write::Update(update("b"))];
                    for outcome in store.write_many(&writes, now).await.unwrap() {
                        outcome.unwrap();
                    }
                } else {
                    store.update(&update("a"), now).await.unwrap();
                    store.update(&update("b"), now).await.unwrap();
                }
                version += 1;
                for id in ["a", "b"] {
                    let found = store.load(&key(id), now).await.unwrap().unwrap();
                    let wanted = update(id);
                    assert_eq!(found.payload, wanted.payload, "{length} {many}");
                    assert_eq!((found.expires_at, found.principal), (wanted.expires_at, wanted.principal));
                    assert_eq!(found.version, Version::new(version));
                }
                let touch = |id: &str| {
                    Write::Touch(Touch { key: key(id), expires_at: Timestamp::from_millis(expiry) })
                };
                store.write_many(&[touch("a"), touch("b")], now).await.unwrap();
                let found = store.load(&key("b"), now).await.unwrap().unwrap();
                assert_eq!(found.expires_at, Timestamp::from_millis(expiry));
            }
        }
        let rotate = |from: &str, to: &str| Rotate {
            from: key(from),
            to: key(to),
            payload: Some(Payload::from("é".repeat(length))),
            expires_at: Timestamp::from_millis(expiry),
            principal: Some(Principal::new("q".repeat(length.clamp(1, 255))).unwrap()),
            expected: None,
            mode: DestroyMode::Soft,
        };
        store.create(&create(&format!("r{length}")), NOW).await.unwrap();
        let wanted = rotate(&format!("r{length}"), &format!("s{length}"));
        assert!(matches!(store.rotate(&wanted, now).await.unwrap(), Rotated::Rotated(_)));
        let found = store.load(&wanted.to, now).await.unwrap().unwrap();
        assert_eq!(found.payload, wanted.payload.unwrap());
        assert_eq!((found.expires_at, found.principal), (wanted.expires_at, wanted.principal));
    }
    drop_table(&url, "grow").await;
}

async fn a_table_is_made_once_by_many(url: String) {
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

async fn the_doctor_finds_what_is_wrong(url: String) {
    let table = fresh_table("doctor");
    let lax = connection_pool(&url, 1, "SET SESSION sql_mode = ''");
    let store = MysqlStore::builder().pool(lax).table(table.clone()).build().unwrap();
    let worst = |findings: &[session_core::Finding], part: &str| {
        findings.iter().find(|finding| finding.what.contains(part)).map(|finding| finding.severity)
    };
    let findings = store.diagnose().await.unwrap();
    assert_eq!(worst(&findings, "is missing"), Some(Severity::Fault));
    assert_eq!(worst(&findings, "not strict"), Some(Severity::Fault));
    store.create_table().await.unwrap();
    let alter = format!(
        "ALTER TABLE `{table}` DROP INDEX expiry, DROP COLUMN created_at, \
         MODIFY payload text CHARACTER SET latin1 NOT NULL"
    );
    sql(&url, &alter).await;
    let findings = store.diagnose().await.unwrap();
    for (part, severity) in [
        ("the column created_at is missing", Severity::Fault),
        ("the column payload is text", Severity::Fault),
        ("the payload's collation is latin1", Severity::Fault),
        ("no index on expires_at", Severity::Warning),
    ] {
        assert_eq!(worst(&findings, part), Some(severity), "{part}: {findings:?}");
    }
    drop_table(&url, "doctor").await;
}

async fn tls_is_verified() {
    let mut server = Scratch::new("maria-tls");
    server.certificates();
    server.give_to("mysql");
    let data = server.path("data");
    let install = find("mariadb-install-db", &[]).unwrap();
    run(command_as("mysql", &install)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .current_dir("/"));
    let mut command = command_as("mysql", &find("mariadbd", &BINARIES).unwrap());
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    command
        .arg(format!("--port={}", server.port))
        .args(["--bind-address=127.0.0.1", "--default-time-zone=-11:00"]);
    command.arg(format!("--socket={}", server.path("sock").display()));
    command.arg(format!("--ssl-cert={}", server.path("server.pem").display()));
    command.arg(format!("--ssl-key={}", server.path("server.key").display()));
    server.start(command.current_dir("/"));

    let url = |host: &str, query: &str| format!("mysql://root@{host}:{}/mysql{query}", server.port);
    let ca = server.path("ca.pem");
    let query = format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", ca.display());
    let table = fresh_table("tls");
    let builder = |host: &str, query: &str| MysqlStore::builder().url(url(host, query)).table(table.clone());
    let store = builder("localhost", &query).build().unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    // What the server says: it counts the accepted handshakes.
    let accepted: (String, u64) = raw(&url("127.0.0.1", ""))
        .await
        .query_first("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'")
        .await
        .unwrap()
        .unwrap();
    assert!(accepted.1 > 0, "the store's connection is encrypted");

    let refused = |builder: MysqlBuilder| async move {
        let error = builder.build().unwrap().server_time().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    };
    // Another CA; the right CA and the wrong name; the CAs that everybody trusts.
    let verified = |host: &str| builder(host, "").tls(TlsMode::Verified);
    refused(verified("localhost").ca_certificate_file(server.path("other.pem"))).await;
    refused(verified("127.0.0.1").ca_certificate_file(&ca)).await;
    refused(verified("localhost")).await;
    let blind = builder("127.0.0.1", "").tls(TlsMode::Unverified).build().unwrap();
    assert!(blind.load(&key("a"), NOW).await.unwrap().is_some());
    let pem = std::fs::read(&ca).unwrap();
    let store = verified("localhost").ca_certificate_pem(pem).build().unwrap();
    assert!(store.load(&key("a"), NOW).await.unwrap().is_some());
}
