//! `cargo xtask mutants`: breaks the real drivers, one fault at a time, and runs a backend's own suite on each. The work is
//! done by the crate in `mutants/`.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use nix::sys::signal::Signal;
use session_mutants::Choice;

use crate::backend::Backend;
use crate::server::{self, Kind, Sources};
use crate::tally::Tally;
use crate::testing::Counts;
use crate::{command_line, conformance, process, terminal, workspace};

/// Break the drivers, and see whether the suite finds it
///
/// Every comparison, predicate, lock, order, limit, conflict clause and SET item of every statement, every setting of a
/// connection, and faults written into pools, batches, gatherer and handle. Each is switched on for one run of the
/// backend's suite, which ends at the first case that fails. All of them take hours; results are kept in
/// target/mutants, and the next run goes on where the last one ended.
///
/// Exit code: 0 all that were tried were found, or mutants/known.txt says why not; 1 one was not.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// What to break: memory, sqlite, postgres, mariadb or mysql; sqlite, postgres and mariadb if none is named
    #[arg(value_name = "BACKEND", value_parser = Backend::parser(&Backend::ALL))]
    named: Vec<Backend>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    tally: Tally,
    #[command(flatten)]
    sources: Sources,
}

/// A fault that hangs, on each variant of a backend.
const SILENCE: Duration = Duration::from_secs(3600);

/// Runs the command. Returns whether every fault that was tried was found, or need not be.
pub(crate) fn run(mut options: Options) -> Result<bool> {
    options.sources.durable = true;
    options.sources.unsynced = true;
    let mut backends = options.named.clone();
    if backends.is_empty() {
        backends = vec![Backend::Sqlite, Backend::Server(Kind::Postgres), Backend::Server(Kind::Mariadb)];
    }
    let start = Instant::now();
    let mut total = Counts::default();
    for backend in backends {
        let found = examine(backend, &options);
        total.add(Counts::of(backend.name(), found, options.named.contains(&backend)));
    }
    options.tally.conclude("mutants", start, &total)
}

/// Counts one that passed if every fault was found, or need not be.
fn examine(backend: Backend, options: &Options) -> Result<Counts> {
    let server = match backend {
        Backend::Server(kind) => Some(server::open(kind, &options.sources)?),
        _ => None,
    };
    let mut command = conformance::breaker(backend, server.as_ref())?;
    let results = workspace::root().join("target/mutants").join(backend.name()).with_extension("tsv");
    command.arg("--root").arg(workspace::root()).arg("--results").arg(results);
    command.args(options.choice.words());
    terminal::command(&command_line::line(&command));
    let status = process::start(&mut command, Signal::SIGKILL)?.listen(SILENCE, terminal::say)?;
    Ok(match status.success() {
        true => Counts::passed(),
        false => Counts::failed(format!(
            "mutants {}: a fault was not found, or none could be tried",
            backend.name()
        )),
    })
}
