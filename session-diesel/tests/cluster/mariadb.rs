//! Nodes of a Galera cluster from MariaDB's programs, and HAProxy before them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use session_core::contract::Store;
use session_diesel::MysqlStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::machine::{Folder, Process, free_port};
use crate::scratch::{command_as, find, is_root, run};

const PROVIDERS: [&str; 2] = ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"];

const SBIN: &[&str] = &["/usr/sbin"];

const USER: &str = "mysql";

const PASSWORD: &str = "Aa1-drill";

/// The fewest of which one may fail.
const NODES: usize = 3;

/// As docs/operations.md says.
const QUICK: &str = "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT6S";

/// Why a drill cannot have a cluster, if it cannot.
pub(crate) fn missing() -> Option<String> {
    if provider().is_none() {
        return Some("libgalera_smm.so is not installed".to_owned());
    }
    ["mariadbd", "mariadb-install-db", "haproxy", "rsync"].iter().find_map(|name| find(name, SBIN).err())
}

fn provider() -> Option<&'static str> {
    PROVIDERS.into_iter().find(|provider| Path::new(provider).exists())
}

fn server() -> Command {
    let mut command = command_as(USER, &find("mariadbd", SBIN).expect("MariaDB's programs"));
    command.arg("--no-defaults");
    command
}

