//! What the tests on either database share.

pub(crate) mod connect_typeorm;
pub(crate) mod life;
pub(crate) mod listener;
pub(crate) mod outcomes;
pub(crate) mod scratch;
pub(crate) mod secrets;
pub(crate) mod stranger;
pub(crate) mod unwritten;
pub(crate) mod wire;

use std::future::Future;

use libtest_mimic::Trial;
use session_core::contract::{Create, Destroy, Load, Payload, Record, Rotate, Store, Touch, Update};
use session_core::{DestroyMode, KeyFormat, Principal, SessionId, SessionKey, TableName, Timestamp, Version};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_800_000_060_000);

pub(crate) const MODES: [DestroyMode; 3] = [DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove];

/// The tests of a database that need its server, by module and name; each gets the server's URL.
macro_rules! on_a_server {
    ($database:literal, $variable:expr; $($module:ident::$test:ident,)*) => {{
        let url = $crate::support::address($variable);
        vec![$({
            let (missing, url) = (url.clone().err(), url.clone().unwrap_or_default());
            let name = concat!($database, "::", stringify!($module), "::", stringify!($test));
            $crate::support::trial(name, missing, move || $module::$test(url))
        },)*]
    }};
}
pub(crate) use on_a_server;

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

/// The host and port of a URL.
pub(crate) fn host_of(url: &str) -> String {
    let authority = url.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
}

/// A table of this test alone.
pub(crate) fn fresh_table(name: &str) -> TableName {
    TableName::new(&format!("t_{}_{name}", std::process::id())).expect("an identifier")
}

pub(crate) fn key(id: &str) -> SessionKey {
    SessionId::new(id).and_then(|id| id.key(KeyFormat::Hashed)).expect("an id")
}

pub(crate) fn ann() -> Principal {
    Principal::new("ann").expect("a principal")
}

pub(crate) fn create(id: &str) -> Create {
    Create {
        key: key(id),
        payload: Payload::from("{}"),
        expires_at: LATER,
        principal: Some(ann()),
        version: Version::FIRST,
    }
}

/// A session that is live, whole.
pub(crate) async fn load(store: &dyn Store, id: &str) -> Option<Record> {
    store.load(&Load::new(key(id)), NOW).await.unwrap().record()
}

pub(crate) fn update(id: &str, expected: Option<i64>) -> Update {
    Update {
        key: key(id),
        payload: Payload::from("[]"),
        expires_at: Some(LATER),
        principal: Some(ann()),
        expected: expected.map(Version::new),
    }
}

pub(crate) fn touch(id: &str, expected: Option<i64>) -> Touch {
    Touch { key: key(id), expires_at: LATER, expected: expected.map(Version::new) }
}

pub(crate) fn destroy(id: &str, mode: DestroyMode) -> Destroy {
    Destroy { key: key(id), mode }
}

pub(crate) fn rotate(from: &str, to: &str, expected: Option<i64>, mode: DestroyMode) -> Rotate {
    Rotate {
        from: key(from),
        to: key(to),
        payload: None,
        expires_at: None,
        principal: Some(ann()),
        expected: expected.map(Version::new),
        mode,
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
