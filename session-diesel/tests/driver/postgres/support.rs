//! What the tests on Postgres share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use session_core::contract::Store;
use session_diesel::{PostgresBuilder, PostgresStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::NoTls;

use crate::support::fresh_table;
use crate::support::scratch::{Scratch, command_as, find, run};

const BINARIES: [&str; 4] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
];

/// Why a test cannot have a server of its own, if it cannot.
pub(super) fn no_server_of_its_own() -> Option<String> {
    find("postgres", &BINARIES).and_then(|_| find("openssl", &[])).err()
}

pub(super) async fn store(url: &str, name: &str) -> PostgresStore {
    let store = PostgresStore::builder().url(url).table(fresh_table(name)).build().unwrap();
    store.create_table().await.unwrap();
    store
}

pub(super) async fn raw(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(super) async fn sql(url: &str, statements: &str) {
    raw(url).await.batch_execute(statements).await.unwrap();
}

pub(super) async fn drop_table(url: &str, name: &str) {
    sql(url, &format!("DROP TABLE IF EXISTS \"{}\"", fresh_table(name))).await;
}

/// A pool of connections as an application would have it, each in a state of its own.
pub(super) fn connection_pool(url: String, size: usize, set_up: String) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url| {
        let (url, set_up) = (url.to_owned(), set_up.clone());
        Box::pin(async move {
            let mut connection = AsyncPgConnection::establish(&url).await?;
            connection
                .batch_execute(&set_up)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(connection)
        })
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Pool::builder(manager).max_size(size).build().unwrap()
}

/// A server of a test's own, with encryption.
pub(super) fn server(name: &str, options: &[&str]) -> Scratch {
    started(name, options, |_| {})
}

/// A server that was a standby, and is the primary of a new timeline.
pub(super) fn promoted(name: &str) -> Scratch {
    let server = started(name, &[], |data| {
        run(command_as("postgres", Path::new("/bin/touch")).arg(data.join("standby.signal")))
    });
    let mut promote = command_as("postgres", &binaries().join("pg_ctl"));
    // It starts first.
    for _ in 0..100 {
        if promote
            .args(["promote", "-w", "-D"])
            .arg(server.path("data"))
            .current_dir("/")
            .status()
            .unwrap()
            .success()
        {
            return server;
        }
        promote = command_as("postgres", &binaries().join("pg_ctl"));
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the standby is not promoted; see {}", server.path("log").display());
}

fn started(name: &str, options: &[&str], prepare: impl FnOnce(&Path)) -> Scratch {
    let mut scratch = Scratch::new(name);
    scratch.certificates();
    scratch.give_to("postgres");
    let binaries = binaries();
    let data = scratch.path("data");
    run(command_as("postgres", &binaries.join("initdb"))
        .args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"])
        .arg(&data)
        .current_dir("/"));
    prepare(&data);
    let port = scratch.port.to_string();
    let dir = scratch.dir.display().to_string();
    let mut command = command_as("postgres", &binaries.join("postgres"));
    command.arg("-D").arg(&data).args(["-p", &port, "-k", &dir, "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "fsync=off", "-c", "timezone=Pacific/Kiritimati", "-c", "ssl=on"]);
    command.args([
        "-c",
        &format!("ssl_cert_file={dir}/server.pem"),
        "-c",
        &format!("ssl_key_file={dir}/server.key"),
    ]);
    for option in options {
        command.args(["-c", option]);
    }
    scratch.start(command.current_dir("/"));
    scratch
}

fn binaries() -> PathBuf {
    let postgres = find("postgres", &BINARIES).unwrap();
    postgres.parent().unwrap().to_owned()
}

/// Waits until the server takes connections; while it starts it refuses them.
pub(super) async fn ready(builder: impl Fn() -> PostgresBuilder) -> PostgresStore {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let store = builder().build().unwrap();
        match store.server_time().await {
            Ok(_) => return store,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error} {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What went through a relay.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// How often a client spoke after it had heard from the server.
    pub(super) trips: AtomicI64,
    /// How many bytes the server sent.
    pub(super) answered: AtomicI64,
}

/// The port of a relay to a server, and what goes through it.
pub(super) async fn counting(server: String) -> (u16, Arc<Traffic>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let traffic = Arc::new(Traffic::default());
    let counted = Arc::clone(&traffic);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let heard = Arc::new(AtomicBool::new(true));
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let (hears, asked, answered) = (Arc::clone(&heard), Arc::clone(&counted), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                    if heard.swap(false, Ordering::SeqCst) {
                        asked.trips.fetch_add(1, Ordering::SeqCst);
                    }
                    if to_server.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    hears.store(true, Ordering::SeqCst);
                    answered.answered.fetch_add(i64::try_from(read).unwrap(), Ordering::SeqCst);
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, traffic)
}
