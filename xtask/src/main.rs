//! The tasks of this repository: `cargo xtask COMMAND`. One file a command, each with its options and a `run`.
//!
//! Runs on Linux, other Unixes and macOS. It depends on none of the crates that it tests, so that it works while they do
//! not compile, and leaves to libraries and programs what they do. Its own are
//!
//! - servers without containers ([`server`]): many machines have no container engine, and none of what starts a server
//!   from a distribution's programs also freezes it, kills it at one instant and starts it again on the same port;
//! - the clean-up ([`cleanup`]): what a destructor undoes stays behind after `kill -9`;
//! - the benchmark ([`mod@bench`]): its subjects are programs in two languages with four lock files, which take turns on one
//!   server, and what the server spends counts; the known ones measure functions of one program. Its page and pictures
//!   are made in `bench/report`;
//! - the counting of tests ([`testing`]): cargo-nextest runs no documentation's tests, and does not show what a test that
//!   passed printed, which is how tests say what they could not try here.

mod backend;
mod bench;
mod ci;
mod cleanup;
mod command_line;
mod conformance;
mod drivers;
mod interop;
mod machine;
mod mutants;
mod process;
mod process_tree;
mod report;
mod server;
mod tally;
mod terminal;
mod testing;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// The tasks of this repository
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
enum Task {
    Bench(bench::Options),
    Ci(ci::Options),
    Conformance(conformance::Options),
    Drivers(drivers::Options),
    Interop(interop::Options),
    Mutants(mutants::Options),
    #[command(name = cleanup::COMMAND, hide = true)]
    CleanUp,
}

fn main() -> ExitCode {
    let succeeded = match Task::parse() {
        Task::Bench(options) => bench::run(options),
        Task::Ci(options) => ci::run(&options),
        Task::Conformance(options) => conformance::run(options),
        Task::Drivers(options) => drivers::run(options),
        Task::Interop(options) => interop::run(options),
        Task::Mutants(options) => mutants::run(options),
        Task::CleanUp => return cleanup::run(),
    };
    match succeeded {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
