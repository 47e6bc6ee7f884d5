//! Connections, on a test server that speaks the protocol: logins, redirections, TLS, time-outs, calls that are dropped,
//! and servers that go away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use mssql_mock_tds::{ColumnDefinition, ColumnValue, QueryResponse, SqlDataType};
use session_core::{ErrorKind, Filter, Store, TableName, Timestamp};
use session_mssql::tiberius::{AuthMethod, Config};
use session_mssql::{Manager, MssqlStore, MssqlStoreBuilder, Pool};
use support::{Mock, Proxy};

const NOW: Timestamp = Timestamp::from_millis(0);

/// A store whose count the server answers with `rows`. The server finds statements by a text in capitals.
async fn counted(mock: &Mock, rows: i64) -> MssqlStore {
    mock.answer("COUNT_BIG(", number(rows)).await;
    builder(mock).build().unwrap()
}

fn builder(mock: &Mock) -> MssqlStoreBuilder {
    MssqlStore::builder().ado_string(&mock.ado_string()).pool_size(1).table(TableName::default())
}

fn number(value: i64) -> QueryResponse {
    let row = mssql_mock_tds::Row::new(vec![ColumnValue::BigInt(value)]);
    QueryResponse::new(vec![ColumnDefinition::new("rows", SqlDataType::BigInt)], vec![row])
}

async fn count(store: &MssqlStore) -> session_core::Result<u64> {
    store.count(&Filter::default(), NOW).await
}

#[tokio::test]
async fn an_operation_is_one_call_on_a_kept_connection() {
    let mock = Mock::start().await;
    let store = counted(&mock, 7).await;
    for _ in 0..3 {
        assert_eq!(count(&store).await.unwrap(), 7);
    }
    assert_eq!(mock.connections().await, 1);
}

#[tokio::test]
async fn a_redirected_login_is_followed() {
    let target = Mock::start().await;
    let gateway = Mock::redirecting_to(target.address()).await;
    target.answer("COUNT_BIG(", number(3)).await;
    assert_eq!(count(&builder(&gateway).build().unwrap()).await.unwrap(), 3);
    assert_eq!(target.connections().await, 1);
}

#[tokio::test]
async fn endless_redirections_end_in_an_error() {
    let gateway = Mock::redirecting_to_itself().await;
    let error = count(&builder(&gateway).build().unwrap()).await.unwrap_err();
    assert!(!error.is_indeterminate(), "{error}");
    assert!(gateway.connections().await <= 4);
}

#[tokio::test]
async fn a_named_instance_is_asked_of_the_browser() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(5)).await;
    let browser = support::browser(mock.address().port()).await;
    let ado_string =
        format!("Server=tcp:127.0.0.1\\WEB,{browser};User=u;Password=p;Encrypt=DANGER_PLAINTEXT");
    let store = MssqlStore::builder().ado_string(&ado_string).build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 5);
}

#[tokio::test]
async fn an_access_token_logs_in() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1)).await;
    let mut config = Config::from_ado_string(&mock.ado_string()).unwrap();
    config.authentication(AuthMethod::aad_token("a token"));
    let store = MssqlStore::builder().config(config).build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 1);
    assert_eq!(mock.token().await.as_deref(), Some("a token"));
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted() {
    let (mock, certificate) = Mock::with_tls().await;
    mock.answer("COUNT_BIG(", number(2)).await;
    let url = format!("Server=tcp:localhost,{};User=u;Password=p;Encrypt=strict", mock.address().port());
    let options = MssqlStore::builder().ado_string(&url);

    let error = count(&options.clone().build().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false), "{error:?}");
    assert_eq!(count(&options.clone().trust_any_certificate().build().unwrap()).await.unwrap(), 2);
    assert_eq!(count(&options.trust_authority(certificate).build().unwrap()).await.unwrap(), 2);
}

#[tokio::test]
async fn encryption_that_the_server_does_not_offer_is_not_done_without() {
    let mock = Mock::start().await;
    let url = format!("Server=tcp:127.0.0.1,{};User=u;Password=p;Encrypt=true", mock.address().port());
    let error = MssqlStore::connect(&url).await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Backend, false), "{error:?}");
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_the_limit_and_its_connection_too() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1).with_delay(Duration::from_secs(60))).await;
    let store = builder(&mock).time_limit(Duration::from_millis(200)).build().unwrap();
    let error = count(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_indeterminate() && !error.is_unreachable(), "{error:?}");
    assert_eq!(store.pool().status().size, 0);

    mock.answer("COUNT_BIG(", number(4)).await;
    assert_eq!(count(&store).await.unwrap(), 4);
    assert_eq!(mock.connections().await, 2);
}

#[tokio::test]
async fn a_full_pool_ends_at_the_limit_and_nothing_was_done() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(1)).await;
    let store = builder(&mock).time_limit(Duration::from_millis(200)).build().unwrap();
    let held = store.pool().get().await.unwrap();
    let error = count(&store).await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Unavailable, false));
    drop(held);
    assert_eq!(count(&store).await.unwrap(), 1);
}

#[tokio::test]
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

