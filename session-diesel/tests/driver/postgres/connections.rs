//! Connections: pools, logins, encryption, hosts.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use libtest_mimic::Trial;
use session_core::contract::Store;
use session_core::{Error, ErrorKind};
use session_diesel::{Credentials, PostgresBuilder, PostgresStore, Tls};

use super::errors::assert_error;
use super::support::{drop_table, no_server_of_its_own, raw, ready, server, store};
use crate::support::{NOW, create, fresh_table, load, trial};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("postgres::connections::a_socket_is_found", no_server_of_its_own(), a_socket_is_found),
        trial("postgres::connections::tls_is_verified", no_server_of_its_own(), tls_is_verified),
    ]
}

pub(super) async fn a_closed_connection_is_replaced(url: String) {
    let store = store(&url, "closed").await;
    store.create(&create("a"), NOW).await.unwrap();
    let application = format!("closed_{}", std::process::id());
    let separator = if url.contains('?') { '&' } else { '?' };
    let named = PostgresStore::builder()
        .url(format!("{url}{separator}application_name={application}"))
        .table(fresh_table("closed"))
        .build()
        .unwrap();
    for round in 0..5 {
        let loads = (0..4).map(|_| load(&named, "a"));
        assert!(futures_util::future::join_all(loads).await.into_iter().all(|found| found.is_some()));
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        assert!(!raw(&url).await.query(kill, &[&application]).await.unwrap().is_empty(), "round {round}");
        // A read is repeated over a new connection, unseen.
        assert!(load(&named, "a").await.is_some(), "round {round}");
    }
    drop_table(&url, "closed").await;
}

pub(super) async fn a_refused_connection_says_why(url: String) {
    let nowhere = PostgresStore::connect("postgres://u:hunter2@127.0.0.1:1/d").await.unwrap_err();
    assert!(nowhere.is_unreachable() && !nowhere.is_in_doubt(), "{nowhere}");
    assert!(!format!("{nowhere} {nowhere:?}").contains("hunter2"));
    let (base, _) = url.rsplit_once('/').unwrap();
    let missing = PostgresStore::connect(format!("{base}/no_such_database")).await.unwrap_err();
    assert_error(&missing, ErrorKind::Backend, "3D000", false);
    assert_eq!(missing.backend(), Some("postgres"), "{missing}");
}

pub(super) async fn credentials_may_stand_apart_from_the_url(url: String) {
    let role = fresh_table("role").to_string();
    let owner = raw(&url).await;
    owner.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'a/b:c@d'")).await.unwrap();
    let with = |password: &str| PostgresStore::builder().url(&url).credentials(&role, password);
    with("a/b:c@d").connect().await.unwrap();
    let wrong = with("hunter2").connect().await.unwrap_err();
    assert_error(&wrong, ErrorKind::Backend, "28P01", false);
    assert!(!format!("{wrong} {wrong:?} {:?}", with("hunter2")).contains("hunter2"), "{wrong:?}");
    owner.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

pub(super) async fn credentials_of_a_callback_are_asked_for_each_connection(url: String) {
    let role = fresh_table("asked").to_string();
    let owner = raw(&url).await;
    owner.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'first'")).await.unwrap();
    let password = Arc::new(Mutex::new(Ok("first")));
    let asked = Arc::new(AtomicU32::new(0));
    let (now, count, user) = (Arc::clone(&password), Arc::clone(&asked), role.clone());
    let ask = move || {
        count.fetch_add(1, Ordering::SeqCst);
        let (user, password) = (user.clone(), *now.lock().unwrap());
        async move {
            password
                .map(|password| Credentials::new(user, password))
                .map_err(|()| Error::unavailable("the vault is closed"))
        }
    };
    let store = PostgresStore::builder().url(&url).credentials_from(ask).pool_size(1).build().unwrap();
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    store.server_time().await.unwrap();
    store.server_time().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // The password changes, and the next connection has the new one.
    owner.batch_execute(&format!("ALTER ROLE {role} PASSWORD 'second'")).await.unwrap();
    *password.lock().unwrap() = Ok("second");
    owner.batch_execute(&cut).await.unwrap();
    store.server_time().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // An error of the callback is the caller's, with its kind.
    *password.lock().unwrap() = Err(());
    owner.batch_execute(&cut).await.unwrap();
    let error = store.server_time().await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Unavailable, false), "{error}");
    assert!(error.to_string().contains("the vault is closed"), "{error}");
    *password.lock().unwrap() = Ok("hunter2");
    let error = store.server_time().await.unwrap_err();
    assert_error(&error, ErrorKind::Backend, "28P01", false);
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"));
    drop(store);
    owner.batch_execute(&format!("{cut}; DROP ROLE {role}")).await.unwrap();
}

