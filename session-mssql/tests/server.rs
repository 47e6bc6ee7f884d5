//! What needs a live server and is this driver's own: `SESSION_STORE_MSSQL_URL` is an ADO.NET connection string.
//! Without it each test is shown as ignored.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::env;
use std::num::NonZeroU32;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use libtest_mimic::{Arguments, Trial};
use session_core::{
    Create, Created, Destroy, DestroyMode, ErrorKind, KeyFormat, Payload, Principal, Rotate, Rotated,
    SessionId, SessionKey, Severity, Store, TableName, Timestamp, Touch, Update, Updated, Version, Write,
    Written,
};
use session_mssql::tiberius::{AuthMethod, Client, Config};
use session_mssql::{ConnectMssqlV2Store, MssqlStore};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;
use tracing::instrument::WithSubscriber as _;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const URL: &str = "SESSION_STORE_MSSQL_URL";
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("every_operation_does_what_the_contract_says", every_operation),
        trial("a_table_is_made_once_by_many_at_once", made_once),
        trial("payloads_around_the_edges_of_packets_are_kept_whole", edges_of_packets),
        trial("five_mebibytes_of_astral_characters_are_kept_whole", five_mebibytes),
        trial("a_batch_is_one_statement_whatever_is_in_it", one_statement),
        trial("each_of_many_updates_at_once_is_told_its_own_version", own_versions),
        trial("rights_to_the_rows_are_all_that_is_needed", rights_to_rows),
        trial("a_missing_table_is_reported_and_found", missing_table),
        trial("the_own_table_has_no_findings", own_table),
        trial("a_table_of_node_is_shared", node_table),
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
    TableName::new(&format!("dbo.live_{}_{number}", process::id())).unwrap()
}

async fn store(url: &str, format: KeyFormat) -> MssqlStore {
    let store =
        MssqlStore::builder().ado_string(url).table(table()).key_format(format).connect().await.unwrap();
    store.create_table().await.unwrap();
    store
}

fn key(id: &str, format: KeyFormat) -> SessionKey {
    SessionId::new(id).unwrap().key(format).unwrap()
}

