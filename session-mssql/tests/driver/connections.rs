//! Connections, on a test server that speaks the protocol: logins, redirections, TLS, time-outs, calls that are dropped,
//! and servers that go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;
use mssql_mock_tds::QueryResponse;
use session_core::contract::Store;
use session_core::{ErrorKind, KeyFormat};
use session_mssql::tiberius::{AuthMethod, Config};
use session_mssql::{ConnectMssqlV2, ConnectTypeorm, Manager, MssqlStore, Pool, Tls};

use crate::support::{
    Mock, Proxy, Refusing, Says, Stranger, browser, builder, count, counted, number, trials,
};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        an_operation_is_one_call_on_a_kept_connection,
        a_redirected_login_is_followed,
        endless_redirections_end_in_an_error,
        a_named_instance_is_asked_of_the_browser,
        an_access_token_logs_in,
        an_access_token_is_asked_for_each_new_connection,
        tls_needs_a_certificate_that_is_trusted,
        encryption_that_the_server_does_not_offer_is_not_done_without,
        a_call_that_is_not_answered_ends_at_the_limit_and_its_connection_too,
        a_full_pool_ends_at_the_limit_and_nothing_was_done,
        the_connection_of_a_dropped_call_is_never_used_again,
        a_server_that_closes_in_the_middle_of_an_answer_leaves_the_outcome_open,
        a_connection_that_the_server_closed_while_idle_is_replaced_before_anything_is_sent,
        a_read_on_a_connection_that_turns_out_to_be_broken_is_run_again_and_a_write_is_not,
        an_applications_own_pool_is_used_with_its_limits_and_by_the_application_too,
        a_login_that_takes_longer_than_its_callers_wait_is_gone_on_with,
        logins_that_hang_take_no_more_than_the_pool_has,
        connecting_is_tried_exactly_as_often_as_asked,
        no_password_is_ever_printed,
        credentials_may_stand_apart_from_the_url,
        a_store_that_is_built_connects_to_nothing,
        options_that_contradict_one_another_are_refused,
    ]
}

/// A pool of one connection.
fn pool(mock: &Mock) -> Pool {
    let config = Config::from_ado_string(&mock.url()).unwrap();
    Pool::builder(Manager::new(config)).max_size(1).build().unwrap()
}

async fn an_operation_is_one_call_on_a_kept_connection() {
    let mock = Mock::start().await;
    let store = counted(&mock, 7).await;
    for _ in 0..3 {
        assert_eq!(count(&store).await.unwrap(), 7);
    }
    assert_eq!(mock.connections().await, 1);
}

async fn a_redirected_login_is_followed() {
    let target = Mock::start().await;
    let gateway = Mock::redirecting_to(target.address()).await;
    target.answer("COUNT_BIG(", number(3)).await;
    assert_eq!(count(&builder(&gateway).build().unwrap()).await.unwrap(), 3);
    assert_eq!(target.connections().await, 1);
}

async fn endless_redirections_end_in_an_error() {
    let gateway = Mock::redirecting_to_itself().await;
    let error = count(&builder(&gateway).build().unwrap()).await.unwrap_err();
    assert!(!error.is_in_doubt(), "{error}");
    assert!(gateway.connections().await <= 4);
}

async fn a_named_instance_is_asked_of_the_browser() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(5)).await;
    let browser = browser(mock.address().port()).await;
    let url = format!("Server=tcp:127.0.0.1\\WEB,{browser};User=u;Password=p;Encrypt=DANGER_PLAINTEXT");
    let store = MssqlStore::builder().url(url).build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 5);
}

async fn an_access_token_logs_in() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1)).await;
    let mut config = Config::from_ado_string(&mock.url()).unwrap();
    config.authentication(AuthMethod::aad_token("a token"));
    let store = MssqlStore::builder().config(config).build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 1);
    assert_eq!(mock.token().await.as_deref(), Some("a token"));
}

