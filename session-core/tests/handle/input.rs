//! Bad input: an error of the right kind, whose text says what to do next, before anything is sent.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_core::{
    ErrorKind, KeyFormat, MemoryStore, Result, RotateOutcome, SessionId, Sessions, TimeToLive, TouchOutcome,
    Unreadable,
};

use crate::support::{Visit, World, id, rows, visit, visit_of};

/// Every operation that takes data.
async fn write_in_every_way(store: &Sessions<Visit>, id: &SessionId, data: &Visit) -> Vec<Result<()>> {
    vec![
        store.create(data).await.map(drop),
        store.create_with_id(id, data).await.map(drop),
        store.update(id, data, None).await.map(drop),
        store.set(id, data).await.map(drop),
        store.rotate_with(id, data, None).await.map(drop),
    ]
}

#[tokio::test(start_paused = true)]
async fn data_over_the_limit_is_refused_before_anything_is_sent() {
    let world = World::new();
    // The options that would otherwise read first.
    let builder = world.builder::<Visit>().payload_limit(50).database_clock(crate::support::secs(60));
    let store = builder.max_lifetime(crate::support::secs(600)).build().unwrap();
    for result in write_in_every_way(&store, &id("a"), &visit_of(&"x".repeat(31))).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(!error.is_in_doubt());
        let text = error.to_string();
        assert!(text.contains("has 52 bytes and may have 50; keep less in it, or raise"), "{text}");
    }
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn data_of_just_the_limit_is_written() {
    let world = World::new();
    let store = world.builder::<Visit>().payload_limit(50).build().unwrap();
    let fits = visit_of(&"x".repeat(29));
    let new = store.create(&fits).await.unwrap();
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, fits);
    let error = store.modify(&new.id, |visit| visit.count = 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let mut session = store.load(&new.id).await.unwrap().unwrap();
    session.data.count = 10;
    assert_eq!(store.save(&mut session).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, fits, "nothing was changed");
}

#[tokio::test(start_paused = true)]
async fn the_default_limit_is_a_mebibyte() {
    let world = World::new();
    let store = world.builder::<String>().build().unwrap();
    // Two bytes are the quotes.
    store.create(&"x".repeat(1024 * 1024 - 2)).await.unwrap();
    let error = store.create(&"x".repeat(1024 * 1024 - 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn an_empty_principal_is_nobody() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    for result in write_in_every_way(&store, &id("a"), &visit_of("")).await {
        result.unwrap();
    }
    for listed in store.list(None, None, rows(10)).await.unwrap() {
        assert_eq!(listed.session.unwrap().info.principal, None);
    }
    world.script.calls();
    for error in [
        store.destroy_principal("").await.unwrap_err(),
        store.destroy_others("", &id("a")).await.unwrap_err(),
        store.forget_principal("").await.unwrap_err(),
        store.list(Some(""), None, rows(1)).await.unwrap_err(),
        store.count(Some("")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("name one, such as the user's id"), "{error}");
    }
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_principal_may_be_any_text() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    for text in ["x".repeat(256), "x".repeat(5_000), "a\0b".to_owned(), "é".repeat(200)] {
        store.create(&visit_of(&text)).await.unwrap();
        assert_eq!(store.count(Some(&text)).await.unwrap(), 1);
        let page = store.list(Some(&text), None, rows(2)).await.unwrap();
        assert_eq!(page[0].session.as_ref().unwrap().data, visit_of(&text));
        assert_eq!(store.destroy_principal(&text).await.unwrap(), 1);
    }
}

/// What would be written, and could never be read again.
#[tokio::test(start_paused = true)]
async fn data_that_cannot_be_read_back_is_refused() {
    fn nested(depth: usize) -> Value {
        (1..depth).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]))
    }

    /// Written without a member that it needs.
    #[derive(Serialize, Deserialize)]
    struct Lopsided {
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "serde reads it")]
        needed: u8,
    }

    async fn refused<T: Serialize + DeserializeOwned + Send + Sync + 'static>(data: T) {
        let world = World::new();
        let store = world.builder::<T>().build().unwrap();
        let error = store.create(&data).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("could not be read back"), "{error}");
        assert_eq!(world.script.calls(), [""; 0]);
        // Who is sure of his data need not pay for the check.
        world.builder::<T>().verify_writes(false).build().unwrap().create(&data).await.unwrap();
    }

    async fn kept<T: Serialize + DeserializeOwned + Send + Sync + PartialEq + Debug + 'static>(data: T) {
        let store = World::new().builder::<T>().build().unwrap();
        let new = store.create(&data).await.unwrap();
        assert_eq!(store.load(&new.id).await.unwrap().unwrap().data, data);
    }

    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(number).await;
        refused(HashMap::from([("a".to_owned(), number)])).await;
    }
    refused(f32::NAN).await;
    refused(nested(200)).await;
    refused(nested(128)).await;
    refused(HashMap::from([("a".to_owned(), nested(127))])).await;
    refused(BTreeMap::from([("a".to_owned(), nested(127))])).await;
    refused(serde_json::Map::from_iter([("a".to_owned(), nested(127))])).await;
    refused(Lopsided { needed: 1 }).await;
    kept(nested(127)).await;
    kept(HashMap::from([("a".to_owned(), nested(126))])).await;
    kept(BTreeMap::from([("a".to_owned(), nested(126))])).await;
    kept(serde_json::Map::from_iter([("a".to_owned(), nested(126))])).await;
}

