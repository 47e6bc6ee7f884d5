//! Breaks the real drivers, one fault at a time, and runs a backend's own suite on each: `cargo xtask mutants`.
//!
//! One build serves all faults: the feature `__mutants` of session-core and session-sql builds them in, and a variable of
//! the environment switches one on. Faults of statements are made by session-sql's mutator, which lists them as a store is
//! opened. Those of the code around them stand in the code, as `broken("handle: …")`.
//!
//! A fault is found if a case fails. What is not found has to be in `known.txt`, which says why that is right.

mod faults;
mod known;
mod results;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;

use faults::Fault;
use known::Known;
use results::{Results, Verdict};
use session_mutants::Choice;
use suite::Suite;

/// Run a backend's suite on each fault
#[derive(Debug, Parser)]
struct Options {
    /// The backend's name in the names of the cases
    #[arg(long)]
    backend: String,
    /// The test program, built with the faults
    #[arg(long)]
    program: PathBuf,
    /// The workspace's folder
    #[arg(long)]
    root: PathBuf,
    /// Where the results are kept; those of an earlier run stay
    #[arg(long)]
    results: PathBuf,
    #[command(flatten)]
    choice: Choice,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every fault was found, or need not be.
fn run(options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let suite = Suite::new(&options.program, &options.backend)?;
    let mut faults = faults::in_code(&options.root, &options.backend)?;
    faults.extend(suite.faults_of_statements()?);
    if let Some(text) = &options.choice.only {
        faults.retain(|fault| fault.id.contains(text) || fault.what.contains(text));
    }
    if faults.is_empty() {
        bail!("there is no such fault");
    }
    if options.choice.list {
        faults.iter().for_each(|fault| println!("{fault}"));
        return Ok(true);
    }
    let known = Known::read(&options.root.join("mutants/known.txt"))?;
    let mut results = Results::open(&options.results, options.choice.again)?;
    let mut left: Vec<&Fault> = faults.iter().filter(|fault| results.of(&fault.id).is_none()).collect();
    println!("{}: {} faults, {} to try", options.backend, faults.len(), left.len());
    if !left.is_empty() {
        suite.accuses_nobody()?;
    }
    let end = options.choice.minutes.map(|minutes| begun + Duration::from_secs(60 * minutes));
    left.retain(|fault| {
        if end.is_some_and(|end| Instant::now() >= end) {
            return true;
        }
        let verdict = suite.examine(fault);
        println!("{}: {verdict}", fault.id);
        if verdict == Verdict::NotFound {
            println!(
                "    {}{}",
                fault.what,
                known.why(&fault.id).map(|why| format!("\n    {why}")).unwrap_or_default()
            );
        }
        results.add(&fault.id, verdict);
        false
    });
    Ok(tell(options, &faults, &known, &results, left.len(), begun.elapsed()))
}

/// Says what came of it.
fn tell(
    options: &Options,
    faults: &[Fault],
    known: &Known,
    results: &Results,
    left: usize,
    took: Duration,
) -> bool {
    let (mut found, mut excused, mut open) = (0_usize, 0_usize, Vec::new());
    for fault in faults {
        match results.of(&fault.id) {
            Some(Verdict::NotFound) if known.why(&fault.id).is_some() => excused += 1,
            Some(Verdict::NotFound) => open.push(fault),
            Some(Verdict::Found(_)) => {
                found += 1;
                if known.why(&fault.id).is_some() {
                    println!("found, though known.txt says that it cannot be: {fault}");
                }
            }
            None => {}
        }
    }
    open.iter().for_each(|fault| println!("not found: {fault}"));
    let that_count = (found + open.len()).max(1);
    println!(
        "{}: {found} of {that_count} faults found ({} %), {excused} that change nothing or speed alone; {left} left to try; {} s",
        options.backend,
        found * 100 / that_count,
        took.as_secs(),
    );
    open.is_empty()
}
