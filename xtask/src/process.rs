//! Other programs: found, run with a deadline, and stopped with everything they started.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::cleanup::{self, Guard};
use crate::command_line::line;
use crate::process_tree::{POLL, kill_tree, pid};
use crate::terminal;

/// Something that is not on this machine, which is nobody's fault, and what would help.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// The same program, where nothing can be done without it.
pub(crate) fn need(name: &str, elsewhere: &[PathBuf]) -> Result<PathBuf> {
    let folders: Vec<_> = elsewhere.iter().map(|folder| format!(" or in {}", folder.display())).collect();
    find(name, elsewhere)
        .ok_or_else(|| anyhow!(Missing(format!("`{name}` is not on PATH{}", folders.concat()))))
}

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

/// A program that runs. Dropped, it is stopped with everything that it started, and waited for.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    guard: Option<Guard>,
    name: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.guard.take());
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Result<Pid> {
        pid(self.child.id())
    }

    /// The lines that it prints from now on, as they come.
    pub(crate) fn lines(&mut self) -> mpsc::Receiver<String> {
        let (sender, lines) = mpsc::channel();
        forward(self.child.stdout.take(), sender.clone());
        forward(self.child.stderr.take(), sender);
        lines
    }

    /// Waits for its end, and kills it if that does not come.
    pub(crate) fn wait(mut self, deadline: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.guard.take().into_iter().for_each(Guard::release);
                return Ok(status);
            }
            if Instant::now() > end {
                kill_tree(self.pid()?);
                bail!("`{}` did not end within {} s", self.name, deadline.as_secs());
            }
            thread::sleep(POLL / 5);
        }
    }

    /// Lets somebody hear each line that it prints, until its end. Stops it if it prints nothing for so long.
    pub(crate) fn listen(mut self, silence: Duration, mut hear: impl FnMut(String)) -> Result<ExitStatus> {
        let lines = self.lines();
        loop {
            match lines.recv_timeout(silence) {
                Ok(line) => hear(line),
                Err(RecvTimeoutError::Disconnected) => return self.wait(silence),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("`{}` printed nothing for {} minutes", self.name, silence.as_secs() / 60)
                }
            }
        }
    }

    fn answer(mut self, deadline: Duration) -> Result<Ended> {
        let (to_output, output) = mpsc::channel();
        let (to_errors, errors) = mpsc::channel();
        forward(self.child.stdout.take(), to_output);
        forward(self.child.stderr.take(), to_errors);
        let status = self.wait(deadline)?;
        Ok(Ended { status, output: collect(&output), errors: collect(&errors) })
    }
}

/// Starts a program, which is asked with the signal to stop.
pub(crate) fn start(command: &mut Command, signal: Signal) -> Result<Running> {
    let (child, guard) = cleanup::spawn(command, signal)?;
    Ok(Running { child, guard: Some(guard), name: line(command) })
}

/// Runs a program that answers soon, and kills it if it does not.
pub(crate) fn answer(command: &mut Command, deadline: Duration) -> Result<Ended> {
    start(piped(command).stderr(Stdio::piped()), Signal::SIGTERM)?.answer(deadline)
}

/// The same, with what it complains about where people see it.
pub(crate) fn output(command: &mut Command, deadline: Duration) -> Result<Ended> {
    start(piped(command), Signal::SIGTERM)?.answer(deadline)
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::piped())
}

/// Runs a program that must succeed, and shows its command line.
pub(crate) fn must(command: &mut Command, deadline: Duration) -> Result<String> {
    terminal::command(&line(command));
    let ended = answer(command, deadline)?;
    if !ended.status.success() {
        bail!("`{}` failed ({}):\n{}", line(command), ended.status, ended.last_words());
    }
    Ok(ended.output)
}

/// The same for one that shows what it does by itself.
pub(crate) fn must_show(command: &mut Command, deadline: Duration) -> Result<()> {
    terminal::command(&line(command));
    let status = start(command, Signal::SIGTERM)?.wait(deadline)?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Sends what a program prints, line by line, as it comes.
fn forward<R: Read + Send + 'static>(stream: Option<R>, sender: mpsc::Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let lines = BufReader::new(stream).split(b'\n').map_while(std::io::Result::ok);
        for line in lines {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
}

/// How long what a program printed may take to arrive once it has ended. Something that it started and left behind may
/// hold the pipe open for ever.
const REST: Duration = Duration::from_secs(5);

fn collect(lines: &mpsc::Receiver<String>) -> String {
    let end = Instant::now() + REST;
    let rest = || lines.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
    std::iter::from_fn(rest).collect::<Vec<_>>().join("\n")
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
