//! The steps that cargo does.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::Counts;
use crate::workspace::{self, Metadata};
use crate::{cleanup, conformance, process, terminal};

/// A compiler or a test that takes so long, or prints nothing for so long, hangs.
const LIMIT: Duration = Duration::from_secs(30 * 60);

pub(super) fn format(_: &Metadata) -> Result<Counts> {
    let colour = if terminal::is_interactive() { "auto" } else { "never" };
    check(workspace::cargo().args(["fmt", "--all", "--check", "--", "--color", colour]))
}

pub(super) fn lint_all(metadata: &Metadata) -> Result<Counts> {
    workspace::left_out().for_each(|line| terminal::detail(&line));
    let mut which = metadata.everything();
    which.push("--all-targets".to_owned());
    clippy(&which)
}

/// What a user compiles who takes one crate, or one feature of it, and nothing else: a missing feature of a dependency,
/// or code that is unused without another feature, shows only so.
pub(super) fn lint_each(metadata: &Metadata) -> Result<Counts> {
    let mut counts = Counts::default();
    // Programs have no users who choose features.
    for package in metadata.members().iter().filter(|package| package.targets("lib").next().is_some()) {
        let alone = ["--package", &package.name, "--lib", "--no-default-features"].map(str::to_owned);
        counts.add(clippy(&alone)?);
        for feature in package.buildable_features() {
            counts.add(clippy(&[&alone[..], &["--features".to_owned(), feature.to_owned()]].concat())?);
        }
    }
    Ok(counts)
}

fn clippy(which: &[String]) -> Result<Counts> {
    check(
        workspace::cargo()
            .args(["clippy", "--quiet", "--keep-going"])
            .args(which)
            .args(["--", "--deny=warnings"]),
    )
}

pub(super) fn docs(metadata: &Metadata) -> Result<Counts> {
    let mut cargo = workspace::cargo();
    cargo.args(["doc", "--quiet", "--no-deps"]).args(metadata.everything());
    check(cargo.env("RUSTDOCFLAGS", "--deny=warnings"))
}

/// All tests but the runs of the conformance suite, which have a command of their own.
pub(super) fn test(metadata: &Metadata) -> Result<Counts> {
    let test = || {
        let mut cargo = workspace::cargo();
        cargo.args(["test", "--no-fail-fast"]).args(metadata.everything());
        cargo
    };
    let members = metadata.members();
    let names: BTreeSet<_> = members.iter().flat_map(|package| package.targets("test")).collect();
    let mut tests = test();
    tests.args(["--lib", "--bins", "--examples"]);
    for name in names.into_iter().filter(|name| !conformance::TESTS.contains(name)) {
        tests.args(["--test", name]);
    }
    let mut counts = counted(&mut tests)?;
    counts.add(counted(test().arg("--doc"))?);
    Ok(counts)
}

/// A command whose success is one check.
fn check(command: &mut Command) -> Result<Counts> {
    terminal::command(&process::line(command));
    let (mut child, guard) = cleanup::spawn(command, Signal::SIGTERM)?;
    let status = process::wait(&mut child, &process::line(command), LIMIT);
    guard.release();
    let status = status?;
    Ok(if status.success() {
        Counts::passed()
    } else {
        Counts::failed(format!("{status}: {}", process::line(command)))
    })
}

/// A command that runs tests, which are counted. One that fails without a failed test failed once.
fn counted(command: &mut Command) -> Result<Counts> {
    terminal::command(&process::line(command));
    let (mut child, guard) = cleanup::spawn(command.stdout(Stdio::piped()), Signal::SIGTERM)?;
    let output = child.stdout.take().context("no standard output")?;
    let (sender, lines) = mpsc::channel();
    process::forward(output, sender);
    let mut counts = Counts::default();
    let mut failures = Failures::default();
    // Until everybody who could print something has ended, or nobody has printed anything for long.
    let patience = loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => {
                counts.add(result(&line).unwrap_or_default());
                failures.read(&line);
                terminal::say(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break LIMIT,
            Err(RecvTimeoutError::Timeout) => break Duration::ZERO,
        }
    };
    let status = process::wait(&mut child, &process::line(command), patience);
    guard.release();
    let status = status?;
    counts.failures = failures.told;
    if !status.success() && counts.failed == 0 {
        counts.add(Counts::failed(format!("{status}: {}", process::line(command))));
    }
    Ok(counts)
}

/// What the harness says about tests that failed: between `failures:` and the list of their names.
#[derive(Default)]
struct Failures {
    told: Vec<String>,
    is_within: bool,
}

impl Failures {
    /// Of one test: its name, its message, and where it stopped; what it wrote before can be long.
    const LINES: usize = 30;

    fn read(&mut self, line: &str) {
        if line == "failures:" {
            self.is_within = !self.is_within;
        } else if line.starts_with("test result: ") {
            self.is_within = false;
        } else if self.is_within && line.starts_with("---- ") {
            self.told.push(line.to_owned());
        } else if let (true, Some(last)) = (self.is_within && !line.is_empty(), self.told.last_mut())
            && last.lines().count() < Self::LINES
        {
            last.extend(["\n", line]);
        }
    }
}

/// The numbers of passed, failed and ignored ones in `test result: ok. 12 passed; 0 failed; …`.
fn result(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        let part = numbers.split("; ").find_map(|part| part.strip_suffix(word))?;
        part.trim().parse().ok()
    };
    let (passed, failed, not_run) = (number(" passed")?, number(" failed")?, number(" ignored")?);
    Some(Counts { passed, failed, not_run, ..Counts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_result_is_read() {
        let line = "test result: FAILED. 23 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 0.13s";
        let counts = Counts { passed: 23, failed: 1, not_run: 4, ..Counts::default() };
        assert_eq!(result(line), Some(counts));
        assert_eq!(result("test a ... ok"), None);
    }

    #[test]
    fn what_failed_is_told() {
        let output = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\n\nthread 'a' panicked at src/lib.rs:1:1:\nno\n\n\n\
                      failures:\n    a\n\ntest result: FAILED. 0 passed; 1 failed\n\nfailures:\n\n---- b ----\nnever\n\n\
                      failures:\n    b\n\ntest result: FAILED. 0 passed; 1 failed\ntest c ... ok";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        let told = ["---- a stdout ----\nthread 'a' panicked at src/lib.rs:1:1:\nno", "---- b ----\nnever"];
        assert_eq!(failures.told, told);
    }
}