/// A token lives for an hour, and a store for longer.
async fn an_access_token_is_asked_for_each_new_connection() {
    let mock = Mock::start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let url = mock.url().replace("User=u;Password=p;", "");
    assert!(!url.contains("Password"), "{url}");
    let count_asked = Arc::clone(&asked);
    let next = move || {
        let number = count_asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                2 => Err(session_core::Error::unavailable("the identity provider is away")),
                number => Ok(format!("token {number}")),
            }
        }
    };
    let store = MssqlStore::builder().url(url).access_token_from(next).pool_size(1).build().unwrap();
    for connection in 0..2 {
        mock.answer("COUNT_BIG(", number(7)).await;
        for _ in 0..2 {
            assert_eq!(count(&store).await.unwrap(), 7);
        }
        let expected: Vec<String> = (0..=connection).map(|number| format!("token {number}")).collect();
        assert_eq!(mock.tokens().await, expected);
        // An error ends its connection.
        let refused = mssql_mock_tds::TerminalError::new(1205, 13, "chosen as the deadlock victim");
        mock.answer("COUNT_BIG(", QueryResponse::error_only(refused)).await;
        assert_eq!(count(&store).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    let away = count(&store).await.unwrap_err();
    assert!(away.is_transient() && !away.is_in_doubt(), "{away:?}");
    assert!(away.to_string().contains("the identity provider is away"), "{away}");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

async fn tls_needs_a_certificate_that_is_trusted() {
    let (mock, certificate) = Mock::with_tls().await;
    mock.answer("COUNT_BIG(", number(2)).await;
    let url = format!("Server=tcp:localhost,{};User=u;Password=p;Encrypt=strict", mock.address().port());
    let options = MssqlStore::builder().url(&url);

    let error = count(&options.clone().build().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error:?}");
    assert_eq!(count(&options.clone().tls(Tls::Unverified).build().unwrap()).await.unwrap(), 2);
    assert_eq!(count(&options.root_certificates(certificate).build().unwrap()).await.unwrap(), 2);
}

async fn encryption_that_the_server_does_not_offer_is_not_done_without() {
    let mock = Mock::start().await;
    let url = format!("Server=tcp:127.0.0.1,{};User=u;Password=p;Encrypt=true", mock.address().port());
    let error = MssqlStore::connect(url).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error:?}");
}

async fn a_call_that_is_not_answered_ends_at_the_limit_and_its_connection_too() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1).with_delay(Duration::from_secs(60))).await;
    let pool = pool(&mock);
    let store =
        MssqlStore::builder().pool(pool.clone()).time_limit(Duration::from_millis(200)).build().unwrap();
    let error = count(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_in_doubt() && !error.is_unreachable(), "{error:?}");
    // The next call has the place of the connection once the server has let go.
    let begun = std::time::Instant::now();
    while pool.status().size > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the connection keeps its place");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    mock.answer("COUNT_BIG(", number(4)).await;
    assert_eq!(count(&store).await.unwrap(), 4);
    assert_eq!(mock.connections().await, 2);
}

async fn a_full_pool_ends_at_the_limit_and_nothing_was_done() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1)).await;
    let pool = pool(&mock);
    let store =
        MssqlStore::builder().pool(pool.clone()).time_limit(Duration::from_millis(200)).build().unwrap();
    let held = pool.get().await.unwrap();
    let error = count(&store).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, false));
    drop(held);
    assert_eq!(count(&store).await.unwrap(), 1);
}

async fn the_connection_of_a_dropped_call_is_never_used_again() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1).with_delay(Duration::from_secs(60))).await;
    let store = builder(&mock).build().unwrap();
    let dropped = tokio::time::timeout(Duration::from_millis(200), count(&store)).await;
    assert!(dropped.is_err());

    mock.answer("COUNT_BIG(", number(9)).await;
    assert_eq!(count(&store).await.unwrap(), 9);
    assert_eq!(mock.connections().await, 2);
}

async fn a_server_that_closes_in_the_middle_of_an_answer_leaves_the_outcome_open() {
    let mock = Mock::start().await;
    mock.answer("ROWCOUNT_BIG(", number(1)).await;
    // The first bytes of the answer to a statement arrive, and nothing more.
    let proxy = Proxy::to(mock.address()).await;
    let store = MssqlStore::builder().url(proxy.url()).pool_size(1).build().unwrap();
    assert_eq!(store.clear().await.unwrap(), 1);
    for bytes in [0, 1, 8, 12] {
        proxy.cut_after(bytes);
        let error = store.clear().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "after {bytes} bytes: {error:?}");
        assert!(error.is_in_doubt() && !error.is_unreachable(), "after {bytes} bytes: {error:?}");
        proxy.mend();
        assert_eq!(store.clear().await.unwrap(), 1);
    }
}

async fn a_connection_that_the_server_closed_while_idle_is_replaced_before_anything_is_sent() {
    let mock = Mock::start().await;
    mock.answer("ROWCOUNT_BIG(", number(1)).await;
    let proxy = Proxy::to(mock.address()).await;
    let store = MssqlStore::builder().url(proxy.url()).pool_size(1).build().unwrap();
    assert_eq!(store.clear().await.unwrap(), 1);
    proxy.close_all().await;
    // A write, which is never sent twice.
    assert_eq!(store.clear().await.unwrap(), 1);
}

async fn a_read_on_a_connection_that_turns_out_to_be_broken_is_run_again_and_a_write_is_not() {
    let mock = Mock::start().await;
    // A part of both statements.
    mock.answer("COUNT_BIG(", number(3)).await;
    let proxy = Proxy::to(mock.address()).await;
    let store = MssqlStore::builder().url(proxy.url()).pool_size(1).build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 3);
    proxy.cut_once();
    assert_eq!(count(&store).await.unwrap(), 3);
    assert_eq!(mock.connections().await, 2);
    proxy.cut_once();
    let error = store.clear().await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, true), "{error:?}");
    assert_eq!(store.clear().await.unwrap(), 3);
    assert_eq!(mock.connections().await, 3);
}

