//! What needs a live server and is this driver's own: `SESSION_STORE_MSSQL_URL` is an ADO.NET connection string.
//! Without it each test is shown as ignored.

use std::env;
use std::num::NonZeroU32;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};

use libtest_mimic::{Arguments, Trial};
use session_core::{
    Create, Created, Destroy, DestroyMode, KeyFormat, Payload, Principal, Rotate, Rotated, SessionId,
    SessionKey, Store, TableName, Timestamp, Touch, Update, Updated, Version, Write, Written,
};
use session_mssql::MssqlStore;

const URL: &str = "SESSION_STORE_MSSQL_URL";
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("every_operation_does_what_the_contract_says", every_operation),
        trial("a_table_is_made_once_by_many_at_once", made_once),
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
    let store = MssqlStore::builder().ado_string(url).table(table()).key_format(format).connect().await.unwrap();
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
        assert!(store.touch(&Touch { key: b.clone(), expires_at: Timestamp::from_millis(3_000_000) }, NOW).await.unwrap());
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
        let outcomes: Vec<Written> = store.write_many(&writes, NOW).await.unwrap().into_iter().map(Result::unwrap).collect();
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
        assert_eq!(store.destroy_principal(&ann, Some(&key("e", format)), DestroyMode::Soft, NOW).await.unwrap(), 1);
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
