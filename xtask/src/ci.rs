//! `cargo xtask ci`: everything that can be checked without a database server.

mod dependencies;
mod licences;
mod signatures;
mod source;
mod sql;
mod steps;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use lexopt::{Arg, ValueExt};

use crate::report::human;
use crate::terminal::{self, Paint, paint};
use crate::testing::Counts;
use crate::{tally, workspace};

/// One thing that is checked. What it returns counts; an error counts as one failure.
struct Step {
    name: &'static str,
    about: &'static str,
    /// Left out by `--quick`.
    long: bool,
    run: fn(&workspace::Metadata) -> Result<Counts>,
}

/// Cheapest first, so that a slip is told early. The order of the long ones lets each use what the one before compiled.
const STEPS: [Step; 9] = [
    Step { name: "format", about: "the code is formatted", long: false, run: steps::format },
    Step {
        name: "licences",
        about: "every dependency's licence is allowed",
        long: false,
        run: licences::check,
    },
    Step {
        name: "dependencies",
        about: "the crates depend in one direction",
        long: false,
        run: dependencies::check,
    },
    Step { name: "sql", about: "SQL stands in statement files alone", long: false, run: sql::check },
    Step {
        name: "signatures",
        about: "no driver's type in a public signature",
        long: false,
        run: signatures::check,
    },
    Step { name: "lint", about: "clippy, with all features", long: false, run: steps::lint_all },
    Step {
        name: "lint-each",
        about: "clippy, each crate and each feature alone",
        long: true,
        run: steps::lint_each,
    },
    Step { name: "docs", about: "rustdoc without a warning", long: true, run: steps::docs },
    Step { name: "test", about: "unit, integration and doc tests", long: true, run: steps::test },
];

/// Runs the command.
pub(crate) fn run(parser: lexopt::Parser) -> Result<ExitCode> {
    let options = match parse(parser) {
        Ok(Some(options)) => options,
        Ok(None) => return Ok(ExitCode::SUCCESS),
        Err(error) => {
            terminal::failure(&format!("{error}; see cargo xtask ci --help"));
            return Ok(ExitCode::from(2));
        }
    };
    let start = Instant::now();
    let metadata = workspace::Metadata::read()?;
    let mut total = Counts::default();
    let mut failed = Vec::new();
    for step in STEPS.iter().filter(|step| options.wants(step)) {
        terminal::step(&format!("\n{}: {}", step.name, step.about));
        let start = Instant::now();
        let counts = (step.run)(&metadata).unwrap_or_else(|error| {
            terminal::detail(&format!("{error:#}"));
            Counts::failed(format!("{error:#}"))
        });
        let (word, colour) = if counts.failed == 0 { ("ok", Paint::Green) } else { ("FAILED", Paint::Red) };
        terminal::detail(&format!("{}: {counts} in {}", paint(colour, word), human(start.elapsed())));
        if counts.failed > 0 {
            failed.push(step.name);
        }
        total.add(counts);
    }
    tally::add(options.tally.as_deref(), total.passed, total.failed, &total.failures)?;
    total.tell_failures();
    terminal::say(&format!("\nci: {total} in {}", human(start.elapsed())));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    terminal::say(&format!("repeat with cargo xtask ci {}", failed.join(" ")));
    Ok(ExitCode::FAILURE)
}

#[derive(Debug, Default)]
struct Options {
    quick: bool,
    steps: Vec<String>,
    tally: Option<PathBuf>,
}

impl Options {
    fn wants(&self, step: &Step) -> bool {
        if self.steps.is_empty() {
            !(self.quick && step.long)
        } else {
            self.steps.iter().any(|name| name == step.name)
        }
    }
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>> {
    let mut options = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => {
                help();
                return Ok(None);
            }
            Arg::Long("quick") => options.quick = true,
            Arg::Long("tally") => options.tally = Some(parser.value()?.into()),
            Arg::Value(name) => {
                let name = name.string()?;
                if !STEPS.iter().any(|step| step.name == name) {
                    bail!("no step `{name}`");
                }
                options.steps.push(name);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn help() {
    terminal::say(
        "Usage: cargo xtask ci [OPTIONS] [STEP...]\n\n\
         Checks everything that needs no database server. The backends are proven by cargo xtask conformance.\n\n\
         Steps (all of them if none is named)",
    );
    for step in &STEPS {
        terminal::say(&format!(
            "  {:<14} {}{}",
            step.name,
            step.about,
            if step.long { " (long)" } else { "" }
        ));
    }
    terminal::say(
        "\nOptions\n  --quick        leave out the long steps\n  --tally FILE   append how many passed and failed, and what failed\n  -h, --help     this text",
    );
}
