//! Other programs: found, run with a deadline, and stopped with everything they started.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, User};

use crate::{cleanup, terminal};

/// How long something that was polled in vain waits until it is asked again.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// The program of that name on PATH or in one of the other folders.
pub(crate) fn find(name: &str, elsewhere: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(elsewhere.iter().cloned())
        .map(|folder| folder.join(name))
        .find(|program| is_executable(program))
}

/// Whether that file can be executed.
pub(crate) fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Whether this process may do everything, which database servers refuse to run with.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The first of these users that exists here.
pub(crate) fn first_user(names: &[&str]) -> Option<User> {
    names.iter().find_map(|name| User::from_name(name).ok().flatten())
}

/// The command line as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=/.,:+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How a program that was waited for ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ended {
    /// The last lines that the program printed, errors before output.
    pub(crate) fn last_words(&self) -> String {
        let words = if self.errors.trim().is_empty() { &self.output } else { &self.errors };
        tail(words, 12)
    }
}

/// Runs a program that answers soon, and kills it if it does not.
pub(crate) fn answer(command: &mut Command, deadline: Duration) -> Result<Ended> {
    answer_to("", command, deadline)
}

fn answer_to(input: &str, command: &mut Command, deadline: Duration) -> Result<Ended> {
    let (child, guard) = cleanup::spawn(piped(command), Signal::SIGTERM)?;
    let ended = converse(child, input, &line(command), deadline);
    guard.release();
    ended
}

/// The same for those who clean up, and must not wait for the ledger.
pub(crate) fn answer_unrecorded(command: &mut Command, deadline: Duration) -> Result<Ended> {
    let child = piped(command).spawn().with_context(|| format!("`{}` cannot be started", line(command)))?;
    converse(child, "", &line(command), deadline)
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

fn converse(mut child: Child, input: &str, name: &str, deadline: Duration) -> Result<Ended> {
    let output = drain(child.stdout.take());
    let errors = drain(child.stderr.take());
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read it all says why in its exit code.
        let _ = stdin.write_all(input.as_bytes());
    }
    let status = wait(&mut child, name, deadline)?;
    Ok(Ended { status, output: collect(output), errors: collect(errors) })
}

/// Waits for a program to end, and kills it if it does not.
pub(crate) fn wait(child: &mut Child, name: &str, deadline: Duration) -> Result<ExitStatus> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end {
            kill_tree(pid(child.id())?);
            child.wait()?;
            bail!("`{name}` did not end within {} s", deadline.as_secs());
        }
        thread::sleep(POLL / 5);
    }
}

/// Runs a program that must succeed, and shows its command line.
pub(crate) fn must(command: &mut Command, deadline: Duration) -> Result<String> {
    feed(command, "", deadline)
}

/// Runs a program that must succeed, shows its command line, and gives it something to read, which is not shown.
pub(crate) fn feed(command: &mut Command, input: &str, deadline: Duration) -> Result<String> {
    terminal::command(&line(command));
    let ended = answer_to(input, command, deadline)?;
    if !ended.status.success() {
        bail!("`{}` failed ({}):\n{}", line(command), ended.status, ended.last_words());
    }
    Ok(ended.output)
}

/// Sends the lines of a stream as they come.
pub(crate) fn forward<R: Read + Send + 'static>(stream: R, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// How long what a program printed may take to arrive once it has ended. Something that it started and left behind may
/// hold the pipe open for ever.
const REST: Duration = Duration::from_secs(5);

/// What a program prints, as it comes.
type Printed = Option<mpsc::Receiver<Vec<u8>>>;

fn drain<R: Read + Send + 'static>(stream: Option<R>) -> Printed {
    stream.map(|mut stream| {
        let (sender, printed) = mpsc::channel();
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length) = stream.read(&mut chunk) {
                if length == 0 || sender.send(chunk[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        printed
    })
}

fn collect(printed: Printed) -> String {
    let end = Instant::now() + REST;
    let mut bytes = Vec::new();
    if let Some(printed) = printed {
        while let Ok(chunk) = printed.recv_timeout(end.saturating_duration_since(Instant::now())) {
            bytes.extend(chunk);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The process id in the type that signals want.
pub(crate) fn pid(id: u32) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(id).context("a process id outside the range of process ids")?))
}

/// Whether the process runs. One that has ended and was not waited for does not.
pub(crate) fn is_alive(pid: Pid) -> bool {
    signal::kill(pid, None).is_ok() && stat(pid).is_none_or(|stat| stat.state != 'Z')
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
    while pids.iter().any(|&pid| runs(pid)) {
        if Instant::now() >= end {
            bail!("a process goes on {deadline:?} after it was told to stop");
        }
        thread::sleep(POLL / 10);
    }
    Ok(())
}

/// Whether a thread of the process is neither stopped nor at its end. Without `/proc` nobody can tell.
fn runs(pid: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads
        .flatten()
        .filter_map(|thread| state(&thread.path().join("stat")))
        .any(|(state, _)| !"TtZX".contains(state))
}

/// Kills the process and everything that descends from it, at one instant as far as they can tell.
pub(crate) fn kill_tree(root: Pid) {
    for pid in freeze_tree(root) {
        let _ = signal::kill(pid, Signal::SIGKILL);
    }
}

/// The process and its descendants. A process group would not do: every PostgreSQL backend leaves the group of the
/// server that forked it.
fn tree(root: Pid) -> Vec<Pid> {
    let parents = all_processes();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(parents.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        next += 1;
    }
    tree
}

struct Stat {
    pid: Pid,
    parent: Pid,
    state: char,
}

fn all_processes() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return all_processes_by_ps() };
    let processes: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| stat(Pid::from_raw(id)))
        .collect();
    if processes.is_empty() { all_processes_by_ps() } else { processes }
}

fn stat(pid: Pid) -> Option<Stat> {
    let (state, parent) = state(Path::new(&format!("/proc/{pid}/stat")))?;
    Some(Stat { pid, state, parent })
}

/// State and parent in a file that is `PID (NAME) STATE PARENT …`; a name may hold blanks and parentheses.
fn state(stat: &Path) -> Option<(char, Pid)> {
    let text = fs::read_to_string(stat).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)))
}

/// For systems without `/proc`.
fn all_processes_by_ps() -> Vec<Stat> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,state="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let mut id = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
            let (pid, parent) = (id()?, id()?);
            Some(Stat { pid, parent, state: fields.next()?.chars().next()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killing_a_tree_reaches_children_in_sessions_of_their_own() {
        let mut child = Command::new("sh")
            .args(["-c", "setsid sleep 300 & sleep 300"])
            .stdin(Stdio::null())
            .spawn()
            .expect("sh starts");
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
        assert!(runs(root), "it runs");
        await_stop(&freeze_tree(root), Duration::from_secs(10)).expect("it stops");
        assert!(!runs(root), "it is stopped");
        signal_tree(root, Signal::SIGCONT);
        let deadline = Duration::from_millis(20);
        assert!(await_stop(&BTreeSet::from([root]), deadline).is_err(), "it goes on");
        kill_tree(root);
        child.wait().expect("sh is waited for");
    }

    #[test]
    fn a_program_that_does_not_answer_is_killed() {
        let error = answer_unrecorded(Command::new("sleep").arg("300"), Duration::from_millis(100)).err();
        assert!(error.expect("an error").to_string().contains("did not end"));
    }

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("psql");
        command.args(["-c", "select 'a'", ""]);
        assert_eq!(line(&command), r"psql -c 'select '\''a'\''' ''");
    }
}
