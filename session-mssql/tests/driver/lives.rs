//! How long connections live: idle ones, lost ones, slow logins, and calls that are dropped while the server works.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use mssql_mock_tds::{LOGIN_DELAY_KEY, QueryResponse};
use session_core::contract::Store as _;
use session_core::{ErrorKind, KeyFormat, TableName};
use session_mssql::tiberius::Client;
use session_mssql::{MssqlBuilder, MssqlStore};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::compat::Compat;

use crate::support::{
    Mock, NOW, Proxy, builder, count, create, drop_table, fresh_table, key, number, on_a_server, raw, trials,
};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = trials![
        a_silent_loss_of_all_idle_connections_costs_the_first_call_one_check,
        a_connection_that_was_used_a_moment_ago_is_asked_nothing,
        a_connection_that_nobody_uses_is_closed,
        a_statement_ends_at_its_limit,
        a_login_goes_on_when_nobody_waits_for_it,
        a_login_that_the_network_lost_is_begun_anew,
        a_limit_of_nothing_is_refused,
    ];
    all.extend(on_a_server![
        rows_that_are_locked_leave_no_more_sessions_on_the_server_than_the_pool_has,
        a_lock_is_waited_for_until_its_limit,
    ]);
    all
}

/// Five connections through a proxy, all idle for longer than `checked`.
async fn idle_five(options: MssqlBuilder, mock: &Mock, checked: Duration) -> MssqlStore {
    mock.answer("COUNT_BIG(", number(1).with_delay(Duration::from_millis(100))).await;
    let store = options.pool_size(5).build().unwrap();
    let at_once = (0..5).map(|_| count(&store));
    assert!(futures_util::future::join_all(at_once).await.into_iter().all(|counted| counted.is_ok()));
    mock.answer("COUNT_BIG(", number(1)).await;
    sleep(checked * 2).await;
    store
}

async fn a_silent_loss_of_all_idle_connections_costs_the_first_call_one_check() {
    const AFTER: Duration = Duration::from_millis(100);
    const WITHIN: Duration = Duration::from_millis(300);
    let (mock, hour) = (Mock::start().await, Duration::from_secs(3600));
    for (after, survives) in [(AFTER, true), (hour, false)] {
        let proxy = Proxy::to(mock.address()).await;
        let options = MssqlStore::builder().url(proxy.url()).idle_check(after, WITHIN);
        let store = idle_five(options.time_limit(Duration::from_secs(2)), &mock, AFTER).await;
        assert_eq!(proxy.open(), 5);
        proxy.forget();
        let begun = Instant::now();
        // A write, which is never sent twice: the loss is found before it is sent.
        let written = store.clear().await;
        // Without the check the case fails, and so shows that it can.
        assert_eq!(written.is_ok(), survives, "{written:?}");
        if survives {
            let took = begun.elapsed();
            assert!(took >= WITHIN && took < WITHIN * 3, "{took:?}");
            let begun = Instant::now();
            let at_once = (0..5).map(|_| count(&store));
            assert!(futures_util::future::join_all(at_once).await.into_iter().all(|counted| counted.is_ok()));
            assert!(begun.elapsed() < WITHIN, "the others are not asked one by one: {:?}", begun.elapsed());
        }
    }
}

async fn a_connection_that_was_used_a_moment_ago_is_asked_nothing() {
    const AFTER: Duration = Duration::from_millis(200);
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1)).await;
    let proxy = Proxy::to(mock.address()).await;
    let options = MssqlStore::builder().url(proxy.url()).pool_size(1);
    let store = options.idle_check(AFTER, Duration::from_secs(1)).build().unwrap();
    count(&store).await.unwrap();
    for (rest, trips) in [(Duration::ZERO, 1), (AFTER + Duration::from_millis(50), 2), (Duration::ZERO, 1)] {
        sleep(rest).await;
        let before = proxy.asked();
        count(&store).await.unwrap();
        assert_eq!(proxy.asked() - before, trips, "after {rest:?}");
    }
    assert_eq!(mock.connections().await, 1);
}

async fn a_connection_that_nobody_uses_is_closed() {
    const IDLE: Duration = Duration::from_millis(400);
    let mock = Mock::start().await;
    let proxy = Proxy::to(mock.address()).await;
    let options = MssqlStore::builder().url(proxy.url()).idle_timeout(IDLE);
    let store = idle_five(options, &mock, Duration::from_millis(1)).await;
    assert_eq!(proxy.open(), 5);
    let begun = Instant::now();
    while begun.elapsed() < IDLE * 2 {
        count(&store).await.unwrap();
        sleep(IDLE / 8).await;
    }
    assert_eq!(proxy.open(), 1, "the one that is used");
    let logins = mock.connections().await;
    sleep(IDLE + IDLE / 2).await;
    count(&store).await.unwrap();
    assert_eq!(mock.connections().await, logins + 1, "what was idle for too long is not lent");
}

async fn a_statement_ends_at_its_limit() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1).with_delay(Duration::from_secs(60))).await;
    let store = builder(&mock).statement_timeout(Duration::from_millis(200)).build().unwrap();
    let begun = Instant::now();
    let error = count(&store).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unreachable()), (ErrorKind::Unavailable, false), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    mock.answer("COUNT_BIG(", number(4)).await;
    assert_eq!(count(&store).await.unwrap(), 4);
}