async fn every_operation(url: String) {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let store = store(&url, format).await;
        let (a, b) = (key("a", format), key("a ", format));
        let create = |key: &SessionKey| Create {
            key: key.clone(),
            payload: Payload::from("{}"),
            expires_at: Timestamp::from_millis(2_000_000),
            principal: Some(Principal::new("Ann").unwrap()),
        };
        assert_eq!(store.create(&create(&a), NOW).await.unwrap(), Created::Created);
        assert_eq!(store.create(&create(&a), NOW).await.unwrap(), Created::KeyTaken);
        assert_eq!(store.create(&create(&b), NOW).await.unwrap(), Created::Created);
        let update = |expected: Option<i64>| Update {
            key: a.clone(),
            payload: Payload::from("{\"n\":1}"),
            expires_at: Timestamp::NEVER,
            principal: None,
            expected: expected.map(Version::new),
        };
        assert_eq!(store.update(&update(None), NOW).await.unwrap(), Updated::Saved(Version::new(2)));
        assert_eq!(store.update(&update(Some(1)), NOW).await.unwrap(), Updated::Stale);
        assert_eq!(store.update(&update(Some(2)), NOW).await.unwrap(), Updated::Saved(Version::new(3)));
        let record = store.load(&a, NOW).await.unwrap().unwrap();
        assert_eq!(record.payload.as_str(), "{\"n\":1}");
        assert_eq!(record.expires_at, Timestamp::NEVER);
        assert_eq!(record.principal, None);
        assert_eq!(store.load(&b, NOW).await.unwrap().unwrap().version, Version::FIRST);
        assert!(
            store
                .touch(&Touch { key: b.clone(), expires_at: Timestamp::from_millis(3_000_000) }, NOW)
                .await
                .unwrap()
        );
        for (mode, to) in [(DestroyMode::Soft, "c"), (DestroyMode::Hard, "d")] {
            let rotate = Rotate {
                from: b.clone(),
                to: key(to, format),
                payload: None,
                expires_at: Timestamp::from_millis(4_000_000),
                principal: Some(Principal::new("Bob").unwrap()),
                expected: Some(Version::FIRST),
                mode,
            };
            let rotated = store.rotate(&rotate, NOW).await.unwrap();
            match mode {
                DestroyMode::Soft => assert_eq!(rotated, Rotated::Rotated(Version::new(2))),
                DestroyMode::Hard => assert_eq!(rotated, Rotated::Gone),
            }
        }
        let c = key("c", format);
        let rotate = Rotate {
            from: c.clone(),
            to: a.clone(),
            payload: Some(Payload::from("x")),
            expires_at: NOW,
            principal: None,
            expected: None,
            mode: DestroyMode::Hard,
        };
        assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::KeyTaken);
        let filter = session_core::Filter { principal: Some(Principal::new("Bob").unwrap()) };
        assert_eq!(store.count(&filter, NOW).await.unwrap(), 1);
        let limit = NonZeroU32::new(10).unwrap();
        let all = store.list(&Default::default(), None, limit, NOW).await.unwrap();
        assert_eq!(all.len(), 2);
        let rest = store.list(&filter, None, limit, NOW).await.unwrap();
        assert_eq!(rest[0].key, c);
        let loads = store.load_many(&[a.clone(), b.clone(), c.clone()], NOW).await.unwrap();
        let found: Vec<bool> = loads.into_iter().map(|load| load.unwrap().is_some()).collect();
        assert_eq!(found, [true, false, true]);
        let writes = [
            Write::Create(create(&key("e", format))),
            Write::Create(create(&key("e ", format))),
            Write::Create(create(&b)),
            Write::Update(update(Some(2))),
            Write::Update(Update { key: key("none", format), ..update(Some(2)) }),
            Write::Update(Update { key: c.clone(), ..update(Some(2)) }),
            Write::Touch(Touch { key: key("none2", format), expires_at: NOW }),
            Write::Touch(Touch { key: key("none3", format), expires_at: NOW }),
        ];
        let outcomes: Vec<Written> =
            store.write_many(&writes, NOW).await.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(
            outcomes,
            [
                Written::Created(Created::Created),
                Written::Created(Created::Created),
                Written::Created(Created::KeyTaken),
                Written::Updated(Updated::Stale),
                Written::Updated(Updated::Gone),
                Written::Updated(Updated::Saved(Version::new(3))),
                Written::Touched(false),
                Written::Touched(false),
            ]
        );
        // What a batch has made, the single operations find.
        assert!(store.load(&key("e ", format), NOW).await.unwrap().is_some());
        let ann = Principal::new("Ann").unwrap();
        assert_eq!(
            store.destroy_principal(&ann, Some(&key("e", format)), DestroyMode::Soft, NOW).await.unwrap(),
            1
        );
        assert_eq!(store.destroy_principal(&ann, None, DestroyMode::Hard, NOW).await.unwrap(), 1);
        let destroy = Destroy { key: a.clone(), mode: DestroyMode::Hard };
        assert!(store.destroy(&destroy, NOW).await.unwrap());
        assert!(!store.destroy(&destroy, NOW).await.unwrap());
        let late = Timestamp::from_millis(5_000_000);
        assert!(store.purge_expired(late, limit).await.unwrap() > 0);
        assert!(store.clear().await.unwrap() > 0);
        assert!(store.server_time().await.unwrap() > NOW);
    }
}

async fn made_once(url: String) {
    let name = table();
    let stores: Vec<MssqlStore> = (0..8)
        .map(|_| MssqlStore::builder().ado_string(&url).table(name.clone()).pool_size(1).build().unwrap())
        .collect();
    let calls = stores.iter().map(|store| async move { store.create_table().await });
    for made in futures_util::future::join_all(calls).await {
        made.unwrap();
    }
}

