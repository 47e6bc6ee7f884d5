//! What an observer gets.

use std::sync::{Arc, Mutex};

use session_core::{Event, KeyFormat, SessionKey, Sessions};

use crate::support::{Fault, Visit, World, id, rows, visit, visit_of};

#[tokio::test(start_paused = true)]
async fn every_change_is_told_once() {
    let world = World::new();
    let store = world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap();
    store.create_with_id(&id("a"), &visit_of("ann")).await.unwrap();
    store.load(&id("a")).await.unwrap();
    store.touch(&id("a")).await.unwrap();
    store.update(&id("a"), &visit(1), None).await.unwrap();
    let rotated = store.rotate(&id("a")).await.unwrap().unwrap();
    store.destroy(&rotated.id).await.unwrap();
    store.set(&id("b"), &visit_of("ann")).await.unwrap();
    store.destroy_principal("ann").await.unwrap();
    store.purge(rows(1)).await.unwrap();
    store.clear().await.unwrap();
    let expected = [
        "connected",
        "created",
        "rotated",
        "destroyed",
        "created",
        "destroyed 1 of ann",
        "purged 0",
        "cleared 3",
    ];
    assert_eq!(world.events.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn events_carry_keys_and_no_ids() {
    let world = World::new();
    let keys: Arc<Mutex<Vec<SessionKey>>> = Arc::default();
    let text = Arc::new(Mutex::new(String::new()));
    let (log, words) = (Arc::clone(&keys), Arc::clone(&text));
    let store: Sessions<Visit> = Sessions::builder(world.script.clone())
        .observer(move |event: &Event<'_>| {
            words.lock().unwrap().push_str(&format!("{event:?}"));
            match event {
                Event::Created { key } | Event::Destroyed { key } => {
                    log.lock().unwrap().push((*key).clone());
                }
                Event::Rotated { from, to } => {
                    log.lock().unwrap().extend([(*from).clone(), (*to).clone()]);
                }
                _ => {}
            }
        })
        .build()
        .unwrap();
    let old = store.create_with_id(&id("secret-id"), &visit_of("secret")).await.unwrap().unwrap();
    let new = store.rotate(&old.id).await.unwrap().unwrap();
    store.destroy(&new.id).await.unwrap();
    let [old_key, new_key] = [&old.id, &new.id].map(|id| id.key(KeyFormat::Hashed).unwrap());
    assert_eq!(*keys.lock().unwrap(), [old_key.clone(), old_key, new_key.clone(), new_key]);
    let text = text.lock().unwrap();
    assert!(!text.contains("secret") && !text.contains(new.id.expose()), "{text}");
}

#[tokio::test(start_paused = true)]
async fn every_error_is_told_with_the_operation_that_the_caller_asked_for() {
    let world = World::new();
    let store = world.builder::<Visit>().payload_limit(40).build().unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    world.script.plant(&id("corrupt"), "{", None).await;
    world.events.take();
    let broken = || Fault::Fail(session_core::Error::new(session_core::ErrorKind::Backend, "broken"));
    world.script.once("update", broken());
    store.modify(&new.id, |_| ()).await.unwrap_err();
    world.script.once("update", broken());
    store.set(&new.id, &visit(0)).await.unwrap_err();
    store.update(&new.id, &visit_of(&"x".repeat(50)), None).await.unwrap_err();
    store.load(&id("corrupt")).await.unwrap_err();
    store.count(Some("")).await.unwrap_err();
    let expected = [
        "error: modify: backend",
        "error: set: backend",
        "error: update: too large",
        "error: load: corrupt",
        "error: count: invalid input",
    ];
    assert_eq!(world.events.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_harms_nothing() {
    let world = World::new();
    let store: Sessions<Visit> = Sessions::builder(world.script.clone())
        .clock(Arc::clone(&world.clock))
        .observer(|_: &Event<'_>| panic!("observer"))
        .build()
        .unwrap();
    store.connect().await.unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    assert!(store.destroy(&new.id).await.unwrap());
    world.script.always("count", crate::support::gone);
    store.count(None).await.unwrap_err();
    assert!(!store.is_connected());
    world.script.heal();
    tokio::time::advance(crate::support::ms(100)).await;
    store.count(None).await.unwrap();
    assert!(store.is_connected());
}
