//! connect-typeorm's table on a live server: `SESSION_STORE_MSSQL_URL` is an ADO.NET connection string. Without it each
//! test is shown as ignored.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::env;
use std::num::NonZeroU32;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};

use libtest_mimic::{Arguments, Trial};
use session_core::{
    Create, Created, Destroy, DestroyMode, ErrorKind, Filter, KeyFormat, Payload, Rotate, Rotated, SessionId,
    SessionKey, Severity, Store, TableName, Timestamp, Touch, Update, Updated, Version,
};
use session_mssql::tiberius::{Client, Config};
use session_mssql::{ConnectTypeorm, MssqlStore, MssqlTypeormStore};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

const URL: &str = "SESSION_STORE_MSSQL_URL";
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("a_table_of_typeorm_is_shared", typeorm_table),
        trial("a_table_of_typeorm_without_tombstones_is_recognised", typeorm_table_without_tombstones),
        trial("a_table_that_is_made_after_the_first_look_is_recognised", typeorm_table_made_later),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F>(name: &'static str, test: fn(String) -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    let url = env::var(URL).ok().filter(|url| !url.is_empty());
    let ignored = url.is_none();
    let run = move || {
        let Some(url) = url else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(test(url));
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(ignored)
}

fn table() -> TableName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    TableName::new(&format!("dbo.typeorm_{}_{number}", process::id())).unwrap()
}

fn key(id: &str) -> SessionKey {
    SessionId::new(id).unwrap().key(KeyFormat::Plain).unwrap()
}

/// The table that TypeORM makes, with the server's own collation, and a row that Node wrote.
fn typeorm_ddl(name: &TableName, destroyed_at: &str) -> String {
    let t = name.quoted('[', ']');
    format!(
        "CREATE TABLE {t} ([expiredAt] bigint NOT NULL, [id] varchar(255) NOT NULL, [json] text NOT NULL{destroyed_at}, \
         PRIMARY KEY ([id])); CREATE INDEX [{0}_expires] ON {t} ([expiredAt]); \
         INSERT INTO {t} ([expiredAt], [id], [json]) VALUES (2000000, 'Abc', '{{\"cookie\":{{}},\"user\":\"Ann\"}}')",
        name.table()
    )
}

async fn typeorm(url: &str, name: &TableName) -> MssqlTypeormStore {
    MssqlStore::builder()
        .ado_string(url)
        .table(name.clone())
        .connect_typeorm(ConnectTypeorm::new())
        .await
        .unwrap()
}

fn new_session(id: &str, payload: &str) -> Create {
    Create {
        key: key(id),
        payload: Payload::from(payload),
        expires_at: Timestamp::from_millis(3_000_000),
        principal: None,
    }
}

