//! The statements: what each operation binds, how many there are, and what a batch comes to.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;
use mssql_mock_tds::{ColumnDefinition, ColumnValue, QueryResponse, Row, SqlDataType};
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Load, Loaded, Payload, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use session_core::{DestroyMode, Fate, KeyFormat, Principal, SessionKey, Timestamp, Updated, Version};
use session_mssql::tiberius::Config;
use session_mssql::{ConnectMssqlV2, ConnectTypeorm, MssqlStore};
use tracing::instrument::WithSubscriber as _;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::{
    self, LATER, Mock, NOW, Proxy, builder, create, destroy, drop_table, key, on_a_server, rotate, touch,
    trials, update,
};

const MODES: [DestroyMode; 3] = [DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = trials![every_statement_has_a_value_for_each_of_its_names];
    trials.extend(on_a_server![
        every_operation_does_what_the_contract_says,
        a_load_of_a_known_version_moves_no_payload,
        a_session_that_is_forgotten_leaves_no_payload_and_no_principal,
        a_batch_is_one_statement_whatever_is_in_it,
        each_of_many_updates_at_once_is_told_its_own_version,
    ]);
    trials
}

fn theirs(principal: &Principal, except: Option<SessionKey>, mode: DestroyMode) -> DestroyPrincipal {
    DestroyPrincipal { principal: principal.clone(), except, created_before: None, mode }
}

/// In a debug build a statement panics that is bound to other values than its names ask for. Whatever this server
/// answers is no matter here.
async fn every_statement_has_a_value_for_each_of_its_names() {
    let mock = Mock::start().await;
    // The columns of a table that TypeORM made.
    let columns = [
        ("expiredAt", "bigint", 8),
        ("id", "varchar", 255),
        ("json", "text", 16),
        ("destroyedAt", "datetime2", 8),
    ];
    let rows = columns.map(|(name, kind, length)| {
        let text = |text: &str| ColumnValue::NVarChar(text.to_owned());
        Row::new(vec![
            text(name),
            text(kind),
            ColumnValue::Int(length),
            ColumnValue::Int(0),
            text("SQL_Latin1_General_CP1_CI_AS"),
        ])
    });
    let (text, number) = (SqlDataType::NVarChar, SqlDataType::Int);
    let types = [text, text, number, number, text].map(|kind| ColumnDefinition::new("c", kind));
    mock.answer("OBJECT_ID(@P1)", QueryResponse::new(types.to_vec(), rows.to_vec())).await;
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        every_operation(&builder(&mock).key_format(format).build().unwrap(), format, &MODES).await;
    }
    let typeorm = builder(&mock).connect_typeorm(ConnectTypeorm::new()).build().unwrap();
    every_operation(&typeorm, KeyFormat::Plain, &MODES).await;
    let mssql_v2 = builder(&mock).connect_mssql_v2(ConnectMssqlV2::new()).build().unwrap();
    every_operation(&mssql_v2, KeyFormat::Plain, &[DestroyMode::Remove]).await;
}

async fn every_operation(store: &MssqlStore, format: KeyFormat, modes: &[DestroyMode]) {
    let (a, b) = (&key("a", format), &key("b", format));
    let ann = Principal::new("Ann").unwrap();
    let some = NonZeroU32::new(10).unwrap();
    drop(store.create_table().await);
    drop(store.create(&create(a, "{}"), NOW).await);
    drop(store.load(&Load::new(a.clone()), NOW).await);
    for expected in [None, Some(1)] {
        drop(store.update(&update(a, "{}", expected), NOW).await);
        drop(store.touch(&touch(a, expected), NOW).await);
    }
    for &mode in modes {
        drop(store.destroy(&destroy(a, mode), NOW).await);
        drop(store.rotate(&rotate(a, b, mode), NOW).await);
        for except in [None, Some(a.clone())] {
            drop(store.destroy_principal(&theirs(&ann, except, mode), NOW).await);
        }
        let writes = [a, b].map(|key| Write::Destroy(destroy(key, mode)));
        drop(store.write_many(&writes, NOW).await);
    }
    drop(store.fate(a, NOW).await);
    drop(store.forget_principal(&ann, NOW).await);
    drop(store.purge_expired(NOW, some).await);
    for principal in [None, Some(ann)] {
        let filter = Filter { principal };
        for after in [None, Some(a)] {
            drop(store.list(&filter, after, some, NOW).await);
        }
        drop(store.count(&filter, NOW).await);
    }
    drop(store.load_many(&[a, b].map(|key| Load::new(key.clone())), NOW).await);
    for writes in [
        [a, b].map(|key| Write::Create(create(key, "{}"))),
        [a, b].map(|key| Write::Update(update(key, "{}", None))),
        [a, b].map(|key| Write::Touch(touch(key, Some(1)))),
    ] {
        drop(store.write_many(&writes, NOW).await);
    }
    drop(store.clear().await);
    drop(store.server_time().await);
    drop(store.diagnose().await);
}

