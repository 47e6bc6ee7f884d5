//! The steps that cargo does.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::Counts;
use crate::workspace::{self, Metadata, Package};
use crate::{cleanup, process, terminal};

pub(super) fn format(_: &Metadata) -> Result<Counts> {
    check(workspace::cargo().args(["fmt", "--all", "--check"]))
}

pub(super) fn lint_all(_: &Metadata) -> Result<Counts> {
    clippy(&["--workspace", "--all-features", "--all-targets"])
}

/// What a user compiles who takes one crate, or one feature of it, and nothing else: a missing feature of a dependency,
/// or code that is unused without another feature, shows only so.
pub(super) fn lint_each(metadata: &Metadata) -> Result<Counts> {
    let mut counts = Counts::default();
    for Package { name, features, has_library, .. } in metadata.members() {
        // Programs have no users who choose features.
        if !has_library {
            continue;
        }
        counts.add(clippy(&["--package", &name, "--lib", "--no-default-features"])?);
        for feature in features.iter().filter(|feature| *feature != "default") {
            counts.add(clippy(&[
                "--package",
                &name,
                "--lib",
                "--no-default-features",
                "--features",
                feature,
            ])?);
        }
    }
    Ok(counts)
}

fn clippy(which: &[&str]) -> Result<Counts> {
    check(workspace::cargo().args(["clippy", "--quiet"]).args(which).args(["--", "--deny=warnings"]))
}

pub(super) fn docs(_: &Metadata) -> Result<Counts> {
    let mut cargo = workspace::cargo();
    cargo.args(["doc", "--quiet", "--workspace", "--all-features", "--no-deps"]);
    check(cargo.env("RUSTDOCFLAGS", "--deny=warnings"))
}

/// All tests but the runs of the conformance suite, which have a command of their own.
pub(super) fn test(metadata: &Metadata) -> Result<Counts> {
    let everything = ["test", "--workspace", "--all-features", "--no-fail-fast"];
    let mut tests = workspace::cargo();
    tests.args(everything).args(["--lib", "--bins"]);
    let names: std::collections::BTreeSet<_> =
        metadata.members().into_iter().flat_map(|package| package.tests).collect();
    for name in names.iter().filter(|name| *name != "conformance") {
        tests.args(["--test", name]);
    }
    let mut counts = counted(&mut tests)?;
    counts.add(counted(workspace::cargo().args(everything).arg("--doc"))?);
    Ok(counts)
}

/// A command whose success is one check.
fn check(command: &mut Command) -> Result<Counts> {
    terminal::command(&process::line(command));
    let (mut child, guard) = cleanup::spawn(command, Signal::SIGTERM)?;
    let passed = child.wait()?.success();
    guard.release();
    Ok(Counts { passed: usize::from(passed), failed: usize::from(!passed) })
}

/// A command that runs tests, which are counted. One that fails without a failed test failed once.
fn counted(command: &mut Command) -> Result<Counts> {
    terminal::command(&process::line(command));
    let (mut child, guard) = cleanup::spawn(command.stdout(Stdio::piped()), Signal::SIGTERM)?;
    let output = child.stdout.take().context("no standard output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        counts.add(result(&line).unwrap_or_default());
        terminal::say(&line);
    }
    let success = child.wait()?.success();
    guard.release();
    if !success && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// The numbers in `test result: ok. 12 passed; 0 failed; …`.
fn result(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        let part = numbers.split("; ").find_map(|part| part.strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Counts { passed: number(" passed")?, failed: number(" failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_result_is_read() {
        let line = "test result: FAILED. 23 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.13s";
        assert_eq!(result(line), Some(Counts { passed: 23, failed: 1 }));
        assert_eq!(result("test a ... ok"), None);
    }
}
