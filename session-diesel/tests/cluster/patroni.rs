//! Two servers under Patroni, which keeps what it knows in etcd, and has the standby confirm each commit.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use conformance::ledger::under_load;
use conformance::{Drill, Finding, Options, block_on};
use session_core::contract::Store;
use session_diesel::PostgresStore;
use tokio::time::{Instant, sleep};

use crate::machine::{Folder, Process, free_port, signal_tree};
use crate::postgres::{self, BINARIES, USER, store, until};
use crate::scratch::{command_as, find};
use crate::{WRITERS, judge};

/// How long Patroni takes for anything: a failover waits until the leader's lock is 20 seconds old.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn drills() -> Vec<Drill> {
    let missing =
        || postgres::missing().or_else(|| ["patroni", "etcd"].iter().find_map(|name| find(name, &[]).err()));
    let drill = |name, run| Drill { name, missing: missing(), run };
    vec![
        drill("a_switchover_costs_no_session", a_switchover_costs_no_session),
        drill("a_killed_leader_costs_no_session", a_killed_leader_costs_no_session),
    ]
}

struct Member {
    folder: Folder,
    name: String,
    sql: u16,
    rest: u16,
    agent: Option<Process>,
}

impl Member {
    fn start(number: usize, etcd: u16) -> Member {
        let name = format!("member{number}");
        let (folder, sql, rest) = (Folder::new(&name, USER), free_port(), free_port());
        let home = folder.show();
        // Not beside a link on PATH, but beside the program that it leads to.
        let bin =
            find("pg_ctl", &BINARIES).expect("PostgreSQL's programs").canonicalize().expect("a program");
        let bin = bin.parent().expect("a folder").display();
        let settings = format!(
            "scope: drill\nname: {name}\nrestapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}\n\
             etcd3: {{host: '127.0.0.1:{etcd}'}}\n\
             bootstrap:\n  \
               dcs: {{ttl: 20, loop_wait: 3, retry_timeout: 5, synchronous_mode: true, maximum_lag_on_failover: \
             104857600, postgresql: {{use_pg_rewind: false}}}}\n  \
               initdb: [encoding: UTF8, {{auth: trust}}, no-sync]\n  \
               pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust', \
             'local all all trust']\n\
             postgresql:\n  listen: '127.0.0.1:{sql}'\n  connect_address: '127.0.0.1:{sql}'\n  data_dir: '{home}/data'\n  \
               bin_dir: '{bin}'\n  pgpass: '{home}/pgpass'\n  \
               authentication: {{superuser: {{username: {USER}}}, replication: {{username: {USER}}}}}\n  \
               parameters: {{unix_socket_directories: '{home}', fsync: 'off', max_connections: 200}}\n"
        );
        std::fs::write(folder.path("patroni.yml"), settings).expect("a file");
        folder.give_to(USER);
        let mut member = Member { folder, name, sql, rest, agent: None };
        let mut command = command_as(USER, &find("patroni", &[]).expect("Patroni"));
        command.arg(member.folder.path("patroni.yml")).current_dir(member.folder.path("")).env("LC_ALL", "C");
        member.agent = Some(Process::start(&mut command, &member.folder.path("log")));
        member
    }

    /// The server is no child of its agent's.
    fn postmaster(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.folder.path("data/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// The agent and its server at once: a machine that is gone.
    fn kill(&mut self) {
        let postmaster = self.postmaster();
        if let Some(agent) = self.agent.take() {
            agent.kill();
        }
        if let Some(postmaster) = postmaster {
            signal_tree(postmaster, "KILL");
        }
    }

    /// What its agent answers, as a status and a text.
    fn ask(&self, question: &str) -> Option<(u16, String)> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.rest)).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        connection.write_all(question.as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        let status = answer.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, answer))
    }

    fn is(&self, role: &str) -> bool {
        let asked = self.ask(&format!("GET /{role} HTTP/1.0\r\n\r\n"));
        asked.is_some_and(|(status, _)| status == 200)
    }

    fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.sql)
    }

    fn waits_for(&self, role: &str) {
        until(
            &format!("{} is the {role}: {}", self.name, self.folder.path("log").display()),
            PATIENCE,
            || self.is(role),
        );
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Pair {
    members: [Member; 2],
    _etcd: Process,
    _folder: Folder,
}

impl Pair {
    async fn start() -> Pair {
        let (folder, clients, peers) = (Folder::new("etcd", USER), free_port(), free_port());
        let (clients_url, peers_url) =
            (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
        let mut etcd = command_as(USER, &find("etcd", &[]).expect("etcd"));
        etcd.arg("--data-dir").arg(folder.path("data"));
        etcd.args(["--listen-client-urls", &clients_url, "--advertise-client-urls", &clients_url]);
        etcd.args(["--listen-peer-urls", &peers_url, "--initial-advertise-peer-urls", &peers_url]);
        etcd.args(["--initial-cluster", &format!("default={peers_url}")]);
        let etcd = Process::start(&mut etcd, &folder.path("log"));
        until("etcd answers", PATIENCE, || TcpStream::connect(("127.0.0.1", clients)).is_ok());
        let first = Member::start(0, clients);
        first.waits_for("primary");
        let second = Member::start(1, clients);
        second.waits_for("synchronous");
        let table = PostgresStore::builder().url(first.url()).build().expect("a store");
        table.create_table().await.expect("a table");
        Pair { members: [first, second], _etcd: etcd, _folder: folder }
    }

    fn hosts(&self) -> [Arc<dyn Store>; 2] {
        let [first, second] = &self.members;
        let url = format!("postgres://{USER}@127.0.0.1:{},127.0.0.1:{}/postgres", first.sql, second.sql);
        [store(&url), store(&url)]
    }
}

fn a_switchover_costs_no_session(_: &Options) -> Finding {
    block_on(async {
        let pair = Pair::start().await;
        let hosts = pair.hosts();
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            let [old, new] = &pair.members;
            let body = format!("{{\"leader\": \"{}\", \"candidate\": \"{}\"}}", old.name, new.name);
            let hurt = Instant::now();
            let length = body.len();
            let asked = tokio::task::block_in_place(|| {
                let asked =
                    old.ask(&format!("POST /switchover HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"));
                new.waits_for("primary");
                asked
            });
            let recovered = Instant::now();
            sleep(Duration::from_secs(8)).await;
            (hurt, recovered, asked)
        };
        let load = under_load(&hosts, WRITERS, faults).await;
        let (ledger, (hurt, recovered, asked)) = load.map_err(|error| error.to_string())?;
        if asked.as_ref().is_none_or(|(status, _)| *status != 200) {
            return Err(format!("Patroni refuses to switch over: {asked:?}"));
        }
        judge(ledger, hurt, recovered, &[("the new primary", store(&pair.members[1].url()))]).await
    })
}

/// The leader's machine is gone.
fn a_killed_leader_costs_no_session(_: &Options) -> Finding {
    block_on(async {
        let mut pair = Pair::start().await;
        let hosts = pair.hosts();
        let faults = async {
            sleep(Duration::from_secs(2)).await;
            pair.members[0].kill();
            let hurt = Instant::now();
            tokio::task::block_in_place(|| pair.members[1].waits_for("primary"));
            let recovered = Instant::now();
            sleep(Duration::from_secs(8)).await;
            (hurt, recovered)
        };
        let load = under_load(&hosts, WRITERS, faults).await;
        let (ledger, (hurt, recovered)) = load.map_err(|error| error.to_string())?;
        judge(ledger, hurt, recovered, &[("the new primary", store(&pair.members[1].url()))]).await
    })
}
