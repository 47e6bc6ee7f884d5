//! What gathering promises, against a store that does as a script says and keeps count.

mod batches;
mod faults;
mod history;
mod order;
mod script;
mod unpolled;

use std::sync::Arc;
use std::time::Duration;

use script::Script;

use super::Gathered;
use crate::contract::{Create, Destroy, Load, Loaded, Payload, Store as _, Touch, Update};
use crate::{DestroyMode, Gathering, KeyFormat, SessionId, SessionKey, Timestamp, Version};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LATER: Timestamp = Timestamp::from_millis(2_000_000);

/// One lane for loads and one for writes, so that whatever is second queues.
const NARROW: Gathering = Gathering { read_lanes: 1, write_lanes: 1, max_batch: 100, max_bytes: 10_000 };

fn gathered(script: &Arc<Script>, gathering: Gathering) -> Arc<Gathered> {
    Arc::new(Gathered::new(script.clone(), gathering))
}

fn key(name: &str) -> SessionKey {
    SessionId::new(name).unwrap().key(KeyFormat::Plain).unwrap()
}

fn load(name: &str) -> Load {
    Load::new(key(name))
}

fn create(name: &str) -> Create {
    Create {
        key: key(name),
        payload: Payload::from("0"),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

fn update(name: &str, payload: impl Into<String>) -> Update {
    let payload = Payload::from(payload.into());
    Update { key: key(name), payload, expires_at: Some(LATER), principal: None, expected: None }
}

fn touch(name: &str) -> Touch {
    Touch { key: key(name), expires_at: LATER, expected: None }
}

fn destroy(name: &str) -> Destroy {
    Destroy { key: key(name), mode: DestroyMode::Keep }
}

/// Lets every task of this thread go on as far as it can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Waits until all lanes are idle and nothing is left behind.
async fn assert_idle(store: &Gathered) {
    for _ in 0..1_000 {
        if store.loads.is_idle() && store.writes.is_idle() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("a lane is held or an operation waits, with no caller left");
}

async fn version(script: &Script, name: &str) -> Option<Version> {
    script.inner.load(&load(name), NOW).await.unwrap().record().map(|record| record.version)
}
