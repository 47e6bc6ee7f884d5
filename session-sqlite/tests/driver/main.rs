//! What is SQLite's own. What every backend must do is in the conformance suite.
//!
//! What this machine does not permit is shown as ignored, with the reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[macro_use]
mod support;

mod connect_typeorm;
mod connections;
mod doctor;
mod errors;
mod neighbours;
mod processes;
mod rows;
mod schema;
mod statements;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    if let Ok(role) = std::env::var("ROLE") {
        processes::play(&role);
        return ExitCode::SUCCESS;
    }
    let trials = [
        statements::trials(),
        connections::trials(),
        processes::trials(),
        rows::trials(),
        errors::trials(),
        schema::trials(),
        doctor::trials(),
        connect_typeorm::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}
