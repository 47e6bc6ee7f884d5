//! Bad input: an error of the right kind, whose text says what to do next, before anything is sent.

use std::collections::HashMap;

use session_core::{ErrorKind, KeyFormat, MemoryStore, Result, SessionId, SessionStore, TimeToLive};

use crate::support::{Visit, World, id, rows, visit, visit_of};

/// Every operation that takes data.
async fn write_in_every_way(store: &SessionStore<Visit>, id: &SessionId, data: &Visit) -> Vec<Result<()>> {
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
        assert!(!error.is_indeterminate());
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
async fn a_principal_that_is_none_is_refused_before_anything_is_sent() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    for bad in [String::new(), "x".repeat(256), "a\0b".to_owned()] {
        for result in write_in_every_way(&store, &id("a"), &visit_of(&bad)).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("use a short stable name"), "{error}");
        }
        assert!(store.destroy_principal(&bad).await.is_err());
        assert!(store.destroy_others(&bad, &id("a")).await.is_err());
        assert!(store.list(Some(&bad), None, rows(1)).await.is_err());
        assert!(store.count(Some(&bad)).await.is_err());
    }
    assert_eq!(world.script.calls(), [""; 0]);
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
    let store: SessionStore<Visit> = SessionStore::new(MemoryStore::with_key_format(KeyFormat::Plain));
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
    let store: SessionStore<Visit> = SessionStore::new(MemoryStore::new());
    store.create_with_id(&id("a"), &visit(0)).await.unwrap();
    let page = store.list(None, None, rows(1)).await.unwrap();
    assert_eq!(page[0].key, id("a").key(KeyFormat::Hashed).unwrap());

    let plain = MemoryStore::with_key_format(KeyFormat::Plain);
    let store: SessionStore<Visit> = SessionStore::new(plain);
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
