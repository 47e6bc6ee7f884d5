//! The processor time that a database server on this machine uses.

use std::net::SocketAddr;

use sysinfo::Pid;

use crate::process_tree;
use crate::server::{self, Kind};

/// The processes of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    root: Pid,
}

impl Server {
    /// The server that listens at the port of this URL or ADO connection string. `None` if it is on another machine, in
    /// another name space, or somebody else's.
    pub(crate) fn find(kind: Kind, url: &str) -> Option<Self> {
        let address: SocketAddr = server::address(kind, url)?.parse().ok()?;
        let listener = listeners::get_process_by_port(address.port(), listeners::Protocol::TCP).ok()?;
        let mut root = Pid::from_u32(listener.pid);
        // A server's children inherit its socket.
        let system = process_tree::look(false);
        while let Some(process) = system.process(root)
            && let Some(parent) = process.parent().and_then(|parent| system.process(parent))
            && parent.name() == process.name()
        {
            root = parent.pid();
        }
        Some(Self { root })
    }

    /// Seconds in user and kernel mode so far, of the server and all its children that live.
    pub(crate) fn seconds(self) -> f64 {
        let system = process_tree::look(false);
        let family = process_tree::family(&system, self.root);
        let processes = family.into_iter().filter_map(|pid| system.process(pid));
        let time: u64 = processes.map(|process| process.accumulated_cpu_time()).sum();
        std::time::Duration::from_millis(time).as_secs_f64()
    }
}