fn new_session(key: SessionKey, payload: &str) -> Create {
    let payload = Payload::from(payload);
    Create { key, payload, expires_at: Timestamp::NEVER, principal: None }
}

/// A packet has 4,096 bytes with its header of 8; before the payload are the other parameters, and it is UTF-16.
async fn edges_of_packets(url: String) {
    let store = store(&url, KeyFormat::Hashed).await;
    let key = key("a", KeyFormat::Hashed);
    store.create(&new_session(key.clone(), ""), NOW).await.unwrap();
    // Two packets of payloads, and both sides of where nvarchar(4000) ends.
    let lengths = (1500..2100).step_by(3).chain(3995..4005).chain(8180..8200);
    for length in lengths {
        let text: String = ('a'..='z').cycle().take(length).collect();
        let update = Update {
            key: key.clone(),
            payload: Payload::from(text.as_str()),
            expires_at: Timestamp::NEVER,
            principal: None,
            expected: None,
        };
        store.update(&update, NOW).await.unwrap();
        let record = store.load(&key, NOW).await.unwrap().unwrap();
        assert_eq!(record.payload.as_str(), text, "of {length} characters");
    }
    drop_table(&store).await;
}

async fn five_mebibytes(url: String) {
    let store = store(&url, KeyFormat::Hashed).await;
    let text = "\u{1f980}\u{10ffff}aé€".repeat(5 * 1024 * 1024 / 14 + 1);
    let keys = [key("a", KeyFormat::Hashed), key("b", KeyFormat::Hashed)];
    let [a, b] = keys.clone().map(|key| new_session(key, &text));
    store.create(&a, NOW).await.unwrap();
    store.create(&b, NOW).await.unwrap();
    for record in store.load_many(&keys, NOW).await.unwrap() {
        assert!(record.unwrap().unwrap().payload.as_str() == text);
    }
    drop_table(&store).await;
}

/// A batch that the server refuses is done one by one, and a warning says so.
async fn one_statement(url: String) {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let store = store(&url, format).await;
        let texts = ["{}", "\"\\ \u{1f980} é\"", "'; DROP TABLE x; --", "\n\t\u{1}"];
        let ids: Vec<SessionKey> = (0..8).map(|id| key(&format!("\u{1f980} {id} "), format)).collect();
        let principal =
            |place: usize| (!place.is_multiple_of(3)).then(|| Principal::new(texts[place % 4]).unwrap());
        let text = |place: usize| Payload::from(texts[(place + 1) % 4].repeat(place * 700));
        let creates = ids.iter().enumerate().map(|(place, key)| {
            let expires_at = Timestamp::NEVER;
            Write::Create(Create {
                key: key.clone(),
                payload: text(place),
                expires_at,
                principal: principal(place),
            })
        });
        let updates = ids.iter().enumerate().map(|(place, key)| {
            let (expires_at, expected) =
                (Timestamp::NEVER, place.is_multiple_of(2).then_some(Version::FIRST));
            let (payload, principal) = (text(place + 1), principal(place + 1));
            Write::Update(Update { key: key.clone(), payload, expires_at, principal, expected })
        });
        let touches =
            ids.iter().map(|key| Write::Touch(Touch { key: key.clone(), expires_at: Timestamp::NEVER }));
        let ends = |mode| ids.iter().map(move |key| Write::Destroy(Destroy { key: key.clone(), mode }));
        let batches: [(Vec<Write>, Written); 5] = [
            (creates.collect(), Written::Created(Created::Created)),
            (updates.collect(), Written::Updated(Updated::Saved(Version::new(2)))),
            (touches.collect(), Written::Touched(true)),
            (ends(DestroyMode::Soft).take(4).collect(), Written::Destroyed(true)),
            (ends(DestroyMode::Hard).skip(4).collect(), Written::Destroyed(true)),
        ];
        for (round, (writes, expected)) in batches.iter().enumerate() {
            let (refused, outcomes) = warnings(store.write_many(writes, NOW)).await;
            for outcome in outcomes.unwrap() {
                assert_eq!(outcome.unwrap(), *expected);
            }
            assert_eq!(refused, 0, "a batch of {:?} was refused", writes[0]);
            for (place, record) in store.load_many(&ids, NOW).await.unwrap().into_iter().enumerate() {
                let record = record.unwrap();
                let updated = usize::from(round > 0);
                match record {
                    Some(record) => {
                        assert_eq!(record.payload, text(place + updated));
                        assert_eq!(record.principal, principal(place + updated));
                    }
                    None => assert!(round == 4 || (round == 3 && place < 4)),
                }
            }
        }
        drop_table(&store).await;
    }
}

