//! One run of a backend's test program: told where the server is, watched, and asked what came of it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::build::Program;
use super::options::Options;
use super::progress::Progress;
use super::{Backend, nothing};
use crate::report::{self, End, Proof, Run};
use crate::server::{self, Server};
use crate::{cleanup, process, terminal};

/// A program that prints nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(600);

/// The zone of the test program: neither the server's nor UTC, and not even a whole number of hours away from either.
const TIME_ZONE: &str = "America/St_Johns";

/// Runs the suite on one backend.
pub(super) fn run(backend: Backend, program: &Program, server: Option<&Server>, options: &Options) -> Proof {
    let origin = server.map(|server| server.origin.clone());
    match attempt(backend, program, server, options) {
        Ok((runs, end)) => Proof { runs, ..nothing(backend, origin, end) },
        Err(error) => nothing(backend, origin, End::Broken(format!("{error:#}"))),
    }
}

/// Prints the names of the cases.
pub(super) fn list(backend: Backend, program: &Program, options: &Options) -> Result<()> {
    let mut command = command(backend, program, None);
    command.arg("--list").args(&options.filter);
    let ended = process::answer(&mut command, SILENCE)?;
    if !ended.status.success() {
        bail!("{}: {}", backend.name(), ended.last_words());
    }
    ended.output.lines().filter(|line| is_ours(backend, line)).for_each(terminal::say);
    Ok(())
}

fn command(backend: Backend, program: &Program, server: Option<&Server>) -> Command {
    let mut command = Command::new(&program.executable);
    command.current_dir(&program.folder).stdin(Stdio::null());
    // Only the server under test: another one would be tested against too.
    for (name, _) in std::env::vars_os() {
        let name_is = |start: &str, end: &str| {
            name.to_str().is_some_and(|name| name.starts_with(start) && name.ends_with(end))
        };
        if name_is("SESSION_STORE_", "_URL") || name_is("CONFORMANCE_", "") {
            command.env_remove(name);
        }
    }
    command
        // With these the suite can print the cargo command that repeats a case.
        .env("CARGO_PKG_NAME", &program.package)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("CONFORMANCE_BACKEND", backend.name())
        .env("TZ", TIME_ZONE);
    if let (Some(server), Backend::Server(kind)) = (server, backend) {
        command.env(server::Kind::url_variable(kind), &server.url);
        command.envs(server.control().map(|address| ("CONFORMANCE_CONTROL", address)));
    }
    command
}

fn attempt(
    backend: Backend,
    program: &Program,
    server: Option<&Server>,
    options: &Options,
) -> Result<(Vec<Run>, End)> {
    let (folder, _guard) = cleanup::folder("report")?;
    let file = folder.join("report.json");
    let mut command = command(backend, program, server);
    command.arg(format!("--seed={}", options.seed));
    command.args(options.cases.map(|cases| format!("--cases={cases}")));
    let faults = options.faults.unwrap_or(server.is_none_or(|server| server.control().is_some()));
    command.args((!faults).then_some("--no-faults")).args(&options.filter);
    terminal::command(&process::line(&command));
    command.env("CONFORMANCE_REPORT", &file);

    let (status, last_words) = watch(backend, &mut command)?;
    let Ok(text) = fs::read_to_string(&file) else {
        bail!("the suite ended ({status}) without a report; its last words:\n{last_words}");
    };
    let mut runs = report::parse_runs(&text)?;
    runs.retain(|run| backend.is_called(&run.backend));
    let failures = runs.iter().flat_map(|run| &run.cases);
    let failures = failures.filter(|case| matches!(case.outcome, report::Outcome::Failed(_))).count();
    let end = if !status.success() && failures == 0 {
        End::Broken(format!(
            "the suite ended ({status}) although no case failed; its last words:\n{last_words}"
        ))
    } else {
        End::Ran
    };
    Ok((runs, end))
}

/// Runs the program and shows what it prints. Returns how it ended and its last lines.
fn watch(backend: Backend, command: &mut Command) -> Result<(ExitStatus, String)> {
    // In a group of its own, so that Ctrl-C reaches it through the clean-up, after which nothing is started any more.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, guard) = cleanup::spawn(command, Signal::SIGKILL)?;
    let pid = process::pid(child.id())?;
    let (sender, lines) = mpsc::channel();
    process::forward(child.stdout.take().context("no standard output")?, sender.clone());
    process::forward(child.stderr.take().context("no standard error")?, sender);
    let mut progress = Progress::new(backend.name());
    let mut last_words: Vec<String> = Vec::new();
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) if is_ours(backend, &line) => {
                progress.line(&line);
                last_words.push(line);
                if last_words.len() > 200 {
                    last_words.drain(..100);
                }
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                process::kill_tree(pid);
                child.wait()?;
                guard.release();
                progress.end();
                bail!("the suite printed nothing for {} minutes and was killed", SILENCE.as_secs() / 60);
            }
        }
    }
    let status = child.wait()?;
    guard.release();
    progress.end();
    Ok((status, process::tail(&last_words.join("\n"), 30)))
}

/// Whether a line may be shown: it is not about a case of another backend in the same program.
fn is_ours(backend: Backend, line: &str) -> bool {
    let name = line.strip_prefix("test ").unwrap_or(line);
    match name.split_once("::") {
        Some((first, _)) if super::BACKENDS.iter().any(|backend| backend.name() == first) => {
            backend.is_called(first)
        }
        _ => true,
    }
}
