//! What the measurements share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_core::contract::{Create, Payload, Store as _, Write};
use session_core::{KeyFormat, SessionId, SessionKey, Timestamp, Version};
use session_sqlite::SqliteStore;

pub(crate) const SESSIONS: usize = 100_000;
pub(crate) const NOW: i64 = 1_795_324_200_000;
pub(crate) const DAY: i64 = 86_400_000;

/// A database of its own, in the folder that is the first argument, removed at the end.
pub(crate) struct File {
    pub(crate) path: PathBuf,
}

impl File {
    pub(crate) fn new(name: &str) -> File {
        let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
        let folder = folder.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        File { path: folder.join(format!("{name}-{}.db", std::process::id())) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut file = self.path.clone().into_os_string();
            file.push(suffix);
            drop(std::fs::remove_file(file));
        }
    }
}

/// Makes so many sessions in the table, which is made too.
pub(crate) async fn fill(
    path: &Path,
    sessions: usize,
    expires_at: i64,
) -> session_core::Result<Arc<Vec<SessionKey>>> {
    let store = SqliteStore::connect(path).await?;
    store.create_table().await?;
    let mut keys = Vec::with_capacity(sessions);
    for _ in 0..sessions / 1000 {
        let mut writes = Vec::with_capacity(1000);
        for _ in 0..1000 {
            let key = SessionId::random()?.key(KeyFormat::Hashed)?;
            let (payload, expires_at) = (payload(), Timestamp::from_millis(expires_at));
            writes.push(Write::Create(Create {
                key: key.clone(),
                payload,
                expires_at,
                principal: None,
                version: Version::FIRST,
            }));
            keys.push(key);
        }
        for outcome in store.write_many(&writes, Timestamp::from_millis(NOW)).await? {
            outcome?;
        }
    }
    Ok(Arc::new(keys))
}

pub(crate) fn payload() -> Payload {
    Payload::from("x".repeat(1024))
}

pub(crate) fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// xorshift64*: which session is next need not be a secret.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Random {
        Random(0x9E37_79B9_7F4A_7C15 ^ (u64::try_from(seed).unwrap() + 1))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % u64::try_from(bound).unwrap())
            .unwrap()
    }
}