pub(crate) struct Node {
    folder: Folder,
    pub(crate) port: u16,
    /// Of the cluster, of what it missed, of a copy of another's data.
    ports: [u16; 3],
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Node {
    fn new(number: usize) -> Node {
        let folder = Folder::new(&format!("galera{number}"), USER);
        let data = format!("--datadir={}", folder.path("data").display());
        let mut install = command_as(USER, &find("mariadb-install-db", SBIN).expect("MariaDB's programs"));
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=socket"]);
        run(install.arg(&data).current_dir(folder.path("")));
        let init = folder.path("init.sql");
        let statements = format!(
            "CREATE DATABASE IF NOT EXISTS sessions;\n\
             CREATE USER IF NOT EXISTS 'session'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL PRIVILEGES ON *.* TO 'session'@'127.0.0.1';\n"
        );
        std::fs::write(&init, statements).expect("a file");
        folder.give_to(USER);
        let (port, ports) = (free_port(), [(); 3].map(|()| free_port()));
        let home = folder.show();
        let arguments = vec![
            data,
            format!("--tmpdir={home}"),
            format!("--socket={home}/socket"),
            format!("--pid-file={home}/pid"),
            format!("--init-file={home}/init.sql"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--port={port}"),
            "--skip-name-resolve".to_owned(),
            "--max-connections=300".to_owned(),
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={}", provider().expect("Galera")),
            "--wsrep-cluster-name=drill".to_owned(),
            format!("--wsrep-node-name=node{number}"),
            "--wsrep-node-address=127.0.0.1".to_owned(),
            "--wsrep-sst-method=rsync".to_owned(),
            format!("--wsrep-sst-receive-address=127.0.0.1:{}", ports[2]),
            format!(
                "--wsrep-provider-options=base_port={0};gmcast.listen_addr=tcp://127.0.0.1:{0};\
                 ist.recv_addr=127.0.0.1:{1};{QUICK}",
                ports[0], ports[1]
            ),
        ];
        Node { folder, port, ports, arguments, process: None }
    }

    fn start(&mut self, more: &[String]) {
        let log = self.folder.path("log");
        self.process = Some(Process::start(server().args(&self.arguments).args(more), &log));
    }

    /// Starts it again after it was killed, from where it was, as its service does.
    pub(crate) fn start_again(&mut self) {
        let mut recover = server();
        let recovered =
            recover.args(&self.arguments).args(["--wsrep-recover", "--disable-log-error"]).output();
        let recovered = recovered.expect("MariaDB's programs").stderr;
        let said = String::from_utf8_lossy(&recovered);
        let position = said.rsplit_once("Recovered position: ").expect("a position").1;
        let position = position.split_whitespace().next().expect("a position");
        self.start(&[format!("--wsrep-start-position={position}")]);
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        store(self.port)
    }

    pub(crate) async fn sql(&self, statement: &str) {
        let mut connection = connection(self.port).await.expect("a connection");
        connection.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Cuts it off from the other nodes, or lets it back. Clients still reach it.
    pub(crate) async fn isolate(&self, isolated: bool) {
        self.sql(&format!("SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'", u8::from(isolated)))
            .await;
    }

    /// Waits until it is in step with its cluster.
    pub(crate) async fn is_synced(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !is_ready(self.port).await {
            assert!(
                Instant::now() < deadline,
                "node at {} is not in step: {}",
                self.port,
                std::fs::read_to_string(self.folder.path("log")).unwrap_or_default()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a write of a stranger's goes through. Returns when it did.
    pub(crate) async fn takes_writes(&self) -> Instant {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let write = async {
                let mut connection = connection(self.port).await?;
                connection.query_drop("INSERT INTO sessions.probe () VALUES ()").await
            };
            if let Ok(Ok(())) = timeout(Duration::from_secs(30), write).await {
                return Instant::now();
            }
            assert!(Instant::now() < deadline, "the cluster does not recover by itself");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn url(port: u16) -> String {
    format!("mysql://session:{PASSWORD}@127.0.0.1:{port}/sessions?prefer_socket=false")
}

pub(crate) fn store(port: u16) -> Arc<dyn Store> {
    Arc::new(MysqlStore::builder().url(url(port)).build().expect("a store"))
}

async fn connection(port: u16) -> mysql_async::Result<Conn> {
    Conn::new(Opts::from_url(&url(port)).expect("a URL")).await
}

/// Whether a node would be asked by a proxy that looks at it.
async fn is_ready(port: u16) -> bool {
    let ask = async {
        let mut connection = connection(port).await?;
        let status: Option<(String, String)> =
            connection.query_first("SHOW STATUS LIKE 'wsrep_local_state_comment'").await?;
        let ready: Option<(String, String)> =
            connection.query_first("SHOW STATUS LIKE 'wsrep_ready'").await?;
        let is = |told: Option<(String, String)>, word: &str| told.is_some_and(|(_, value)| value == word);
        Ok::<_, mysql_async::Error>(is(status, "Synced") && is(ready, "ON"))
    };
    matches!(timeout(Duration::from_millis(800), ask).await, Ok(Ok(true)))
}

/// The nodes and the proxy.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// Where the proxy spreads connections over the nodes that are ready.
    port: u16,
    /// The same, with a proxy that only asks whether a port is open.
    unchecked: u16,
    _proxy: Process,
    _folder: Folder,
}

impl Cluster {
    pub(crate) async fn start() -> Cluster {
        let mut nodes: Vec<Node> = (0..NODES).map(Node::new).collect();
        let members: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.ports[0])).collect();
        let cluster = format!("--wsrep-cluster-address=gcomm://{}", members.join(","));
        for (number, node) in nodes.iter_mut().enumerate() {
            node.arguments.push(cluster.clone());
            let first = (number == 0).then(|| "--wsrep-new-cluster".to_owned());
            node.start(first.as_slice());
            node.is_synced().await;
        }
        nodes[0]
            .sql("CREATE TABLE sessions.probe (id bigint PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB")
            .await;
        let table = MysqlStore::builder().url(nodes[0].url()).build().expect("a store");
        table.create_table().await.expect("a table");

        let folder = Folder::new("haproxy", if is_root() { "haproxy" } else { "" });
        let (port, unchecked) = (free_port(), free_port());
        let (mut servers, mut ports) = (String::new(), String::new());
        for node in &nodes {
            let check = checks(node.port).await;
            let own = node.port;
            servers.push_str(&format!("    server node{own} 127.0.0.1:{own} check port {check}\n"));
            ports.push_str(&format!("    server node{own} 127.0.0.1:{own} check\n"));
        }
        let settings = format!(
            "global\n    maxconn 1000\n\
             defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 10m\n    timeout server 10m\n\
             listen galera\n    bind 127.0.0.1:{port}\n    balance roundrobin\n    option httpchk GET /\n    \
             default-server inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions\n{servers}\
             listen ports\n    bind 127.0.0.1:{unchecked}\n    balance roundrobin\n{ports}"
        );
        std::fs::write(folder.path("haproxy.cfg"), settings).expect("a file");
        let mut proxy = Command::new(find("haproxy", SBIN).expect("HAProxy"));
        let proxy = proxy.args(["-db", "-f"]).arg(folder.path("haproxy.cfg"));
        let proxy = Process::start(proxy, &folder.path("log"));
        let cluster = Cluster { nodes, port, unchecked, _proxy: proxy, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_ready(port).await {
            assert!(Instant::now() < deadline, "HAProxy lets nobody through");
            sleep(Duration::from_millis(100)).await;
        }
        cluster
    }

    /// Two hosts of an application, through a proxy that asks whether a node is ready, or only whether its port is open.
    pub(crate) fn hosts(&self, checked: bool) -> [Arc<dyn Store>; 2] {
        let port = if checked { self.port } else { self.unchecked };
        [store(port), store(port)]
    }
}

/// Answers a proxy's question over HTTP whether a node is ready, as the script `clustercheck` does. Returns the port.
async fn checks(node: u16) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client, node));
        }
    });
    port
}

async fn answer(mut client: TcpStream, node: u16) {
    let mut question = [0; 1024];
    let _ = client.read(&mut question).await;
    let status = if is_ready(node).await { "200 OK" } else { "503 Service Unavailable" };
    let _ = client.write_all(format!("HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
}
