//! Tests that cargo runs, and checks beside them: counted, and what failed remembered.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::process::{self, Missing};
use crate::{command_line, terminal};

/// A compiler or a test that takes so long, or prints nothing for so long, hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How many checks or tests passed and failed, and how many could not be run here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) not_run: usize,
    /// What is to be known about those that failed.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.not_run += other.not_run;
        self.failures.extend(other.failures);
    }

    /// One check that passed.
    pub(crate) fn passed() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One check that could not be run here, and why.
    pub(crate) fn not_run(why: &str) -> Self {
        terminal::detail(format_args!("not run: {why}"));
        Self { not_run: 1, ..Self::default() }
    }

    /// What a part came to: counted, not run for want of something, or failed.
    pub(crate) fn of(part: &str, counts: Result<Self>, is_required: bool) -> Self {
        counts.unwrap_or_else(|error| match (error.is::<Missing>(), is_required) {
            (true, false) => Self::not_run(&format!("{error}")),
            (true, true) => Self::failed(format!("{part} is required, but not run: {error}")),
            (false, _) => Self::failed(format!("{part}: {error:#}")),
        })
    }

    /// One check that failed.
    pub(crate) fn failed(why: String) -> Self {
        Self { failed: 1, failures: vec![why], ..Self::default() }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        // Tests of a server that is not given, and of tools that are not here, say why on a line of their own.
        if self.not_run > 0 { write!(f, ", {} not run", self.not_run) } else { Ok(()) }
    }
}

/// A command that runs tests, which are counted. One that fails without a failed test failed once.
pub(crate) fn run(command: &mut Command) -> Result<Counts> {
    terminal::command(&command_line::line(command));
    let mut counts = Counts::default();
    let mut failures = Failures::default();
    let running = process::start(command.stdout(Stdio::piped()), Signal::SIGTERM)?;
    let status = running.listen(LIMIT, |line| {
        counts.add(result(&line).unwrap_or_default());
        failures.read(&line);
        terminal::say(&line);
    })?;
    counts.failures = failures.told;
    if !status.success() && counts.failed == 0 {
        counts.add(Counts::failed(format!("{status}: {}", command_line::line(command))));
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