async fn an_applications_own_pool_is_used_with_its_limits_and_by_the_application_too() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(2)).await;
    let pool = pool(&mock);
    let options = MssqlStore::builder().pool(pool.clone()).time_limit(Duration::from_millis(200));
    let store = options.build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 2);
    let held = pool.get().await.unwrap();
    assert_eq!(count(&store).await.unwrap_err().kind(), ErrorKind::Unavailable);
    drop(held);
    assert_eq!(count(&store).await.unwrap(), 2);
    assert_eq!((mock.connections().await, pool.status().size), (1, 1));
}

async fn a_login_that_takes_longer_than_its_callers_wait_is_gone_on_with() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(6)).await;
    let slow = QueryResponse::new(Vec::new(), Vec::new()).with_delay(Duration::from_millis(500));
    mock.answer(mssql_mock_tds::LOGIN_DELAY_KEY, slow).await;
    let store = builder(&mock).build().unwrap();
    for _ in 0..2 {
        let impatient = tokio::time::timeout(Duration::from_millis(100), count(&store)).await;
        assert!(impatient.is_err(), "the login was not slow");
    }
    count(&store).await.unwrap();
    assert_eq!(mock.connections().await, 1);
}

async fn logins_that_hang_take_no_more_than_the_pool_has() {
    let stranger = Stranger::start(Says::Nothing).await;
    let store = MssqlStore::builder().url(stranger.url()).pool_size(2).build().unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(9) {
        let calls = (0..6).map(|_| tokio::time::timeout(Duration::from_secs(2), count(&store)));
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_err));
    }
    assert_eq!(stranger.most(), 2);
}

async fn connecting_is_tried_exactly_as_often_as_asked() {
    let refusing = Refusing::start().await;
    let url = format!("Server=tcp:127.0.0.1,{};User=u;Password=p;Encrypt=DANGER_PLAINTEXT", refusing.port());
    for retries in [0, 1, 3] {
        let options = MssqlStore::builder().url(&url).connect_retries(retries, Duration::from_millis(1));
        let error = options.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(refusing.take_attempts(), retries + 1);
    }
}

async fn no_password_is_ever_printed() {
    let url = "Server=tcp:127.0.0.1,1;User=u;Password=hunter2;Encrypt=DANGER_PLAINTEXT";
    let options = MssqlStore::builder().url(url);
    let store = options.clone().build().unwrap();
    let error = count(&store).await.unwrap_err();
    assert!(error.is_unreachable());
    let broken = MssqlStore::builder().url("Server=x;Password='hunter2").build().unwrap_err();
    let printed = format!("{options:?} {store:?} {error:?} {broken:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

async fn credentials_may_stand_apart_from_the_url() {
    let mock = Mock::start().await;
    let (user, password) = ("åpp".to_owned(), "pässwörd; with = signs".to_owned());
    let url =
        format!("Server=tcp:{},{};Encrypt=DANGER_PLAINTEXT", mock.address().ip(), mock.address().port());
    mock.answer("COUNT_BIG(", number(4)).await;
    let options = MssqlStore::builder().url(url).credentials(user, &password);
    assert_eq!(count(&options.clone().build().unwrap()).await.unwrap(), 4);
    assert!(!format!("{options:?}").contains(&password));
}

async fn a_store_that_is_built_connects_to_nothing() {
    let refusing = Refusing::start().await;
    let url = format!("Server=tcp:127.0.0.1,{};User=u;Password=p;Encrypt=DANGER_PLAINTEXT", refusing.port());
    let options = MssqlStore::builder().url(&url);
    options.clone().build().unwrap();
    options.clone().connect_typeorm(ConnectTypeorm::new()).build().unwrap();
    options.connect_mssql_v2(ConnectMssqlV2::new()).build().unwrap();
    assert_eq!(refusing.take_attempts(), 0);
}

async fn options_that_contradict_one_another_are_refused() {
    let url = |more: &str| MssqlStore::builder().url(format!("Server=x;{more}"));
    let mock = Mock::start().await;
    let own = || MssqlStore::builder().pool(pool(&mock));
    let contradictions = [
        MssqlStore::builder(),
        url("TrustServerCertificate=true").root_certificates("-----BEGIN CERTIFICATE-----"),
        url("").tls(Tls::Unverified).root_certificates("-----BEGIN CERTIFICATE-----"),
        url("TrustServerCertificateCA=ca.pem").tls(Tls::Unverified),
        url("").config(Config::new()),
        url("").pool(pool(&mock)),
        url("").pool_size(0),
        MssqlStore::builder().config(Config::new()).tls(Tls::Verified),
        own().credentials("u", "p"),
        own().pool_size(3),
        own().key_format(KeyFormat::Hashed).connect_typeorm(ConnectTypeorm::new()),
        own().connect_mssql_v2(ConnectMssqlV2::new()).connect_typeorm(ConnectTypeorm::new()),
    ];
    for options in contradictions {
        let error = options.build().unwrap_err();
        assert_eq!((error.kind(), error.backend()), (ErrorKind::InvalidInput, Some("mssql")), "{error}");
    }
}
