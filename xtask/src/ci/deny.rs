//! What cargo-deny says of everything that is compiled in, or that builds and tests use: deny.toml says what is allowed.

use std::time::Duration;

use anyhow::Result;

use super::{Counts, steps};
use crate::process;
use crate::workspace::{self, Metadata};

/// Long enough for a slow network.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn licences(_: &Metadata) -> Result<Counts> {
    ask(&["licenses", "sources"])
}

pub(super) fn dependencies(_: &Metadata) -> Result<Counts> {
    ask(&["bans"])
}

/// Fetches the list by itself first: that it cannot be had says nothing of the dependencies.
pub(super) fn advisories(_: &Metadata) -> Result<Counts> {
    let fetched = process::answer(workspace::cargo().args(["deny", "fetch", "db"]), LIMIT);
    match fetched {
        Ok(ended) if !is_there() || ended.status.success() => ask(&["advisories", "--disable-fetch"]),
        failed => {
            let why = failed.map_or_else(|error| error.to_string(), |ended| ended.last_words());
            Ok(Counts::not_run(&format!("advisories: not checked: {}", process::tail(&why, 1))))
        }
    }
}

fn is_there() -> bool {
    process::answer(workspace::cargo().args(["deny", "--version"]), LIMIT)
        .is_ok_and(|ended| ended.status.success())
}

fn ask(what: &[&str]) -> Result<Counts> {
    if !is_there() {
        return Ok(Counts::not_run(
            "there is no cargo-deny here; brought by cargo install --locked cargo-deny",
        ));
    }
    let mut cargo = workspace::cargo();
    cargo.args(["deny", "--workspace", "--all-features", "check", "--hide-inclusion-graph"]);
    steps::check(cargo.args(["--allow", "unused-wrapper"]).args(what))
}
