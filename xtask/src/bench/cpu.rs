//! The processor time that a database server on this machine uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The processes of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    root: u32,
}

impl Server {
    /// The server that listens at the port of this URL or ADO connection string. `None` if it is on another machine, in another namespace,
    /// somebody else's, or this system has no `/proc`.
    pub(crate) fn find(url: &str) -> Option<Server> {
        let sockets = listening(port(url)?);
        let processes = processes();
        let owners: BTreeSet<u32> =
            processes.keys().copied().filter(|&id| holds_one_of(id, &sockets)).collect();
        // A server's children inherit its socket.
        let root = owners.iter().find(|id| !owners.contains(&processes[id].parent))?;
        Some(Server { root: *root })
    }

    /// Seconds in user and kernel mode so far, of the server and all that it has started.
    pub(crate) fn seconds(self) -> f64 {
        let processes = processes();
        let mut family = vec![self.root];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(id, _)| id));
            next += 1;
        }
        // A process that has ended counts in its parent's time for children.
        family.iter().filter_map(|id| processes.get(id)).map(|process| process.ticks).sum::<f64>() / HERTZ
    }
}

fn port(url: &str) -> Option<u16> {
    let digits = match url.split_once("://") {
        Some((_, rest)) => {
            let authority = rest.split(['/', '?']).next()?;
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            host.rsplit_once(':')?.1
        }
        None => {
            let server = url.split(';').find_map(|part| part.trim().strip_prefix("Server="))?;
            server.rsplit_once(',')?.1
        }
    };
    digits.trim().parse().ok()
}

/// USER_HZ is 100 on every Linux.
const HERTZ: f64 = 100.0;

struct Process {
    parent: u32,
    ticks: f64,
}

fn processes() -> BTreeMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, process(id)?))).collect()
}

/// `/proc/PID/stat` is `PID (NAME) STATE PARENT …`; utime, stime, cutime and cstime are its fields 14 to 17.
fn process(id: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    Some(Process { parent: fields.get(1)?.parse().ok()?, ticks })
}

/// The inodes of the sockets that listen at a port.
fn listening(port: u16) -> BTreeSet<String> {
    const LISTEN: &str = "0A";
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for fields in text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            let at = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            if state == LISTEN && at == Some(port) {
                sockets.insert(format!("socket:[{inode}]"));
            }
        }
    }
    sockets
}

fn holds_one_of(id: u32, sockets: &BTreeSet<String>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{id}/fd")) else { return false };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_urls_and_in_connection_strings() {
        assert_eq!(port("postgres://me:p:1@127.0.0.1:5433/app?x=1"), Some(5433));
        assert_eq!(port("Server=tcp:127.0.0.1,1434;User ID=sa;Password=a,1"), Some(1434));
        assert_eq!(port("Server=host\\instance;User ID=sa"), None);
    }
}
