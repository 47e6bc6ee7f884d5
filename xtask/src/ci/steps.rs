//! The steps that cargo does.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::testing::{self, Counts, LIMIT};
use crate::workspace::{self, Metadata};
use crate::{cleanup, conformance, process, terminal};

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
    let mut counts = testing::run(&mut tests)?;
    counts.add(testing::run(test().arg("--doc"))?);
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
