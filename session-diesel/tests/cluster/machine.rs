//! Programs of this machine, started for a drill, hurt, and stopped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) use crate::scratch::free_port;
use crate::scratch::{is_root, run};

/// A folder that goes when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A folder of this user's, whom a server runs as where this process is root's.
    pub(crate) fn new(name: &str, user: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("session-drill-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let folder = Folder(folder);
        folder.give_to(user);
        folder
    }

    pub(crate) fn give_to(&self, user: &str) {
        // Servers refuse to run as root.
        if is_root() {
            run(Command::new("chown").args(["-R", user]).arg(&self.0));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn show(&self) -> std::path::Display<'_> {
        self.0.display()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is only in the way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that runs, and all that it started.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, and writes what it says to this file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Process {
        let log = File::options().create(true).append(true).open(log).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        // The terminal's Ctrl-C reaches the drill first.
        Process(command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// SIGSTOP: it is there, and does nothing.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// SIGKILL, to all of it at once.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.signal("KILL");
        let _ = self.0.wait();
    }

    fn signal(&self, signal: &str) {
        signal_tree(self.0.id(), signal);
    }
}

/// Signals a process and its descendants. Of a tree that grows while one looks, what began since is met on the next look.
pub(crate) fn signal_tree(root: u32, signal: &str) {
    let mut met: Vec<u32> = Vec::new();
    loop {
        let fresh: Vec<u32> = tree(root).into_iter().filter(|pid| !met.contains(pid)).collect();
        if fresh.is_empty() {
            return;
        }
        let pids = fresh.iter().map(u32::to_string);
        // One may have ended by itself.
        let _ = Command::new("kill").arg(format!("-{signal}")).args(pids).stderr(Stdio::null()).status();
        met.extend(fresh);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.resume();
            self.end();
        }
    }
}

/// A process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // `PID (name) state parent …`, and a name may have blanks.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut all = vec![root];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    all
}