async fn every_operation_does_what_the_contract_says(url: String) {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let store = support::store(&url, format).await;
        let (a, b) = (key("a", format), key("a ", format));
        let create = |key: &SessionKey| Create {
            key: key.clone(),
            payload: Payload::from("{}"),
            expires_at: Timestamp::from_millis(2_000_000),
            principal: Some(Principal::new("Ann").unwrap()),
            version: Version::FIRST,
        };
        assert_eq!(store.create(&create(&a), NOW).await.unwrap(), Created::Created);
        assert_eq!(store.create(&create(&a), NOW).await.unwrap(), Created::KeyTaken);
        assert_eq!(store.create(&create(&b), NOW).await.unwrap(), Created::Created);
        let update = |expected: Option<i64>| Update {
            key: a.clone(),
            payload: Payload::from("{\"n\":1}"),
            expires_at: Some(Timestamp::NEVER),
            principal: None,
            expected: expected.map(Version::new),
        };
        assert_eq!(store.update(&update(None), NOW).await.unwrap(), Updated::Saved(Version::new(2)));
        assert_eq!(store.update(&update(Some(1)), NOW).await.unwrap(), Updated::Stale);
        assert_eq!(store.update(&update(Some(2)), NOW).await.unwrap(), Updated::Saved(Version::new(3)));
        let record = store.load(&Load::new(a.clone()), NOW).await.unwrap().record().unwrap();
        assert_eq!(record.payload.as_str(), "{\"n\":1}");
        assert_eq!(record.expires_at, Timestamp::NEVER);
        assert_eq!(record.principal, None);
        assert_eq!(
            store.load(&Load::new(b.clone()), NOW).await.unwrap().record().unwrap().version,
            Version::FIRST
        );
        let touch = Touch { key: b.clone(), expires_at: Timestamp::from_millis(3_000_000), expected: None };
        assert_eq!(store.touch(&touch, NOW).await.unwrap(), Touched::Moved);
        for (mode, to) in [(DestroyMode::Keep, "c"), (DestroyMode::Remove, "d")] {
            let rotate = Rotate {
                from: b.clone(),
                to: key(to, format),
                payload: None,
                expires_at: Some(Timestamp::from_millis(4_000_000)),
                principal: Some(Principal::new("Bob").unwrap()),
                expected: Some(Version::FIRST),
                mode,
            };
            let rotated = store.rotate(&rotate, NOW).await.unwrap();
            match mode {
                DestroyMode::Keep => assert_eq!(rotated, Rotated::Rotated(Version::new(2))),
                DestroyMode::Forget | DestroyMode::Remove => assert_eq!(rotated, Rotated::Gone),
            }
        }
        let c = key("c", format);
        let rotate = Rotate {
            from: c.clone(),
            to: a.clone(),
            payload: Some(Payload::from("x")),
            expires_at: Some(NOW),
            principal: None,
            expected: None,
            mode: DestroyMode::Remove,
        };
        assert_eq!(store.rotate(&rotate, NOW).await.unwrap(), Rotated::KeyTaken);
        let filter = session_core::contract::Filter { principal: Some(Principal::new("Bob").unwrap()) };
        assert_eq!(store.count(&filter, NOW).await.unwrap(), 1);
        let limit = NonZeroU32::new(10).unwrap();
        let all = store.list(&Default::default(), None, limit, NOW).await.unwrap();
        assert_eq!(all.len(), 2);
        let rest = store.list(&filter, None, limit, NOW).await.unwrap();
        assert_eq!(rest[0].key, c);
        let loads = store.load_many(&[a.clone(), b.clone(), c.clone()].map(Load::new), NOW).await.unwrap();
        let found: Vec<bool> = loads.into_iter().map(|load| load.unwrap().record().is_some()).collect();
        assert_eq!(found, [true, false, true]);
        let writes = [
            Write::Create(create(&key("e", format))),
            Write::Create(create(&key("e ", format))),
            Write::Create(create(&b)),
            Write::Update(update(Some(2))),
            Write::Update(Update { key: key("none", format), ..update(Some(2)) }),
            Write::Update(Update { key: c.clone(), ..update(Some(2)) }),
            Write::Touch(Touch { key: key("none2", format), expires_at: NOW, expected: None }),
            Write::Touch(Touch { key: key("none3", format), expires_at: NOW, expected: None }),
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
                Written::Touched(Touched::Gone),
                Written::Touched(Touched::Gone),
            ]
        );
        // What a batch has made, the single operations find.
        assert!(store.load(&Load::new(key("e ", format).clone()), NOW).await.unwrap().record().is_some());
        let ann = Principal::new("Ann").unwrap();
        assert_eq!(
            store
                .destroy_principal(&theirs(&ann, Some(key("e", format)), DestroyMode::Keep), NOW)
                .await
                .unwrap(),
            1
        );
        assert_eq!(store.destroy_principal(&theirs(&ann, None, DestroyMode::Remove), NOW).await.unwrap(), 1);
        let destroy = Destroy { key: a.clone(), mode: DestroyMode::Remove };
        assert!(store.destroy(&destroy, NOW).await.unwrap());
        assert!(!store.destroy(&destroy, NOW).await.unwrap());
        let late = Timestamp::from_millis(5_000_000);
        assert!(store.purge_expired(late, limit).await.unwrap() > 0);
        assert!(store.clear().await.unwrap() > 0);
        assert!(store.server_time().await.unwrap() > NOW);
        drop_table(&url, store.table()).await;
    }
}

