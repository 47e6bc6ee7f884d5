//! `cargo xtask conformance`: runs the suite against every backend, with real servers, and says what is proven.

mod build;
mod options;
mod progress;
mod suite;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::report::{self, End, Proof, Report};
use crate::server::{self, Kind, Opened};
use crate::{process, tally, terminal, workspace};
pub(crate) use build::TESTS;
use build::{Program, Programs};
use options::Options;

/// What can be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backend {
    Memory,
    /// The example of a backend that a stranger wrote.
    Custom,
    Sqlite,
    Server(Kind),
}

/// Quickest first.
pub(crate) const BACKENDS: [Backend; 7] = [
    Backend::Memory,
    Backend::Custom,
    Backend::Sqlite,
    Backend::Server(Kind::Postgres),
    Backend::Server(Kind::Mariadb),
    Backend::Server(Kind::Mysql),
    Backend::Server(Kind::Mssql),
];

impl Backend {
    /// The name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Custom => "custom",
            Self::Sqlite => "sqlite",
            Self::Server(kind) => kind.name(),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        BACKENDS.into_iter().find(|backend| backend.name() == name)
    }

    /// Whether a run of the suite that calls its backend so is one of this backend. A package's tests may hold several
    /// backends; MariaDB and MySQL have one driver, which may call them both by either name.
    fn is_called(self, name: &str) -> bool {
        match self {
            Self::Server(Kind::Mariadb | Kind::Mysql) => name == "mysql" || name == "mariadb",
            // A stranger's backend has a name of its own.
            Self::Custom => true,
            other => other.name() == name,
        }
    }
}

/// Runs the command.
pub(crate) fn run(parser: lexopt::Parser) -> Result<ExitCode> {
    let options = match options::parse(parser) {
        Ok(Some(options)) => options,
        Ok(None) => {
            terminal::say(&options::help());
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            terminal::failure(&format!("{error}; see cargo xtask conformance --help"));
            return Ok(ExitCode::from(2));
        }
    };
    let (started, start) = (SystemTime::now(), Instant::now());
    if options.sources.install {
        build::prepare(&options.backends)?;
    }
    let programs = build::build(&options.backends, options.named.is_empty())?;
    if options.list {
        return list(&options, &programs);
    }
    let mut backends = Vec::new();
    let mut stopped = false;
    for &backend in &options.backends {
        let proof = if stopped {
            let why = "an earlier backend failed (--keep-going goes on)".to_owned();
            nothing(backend, None, End::NotRun(why))
        } else {
            prove(backend, &options, &programs)
        };
        let proof = judge(backend, proof, &options);
        stopped |= !options.keep_going && is_failure(&proof);
        backends.push(proof);
    }
    let report = Report {
        command: options.command_line(),
        started,
        took: start.elapsed(),
        seed: options.seed,
        context: context(),
        backends,
    };
    report::print(&report);
    if let Some(folder) = &options.report {
        report.write(folder)?;
        terminal::say(&format!("\nreport: {}", folder.join("report.html").display()));
    }
    let totals = report.totals();
    tally::add(options.tally.as_deref(), totals.passed, totals.failed, &report.failures())?;
    let failed = report.backends.iter().any(is_failure);
    terminal::say(&format!(
        "\nconformance: {} passed, {} failed, {} not run in {}; repeat with {}",
        totals.passed,
        totals.failed,
        totals.not_run,
        report::human(report.took),
        report.command,
    ));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_failure(proof: &Proof) -> bool {
    matches!(proof.end, End::Broken(_)) || proof.counts().failed > 0
}

/// Whoever asks for a backend wants it proven: that nothing ran is then no excuse.
fn judge(backend: Backend, mut proof: Proof, options: &Options) -> Proof {
    let by = if options.required.contains(&backend) {
        "required"
    } else if options.named.contains(&backend) {
        "asked for by name"
    } else {
        ""
    };
    if proof.end == End::Ran && !proof.ran_something() {
        let why = proof.runs.iter().flat_map(|run| &run.cases).find_map(|case| match &case.outcome {
            report::Outcome::NotRun(why) | report::Outcome::Inapplicable(why) => Some(why.as_str()),
            report::Outcome::Passed | report::Outcome::Failed(_) => None,
        });
        let nothing_fits = "no case's name contains the filter";
        proof.end = End::NotRun(why.unwrap_or(nothing_fits).to_owned());
    }
    if let (End::NotRun(why), false) = (&proof.end, by.is_empty()) {
        proof.end = End::Broken(format!("{by}, but no case ran: {why}"));
    }
    proof
}

fn prove(backend: Backend, options: &Options, programs: &Programs) -> Proof {
    terminal::step(&format!("\n{}", backend.name()));
    let start = Instant::now();
    let mut proof = match programs.get(&backend) {
        Some(Ok(program)) => prove_with(backend, program, options),
        Some(Err(why)) => nothing(backend, None, End::Broken(why.clone())),
        None => nothing(backend, None, End::NotRun("it has no test that runs the suite".to_owned())),
    };
    proof.took = start.elapsed();
    match &proof.end {
        End::Ran => {}
        End::NotRun(why) => terminal::detail(&format!("not run: {why}")),
        End::Broken(why) => terminal::detail(why),
    }
    proof
}

fn prove_with(backend: Backend, program: &Program, options: &Options) -> Proof {
    let Backend::Server(kind) = backend else { return suite::run(backend, program, None, options) };
    match server::open(kind, &options.sources) {
        Ok(Opened::Server(server)) => {
            terminal::detail(&format!("server: {}", server.origin));
            let proof = suite::run(backend, program, Some(&server), options);
            if let (true, Some(log)) = (is_failure(&proof), server.log_tail()) {
                terminal::detail("the end of the server's log:");
                log.lines().for_each(|line| terminal::detail(&format!("  {line}")));
            }
            proof
        }
        Ok(Opened::Unavailable(why)) => nothing(backend, None, End::NotRun(why)),
        Err(error) => nothing(backend, None, End::Broken(format!("{error:#}"))),
    }
}

/// A proof of a backend on which the suite did not run.
fn nothing(backend: Backend, server: Option<String>, end: End) -> Proof {
    Proof { backend: backend.name(), server, end, runs: Vec::new(), took: Duration::ZERO }
}

fn list(options: &Options, programs: &Programs) -> Result<ExitCode> {
    for &backend in &options.backends {
        if let Some(Ok(program)) = programs.get(&backend) {
            suite::list(backend, program, options)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a reader of the report has to know to repeat it.
fn context() -> Vec<(&'static str, String)> {
    let ask = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(workspace::root());
        let ended = process::answer(&mut command, Duration::from_secs(20)).ok()?;
        ended.status.success().then(|| ended.output.trim().to_owned())
    };
    let mut context = Vec::new();
    if let Some(revision) = ask("git", &["rev-parse", "--short=12", "HEAD"]) {
        let changed = ask("git", &["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
        context.push(("revision", revision + if changed { ", with uncommitted changes" } else { "" }));
    }
    if let Some(rustc) = ask("rustc", &["--version"]) {
        context.push(("compiler", rustc));
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let system = system.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    context.push(("machine", format!("{system}, {}, {cpus} CPUs", std::env::consts::ARCH)));
    context
}
