//! Proves the example of a custom backend with the suite that every backend runs.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use conformance::{Availability, Backend, Namespace};
use session_store::{Result, Store};

#[path = "../examples/custom_backend.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example has a `main`, and is no library")]
mod custom_backend;

use custom_backend::FileStore;

/// One process may use a file at a time, so the handles on one namespace share it.
#[derive(Default)]
struct Files(Mutex<HashMap<Namespace, FileStore>>);

fn path(namespace: &Namespace) -> PathBuf {
    std::env::temp_dir().join(format!("{namespace}.json"))
}

#[async_trait]
impl Backend for Files {
    fn name(&self) -> String {
        "custom".to_owned()
    }

    fn durable(&self) -> bool {
        true
    }

    async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        let mut files = self.0.lock().unwrap();
        if let Some(store) = files.get(namespace) {
            return Ok(Arc::new(store.clone()));
        }
        let store = FileStore::open(path(namespace))?;
        files.insert(namespace.clone(), store.clone());
        Ok(Arc::new(store))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        self.0.lock().unwrap().remove(namespace);
        // A namespace that was never written to has no file.
        _ = std::fs::remove_file(path(namespace));
        Ok(())
    }
}

fn main() -> ExitCode {
    conformance::main([Availability::ready(Files::default())])
}