/// A release whose data has one more member.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_an_error_or_no_session() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Newer {
        count: u64,
        theme: String,
    }
    let newer = || Newer { count: 1, theme: "dark".to_owned() };

    let world = World::new();
    let old = world.handle().create(&visit(1)).await.unwrap().id;
    let strict = world.builder::<Newer>().build().unwrap();
    assert_eq!(strict.load(&old).await.unwrap_err().kind(), ErrorKind::Corrupt);

    let lenient = world.builder::<Newer>().unreadable(Unreadable::NoSession);
    let lenient = lenient.time_to_live(TimeToLive::per_session(|_, _: &Newer| None)).build().unwrap();
    world.events.take();
    assert!(lenient.load(&old).await.unwrap().is_none());
    assert_eq!(world.events.take(), ["connected", "error: load: corrupt"], "it is reported");
    assert!(lenient.modify(&old, |newer| newer.count += 1).await.unwrap().is_none());
    assert!(lenient.rotate(&old).await.unwrap().is_none());
    assert_eq!(lenient.touch(&old).await.unwrap(), TouchOutcome::Gone);
    // Signing in replaces it.
    let RotateOutcome::Rotated(new) = lenient.rotate_with(&old, &newer(), None).await.unwrap() else {
        panic!("it was not replaced");
    };
    assert_eq!(lenient.load(&new.id).await.unwrap().unwrap().data.theme, "dark");
    assert!(world.script.row(&old).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn data_that_does_not_serialize_is_refused() {
    let world = World::new();
    let store = world.builder::<HashMap<(u8, u8), u8>>().build().unwrap();
    let error = store.create(&HashMap::from([((1, 2), 3)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("keys of maps must be text"), "{error}");
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_session_says_where_and_nothing_of_its_text() {
    let world = World::new();
    let store = world.handle();
    world.script.plant(&id("corrupt"), "{\"count\": \"top-secret\"}", None).await;
    let error = store.load(&id("corrupt")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = format!("{error} {error:?}");
    assert!(text.contains("line 1, column") && text.contains("destroy the session"), "{text}");
    assert!(!text.contains("top-secret"), "{text}");
    assert_eq!(store.modify(&id("corrupt"), |_| ()).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // It harms no other, and can be replaced or destroyed.
    let new = store.create(&visit(1)).await.unwrap();
    assert!(store.load(&new.id).await.unwrap().is_some());
    store.update(&id("corrupt"), &visit(2), None).await.unwrap();
    assert_eq!(store.load(&id("corrupt")).await.unwrap().unwrap().data, visit(2));
}

#[test]
fn an_empty_or_overlong_id_is_refused() {
    for bad in [String::new(), "x".repeat(256)] {
        let error = SessionId::new(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("cookie"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_a_plain_table_cannot_hold_is_refused_by_every_operation() {
    let store: Sessions<Visit> = Sessions::new(MemoryStore::with_key_format(KeyFormat::Plain));
    let bad = id("a\0b");
    let mut results = write_in_every_way(&store, &bad, &visit(0)).await;
    results.remove(0).unwrap();
    results.push(store.load(&bad).await.map(drop));
    results.push(store.touch(&bad).await.map(drop));
    results.push(store.modify(&bad, |_| ()).await.map(drop));
    results.push(store.rotate(&bad).await.map(drop));
    results.push(store.destroy(&bad).await.map(drop));
    results.push(store.destroy_many(&[id("good"), bad.clone()]).await.map(drop));
    results.push(store.destroy_others("ann", &bad).await.map(drop));
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("use a table with hashed ids"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_hashed_at_rest_unless_the_table_says_otherwise() {
    let store: Sessions<Visit> = Sessions::new(MemoryStore::new());
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    let page = store.list(None, None, rows(1)).await.unwrap();
    assert_eq!(page[0].key, id("a").key(KeyFormat::Hashed).unwrap());

    let plain = MemoryStore::with_key_format(KeyFormat::Plain);
    let store: Sessions<Visit> = Sessions::new(plain);
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    let page = store.list(None, None, rows(1)).await.unwrap();
    assert_eq!(page[0].key.as_text(), Some("a"));
}

#[test]
fn a_time_to_live_that_cannot_be_counted_says_what_can() {
    for result in [
        TimeToLive::<Visit>::seconds(-1),
        TimeToLive::seconds(0),
        TimeToLive::seconds(i64::MAX),
        TimeToLive::fixed(std::time::Duration::MAX),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("TimeToLive::never()"), "{error}");
    }
}
