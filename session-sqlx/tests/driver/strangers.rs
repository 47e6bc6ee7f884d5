//! What answers in a server's place, and a server that is not the one that a URL asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;
use session_core::ErrorKind;
use session_core::contract::Store as _;
use session_sqlx::sqlx::postgres::PgConnection;
use session_sqlx::sqlx::{AssertSqlSafe, Connection, Executor};
use session_sqlx::{Credentials, PostgresStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{address, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let url = address("SESSION_STORE_POSTGRES_URL");
    let (missing, url) = (url.clone().err(), url.unwrap_or_default());
    let again = url.clone();
    vec![
        trial("postgres::a_url_may_ask_for_a_server_that_writes".into(), missing.clone(), move || {
            a_url_may_ask_for_a_server_that_writes(url)
        }),
        trial("postgres::credentials_are_asked_for_each_connection".into(), missing, move || {
            credentials_are_asked_for_each_connection(again)
        }),
        trial(
            "postgres::an_encryption_that_fails_is_no_server_that_is_away".into(),
            None,
            an_encryption_that_fails_is_no_server_that_is_away,
        ),
        trial(
            "postgres::a_server_that_says_nothing_is_given_up_as_the_url_says".into(),
            None,
            a_server_that_says_nothing_is_given_up_as_the_url_says,
        ),
    ]
}

async fn a_url_may_ask_for_a_server_that_writes(url: String) {
    const ONLY_READS: &str = "options=-c%20default_transaction_read_only%3Don";
    let with = |words: &str| {
        let separator = if url.contains('?') { '&' } else { '?' };
        PostgresStore::connect(format!("{url}{separator}{words}"))
    };
    with("target_session_attrs=read-write").await.unwrap();
    with(ONLY_READS).await.unwrap();
    let error = with(&format!("{ONLY_READS}&target_session_attrs=primary")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some("25006")), "{error}");
    assert!(error.is_unreachable() && !error.is_in_doubt(), "{error}");
}

/// A password that changes while the store lives.
async fn credentials_are_asked_for_each_connection(url: String) {
    let role = format!("asked_over_sqlx_{}", std::process::id());
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let mut run = async |sql: String| owner.execute(AssertSqlSafe(sql)).await.map(drop).unwrap();
    run(format!("CREATE ROLE {role} LOGIN PASSWORD 'password 0'")).await;
    let asked = Arc::new(AtomicU32::new(0));
    let (count, user) = (Arc::clone(&asked), role.clone());
    let ask = move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let user = user.clone();
        async move { Ok(Credentials::new(user, format!("password {number}"))) }
    };
    let store = PostgresStore::builder().url(&url).credentials_from(ask).pool_size(1).build().unwrap();
    for connection in 1..=2 {
        for _ in 0..2 {
            store.server_time().await.unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), connection);
        run(format!("ALTER ROLE {role} PASSWORD 'password {connection}'")).await;
        run(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")).await;
    }
    drop(store);
    run(format!("DROP ROLE {role}")).await;
}

/// The same error as for a certificate that is not trusted: rustls' own, within one of input and output.
async fn an_encryption_that_fails_is_no_server_that_is_away() {
    // TLS' alert `handshake_failure`, and what is no TLS at all.
    for answer in [&[21, 3, 3, 0, 2, 2, 40][..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut asked = [0; 8];
            client.read_exact(&mut asked).await.unwrap();
            client.write_all(b"S").await.unwrap();
            let mut hello = [0; 1024];
            assert_ne!(client.read(&mut hello).await.unwrap(), 0);
            client.write_all(answer).await.unwrap();
            // Until the client has gone.
            while let Ok(1..) = client.read(&mut hello).await {}
        });
        let url = format!("postgres://u:hunter2@127.0.0.1:{port}/d?sslmode=require");
        let error = PostgresStore::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
        assert!(!error.is_transient() && !error.is_unreachable() && !error.is_in_doubt(), "{error}");
        assert!(error.to_string().contains("no encrypted connection"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        server.await.unwrap();
    }
}

async fn a_server_that_says_nothing_is_given_up_as_the_url_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@{}/d?connect_timeout=1", listener.local_addr().unwrap());
    // Without the URL's word it would be 30 seconds.
    let asked = tokio::time::timeout(Duration::from_secs(20), PostgresStore::connect(url));
    let error = asked.await.expect("it is given up").unwrap_err();
    assert!(error.is_unreachable() && !error.is_in_doubt(), "{error}");
}