/// In each form that libpq's users write.
async fn a_socket_is_found() {
    let server = server("pg-socket", &["unix_socket_directories=/tmp"]);
    let port = server.port;
    ready(|| {
        PostgresStore::builder().url(format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable"))
    })
    .await;
    for url in [
        format!("postgres://postgres@:{port}/postgres"),
        format!("postgres:///postgres?user=postgres&port={port}"),
        format!("postgresql://postgres@%2Ftmp:{port}/postgres"),
        format!("postgres:///postgres?host=/tmp&port={port}&user=postgres&sslmode=require"),
        format!("host=/tmp port={port} user=postgres dbname=postgres"),
        format!("port={port} user=postgres dbname=postgres"),
        // The first one is nobody's.
        format!("postgres://postgres@127.0.0.1:1,%2Ftmp:{port}/postgres?sslmode=disable"),
    ] {
        let store = PostgresStore::connect(&url).await;
        store.unwrap_or_else(|error| panic!("{url}: {error:?}"));
    }
}

async fn tls_is_verified() {
    let server = server("pg-tls", &[]);
    let url = |host: &str, query: &str| format!("postgres://postgres@{host}:{}/postgres{query}", server.port);
    let encrypted = "SELECT ssl::int::bigint FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    ready(|| PostgresStore::builder().url(url("localhost", "?sslmode=disable"))).await;

    // By the URL alone, as libpq's users write it.
    let ca = server.path("ca.pem");
    let query = format!("?sslmode=verify-full&sslrootcert={}", ca.display());
    let store = PostgresStore::connect(url("localhost", &query)).await.unwrap();
    store.create_table().await.unwrap();
    store.create(&create("a"), NOW).await.unwrap();
    // What the server says of its connections, and not what the client believes.
    let observer = raw(&url("localhost", "?sslmode=disable")).await;
    let rows =
        observer.query("SELECT 1 FROM pg_stat_ssl WHERE ssl AND pid <> pg_backend_pid()", &[]).await.unwrap();
    assert!(!rows.is_empty(), "the store's connection is encrypted");
    assert_eq!(observer.query_one(encrypted, &[]).await.unwrap().get::<_, i64>(0), 0);

    let pem = |name: &str| std::fs::read(server.path(name)).unwrap();
    let refused = |builder: PostgresBuilder| async move {
        let error = builder.build().unwrap().server_time().await.unwrap_err();
        // Nothing that is to be tried again: somebody has to change something, and is told what.
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Backend, false), "{error}");
        assert!(error.to_string().contains("sslrootcert"), "{error}");
    };
    // Another CA; the right CA and the wrong name; the system's CAs.
    let verified = || PostgresStore::builder().tls(Tls::Verified);
    refused(verified().url(url("localhost", "")).root_certificates(pem("other.pem"))).await;
    refused(verified().url(url("127.0.0.1", "")).root_certificates(pem("ca.pem"))).await;
    refused(verified().url(url("localhost", ""))).await;
    // Without verification the name does not matter.
    let blind = PostgresStore::builder().url(url("127.0.0.1", "")).tls(Tls::Unverified).build().unwrap();
    assert!(load(&blind, "a").await.is_some());
    // A server without encryption.
    let plain = super::support::server("pg-plain", &["ssl=off"]);
    let url_of_plain = format!("postgres://postgres@127.0.0.1:{}/postgres", plain.port);
    ready(|| PostgresStore::builder().url(&url_of_plain)).await;
    let without = PostgresStore::builder().url(format!("{url_of_plain}?sslmode=require")).build().unwrap();
    let error = without.server_time().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
    assert!(error.to_string().contains("sslmode=disable"), "{error}");
    // The certificate in the code, in place of the URL's file.
    let store = verified().url(url("localhost", "")).root_certificates(pem("ca.pem")).build().unwrap();
    assert!(load(&store, "a").await.is_some());
}
