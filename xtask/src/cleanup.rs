//! Nothing is left behind: whatever this program starts or creates is written into a ledger first, and a second
//! process, which holds the other end of a pipe, undoes what still stands there when this one is gone.
//!
//! So it makes no difference whether this program returns, fails, panics, is interrupted or is killed with -9. In the
//! first three cases the [`Guard`]s have already undone everything.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::{command_line, process_tree, terminal};

/// The hidden command that the second process runs.
pub(crate) const COMMAND: &str = "undo-what-is-left";

/// How long a server that was asked to stop may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that must not outlive this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Leftover {
    Folder(PathBuf),
    File(PathBuf),
    /// A process and its descendants, asked to stop with the signal.
    Process {
        pid: i32,
        signal: String,
    },
    Container {
        engine: PathBuf,
        name: String,
    },
}

/// A line of the ledger.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    id: u64,
    /// What is about to be made; none once it is gone.
    leftover: Option<Leftover>,
}

/// Undoes its entry of the ledger when dropped.
#[derive(Debug)]
pub(crate) struct Guard(Entry);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(leftover) = self.0.leftover.take() {
            leftover.undo();
            let _ = ledger().tell(&self.0);
        }
    }
}

impl Guard {
    /// Forgets the entry: what it named is gone.
    pub(crate) fn release(mut self) {
        self.0.leftover = None;
        let _ = ledger().tell(&self.0);
    }
}

/// Writes something into the ledger that this program is about to make.
pub(crate) fn register(leftover: Leftover) -> Result<Guard> {
    ledger().record(leftover)
}

/// Starts a process and writes it into the ledger in one step that an interruption cannot come between.
pub(crate) fn spawn(command: &mut Command, signal: Signal) -> Result<(Child, Guard)> {
    let mut ledger = ledger();
    let child =
        command.spawn().with_context(|| format!("`{}` cannot be started", command_line::line(command)))?;
    let pid = process_tree::pid(child.id())?.as_raw();
    let guard = ledger.record(Leftover::Process { pid, signal: signal.to_string() })?;
    Ok((child, guard))
}

/// Makes a temporary folder that only the owner can enter.
pub(crate) fn folder(purpose: &str) -> Result<(PathBuf, Guard)> {
    let mut ledger = ledger();
    let name = format!("session-store-{purpose}-{}-{}", std::process::id(), ledger.next);
    let path = std::env::temp_dir().join(name);
    // First made, then recorded: one that was there before is somebody else's, and making it fails.
    let made = fs::DirBuilder::new().mode(0o700).create(&path);
    made.with_context(|| format!("{} cannot be made", path.display()))?;
    Ok((path.clone(), ledger.record(Leftover::Folder(path))?))
}

struct Ledger {
    next: u64,
    pipe: Option<ChildStdin>,
    keeper: Child,
}

impl Ledger {
    fn record(&mut self, leftover: Leftover) -> Result<Guard> {
        let entry = Entry { id: self.next, leftover: Some(leftover) };
        self.next += 1;
        self.tell(&entry).map(|()| Guard(entry))
    }

    fn tell(&mut self, entry: &Entry) -> Result<()> {
        let line = serde_json::to_string(entry)?;
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
    Ledger { next: 0, pipe, keeper }
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
        if let Ok(Entry { id, leftover }) = serde_json::from_str(&line) {
            match leftover {
                Some(leftover) => drop(entries.insert(id, leftover)),
                None => drop(entries.remove(&id)),
            }
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
            Self::Process { pid, signal } => {
                stop(Pid::from_raw(*pid), signal.parse().unwrap_or(Signal::SIGTERM))
            }
            Self::Container { engine, name } => {
                let remove = ["rm", "--force", "--volumes", name];
                let _ = run_unrecorded(Command::new(engine).args(remove), Duration::from_secs(60));
            }
        }
    }
}

/// Runs a program of the clean-up itself, which must not wait for the ledger, and kills it if it does not end.
fn run_unrecorded(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            process_tree::kill_tree(process_tree::pid(child.id())?);
            child.wait()?;
            bail!("`{}` did not end within {} s", command_line::line(command), limit.as_secs());
        }
        thread::sleep(process_tree::POLL);
    }
    Ok(())
}

/// A server that is killed at once would leave its shared memory behind.
fn stop(pid: Pid, signal: Signal) {
    process_tree::signal_tree(pid, Signal::SIGCONT);
    if nix::sys::signal::kill(pid, signal).is_ok() {
        let end = Instant::now() + PATIENCE;
        while process_tree::is_alive(pid) && Instant::now() < end {
            thread::sleep(process_tree::POLL / 5);
        }
    }
    process_tree::kill_tree(pid);
}

/// Tries again for a moment: a process that is being killed may still be writing there.
fn remove_folder(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while fs::remove_dir_all(path).is_err() && path.exists() && Instant::now() < end {
        thread::sleep(process_tree::POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let leftover = Leftover::Process { pid: 4711, signal: "SIGINT".to_owned() };
        for entry in [Entry { id: 1, leftover: Some(leftover) }, Entry { id: 1, leftover: None }] {
            let line = serde_json::to_string(&entry).expect("JSON");
            assert_eq!(serde_json::from_str::<Entry>(&line).expect("an entry"), entry);
        }
    }

    #[test]
    fn a_program_that_does_not_answer_is_killed() {
        let error = run_unrecorded(Command::new("sleep").arg("300"), Duration::from_millis(100)).err();
        assert!(error.expect("an error").to_string().contains("did not end"));
    }
}
