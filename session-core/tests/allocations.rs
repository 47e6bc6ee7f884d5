//! What a handle adds to its store in allocations: every request goes through it. The one that is allowed is the box of
//! `Arc<MemoryStore>`, which the test shares.

use std::pin::pin;
use std::sync::Arc;

use allocation_counter::measure;
use session_core::contract::{Load, Store, Touch};
use session_core::{Gathering, MemoryStore, Sessions, Timestamp};
use tokio::runtime::{Builder, Runtime};

/// How many allocations the call makes when it is made for the second time: what is made once and kept is there.
fn count<T>(runtime: &Runtime, mut call: impl AsyncFnMut() -> T) -> u64 {
    runtime.block_on(call());
    // Pinned here: the runtime would put a large future into a box.
    measure(|| drop(runtime.block_on(pin!(call())))).count_total
}

#[test]
fn a_handle_adds_no_allocation_to_its_store_s_own_but_for_sharing_it() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = Arc::new(MemoryStore::new());
    let now = Timestamp::from_millis(1);
    for gathering in [Gathering::OFF, Gathering { read_lanes: 2, write_lanes: 2, ..Gathering::OFF }] {
        let gathering = Gathering { max_batch: 64, ..gathering };
        let sessions = Sessions::<u64>::builder(store.clone()).gathering(gathering).build().unwrap();
        let id = runtime.block_on(sessions.create(&7)).unwrap().id;
        let key = id.key(store.key_format()).unwrap();

        let load = Load::new(key.clone());
        let alone = count(&runtime, async || store.load(&load, now).await.unwrap());
        let through = count(&runtime, async || sessions.load(&id).await.unwrap());
        println!("load: {alone} by the store, {through} through the handle");
        assert!(through <= alone + 1, "load: {alone} by the store, {through} through the handle");

        let touch = Touch { key, expires_at: Timestamp::NEVER, expected: None };
        let alone = count(&runtime, async || store.touch(&touch, now).await.unwrap());
        let through = count(&runtime, async || sessions.touch(&id).await.unwrap());
        println!("touch: {alone} by the store, {through} through the handle");
        assert!(through <= alone + 1, "touch: {alone} by the store, {through} through the handle");
    }
}
