//! What the tests share.

#[cfg(feature = "mock")]
mod mock;
mod server;
mod sessions;
mod stranger;

#[cfg(feature = "mock")]
use mssql_mock_tds::{ColumnDefinition, ColumnValue, QueryResponse, SqlDataType};
use session_core::contract::{Filter, Store as _};
use session_core::{Result, TableName, Timestamp};
use session_mssql::{MssqlBuilder, MssqlStore};

#[cfg(feature = "mock")]
pub(crate) use mock::{Doorkeeper, Mock, Proxy, Refusing, browser};
pub(crate) use server::{drop_table, fresh_table, raw, sql, store};
pub(crate) use sessions::{create, destroy, key, load, rotate, touch, update};
pub(crate) use stranger::{Says, Stranger};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(2_000_000);

/// The tests of a module that need no server, each an asynchronous function that panics where something is wrong.
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$(crate::support::trial(crate::support::name(module_path!(), stringify!($name)), None, $name)),*]
    };
}
pub(crate) use trials;

/// The tests of a module that need a server; each gets its URL.
macro_rules! on_a_server {
    ($($name:ident),* $(,)?) => {{
        let url = crate::support::url();
        vec![$({
            let (missing, url) = (url.clone().err(), url.clone().unwrap_or_default());
            crate::support::trial(
                crate::support::name(module_path!(), stringify!($name)),
                missing,
                move || $name(url),
            )
        }),*]
    }};
}
pub(crate) use on_a_server;

/// The name of a test: its module and what it shows.
pub(crate) fn name(module: &str, test: &str) -> String {
    let module = module.split_once("::").map_or(module, |(_, module)| module);
    format!("mssql::{module}::{test}")
}

/// A test, or why it does not run.
pub(crate) fn trial<F>(
    name: String,
    missing: Option<String>,
    test: impl FnOnce() -> F + Send + 'static,
) -> libtest_mimic::Trial
where
    F: Future<Output = ()>,
{
    if let Some(why) = missing {
        return libtest_mimic::Trial::test(format!("{name} (not run: {why})"), || Ok(()))
            .with_ignored_flag(true);
    }
    libtest_mimic::Trial::test(name, move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build()?.block_on(test());
        Ok(())
    })
}

/// What stands for the tests of a module that this program was built without.
#[cfg(not(feature = "mock"))]
pub(crate) fn left_out(module: &str) -> libtest_mimic::Trial {
    let why = "built without the feature `mock`, which needs OpenSSL's headers";
    libtest_mimic::Trial::test(format!("mssql::{module} (not run: {why})"), || Ok(())).with_ignored_flag(true)
}

/// The server's address, from the environment: an ADO.NET connection string.
pub(crate) fn url() -> std::result::Result<String, String> {
    const URL: &str = "SESSION_STORE_MSSQL_URL";
    std::env::var(URL).ok().filter(|url| !url.is_empty()).ok_or(format!("{URL} is not set"))
}

/// A store whose count the server answers with `rows`.
#[cfg(feature = "mock")]
pub(crate) async fn counted(mock: &Mock, rows: i64) -> MssqlStore {
    mock.answer("COUNT_BIG(", number(rows)).await;
    builder(mock).build().unwrap()
}

#[cfg(feature = "mock")]
pub(crate) fn builder(mock: &Mock) -> MssqlBuilder {
    MssqlStore::builder().url(mock.url()).pool_size(1).table(TableName::default())
}

/// One number in one row.
#[cfg(feature = "mock")]
pub(crate) fn number(value: i64) -> QueryResponse {
    let row = mssql_mock_tds::Row::new(vec![ColumnValue::BigInt(value)]);
    QueryResponse::new(vec![ColumnDefinition::new("rows", SqlDataType::BigInt)], vec![row])
}

#[cfg(feature = "mock")]
pub(crate) async fn count(store: &MssqlStore) -> Result<u64> {
    store.count(&Filter::default(), NOW).await
}
