//! `cargo xtask conformance`: runs the suite against every backend, with real servers, and says what is proven.

mod build;
mod options;
mod progress;
mod suite;

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::backend::Backend;
use crate::process::Missing;
use crate::report::{self, End, Proof, Report};
use crate::server::{self, Server};
use crate::testing::Counts;
use crate::{command_line, machine, terminal};
pub(crate) use build::TESTS;
use build::{Program, Programs};
pub(crate) use options::Options;

/// Runs the command. Returns whether nothing failed.
pub(crate) fn run(mut options: Options) -> Result<bool> {
    options.check().unwrap_or_else(|error| error.exit());
    options.sources.durable = true;
    // No case kills the machine.
    options.sources.unsynced = true;
    let (started, start) = (jiff::Timestamp::now(), Instant::now());
    let backends = options.backends();
    let names: Vec<_> = backends.iter().map(|backend| backend.name()).collect();
    let installs =
        if options.sources.local.install { "what is missing is installed" } else { "nothing is installed" };
    terminal::step(format_args!("conformance suite on {}; {installs}", names.join(", ")));
    let programs = build::build(&options)?;
    if options.list {
        return list(&options, &programs).map(|()| true);
    }
    let mut proofs = Vec::new();
    for &backend in &backends {
        let stopped = !options.keep_going && proofs.iter().any(is_failure);
        let proof = if stopped {
            Proof::not_run(backend, "an earlier backend failed (--keep-going goes on)")
        } else {
            prove(backend, &options, &programs)
        };
        proofs.push(judge(backend, proof, &options));
    }
    let mut command = command_line::own_line(std::env::args().skip(1));
    if !command.contains(" --seed") {
        command.push_str(&format!(" --seed {}", options.seed));
    }
    let report = Report {
        command,
        started,
        took: start.elapsed(),
        seed: options.seed,
        context: machine::describe(),
        backends: proofs,
    };
    report::print(&report);
    if let Some(folder) = &options.report {
        report.write(folder)?;
        terminal::say(format_args!("\nreport: {}", folder.join("report.html").display()));
    }
    let report::Counts { passed, failed, not_run, .. } = report.totals();
    options.tally.add(&Counts { passed, failed, not_run, failures: report.failures() })?;
    terminal::say(format_args!(
        "\nconformance: {passed} passed, {failed} failed, {not_run} not run in {}; repeat with {}",
        report::human(report.took),
        report.command,
    ));
    let missing: Vec<_> = report.backends.iter().filter_map(|proof| proof.missing).collect();
    server::tell_missing(&missing, "cargo xtask conformance");
    Ok(!report.backends.iter().any(is_failure))
}

fn is_failure(proof: &Proof) -> bool {
    matches!(proof.end, End::Broken(_)) || proof.counts().failed > 0
}

/// Whoever asks for a backend wants it proven: that nothing ran is then no excuse.
fn judge(backend: Backend, mut proof: Proof, options: &Options) -> Proof {
    let by = if options.require.contains(&backend) {
        "required"
    } else if options.named.contains(&backend) {
        "asked for by name"
    } else {
        ""
    };
    if proof.end == End::Ran && proof.counts().passed + proof.counts().failed == 0 {
        let why = proof.cases().find_map(|case| case.why.as_deref());
        proof.end = End::NotRun(why.unwrap_or("no case's name contains the filter").to_owned());
    }
    if let (End::NotRun(why), false) = (&proof.end, by.is_empty()) {
        proof.end = End::Broken(format!("{by}, but no case ran: {why}"));
    }
    proof
}

fn prove(backend: Backend, options: &Options, programs: &Programs) -> Proof {
    terminal::step(format_args!("\n{}", backend.name()));
    let start = Instant::now();
    let mut proof = Proof::not_run(backend, "it has no test that runs the suite");
    let ended = match programs.get(&backend) {
        Some(programs) => prove_with(programs, &mut proof, backend, options),
        None => Ok(()),
    };
    if let Err(error) = ended {
        let end = if error.is::<Missing>() { End::NotRun } else { End::Broken };
        proof.end = end(format!("{error:#}"));
    }
    proof.took = start.elapsed();
    match &proof.end {
        End::Ran => {}
        End::NotRun(why) => terminal::detail(format_args!("not run: {why}")),
        End::Broken(why) => terminal::detail(why),
    }
    proof
}

fn prove_with(
    programs: &[Result<Program, String>],
    proof: &mut Proof,
    backend: Backend,
    options: &Options,
) -> Result<()> {
    let mut server = None;
    if let Backend::Server(kind) = backend {
        proof.missing = Some(kind);
        let opened = server::open(kind, &options.sources)?;
        proof.missing = None;
        proof.server = Some(opened.origin.clone());
        server = Some(opened);
    }
    proof.end = End::Ran;
    let ended = programs.iter().try_for_each(|program| match program {
        Ok(program) => suite::run(program, proof, backend, server.as_ref(), options),
        Err(why) => Err(anyhow!("{why}")),
    });
    let is_failure = ended.is_err() || is_failure(proof);
    if let (true, Some(log)) = (is_failure, server.and_then(|server| server.log_tail())) {
        terminal::detail("the end of the server's log:");
        log.lines().for_each(|line| terminal::detail(format_args!("  {line}")));
    }
    ended
}

/// The program that breaks a backend, ready to be run: it knows the test program, and where the server is.
pub(crate) fn breaker(backend: Backend, server: Option<&Server>) -> Result<Command> {
    let (program, breaker) = build::with_faults(backend)?;
    let tests = suite::command(backend, &program, server);
    let mut command = Command::new(breaker);
    command.args(["--backend", backend.name(), "--program"]).arg(&program.executable);
    command.current_dir(&program.folder).stdin(Stdio::null());
    for (name, value) in tests.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ok(command)
}

fn list(options: &Options, programs: &Programs) -> Result<()> {
    for (&backend, programs) in programs {
        for program in programs.iter().flatten() {
            suite::list(backend, program, options)?;
        }
    }
    Ok(())
}
