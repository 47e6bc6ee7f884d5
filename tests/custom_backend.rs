//! Proves the example of a custom backend with the suite that every backend runs.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use conformance::{Availability, Namespace, Subject};
use session_store::Result;
use session_store::contract::Store;

#[path = "../examples/custom_backend.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example has a `main`, and is no library")]
mod custom_backend;

use custom_backend::FileStore;

struct Files;

fn path(namespace: &Namespace) -> PathBuf {
    std::env::temp_dir().join(format!("{namespace}.jsonl"))
}

#[async_trait]
impl Subject for Files {
    fn name(&self) -> String {
        "custom".to_owned()
    }

    fn durable(&self) -> bool {
        true
    }

    async fn open(&self, namespace: &Namespace, _via: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(FileStore::open(path(namespace))?))
    }

    async fn remove(&self, namespace: &Namespace) -> Result<()> {
        // A namespace that was never written to has no file.
        _ = std::fs::remove_file(path(namespace));
        Ok(())
    }

    async fn raw_dump(&self, namespace: &Namespace) -> Result<Option<Vec<u8>>> {
        Ok(std::fs::read(path(namespace)).ok())
    }
}

fn main() -> ExitCode {
    conformance::main([Availability::ready(Files)])
}
