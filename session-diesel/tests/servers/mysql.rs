//! MySQL and MariaDB.

#[path = "mysql_batch.rs"]
mod batch;
#[path = "mysql_errors.rs"]
mod errors;
#[path = "mysql_login.rs"]
mod login;
#[path = "mysql_outcomes.rs"]
mod outcomes;
#[path = "mysql_typeorm.rs"]
mod typeorm;

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
    DestroyMode, ErrorKind, Filter, Payload, Principal, Rotate, Rotated, Severity, Store, TableName,
    Timestamp, Touch, Update, Version, Write,
};
use session_diesel::MysqlStore;

use crate::{NOW, address, create, fresh_table, key, numbers, trial};

const URL: &str = "SESSION_STORE_MYSQL_URL";

pub(crate) fn trials() -> Vec<Trial> {
    let url = address(URL);
    let missing = url.clone().err();
    let with = |name: &str, test: fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>>| {
        let url = url.clone().unwrap_or_default();
        trial(&format!("mysql::{name}"), missing.clone(), move || test(url))
    };
    vec![
        with("faults_are_told_apart", |url| Box::pin(errors::faults_are_told_apart(url))),
        with("a_refused_connection_says_why", |url| Box::pin(errors::a_refused_connection_says_why(url))),
        with("no_language_of_the_server_changes_an_outcome", |url| {
            Box::pin(errors::no_language_of_the_server_changes_an_outcome(url))
        }),
        with("a_payload_over_the_packet_is_too_large", |url| {
            Box::pin(errors::a_payload_over_the_packet_is_too_large(url))
        }),
        with("a_lax_server_cuts_nothing", |url| Box::pin(a_lax_server_cuts_nothing(url))),
        with("a_closed_connection_is_replaced", |url| Box::pin(a_closed_connection_is_replaced(url))),
        with("every_number_comes_back", |url| Box::pin(every_number_comes_back(url))),
        with("numbers_sent_as_text_are_read", |url| Box::pin(numbers_sent_as_text_are_read(url))),
        with("each_operation_is_one_round_trip_prepared_once", |url| {
            Box::pin(outcomes::each_operation_is_one_round_trip_prepared_once(url))
        }),
        with("a_version_that_cannot_be_read_harms_no_other_write_of_its_batch", |url| {
            Box::pin(batch::a_version_that_cannot_be_read_harms_no_other_write_of_its_batch(url))
        }),
        with("a_purge_that_fails_halfway_is_in_doubt", |url| {
            Box::pin(batch::a_purge_that_fails_halfway_is_in_doubt(url))
        }),
        with("a_batch_is_in_doubt_from_its_commit_on", |url| {
            Box::pin(batch::a_batch_is_in_doubt_from_its_commit_on(url))
        }),
        with("values_of_growing_size_are_never_cut", |url| {
            Box::pin(values_of_growing_size_are_never_cut(url))
        }),
        with("a_row_is_changed_by_its_key_alone", |url| {
            Box::pin(outcomes::a_row_is_changed_by_its_key_alone(url))
        }),
        with("loads_and_throttled_touches_write_nothing", |url| {
            Box::pin(outcomes::loads_and_throttled_touches_write_nothing(url))
        }),
        with("a_table_is_made_once_by_many", |url| Box::pin(a_table_is_made_once_by_many(url))),
        with("the_doctor_finds_what_is_wrong", |url| Box::pin(the_doctor_finds_what_is_wrong(url))),
        with("a_hard_end_by_principal_leaves_empty_rows_for_the_next_purge", |url| {
            Box::pin(outcomes::a_hard_end_by_principal_leaves_empty_rows_for_the_next_purge(url))
        }),
        with("a_principal_is_ended_through_rotations", |url| {
            Box::pin(outcomes::a_principal_is_ended_through_rotations(url))
        }),
        with("a_principal_is_ended_past_a_row_that_moves_backwards", |url| {
            Box::pin(outcomes::a_principal_is_ended_past_a_row_that_moves_backwards(url))
        }),
    ]
    .into_iter()
    .chain(typeorm::trials(&url))
    .chain(login::trials())
    .collect()
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

async fn is_mariadb(url: &str) -> bool {
    raw(url).await.query_first::<String, _>("SELECT VERSION()").await.unwrap().unwrap().contains("MariaDB")
}

/// Returns once a statement waits for a row of a table that another has locked.
async fn somebody_waits(url: &str, table: &TableName) {
    let mut observer = raw(url).await;
    // MariaDB's table of locks is a cache that is not made anew while somebody keeps on asking.
    let mariadb = is_mariadb(url).await;
    let poll = async {
        loop {
            let waits = if mariadb {
                let status: (String, String, String) =
                    observer.query_first("SHOW ENGINE INNODB STATUS").await.unwrap().unwrap();
                // Behind the report of the last deadlock, which was waited for, too.
                let (_, now) = status.2.rsplit_once("\nTRANSACTIONS\n").unwrap();
                now.lines().any(|line| line.contains(&format!("`{table}` ")) && line.ends_with(" waiting"))
            } else {
                let query = "SELECT 1 FROM performance_schema.data_locks \
                     WHERE LOCK_STATUS = 'WAITING' AND OBJECT_NAME = ? LIMIT 1";
                observer.exec_first::<i64, _, _>(query, (table.table(),)).await.unwrap().is_some()
            };
            if waits {
                return;
            }
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
    for number in numbers() {
        sql(&url, &format!("UPDATE `{table}_t` SET created_at = {number}, version = {number}")).await;
        let found = store.load(&key("a"), NOW).await.unwrap().unwrap();
        assert_eq!(found.created_at, Some(Timestamp::from_millis(number)));
        assert_eq!(found.version, Version::new(number));
    }
    let wrongs = ["NULL", "CAST(18446744073709551615 AS UNSIGNED)", "'9223372036854775808'", "1e300", "'x'"];
    for wrong in wrongs {
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

/// In no sql_mode, whatever a value's length: what does not fit the columns is refused before it is sent.
async fn a_lax_server_cuts_nothing(url: String) {
    let lax = connection_pool(&url, 1, "SET SESSION sql_mode = ''");
    let store = MysqlStore::builder().pool(lax).table(fresh_table("lax")).build().unwrap();
    store.create_table().await.unwrap();
    for (number, text) in
        ["x".repeat(5 << 20), "🦀漢é\u{1}".repeat(1 << 18), " ".repeat(70_000)].into_iter().enumerate()
    {
        let mut new = create(&format!("lax{number}"));
        new.principal = Some(Principal::new("🦀".repeat(63)).unwrap());
        new.payload = Payload::from(text);
        store.create(&new, NOW).await.unwrap();
        let found = store.load(&new.key, NOW).await.unwrap().unwrap();
        assert_eq!((&found.payload, &found.principal), (&new.payload, &new.principal));
        let update = Update {
            key: new.key.clone(),
            payload: Payload::from(format!("{}!", new.payload.as_str())),
            expires_at: Timestamp::NEVER,
            principal: Some(Principal::new(format!("{}x", "é".repeat(127))).unwrap()),
            expected: Some(Version::FIRST),
        };
        store.update(&update, NOW).await.unwrap();
        let found = store.load(&new.key, NOW).await.unwrap().unwrap();
        assert_eq!((found.payload, found.principal), (update.payload, update.principal));
        assert_eq!((found.expires_at, found.version), (Timestamp::NEVER, Version::new(2)));
    }
    drop_table(&url, "lax").await;
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
