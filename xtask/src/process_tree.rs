//! Processes with everything that descends from them: watched, stopped in their tracks, killed.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// How long something that was polled in vain waits until it is asked again.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// The process id in the type that signals want.
pub(crate) fn pid(id: u32) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(id).context("a process id outside the range of process ids")?))
}

/// Whether the process runs. One that has ended and was not waited for does not.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let mut system = System::new();
    system.refresh_processes(ProcessesToUpdate::Some(&[theirs(pid)]), true);
    system.process(theirs(pid)).is_some_and(|process| process.status() != ProcessStatus::Zombie)
}

/// Sends a signal to the process and to everything that descends from it.
pub(crate) fn signal_tree(root: Pid, signal: Signal) {
    for pid in tree(root) {
        let _ = signal::kill(pid, signal);
    }
}

/// Stops every process of the tree in its tracks, also those that were being started meanwhile.
pub(crate) fn freeze_tree(root: Pid) -> BTreeSet<Pid> {
    let mut frozen = BTreeSet::new();
    loop {
        let new: Vec<_> = tree(root).into_iter().filter(|pid| !frozen.contains(pid)).collect();
        if new.is_empty() {
            return frozen;
        }
        for pid in new {
            let _ = signal::kill(pid, Signal::SIGSTOP);
            frozen.insert(pid);
        }
    }
}

/// Waits until no thread of these processes runs any more: on a busy machine one may go on for a while after the signal.
pub(crate) fn await_stop(pids: &BTreeSet<Pid>, deadline: Duration) -> Result<()> {
    let end = Instant::now() + deadline;
    while runs(pids) {
        if Instant::now() >= end {
            bail!("a process goes on {deadline:?} after it was told to stop");
        }
        thread::sleep(POLL / 10);
    }
    Ok(())
}

/// Whether a thread of these processes is neither stopped nor at its end.
fn runs(pids: &BTreeSet<Pid>) -> bool {
    use ProcessStatus::{Dead, Stop, Tracing, Zombie};
    let system = look(true);
    let processes = pids.iter().filter_map(|&pid| system.process(theirs(pid)));
    let threads = processes.flat_map(|process| {
        let others = process.tasks().into_iter().flatten().filter_map(|&task| system.process(task));
        others.chain([process])
    });
    threads.into_iter().any(|thread| !matches!(thread.status(), Dead | Stop | Tracing | Zombie))
}

/// Kills the process and everything that descends from it, at one instant as far as they can tell.
pub(crate) fn kill_tree(root: Pid) {
    for pid in freeze_tree(root) {
        let _ = signal::kill(pid, Signal::SIGKILL);
    }
}

/// All processes as they are now.
pub(crate) fn look(with_threads: bool) -> System {
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_cpu();
    let kind = if with_threads { kind.with_tasks() } else { kind.without_tasks() };
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    system
}

fn theirs(pid: Pid) -> sysinfo::Pid {
    sysinfo::Pid::from_u32(pid.as_raw().unsigned_abs())
}

/// The process and its descendants. A process group would not do: every PostgreSQL backend leaves the group of the
/// server that forked it.
pub(crate) fn family(system: &System, root: sysinfo::Pid) -> Vec<sysinfo::Pid> {
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = system.processes().values().filter(|process| process.parent() == Some(parent));
        family.extend(children.map(|process| process.pid()));
        next += 1;
    }
    family
}

fn tree(root: Pid) -> Vec<Pid> {
    let family = family(&look(false), theirs(root));
    family.into_iter().filter_map(|found| pid(found.as_u32()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn killing_a_tree_reaches_children_in_sessions_of_their_own() {
        let mut child =
            Command::new("sh").args(["-c", "setsid sleep 300 & sleep 300"]).spawn().expect("sh starts");
        let root = pid(child.id()).expect("a pid");
        let end = Instant::now() + Duration::from_secs(10);
        while tree(root).len() < 3 && Instant::now() < end {
            thread::sleep(POLL);
        }
        let all = tree(root);
        assert_eq!(all.len(), 3, "sh and both sleeps");
        kill_tree(root);
        child.wait().expect("sh is waited for");
        while all.iter().any(|&pid| is_alive(pid)) {
            assert!(Instant::now() < end, "all are dead within ten seconds");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_frozen_process_is_stopped_and_goes_on_when_it_is_told_to() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh starts");
        let root = pid(child.id()).expect("a pid");
        let it = BTreeSet::from([root]);
        assert!(runs(&it), "it runs");
        await_stop(&freeze_tree(root), Duration::from_secs(10)).expect("it stops");
        assert!(!runs(&it), "it is stopped");
        signal_tree(root, Signal::SIGCONT);
        let deadline = Duration::from_millis(20);
        assert!(await_stop(&it, deadline).is_err(), "it goes on");
        kill_tree(root);
        child.wait().expect("sh is waited for");
    }
}