/// Alone and in batches, without an expected version, so that every one of them is done.
async fn own_versions(url: String) {
    const WORKERS: usize = 4;
    const UPDATES: usize = 40;
    let store = store(&url, KeyFormat::Hashed).await;
    let keys = ["a", "b"].map(|id| key(id, KeyFormat::Hashed));
    for key in &keys {
        store.create(&new_session(key.clone(), ""), NOW).await.unwrap();
    }
    let worker = |number: usize| {
        let (store, keys) = (store.clone(), keys.clone());
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..UPDATES {
                let updates = keys.clone().map(|key| Update {
                    key,
                    payload: Payload::from("{}"),
                    expires_at: Timestamp::NEVER,
                    principal: None,
                    expected: None,
                });
                let outcomes = if number.is_multiple_of(2) {
                    let updates = updates.map(Write::Update);
                    store.write_many(&updates, NOW).await.unwrap().into_iter().map(Result::unwrap).collect()
                } else {
                    let mut outcomes = Vec::new();
                    for update in &updates {
                        outcomes.push(Written::Updated(store.update(update, NOW).await.unwrap()));
                    }
                    outcomes
                };
                for outcome in outcomes {
                    let Written::Updated(Updated::Saved(version)) = outcome else {
                        panic!("an update of a live session is {outcome:?}")
                    };
                    versions.push(version.get());
                }
            }
            versions
        })
    };
    let workers: Vec<_> = (0..WORKERS).map(worker).collect();
    let mut versions = Vec::new();
    for worker in workers {
        versions.extend(worker.await.unwrap());
    }
    versions.sort_unstable();
    let last = i64::try_from(WORKERS * UPDATES).unwrap() + 1;
    // Of each of the two sessions.
    let expected: Vec<i64> = (2..=last).flat_map(|version| [version; 2]).collect();
    assert_eq!(versions, expected);
    drop_table(&store).await;
}

/// A login that may not define anything: `clear` empties the table all the same.
async fn rights_to_rows(url: String) {
    const PASSWORD: &str = "Rows-and-0-more";
    let owner = store(&url, KeyFormat::Hashed).await;
    let (table, login) = (owner.table().clone(), format!("live_{}", process::id()));
    for statement in [
        format!("CREATE LOGIN {login} WITH PASSWORD = '{PASSWORD}'"),
        format!("CREATE USER {login} FOR LOGIN {login}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {login}", table.quoted('[', ']')),
    ] {
        sql(&url, &statement).await;
    }
    let mut config = Config::from_ado_string(&url).unwrap();
    config.authentication(AuthMethod::sql_server(&login, PASSWORD));
    let store = MssqlStore::builder().config(config).table(table).build().unwrap();
    let limit = NonZeroU32::new(10).unwrap();
    let [a, b] = ["a", "b"].map(|id| key(id, KeyFormat::Hashed));
    assert_eq!(store.create(&new_session(a.clone(), "{}"), NOW).await.unwrap(), Created::Created);
    let rotate = Rotate {
        from: a,
        to: b.clone(),
        payload: None,
        expires_at: Timestamp::NEVER,
        principal: None,
        expected: None,
        mode: DestroyMode::Soft,
    };
    assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::Rotated(Version::new(2)));
    assert!(store.touch(&Touch { key: b.clone(), expires_at: Timestamp::NEVER }, NOW).await.unwrap());
    assert!(store.load(&b, NOW).await.unwrap().is_some());
    assert_eq!(store.list(&Default::default(), None, limit, NOW).await.unwrap().len(), 1);
    assert_eq!(store.purge_expired(NOW, limit).await.unwrap(), 0);
    assert_eq!(store.clear().await.unwrap(), 2);
    let error = MssqlStore::builder()
        .pool(store.pool().clone())
        .table(self::table())
        .build()
        .unwrap()
        .create_table()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false), "{error:?}");
    drop(store);
    drop_table(&owner).await;
    sql(&url, &format!("DROP USER {login}")).await;
}

