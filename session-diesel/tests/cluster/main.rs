//! What becomes of sessions where a server of several is killed, hangs or is cut off: `cargo xtask conformance` with the
//! name of a cluster. Each drill starts its servers from this machine's programs, hurts them under load, and asks a ledger.

#[cfg(feature = "mysql")]
mod galera;
mod machine;
#[cfg(feature = "mysql")]
mod mariadb;
#[cfg(feature = "postgres")]
mod patroni;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_pair;
#[path = "../driver/support/scratch.rs"]
#[expect(dead_code, reason = "of what starts a single server only the programs are needed")]
mod scratch;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use conformance::ledger::Ledger;
use conformance::{Drill, drills};
use session_core::contract::Store;
use tokio::time::Instant;

/// Which cluster is meant.
const BACKEND: &str = "CONFORMANCE_BACKEND";

/// How many write at once.
const WRITERS: usize = 32;

/// How long nothing may be written once the servers themselves are well again.
const RECOVERY: Duration = Duration::from_secs(12);

fn main() -> ExitCode {
    let asked = std::env::var(BACKEND).unwrap_or_default();
    let mut run = Vec::new();
    for (backend, of_it) in clusters() {
        if asked == backend {
            return drills(backend, of_it);
        }
        let why = format!("cargo xtask conformance {backend} runs it");
        run.extend(of_it.into_iter().map(|drill| Drill { missing: Some(why.clone()), ..drill }));
    }
    drills("cluster", run)
}

fn clusters() -> Vec<(&'static str, Vec<Drill>)> {
    vec![
        #[cfg(feature = "postgres")]
        ("postgres-pair", postgres_pair::drills()),
        #[cfg(feature = "postgres")]
        ("patroni", patroni::drills()),
        #[cfg(feature = "mysql")]
        ("galera", galera::drills()),
    ]
}

/// What a drill that went well comes to: nothing lost, nothing revived, and back soon. `recovered` is when the servers
/// were well again by themselves.
async fn judge(
    ledger: Ledger,
    hurt: Instant,
    recovered: Instant,
    looks: &[(&str, Arc<dyn Store>)],
) -> Result<String, String> {
    let (silence, after) = (ledger.silence_since(hurt), ledger.silence_since(recovered));
    let summary = ledger.check(looks).await?;
    if after > RECOVERY {
        return Err(format!("nothing was written for {after:.1?} after the servers were well again"));
    }
    let theirs = recovered.saturating_duration_since(hurt);
    Ok(format!(
        "{summary}; without a success for {silence:.1?}, {after:.1?} of them after the servers were well again, which took \
         them {theirs:.1?}"
    ))
}

/// What a drill comes to that takes away what keeps sessions: the ledger has to complain.
async fn must_complain(ledger: Ledger, looks: &[(&str, Arc<dyn Store>)]) -> Result<String, String> {
    match ledger.check(looks).await {
        Ok(summary) => Err(format!("the ledger finds nothing wrong: {summary}")),
        Err(wrong) => Ok(format!("red, as it must be: {}", wrong.lines().next().unwrap_or_default())),
    }
}
