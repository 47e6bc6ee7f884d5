//! What only a real server shows, beside the conformance suite: its errors, its prepared statements, its encryption,
//! poolers before it. A test whose server is not there is shown as ignored, with the reason.

#![expect(clippy::unwrap_used, reason = "a test that finds what it does not expect has failed")]

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod outcomes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod scratch;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod typeorm;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod unwritten;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use session_core::{Create, KeyFormat, Payload, Principal, SessionId, SessionKey, TableName, Timestamp};

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = Vec::new();
    #[cfg(feature = "postgres")]
    trials.extend(postgres::trials());
    #[cfg(feature = "mysql")]
    trials.extend(mysql::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test, or why it does not run.
pub(crate) fn trial<F>(
    name: &str,
    missing: Option<String>,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = ()> + Send,
{
    if let Some(why) = missing {
        return Trial::test(format!("{name} (not run: {why})"), || Ok(())).with_ignored_flag(true);
    }
    Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(test());
        Ok(())
    })
}

/// An address from the environment.
pub(crate) fn address(variable: &str) -> Result<String, String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty()).ok_or(format!("{variable} is not set"))
}

/// A table of this test alone.
pub(crate) fn fresh_table(name: &str) -> TableName {
    TableName::new(&format!("t_{}_{name}", std::process::id())).expect("an identifier")
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_800_000_060_000);

pub(crate) fn key(id: &str) -> SessionKey {
    SessionId::new(id).and_then(|id| id.key(KeyFormat::Hashed)).expect("an id")
}

pub(crate) fn create(id: &str) -> Create {
    Create {
        key: key(id),
        payload: Payload::from("{}"),
        expires_at: LATER,
        principal: Some(Principal::new("ann").expect("a principal")),
    }
}

/// Every i64 at which a conversion may break.
pub(crate) fn numbers() -> Vec<i64> {
    let powers = (0..63).flat_map(|bit| {
        let power = 1_i64 << bit;
        [power - 1, power, power.saturating_add(1), -power - 1, -power, -power + 1]
    });
    let mut numbers: Vec<i64> = powers.chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
