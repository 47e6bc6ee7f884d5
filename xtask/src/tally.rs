//! What passed and failed, added up over several commands in a file: a line of two numbers each, and a line for each
//! thing to know about what failed, so that it can be said last, where a reader of a long log looks first.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;

use crate::report::human;
use crate::terminal;
use crate::testing::Counts;

/// Before a line about what failed.
const FAILED: &str = "FAILED ";

#[derive(Args, Clone, Debug)]
pub(crate) struct Tally {
    /// Append how many passed and failed, and what failed
    #[arg(long, value_name = "FILE")]
    tally: Option<PathBuf>,
}

impl Tally {
    /// Says what failed and what a command counted, and adds it to the file. Returns whether nothing failed.
    pub(crate) fn conclude(&self, command: &str, start: Instant, total: &Counts) -> Result<bool> {
        for failure in &total.failures {
            terminal::step("\nfailed");
            failure.lines().for_each(terminal::detail);
        }
        self.add(total)?;
        terminal::say(format_args!("\n{command}: {total} in {}", human(start.elapsed())));
        Ok(total.failed == 0)
    }

    /// Adds to the file, if there is to be one.
    pub(crate) fn add(&self, total: &Counts) -> Result<()> {
        let Some(path) = &self.tally else { return Ok(()) };
        let mut text = format!("{} {}\n", total.passed, total.failed);
        for line in total.failures.iter().flat_map(|failure| failure.lines()) {
            text.extend([FAILED, line, "\n"]);
        }
        let file = File::options().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}