#[tokio::test]
async fn an_error_of_the_server_has_its_number() {
    let mock = Mock::start().await;
    let refused = mssql_mock_tds::TerminalError::new(1205, 13, "chosen as the deadlock victim");
    mock.answer("COUNT_BIG(", QueryResponse::error_only(refused)).await;
    let error = count(&builder(&mock).build().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, Some("1205")));
    assert!(!error.is_indeterminate());
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error_and_no_panic() {
    let mock = Mock::start().await;
    let store = counted(&mock, -1).await;
    assert!(count(&store).await.is_err());
    mock.answer("COUNT_BIG(", QueryResponse::new(Vec::new(), Vec::new())).await;
    assert!(count(&store).await.is_err());
    let text = mssql_mock_tds::Row::new(vec![ColumnValue::NVarChar("secret".to_owned())]);
    let column = ColumnDefinition::new("rows", SqlDataType::NVarChar);
    mock.answer("COUNT_BIG(", QueryResponse::new(vec![column], vec![text])).await;
    let error = count(&store).await.unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_closes_in_the_middle_of_an_answer_leaves_the_outcome_open() {
    let mock = Mock::start().await;
    mock.answer("ROWCOUNT_BIG(", number(1)).await;
    // The first bytes of the answer to a statement arrive, and nothing more.
    let proxy = Proxy::to(mock.address()).await;
    let store = MssqlStore::builder().ado_string(&proxy.ado_string()).pool_size(1).build().unwrap();
    assert_eq!(store.clear().await.unwrap(), 1);
    for bytes in [0, 1, 8, 12] {
        proxy.cut_after(bytes);
        let error = store.clear().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "after {bytes} bytes: {error:?}");
        assert!(error.is_indeterminate() && error.is_unreachable(), "after {bytes} bytes: {error:?}");
        proxy.mend();
        assert_eq!(store.clear().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_replaced_before_anything_is_sent() {
    let mock = Mock::start().await;
    mock.answer("ROWCOUNT_BIG(", number(1)).await;
    let proxy = Proxy::to(mock.address()).await;
    let store = MssqlStore::builder().ado_string(&proxy.ado_string()).pool_size(1).build().unwrap();
    assert_eq!(store.clear().await.unwrap(), 1);
    proxy.close_all().await;
    // A write, which is never sent twice.
    assert_eq!(store.clear().await.unwrap(), 1);
}

#[tokio::test]
async fn a_read_on_a_connection_that_turns_out_to_be_broken_is_run_again_and_a_write_is_not() {
    let mock = Mock::start().await;
    // A part of both statements.
    mock.answer("COUNT_BIG(", number(3)).await;
    let proxy = Proxy::to(mock.address()).await;
    let store = MssqlStore::builder().ado_string(&proxy.ado_string()).pool_size(1).build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 3);
    proxy.cut_once();
    assert_eq!(count(&store).await.unwrap(), 3);
    assert_eq!(mock.connections().await, 2);
    proxy.cut_once();
    let error = store.clear().await.unwrap_err();
    assert_eq!((error.kind(), error.is_indeterminate()), (ErrorKind::Unavailable, true), "{error:?}");
    assert_eq!(store.clear().await.unwrap(), 3);
    assert_eq!(mock.connections().await, 3);
}

#[tokio::test]
async fn an_applications_own_pool_is_used_with_its_limits_and_by_the_application_too() {
    let mock = Mock::start().await;
    mock.answer("COUNT_BIG(", number(2)).await;
    let config = Config::from_ado_string(&mock.ado_string()).unwrap();
    let pool = Pool::builder(Manager::new(config)).max_size(1).build().unwrap();
    let options = MssqlStore::builder().pool(pool.clone()).time_limit(Duration::from_millis(200));
    let store = options.build().unwrap();
    assert_eq!(count(&store).await.unwrap(), 2);
    let held = pool.get().await.unwrap();
    assert_eq!(count(&store).await.unwrap_err().kind(), ErrorKind::Unavailable);
    drop(held);
    assert_eq!(count(&store).await.unwrap(), 2);
    assert_eq!((mock.connections().await, pool.status().size), (1, 1));
}

#[tokio::test]
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

#[tokio::test]
async fn connecting_is_tried_exactly_as_often_as_asked() {
    let refusing = support::Refusing::start().await;
    let url = format!("Server=tcp:127.0.0.1,{};User=u;Password=p;Encrypt=DANGER_PLAINTEXT", refusing.port());
    for retries in [0, 1, 3] {
        let options =
            MssqlStore::builder().ado_string(&url).connect_retries(retries, Duration::from_millis(1));
        let error = options.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(refusing.take_attempts(), retries + 1);
    }
}

#[tokio::test]
async fn no_password_is_ever_printed() {
    let url = "Server=tcp:127.0.0.1,1;User=u;Password=hunter2;Encrypt=DANGER_PLAINTEXT";
    let options = MssqlStore::builder().ado_string(url);
    let store = options.clone().build().unwrap();
    let error = count(&store).await.unwrap_err();
    assert!(error.is_unreachable());
    let broken = MssqlStore::builder().ado_string("Server=x;Password='hunter2").build().unwrap_err();
    let printed = format!("{options:?} {store:?} {:?} {error:?} {broken:?}", store.pool());
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn options_that_contradict_one_another_are_refused() {
    let trusting = MssqlStore::builder().ado_string("Server=x;TrustServerCertificate=true");
    let both = [
        trusting.trust_authority("-----BEGIN CERTIFICATE-----"),
        MssqlStore::builder().ado_string("Server=x;TrustServerCertificateCA=ca.pem").trust_any_certificate(),
        MssqlStore::builder().config(Config::new()).trust_any_certificate(),
        MssqlStore::builder().ado_string("Server=x").pool_size(0),
        MssqlStore::builder(),
    ];
    for options in both {
        assert_eq!(options.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
