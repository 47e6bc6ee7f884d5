//! Proves [`MemoryStore`] with the suite that every backend runs, in both forms of its keys.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use conformance::{Availability, Namespace, Subject};
use session_core::contract::Store;
use session_core::{KeyFormat, MemoryStore, Result};

struct Memory {
    format: KeyFormat,
    stores: Mutex<HashMap<Namespace, Arc<MemoryStore>>>,
}

#[async_trait]
impl Subject for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn variant(&self) -> String {
        match self.format {
            KeyFormat::Hashed => "native",
            KeyFormat::Plain => "plain-keys",
        }
        .to_owned()
    }

    fn durable(&self) -> bool {
        false
    }

    async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let mut stores = self.stores.lock().unwrap();
        let store = stores
            .entry(namespace.clone())
            .or_insert_with(|| Arc::new(MemoryStore::with_key_format(self.format)));
        Ok(store.clone())
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        self.stores.lock().unwrap().remove(namespace);
        Ok(())
    }
}

fn main() -> ExitCode {
    let memory = |format| Availability::ready(Memory { format, stores: Mutex::default() });
    conformance::main([memory(KeyFormat::Hashed), memory(KeyFormat::Plain)])
}
