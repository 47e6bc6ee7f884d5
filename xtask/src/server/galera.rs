//! A Galera cluster of three nodes from MariaDB's programs, behind HAProxy, which spreads connections over the nodes.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::local::{Home, Local, Recipe};
use super::mysql::{self, Programs};
use super::ready::Probe;
use super::{Server, free_ports, password, unprivileged};
use crate::process::{self, Missing};

const PROVIDERS: [&str; 2] = ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"];

/// How many nodes: the fewest of which one may fail.
const NODES: usize = 3;

/// The ports of a node: for clients, for the cluster, for what it missed, and for a copy of the data.
type Ports = [u16; 4];

pub(super) fn open() -> Result<Server> {
    let programs = Programs::of_mariadb()?;
    let Some(provider) = PROVIDERS.iter().map(Path::new).find(|provider| provider.exists()) else {
        bail!(Missing("libgalera_smm.so is not there".to_owned()));
    };
    // With it a node copies another's data.
    process::need("rsync", &[])?;
    let haproxy = process::need("haproxy", &["/usr/sbin".into()])?;
    let password = password()?;
    let [port, free @ ..]: [u16; 1 + 4 * NODES] = free_ports()?;
    let ports: &[Ports] = free.as_chunks().0;
    let cluster = ports.iter().map(|[_, port, ..]| format!("127.0.0.1:{port}")).collect::<Vec<_>>();
    let mut processes = Vec::new();
    for (place, &[sql, cluster_port, missed, copy]) in ports.iter().enumerate() {
        let (home, mut arguments) = mysql::prepared(&programs, "galera", &password, sql)?;
        let options = [
            format!("base_port={cluster_port}"),
            format!("gmcast.listen_addr=tcp://127.0.0.1:{cluster_port}"),
            format!("ist.recv_addr=127.0.0.1:{missed}"),
        ];
        arguments.extend([
            "--binlog-format=ROW".to_owned(),
            "--innodb-autoinc-lock-mode=2".to_owned(),
            "--wsrep-on=ON".to_owned(),
            format!("--wsrep-provider={}", provider.display()),
            "--wsrep-cluster-name=sessions".to_owned(),
            format!("--wsrep-cluster-address=gcomm://{}", cluster.join(",")),
            format!("--wsrep-node-name=node{place}"),
            "--wsrep-node-address=127.0.0.1".to_owned(),
            "--wsrep-sst-method=rsync".to_owned(),
            format!("--wsrep-sst-receive-address=127.0.0.1:{copy}"),
            format!("--wsrep-provider-options={}", options.join(";")),
        ]);
        arguments.extend((place == 0).then(|| "--wsrep-new-cluster".to_owned()));
        let mut recipe = Recipe::new(home, programs.server.clone(), Probe::Mysql, sql);
        recipe.arguments.extend(arguments.into_iter().map(Into::into));
        processes.push(Local::start(recipe)?);
    }
    processes.insert(0, proxy(haproxy, port, ports)?);
    let origin = format!("{NODES} nodes of Galera behind HAProxy, {}", mysql::origin(&programs)?);
    let url = format!("mysql://session:{password}@127.0.0.1:{port}/sessions");
    Ok(Server::uncontrolled(url, origin, processes))
}

/// Connections to this port go to one node after the other.
fn proxy(program: PathBuf, port: u16, nodes: &[Ports]) -> Result<Local> {
    let home = Home::new("haproxy", unprivileged(&["haproxy", "nobody"])?)?;
    let server = |[port, ..]: &Ports| format!("    server node{port} 127.0.0.1:{port} check\n");
    let servers: String = nodes.iter().map(server).collect();
    let settings = home.write(
        "haproxy.cfg",
        &format!(
            "global\n    maxconn 1000\n\
             defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 10m\n    timeout server 10m\n\
             listen galera\n    bind 127.0.0.1:{port}\n    balance roundrobin\n{servers}"
        ),
    )?;
    let mut recipe = Recipe::new(home, program, Probe::Mysql, port);
    recipe.arguments.extend(["-f".into(), settings.into(), "-db".into()]);
    Local::start(recipe)
}
