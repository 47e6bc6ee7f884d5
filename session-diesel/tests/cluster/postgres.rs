//! A PostgreSQL server that may be a primary or a standby.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::contract::Store;
use session_diesel::PostgresStore;
use tokio_postgres::NoTls;

use crate::machine::{Folder, Process, free_port};
use crate::scratch::{command_as, find, run};

pub(crate) const BINARIES: [&str; 4] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
];

pub(crate) const USER: &str = "postgres";

/// Why a drill cannot have servers, if it cannot.
pub(crate) fn missing() -> Option<String> {
    find("pg_basebackup", &BINARIES).and_then(|_| find("pg_ctl", &BINARIES)).err()
}

fn program(name: &str) -> Command {
    let mut command = command_as(USER, &find(name, &BINARIES).expect("PostgreSQL's programs"));
    command.current_dir("/");
    command
}

pub(crate) struct Node {
    folder: Folder,
    pub(crate) port: u16,
    process: Option<Process>,
}

impl Node {
    /// A primary of its own.
    pub(crate) fn primary(name: &str, settings: &[&str]) -> Node {
        let mut node = Node { folder: Folder::new(name, USER), port: free_port(), process: None };
        run(program("initdb").args(["-A", "trust", "-U", USER, "--no-sync", "-D"]).arg(node.data()));
        node.start(settings);
        node
    }

    /// One that follows another.
    pub(crate) fn standby_of(primary: &Node, name: &str) -> Node {
        let mut node = Node { folder: Folder::new(name, USER), port: free_port(), process: None };
        let port = primary.port.to_string();
        run(program("pg_basebackup")
            .args(["-R", "-c", "fast", "--no-sync", "-h", "127.0.0.1", "-U", USER, "-p", &port, "-D"])
            .arg(node.data()));
        node.start(&[]);
        node
    }

    fn data(&self) -> PathBuf {
        self.folder.path("data")
    }

    /// Starts it, again if it was killed, with the data that it has.
    pub(crate) fn start(&mut self, settings: &[&str]) {
        let mut command = program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.folder.show());
        let own = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200", sockets.as_str()];
        for setting in own.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        // It may have left one behind when it was killed.
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        let log = self.folder.path("log");
        let mut process = Process::start(&mut command, &log);
        until("PostgreSQL takes connections", Duration::from_secs(60), || {
            assert!(
                !process.has_ended(),
                "PostgreSQL ended: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            let port = self.port.to_string();
            let ready = program("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
            ready.is_ok_and(|ready| ready.success())
        });
        self.process = Some(process);
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Makes a standby the primary, and returns when it is.
    pub(crate) fn promote(&self) {
        run(program("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()));
    }

    pub(crate) fn url(&self) -> String {
        url(&[self])
    }

    /// A store that names this server alone.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        store(&self.url())
    }

    pub(crate) async fn sql(&self, statements: &str) {
        sql(&self.url(), statements).await;
    }

    /// Waits until the standbys of this primary follow it.
    pub(crate) async fn is_followed(&self) {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("a connection");
        tokio::spawn(connection);
        for _ in 0..1500 {
            let ask = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            if client.query_one(ask, &[]).await.expect("an answer").get::<_, i64>(0) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no standby follows");
    }
}

pub(crate) async fn sql(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// Has a standby follow nobody from now on: what the primary writes does not reach it.
pub(crate) async fn follows_nobody(url: &str) {
    sql(url, "ALTER SYSTEM SET primary_conninfo = ''").await;
    sql(url, "SELECT pg_reload_conf()").await;
}

/// A URL that names these servers, in this order.
pub(crate) fn url(nodes: &[&Node]) -> String {
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    format!("postgres://{USER}@{}/postgres", hosts.join(","))
}

pub(crate) fn store(url: &str) -> Arc<dyn Store> {
    Arc::new(PostgresStore::builder().url(url).build().expect("a store"))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
