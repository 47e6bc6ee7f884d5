//! `cargo xtask ci`: everything that can be checked without a database server.

mod deny;
mod steps;

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use console::style;

use crate::report::human;
use crate::testing::Counts;
use crate::workspace::Metadata;
use crate::{tally::Tally, terminal};

/// Check everything that needs no database server
///
/// The backends are proven by cargo xtask conformance.
#[derive(Args, Debug)]
#[command(after_help = steps_help())]
pub(crate) struct Options {
    /// What to check; all of it if nothing is named
    #[arg(value_name = "STEP", value_parser = STEPS.map(|(name, ..)| name))]
    steps: Vec<String>,
    /// Leave out the long steps
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    tally: Tally,
}

/// One thing that is checked: its name, what it is, whether `--quick` leaves it out, and how it is done. What that returns
/// counts; an error counts as one failure.
type Step = (&'static str, &'static str, bool, fn(&Metadata) -> Result<Counts>);

/// Cheapest first, so that a slip is told early. The order of the long ones lets each use what the one before compiled.
const STEPS: [Step; 12] = [
    ("format", "the code is formatted", false, steps::format),
    ("licences", "every dependency's licence and source is allowed", false, deny::licences),
    ("dependencies", "the crates depend in one direction", false, deny::dependencies),
    ("advisories", "no dependency has a known vulnerability", false, deny::advisories),
    ("workflows", "actionlint finds no fault in .github/workflows", false, steps::workflows),
    ("lint", "clippy, with all features", false, steps::lint_all),
    ("lint-each", "clippy, each crate and each feature alone", true, steps::lint_each),
    ("package", "each crate that is published compiles as it would be", true, steps::package),
    ("docs", "rustdoc without a warning", true, steps::docs),
    ("test", "unit, integration and doc tests", true, steps::test),
    ("cot", "an application on cot, which has packages of its own", true, steps::cot),
    (
        "migrations",
        "the files for migration tools, run by refinery and diesel on SQLite",
        true,
        steps::migrations,
    ),
];

fn steps_help() -> String {
    STEPS.iter().fold("Steps:".to_owned(), |help, (name, about, is_long, _)| {
        format!("{help}\n  {name:<13} {about}{}", if *is_long { " (long)" } else { "" })
    })
}

/// Runs the command. Returns whether nothing failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let start = Instant::now();
    let metadata = Metadata::read()?;
    let mut total = Counts::default();
    let mut failed = Vec::new();
    for (name, about, is_long, step) in STEPS {
        let is_meant = options.steps.iter().any(|meant| meant == name);
        if !is_meant && (!options.steps.is_empty() || options.quick && is_long) {
            continue;
        }
        terminal::step(format_args!("\n{name}: {about}"));
        let start = Instant::now();
        let counts = step(&metadata).unwrap_or_else(|error| {
            terminal::detail(format_args!("{error:#}"));
            Counts::failed(format!("{error:#}"))
        });
        let word = if counts.failed == 0 { style("ok").green() } else { style("FAILED").red() };
        terminal::detail(format_args!("{word}: {counts} in {}", human(start.elapsed())));
        if counts.failed > 0 {
            failed.push(name);
        }
        total.add(counts);
    }
    let succeeded = options.tally.conclude("ci", start, &total)?;
    if !succeeded {
        terminal::say(format_args!("repeat with cargo xtask ci {}", failed.join(" ")));
    }
    Ok(succeeded)
}