async fn missing_table(url: String) {
    let store = MssqlStore::builder().ado_string(&url).table(table()).build().unwrap();
    let error = store.load(&key("a", KeyFormat::Hashed), NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false), "{error:?}");
    let findings = store.diagnose().await.unwrap();
    assert!(findings.iter().any(|finding| finding.severity == Severity::Fault), "{findings:?}");
}

async fn own_table(url: String) {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let store = store(&url, format).await;
        let findings = store.diagnose().await.unwrap();
        assert!(findings.iter().all(|finding| finding.severity == Severity::Note), "{findings:?}");
        drop_table(&store).await;
    }
}

/// The table as Node's documentation has it, with the server's own collation, and a row that Node wrote.
async fn node_table(url: String) {
    let name = table();
    let store = ConnectMssqlV2Store::builder().ado_string(&url).table(name.clone()).connect().await.unwrap();
    let json = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":"Ann"}"#;
    sql(
        &url,
        &format!(
            "CREATE TABLE {} ([sid] nvarchar(255) NOT NULL PRIMARY KEY, [session] nvarchar(max) NOT NULL, \
             [expires] datetime NOT NULL); INSERT INTO {} VALUES (N'Abc', N'{json}', '2030-01-02T03:04:05.677')",
            name.quoted('[', ']'),
            name.quoted('[', ']'),
        ),
    )
    .await;
    let (abc, other) = (key("Abc", KeyFormat::Plain), key("aBC", KeyFormat::Plain));
    let record = store.load(&abc, NOW).await.unwrap().unwrap();
    assert_eq!(record.payload.as_str(), json);
    // 05.677 is the step of 1/300 s at 05.676 and two thirds.
    assert_eq!(record.expires_at, Timestamp::from_millis(1_893_553_445_677));
    assert_eq!(store.load(&other, NOW).await.unwrap(), None);
    assert!(!store.destroy(&Destroy { key: other, mode: DestroyMode::Hard }, NOW).await.unwrap());
    // Never early, and at most 4 ms late.
    let dead = Timestamp::from_millis(1_893_553_445_681);
    assert_eq!(store.load(&abc, dead).await.unwrap(), None);
    assert!(store.load(&abc, Timestamp::from_millis(1_893_553_445_676)).await.unwrap().is_some());
    let error = store.destroy(&Destroy { key: abc, mode: DestroyMode::Soft }, NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    sql(&url, &format!("DROP TABLE {}", name.quoted('[', ']'))).await;
}

/// The future's output, and how many warnings there were meanwhile.
async fn warnings<F: Future>(future: F) -> (usize, F::Output) {
    let counter = Arc::new(AtomicUsize::new(0));
    let output = future.with_subscriber(Warnings(Arc::clone(&counter))).await;
    (counter.load(Ordering::SeqCst), output)
}

struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("session_mssql")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

async fn drop_table(store: &MssqlStore) {
    let url = env::var(URL).unwrap();
    sql(&url, &format!("DROP TABLE {}", store.table().quoted('[', ']'))).await;
}

async fn sql(url: &str, sql: &str) {
    let config = Config::from_ado_string(url).unwrap();
    let tcp = TcpStream::connect(config.get_addr()).await.unwrap();
    let mut client = Box::pin(Client::connect(config, tcp.compat_write())).await.unwrap();
    client.simple_query(sql).await.unwrap().into_results().await.unwrap();
}
