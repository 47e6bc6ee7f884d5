//! Nothing is left behind: whatever this program starts or creates is written into a ledger first, and a second
//! process, which holds the other end of a pipe, undoes what still stands there when this one is gone.
//!
//! So it makes no difference whether this program returns, fails, panics, is interrupted or is killed with -9. In the
//! first three cases the [`Guard`]s have already undone everything.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{process, terminal};

/// The hidden command that the second process runs.
pub(crate) const COMMAND: &str = "undo-what-is-left";

/// How long a server that was asked to stop may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that must not outlive this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    Folder(PathBuf),
    File(PathBuf),
    /// A process and its descendants, asked to stop with the signal.
    Process {
        pid: Pid,
        signal: Signal,
    },
    Container {
        engine: PathBuf,
        name: String,
    },
}

/// Undoes its entry of the ledger when dropped.
#[derive(Debug)]
pub(crate) struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        let entry = ledger().entries.get(&self.0).cloned();
        if let Some(leftover) = entry {
            leftover.undo();
            ledger().forget(self.0);
        }
    }
}

impl Guard {
    /// Forgets the entry: what it named is gone.
    pub(crate) fn release(self) {
        ledger().forget(self.0);
    }
}

/// Writes something into the ledger that this program is about to make.
pub(crate) fn register(leftover: Leftover) -> Result<Guard> {
    ledger().record(leftover)
}

/// Starts a process and writes it into the ledger in one step that an interruption cannot come between.
pub(crate) fn spawn(command: &mut Command, signal: Signal) -> Result<(Child, Guard)> {
    let mut ledger = ledger();
    let child = command.spawn().with_context(|| format!("`{}` cannot be started", process::line(command)))?;
    let guard = ledger.record(Leftover::Process { pid: process::pid(child.id())?, signal })?;
    Ok((child, guard))
}

/// Makes a temporary folder that only the owner can enter.
pub(crate) fn folder(purpose: &str) -> Result<(PathBuf, Guard)> {
    use std::os::unix::fs::DirBuilderExt;

    let base = std::env::temp_dir();
    for attempt in 0..100_u32 {
        let path = base.join(format!("session-store-{purpose}-{}-{attempt}", std::process::id()));
        let mut ledger = ledger();
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok((path.clone(), ledger.record(Leftover::Folder(path))?)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => bail!("no temporary folder can be made in {}: {error}", base.display()),
        }
    }
    bail!("no temporary folder can be made in {}: a hundred names are taken", base.display())
}

struct Ledger {
    entries: BTreeMap<u64, Leftover>,
    next: u64,
    pipe: Option<ChildStdin>,
    keeper: Child,
}

impl Ledger {
    fn record(&mut self, leftover: Leftover) -> Result<Guard> {
        let id = self.next;
        self.next += 1;
        self.tell(&format!("+\t{id}\t{}", leftover.encode()))?;
        self.entries.insert(id, leftover);
        Ok(Guard(id))
    }

    fn forget(&mut self, id: u64) {
        self.entries.remove(&id);
        let _ = self.tell(&format!("-\t{id}"));
    }

    fn tell(&mut self, line: &str) -> Result<()> {
        let pipe = self.pipe.as_mut().context("the process that cleans up has been dismissed")?;
        writeln!(pipe, "{line}").context("the process that cleans up is gone")
    }
}

fn ledger() -> MutexGuard<'static, Ledger> {
    static LEDGER: OnceLock<Mutex<Ledger>> = OnceLock::new();
    LEDGER.get_or_init(|| Mutex::new(open())).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the second process and sees to it that an interruption goes through it.
fn open() -> Ledger {
    let program = std::env::current_exe().expect("this program knows where it is");
    let mut keeper = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        // The terminal's Ctrl-C must not reach it.
        .process_group(0)
        .spawn()
        .expect("this program can be started a second time");
    let pipe = keeper.stdin.take();
    ctrlc::set_handler(interrupted).expect("nobody else handles signals here");
    Ledger { entries: BTreeMap::new(), next: 0, pipe, keeper }
}

/// Runs on a thread of its own, and holds the ledger until the end: nothing new is started from now on.
fn interrupted() {
    let mut ledger = ledger();
    terminal::say("\ninterrupted: stopping what was started");
    ledger.pipe = None;
    let _ = ledger.keeper.wait();
    std::process::exit(130);
}

/// The second process: reads the ledger until its writer is gone, then undoes what still stands there, last things
/// first.
pub(crate) fn run() -> ExitCode {
    let mut entries = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let mut fields = line.splitn(3, '\t');
        let (sign, id) = (fields.next(), fields.next().and_then(|id| id.parse::<u64>().ok()));
        match (sign, id, fields.next().and_then(Leftover::decode)) {
            (Some("+"), Some(id), Some(leftover)) => {
                entries.insert(id, leftover);
            }
            (Some("-"), Some(id), _) => {
                entries.remove(&id);
            }
            _ => {}
        }
    }
    for leftover in entries.into_values().rev() {
        leftover.undo();
    }
    ExitCode::SUCCESS
}

impl Leftover {
    fn undo(&self) {
        match self {
            Self::Folder(path) => remove_folder(path),
            Self::File(path) => drop(fs::remove_file(path)),
            Self::Process { pid, signal } => stop(*pid, *signal),
            Self::Container { engine, name } => {
                let remove = ["rm", "--force", "--volumes", name];
                let limit = Duration::from_secs(60);
                let _ = process::answer_unrecorded(Command::new(engine).args(remove), limit);
            }
        }
    }

    fn encode(&self) -> String {
        match self {
            Self::Folder(path) => format!("folder\t{}", path.display()),
            Self::File(path) => format!("file\t{}", path.display()),
            Self::Process { pid, signal } => format!("process\t{pid}\t{signal}"),
            Self::Container { engine, name } => format!("container\t{name}\t{}", engine.display()),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('\t')?;
        Some(match kind {
            "folder" => Self::Folder(rest.into()),
            "file" => Self::File(rest.into()),
            "process" => {
                let (pid, signal) = rest.split_once('\t')?;
                Self::Process { pid: Pid::from_raw(pid.parse().ok()?), signal: signal.parse().ok()? }
            }
            "container" => {
                let (name, engine) = rest.split_once('\t')?;
                Self::Container { engine: engine.into(), name: name.to_owned() }
            }
            _ => return None,
        })
    }
}

/// A server that is killed at once would leave its shared memory behind.
fn stop(pid: Pid, signal: Signal) {
    process::signal_tree(pid, Signal::SIGCONT);
    if nix::sys::signal::kill(pid, signal).is_ok() {
        let end = Instant::now() + PATIENCE;
        while process::is_alive(pid) && Instant::now() < end {
            thread::sleep(process::POLL / 5);
        }
    }
    process::kill_tree(pid);
}

/// Tries again for a moment: a process that is being killed may still be writing there.
fn remove_folder(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while fs::remove_dir_all(path).is_err() && path.exists() && Instant::now() < end {
        thread::sleep(process::POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let entries = [
            Leftover::Folder("/tmp/a folder".into()),
            Leftover::File("/tmp/a file".into()),
            Leftover::Process { pid: Pid::from_raw(4711), signal: Signal::SIGINT },
            Leftover::Container { engine: "/usr/bin/docker".into(), name: "session-store-1".into() },
        ];
        for entry in entries {
            assert_eq!(Leftover::decode(&entry.encode()), Some(entry));
        }
    }
}