async fn typeorm_table(url: String) {
    let name = table();
    sql(&url, &typeorm_ddl(&name, ", [destroyedAt] datetime2")).await;
    let store = typeorm(&url, &name).await;
    let (abc, other) = (key("Abc"), key("aBC"));
    let record = store.load(&abc, NOW).await.unwrap().unwrap();
    assert_eq!(record.payload.as_str(), r#"{"cookie":{},"user":"Ann"}"#);
    assert_eq!(record.expires_at, Timestamp::from_millis(2_000_000));
    assert_eq!(store.load(&abc, record.expires_at).await.unwrap(), None);

    // Another id, to which the table's primary key is blind.
    for blind in [&other, &key("Abc ")] {
        assert_eq!(store.load(blind, NOW).await.unwrap(), None);
        let touch = Touch { key: blind.clone(), expires_at: Timestamp::NEVER };
        assert!(!store.touch(&touch, NOW).await.unwrap());
        assert!(!store.destroy(&Destroy { key: blind.clone(), mode: DestroyMode::Soft }, NOW).await.unwrap());
        assert!(!store.destroy(&Destroy { key: blind.clone(), mode: DestroyMode::Hard }, NOW).await.unwrap());
    }
    assert_eq!(store.create(&new_session("aBC", "{}"), NOW).await.unwrap(), Created::KeyTaken);
    assert_eq!(store.load(&abc, NOW).await.unwrap().unwrap(), record);

    // An umlaut is in the code page; the other one may be refused, but nothing is changed on the way.
    for payload in [r#"{"n":"é"}"#, r#"{"n":"😀"}"#] {
        let update = Update {
            key: abc.clone(),
            payload: Payload::from(payload),
            expires_at: Timestamp::from_millis(2_500_000),
            principal: None,
            expected: None,
        };
        match store.update(&update, NOW).await {
            Ok(saved) => {
                assert_eq!(saved, Updated::Saved(Version::NONE));
                assert_eq!(store.load(&abc, NOW).await.unwrap().unwrap().payload.as_str(), payload);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
                assert_ne!(payload, r#"{"n":"é"}"#);
                assert_eq!(store.load(&abc, NOW).await.unwrap().unwrap().payload.as_str(), r#"{"n":"é"}"#);
            }
        }
    }

    let rotate = |from: &str, to: &str, mode| Rotate {
        from: key(from),
        to: key(to),
        payload: None,
        expires_at: Timestamp::from_millis(4_000_000),
        principal: None,
        expected: None,
        mode,
    };
    let before = store.load(&abc, NOW).await.unwrap().unwrap();
    for (from, to, mode) in [("Abc", "two", DestroyMode::Soft), ("two", "three", DestroyMode::Hard)] {
        assert_eq!(store.rotate(&rotate("nobody", to, mode), NOW).await.unwrap(), Rotated::Gone);
        assert_eq!(
            store.rotate(&rotate(from, to, mode), NOW).await.unwrap(),
            Rotated::Rotated(Version::NONE)
        );
        assert_eq!(store.load(&key(from), NOW).await.unwrap(), None);
        let after = store.load(&key(to), NOW).await.unwrap().unwrap();
        assert_eq!(
            (after.payload, after.expires_at),
            (before.payload.clone(), Timestamp::from_millis(4_000_000))
        );
    }
    // The first id is a tombstone, the second one is free.
    assert_eq!(store.create(&new_session("Abc", "{}"), NOW).await.unwrap(), Created::KeyTaken);
    assert_eq!(store.create(&new_session("two", "{}"), NOW).await.unwrap(), Created::Created);
    for mode in [DestroyMode::Soft, DestroyMode::Hard] {
        assert_eq!(store.rotate(&rotate("two", "three", mode), NOW).await.unwrap(), Rotated::KeyTaken);
    }
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 2);
    let limit = NonZeroU32::new(1).unwrap();
    let first = store.list(&Filter::default(), None, limit, NOW).await.unwrap().remove(0);
    let rest = store.list(&Filter::default(), Some(&first.key), limit, NOW).await.unwrap();
    assert_eq!([&first.key, &rest[0].key], [&key("three"), &key("two")]);

    assert!(
        store.destroy(&Destroy { key: rest[0].key.clone(), mode: DestroyMode::Soft }, NOW).await.unwrap()
    );
    assert_eq!(store.purge_expired(Timestamp::from_millis(3_000_000), NonZeroU32::MAX).await.unwrap(), 2);
    assert_eq!(store.clear().await.unwrap(), 1);
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Fault), "{findings:?}");
    sql(&url, &format!("DROP TABLE {}", name.quoted('[', ']'))).await;
}

async fn typeorm_table_without_tombstones(url: String) {
    let name = table();
    sql(&url, &typeorm_ddl(&name, "")).await;
    let store = typeorm(&url, &name).await;
    assert!(!store.capabilities().tombstones);
    let abc = key("Abc");
    let destroy = |mode| Destroy { key: abc.clone(), mode };
    let error = store.destroy(&destroy(DestroyMode::Soft), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(store.destroy(&destroy(DestroyMode::Hard), NOW).await.unwrap());
    assert_eq!(store.load(&abc, NOW).await.unwrap(), None);
    sql(&url, &format!("DROP TABLE {}", name.quoted('[', ']'))).await;
}

async fn typeorm_table_made_later(url: String) {
    let name = table();
    let store = typeorm(&url, &name).await;
    let abc = key("Abc");
    let error = store.load(&abc, NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Backend, Some("208")));
    sql(&url, &typeorm_ddl(&name, ", [destroyedAt] datetime2")).await;
    assert!(store.load(&abc, NOW).await.unwrap().is_some());
    sql(&url, &format!("DROP TABLE {}", name.quoted('[', ']'))).await;

    let ours = typeorm(&url, &name).await;
    ours.create_table().await.unwrap();
    ours.create_table().await.unwrap();
    for id in ["abc", "ABC", "abc ", "äbc", "😀"] {
        assert_eq!(
            ours.create(&new_session(id, r#"{"n":"😀"}"#), NOW).await.unwrap(),
            Created::Created,
            "{id:?}"
        );
    }
    let findings = ours.diagnose().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
    sql(&url, &format!("DROP TABLE {}", name.quoted('[', ']'))).await;
}

async fn sql(url: &str, sql: &str) {
    let config = Config::from_ado_string(url).unwrap();
    let tcp = TcpStream::connect(config.get_addr()).await.unwrap();
    let mut client = Box::pin(Client::connect(config, tcp.compat_write())).await.unwrap();
    client.simple_query(sql).await.unwrap().into_results().await.unwrap();
}
