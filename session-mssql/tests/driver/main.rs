//! What is this driver's own, beside the conformance suite: connections, on a test server that speaks the protocol, and
//! what only a real server shows. A test whose server is not there is shown as ignored, with the reason.

// Some of what the tests share serves the mock alone.
#![cfg_attr(not(feature = "mock"), allow(dead_code, unused_imports, unused_macros))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod connect_mssql_v2;
mod connect_typeorm;
#[cfg(feature = "mock")]
mod connections;
mod doctor;
#[cfg(feature = "mock")]
mod errors;
#[cfg(feature = "mock")]
mod lives;
#[cfg(feature = "mock")]
mod rows;
mod schema;
#[cfg(feature = "mock")]
mod statements;
mod strangers;
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;

/// Tests of modules that use the mock; built without it, what stands for them.
macro_rules! with_mock {
    ($($module:ident),* $(,)?) => {
        [$({
            #[cfg(feature = "mock")]
            let trials = $module::trials();
            #[cfg(not(feature = "mock"))]
            let trials = vec![support::left_out(stringify!($module))];
            trials
        }),*]
    };
}

fn main() -> ExitCode {
    let mocked = with_mock![statements, errors, connections, lives, rows];
    let others = [
        strangers::trials(),
        schema::trials(),
        doctor::trials(),
        connect_typeorm::trials(),
        connect_mssql_v2::trials(),
    ];
    let trials = mocked.into_iter().chain(others).flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