/// Alone and in a batch.
async fn a_load_of_a_known_version_moves_no_payload(url: String) {
    const PAYLOAD: usize = 200_000;
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let direct = support::store(&url, format).await;
        let mut config = Config::from_ado_string(&url).unwrap();
        let server = tokio::net::lookup_host(config.get_addr()).await.unwrap().next().unwrap();
        let proxy = Proxy::to(server).await;
        config.host(proxy.address().ip());
        config.port(proxy.address().port());
        let options = MssqlStore::builder().config(config).pool_size(1);
        let store = options.table(direct.table().clone()).key_format(format).connect().await.unwrap();
        let keys = ["a", "b"].map(|id| key(id, format));
        for key in &keys {
            direct.create(&create(key, "x".repeat(PAYLOAD)), NOW).await.unwrap();
        }
        let load = |known| keys.clone().map(|key| Load { key, known });
        let [known, other] = [Some(Version::FIRST), Some(Version::new(7))].map(load);
        let unchanged = Loaded::Unchanged { expires_at: LATER };

        let before = proxy.passed();
        assert_eq!(store.load(&known[0], NOW).await.unwrap(), unchanged);
        for loaded in store.load_many(&known, NOW).await.unwrap() {
            assert_eq!(loaded.unwrap(), unchanged);
        }
        let moved = usize::try_from(proxy.passed() - before).unwrap();
        assert!(moved < PAYLOAD / 10, "{moved} bytes");

        let before = proxy.passed();
        assert!(store.load(&other[0], NOW).await.unwrap().record().is_some());
        for loaded in store.load_many(&other, NOW).await.unwrap() {
            assert_eq!(loaded.unwrap().record().unwrap().payload.len(), PAYLOAD);
        }
        let moved = usize::try_from(proxy.passed() - before).unwrap();
        assert!(moved > 3 * PAYLOAD, "{moved} bytes");
        drop_table(&url, direct.table()).await;
    }
}

