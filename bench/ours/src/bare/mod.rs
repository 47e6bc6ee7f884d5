//! The bare drivers: what a careful developer would write by hand, one statement a call, prepared once.
//!
//! The same table and predicates as this project's, without hashed ids, versions of the caller's, or policies.

#[cfg(feature = "mssql")]
pub(crate) mod mssql;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::time::{SystemTime, UNIX_EPOCH};

use harness::{Data, Result};

const DAY: i64 = 86_400_000;

/// A session's key.
pub(crate) type Key = [u8; 32];

fn random_key() -> Result<Key> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    Ok(key)
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn encode(data: &Data) -> Result<String> {
    Ok(serde_json::to_string(data)?)
}

/// Decodes as an application would, and sees to it that this is not optimized away.
fn decode(payload: &str) -> Result<()> {
    std::hint::black_box(serde_json::from_str::<Data>(payload)?);
    Ok(())
}
