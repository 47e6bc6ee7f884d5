//! One run of a backend's test program: told where the server is, watched, and asked what came of it.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::Options;
use super::build::Program;
use super::progress::Progress;
use crate::backend::Backend;
use crate::report::{Proof, Suite};
use crate::server::{Kind, Server};
use crate::{cleanup, command_line, process, terminal};

/// A program that prints nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(600);

/// As long as the suite lets a kill and what follows take, where many are asked for.
const KILL: Duration = Duration::from_secs(20);

/// The zone of the test program: neither the server's nor UTC, and not even a whole number of hours away from either.
const TIME_ZONE: &str = "America/St_Johns";

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

/// A test program, told where the server is.
pub(super) fn command(backend: Backend, program: &Program, server: Option<&Server>) -> Command {
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
        command.env(kind.url_variable(), &server.url);
        command.envs(server.control.as_ref().map(|address| ("CONFORMANCE_CONTROL", address)));
    }
    command
}

/// Runs the suite on one backend.
///
/// # Errors
/// What kept it from its end.
pub(super) fn run(
    program: &Program,
    proof: &mut Proof,
    backend: Backend,
    server: Option<&Server>,
    options: &Options,
) -> Result<()> {
    let (folder, _guard) = cleanup::folder("report")?;
    let file = folder.join("report.json");
    let mut command = command(backend, program, server);
    command.arg(format!("--seed={}", options.seed));
    command.args(options.kills.map(|kills| format!("--kills={kills}")));
    command.args(options.cases.map(|cases| format!("--cases={cases}")));
    let harmless = || program.drills || server.is_none_or(|server| server.control.is_some());
    let faults = options.faults().unwrap_or_else(harmless);
    command.args((!faults).then_some("--no-faults")).args(options.thorough.then_some("--thorough"));
    command.args(&options.filter);
    terminal::command(&command_line::line(&command));
    command.env("CONFORMANCE_REPORT", &file);

    let (status, last_words) = watch(backend, &mut command, SILENCE.max(KILL * options.kills.unwrap_or(0)))?;
    let Ok(text) = fs::read_to_string(&file) else {
        bail!("the suite ended ({status}) without a report; its last words:\n{last_words}");
    };
    let runs = serde_json::from_str::<Suite>(&text).context("the suite's report is not as expected")?.runs;
    proof.runs.extend(runs.into_iter().filter(|run| is_called(backend, &run.backend)));
    if !status.success() && proof.failures().next().is_none() {
        bail!("the suite ended ({status}) although no case failed; its last words:\n{last_words}");
    }
    Ok(())
}

/// Runs the program and shows what it prints. Returns how it ended and its last lines.
fn watch(backend: Backend, command: &mut Command, silence: Duration) -> Result<(ExitStatus, String)> {
    // In a group of its own, so that Ctrl-C reaches it through the clean-up, after which nothing is started any more.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut progress = Progress::new(backend.name());
    let mut last_words = VecDeque::new();
    let status = process::start(command, Signal::SIGKILL)?.listen(silence, |line| {
        if is_ours(backend, &line) {
            progress.line(&line);
            last_words.push_back(line);
            if last_words.len() > 30 {
                last_words.pop_front();
            }
        }
    });
    progress.end();
    Ok((status?, Vec::from(last_words).join("\n")))
}

/// Whether a line may be shown: it is not about a case of another backend in the same program.
fn is_ours(backend: Backend, line: &str) -> bool {
    let name = line.strip_prefix("test ").unwrap_or(line);
    match name.split_once("::") {
        Some((first, _)) if Backend::WITH_CLUSTERS.iter().any(|backend| backend.name() == first) => {
            is_called(backend, first)
        }
        _ => true,
    }
}

/// Whether a run of the suite that calls its backend so is one of this backend. A package's tests may hold several backends;
/// MariaDB and MySQL have one driver, which may call them both by either name; a stranger's has a name of its own.
fn is_called(backend: Backend, name: &str) -> bool {
    match backend {
        Backend::Server(Kind::Mariadb | Kind::Mysql) => name == "mysql" || name == "mariadb",
        Backend::Server(Kind::Galera) => ["mysql", "mariadb", "galera"].contains(&name),
        Backend::Custom => true,
        other => other.name() == name,
    }
}