/// And a rotated one, under its old key; and each keeps its fate.
async fn a_session_that_is_forgotten_leaves_no_payload_and_no_principal(url: String) {
    let store = support::store(&url, KeyFormat::Hashed).await;
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| key(id, KeyFormat::Hashed));
    let ann = Principal::new("Ann").unwrap();
    for key in [&a, &b, &d] {
        store.create(&Create { principal: Some(ann.clone()), ..create(key, "secret") }, NOW).await.unwrap();
    }
    assert!(store.destroy(&destroy(&a, DestroyMode::Forget), NOW).await.unwrap());
    let rotated = store.rotate(&rotate(&b, &c, DestroyMode::Forget), NOW).await.unwrap();
    assert_eq!(rotated, Rotated::Rotated(Version::new(2)));
    assert_eq!(
        store.load(&Load::new(c.clone()), NOW).await.unwrap().record().unwrap().payload.as_str(),
        "secret"
    );
    assert!(store.destroy(&destroy(&d, DestroyMode::Keep), NOW).await.unwrap());
    assert_eq!(store.forget_principal(&ann, NOW).await.unwrap(), 1);
    for now in [NOW, LATER] {
        let mut fates = Vec::new();
        for key in [&a, &b, &d] {
            fates.push(store.fate(key, now).await.unwrap());
        }
        assert_eq!(fates, [Fate::Destroyed, Fate::RotatedAway, Fate::Destroyed]);
    }
    let name = store.table().quoted('[', ']');
    // A division by zero, if there is such a row.
    let left = format!(
        "SELECT 1 / CASE WHEN EXISTS (SELECT 1 FROM {name} WHERE [destroyed_at] IS NOT NULL \
         AND (DATALENGTH([payload]) > 0 OR [principal] IS NOT NULL)) THEN 0 ELSE 1 END"
    );
    support::sql(&url, &left).await;
    drop_table(&url, store.table()).await;
}

/// A batch that the server refuses is done one by one, and a warning says so.
async fn a_batch_is_one_statement_whatever_is_in_it(url: String) {
    for format in [KeyFormat::Hashed, KeyFormat::Plain] {
        let store = support::store(&url, format).await;
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
                version: Version::FIRST,
            })
        });
        let updates = ids.iter().enumerate().map(|(place, key)| {
            let (expires_at, expected) =
                (Timestamp::NEVER, place.is_multiple_of(2).then_some(Version::FIRST));
            let (payload, principal) = (text(place + 1), principal(place + 1));
            Write::Update(Update {
                key: key.clone(),
                payload,
                expires_at: Some(expires_at),
                principal,
                expected,
            })
        });
        let touches = ids.iter().map(|key| {
            Write::Touch(Touch { key: key.clone(), expires_at: Timestamp::NEVER, expected: None })
        });
        let ends = |mode| ids.iter().map(move |key| Write::Destroy(Destroy { key: key.clone(), mode }));
        let batches: [(Vec<Write>, Written); 5] = [
            (creates.collect(), Written::Created(Created::Created)),
            (updates.collect(), Written::Updated(Updated::Saved(Version::new(2)))),
            (touches.collect(), Written::Touched(Touched::Moved)),
            (ends(DestroyMode::Keep).take(4).collect(), Written::Destroyed(true)),
            (ends(DestroyMode::Remove).skip(4).collect(), Written::Destroyed(true)),
        ];
        for (round, (writes, expected)) in batches.iter().enumerate() {
            let (refused, outcomes) = warnings(store.write_many(writes, NOW)).await;
            for outcome in outcomes.unwrap() {
                assert_eq!(outcome.unwrap(), *expected);
            }
            assert_eq!(refused, 0, "a batch of {:?} was refused", writes[0]);
            let loads: Vec<Load> = ids.iter().cloned().map(Load::new).collect();
            for (place, record) in store.load_many(&loads, NOW).await.unwrap().into_iter().enumerate() {
                let record = record.unwrap().record();
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
        drop_table(&url, store.table()).await;
    }
}

/// Alone and in batches, without an expected version, so that every one of them is done.
async fn each_of_many_updates_at_once_is_told_its_own_version(url: String) {
    const WORKERS: usize = 4;
    const UPDATES: usize = 40;
    let store = support::store(&url, KeyFormat::Hashed).await;
    let keys = ["a", "b"].map(|id| key(id, KeyFormat::Hashed));
    for key in &keys {
        store.create(&create(key, ""), NOW).await.unwrap();
    }
    let worker = |number: usize| {
        let (store, keys) = (store.clone(), keys.clone());
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..UPDATES {
                let updates = keys.clone().map(|key| Update {
                    key,
                    payload: Payload::from("{}"),
                    expires_at: Some(Timestamp::NEVER),
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
    drop_table(&url, store.table()).await;
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