async fn a_login_goes_on_when_nobody_waits_for_it() {
    const LOGIN: Duration = Duration::from_millis(800);
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(6)).await;
    mock.answer(LOGIN_DELAY_KEY, QueryResponse::new(Vec::new(), Vec::new()).with_delay(LOGIN)).await;
    let store = builder(&mock).build().unwrap();
    for _ in 0..3 {
        let impatient = timeout(Duration::from_millis(50), count(&store)).await;
        assert!(impatient.is_err(), "the login was not slow");
    }
    // Nobody asks for anything meanwhile.
    sleep(LOGIN).await;
    let begun = Instant::now();
    assert_eq!(count(&store).await.unwrap(), 6);
    assert!(begun.elapsed() < LOGIN / 2, "the login stood still: {:?}", begun.elapsed());
    assert_eq!(mock.connections().await, 1, "the login was begun anew");
}

async fn a_login_that_the_network_lost_is_begun_anew() {
    // With a place for a second login within the default deadline of a call, and without one after ten seconds.
    for (places, within) in [(2, 5), (1, 12)] {
        let mock = Mock::start().await;
        mock.answer("COUNT_BIG(", number(6)).await;
        let slow = || QueryResponse::new(Vec::new(), Vec::new());
        mock.answer(LOGIN_DELAY_KEY, slow().with_delay(Duration::from_millis(500))).await;
        let proxy = Proxy::to(mock.address()).await;
        let store = MssqlStore::builder().url(proxy.url()).pool_size(places).build().unwrap();
        assert!(timeout(Duration::from_millis(200), count(&store)).await.is_err(), "the login was not slow");
        proxy.forget();
        mock.answer(LOGIN_DELAY_KEY, slow()).await;
        let counted = timeout(Duration::from_secs(within), count(&store)).await;
        assert_eq!(counted.expect("in time").unwrap(), 6);
    }
}

async fn a_limit_of_nothing_is_refused() {
    let error = MssqlStore::builder().url("Server=x").lock_timeout(Duration::ZERO).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("`lock_timeout`"), "{error}");
}

/// A store whose sessions on the server have a name of their own.
fn named(url: &str, name: &str) -> MssqlBuilder {
    MssqlStore::builder().url(format!("{url};Application Name={name}"))
}

/// Holds locks on every row of a table, until it ends its transaction. Not on the table itself, for which Babelfish has no
/// hint.
async fn locked(url: &str, table: &TableName) -> Client<Compat<TcpStream>> {
    let mut holder = raw(url).await;
    let lock = format!("BEGIN TRANSACTION; DELETE FROM {}", table.quoted('[', ']'));
    holder.simple_query(lock).await.unwrap().into_results().await.unwrap();
    holder
}

async fn sessions(client: &mut Client<Compat<TcpStream>>, name: &str) -> i64 {
    let counting = format!("SELECT COUNT_BIG(*) FROM sys.dm_exec_sessions WHERE program_name = N'{name}'");
    let row = client.simple_query(counting).await.unwrap().into_row().await.unwrap().unwrap();
    row.get::<i64, _>(0).unwrap()
}

async fn rows_that_are_locked_leave_no_more_sessions_on_the_server_than_the_pool_has(url: String) {
    const POOL: i64 = 3;
    let (table, name) = (fresh_table(), format!("locked_{}", std::process::id()));
    let store = named(&url, &name).table(table.clone()).pool_size(3).connect().await.unwrap();
    store.create_table().await.unwrap();
    store.create(&create(&key("a", KeyFormat::Hashed), "{}"), NOW).await.unwrap();
    let mut owner = locked(&url, &table).await;
    let mut observer = raw(&url).await;
    let mut most = 0;
    for _ in 0..4 {
        // Longer than a login takes on a busy machine, so that statements are sent.
        let callers = (0..8).map(|_| timeout(Duration::from_millis(1500), store.clear()));
        let outcomes = futures_util::future::join_all(callers).await;
        assert!(outcomes.iter().all(|outcome| !matches!(outcome, Ok(Ok(_)))), "the rows are not locked");
        // One that is just being closed is gone a moment later, and long before the limit for a lock.
        let mut found = sessions(&mut observer, &name).await;
        for _ in 0..5 {
            if found <= POOL {
                break;
            }
            sleep(Duration::from_millis(50)).await;
            found = found.min(sessions(&mut observer, &name).await);
        }
        most = most.max(found);
    }
    assert!((1..=POOL).contains(&most), "{most} sessions for a pool of {POOL}");
    owner.simple_query("ROLLBACK").await.unwrap().into_results().await.unwrap();
    timeout(Duration::from_secs(5), store.clear()).await.expect("in time").unwrap();
    drop_table(&url, &table).await;
}

async fn a_lock_is_waited_for_until_its_limit(url: String) {
    const LIMIT: Duration = Duration::from_millis(700);
    let table = fresh_table();
    let store = named(&url, "waiting").table(table.clone()).lock_timeout(LIMIT).pool_size(1);
    let store = store.connect().await.unwrap();
    // A statement without the limit does not take it from the connection.
    store.create_table().await.unwrap();
    store.create(&create(&key("a", KeyFormat::Hashed), "{}"), NOW).await.unwrap();
    let mut holder = locked(&url, &table).await;
    let begun = Instant::now();
    let error = store.clear().await.unwrap_err();
    let took = begun.elapsed();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, false), "{error:?}");
    assert!(took >= LIMIT && took < LIMIT * 4, "{took:?}");
    holder.simple_query("ROLLBACK").await.unwrap().into_results().await.unwrap();
    store.clear().await.unwrap();
    drop_table(&url, &table).await;
}
