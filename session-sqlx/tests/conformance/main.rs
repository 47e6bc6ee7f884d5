//! Runs the conformance suite on SQLite, and on PostgreSQL and on MySQL or MariaDB, where the environment names a server.

#[cfg(feature = "sqlite")]
#[path = "../../../session-sqlite/tests/conformance/file.rs"]
mod file;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "mysql"))]
#[path = "../../../session-diesel/tests/conformance/variant.rs"]
mod variant;

use std::process::ExitCode;

use conformance::Availability;

fn main() -> ExitCode {
    let mut backends: Vec<Availability> = Vec::new();
    #[cfg(feature = "postgres")]
    backends.extend(postgres::backends());
    #[cfg(not(feature = "postgres"))]
    backends.push(Availability::not_run("postgres", "the feature `postgres` is off"));
    #[cfg(feature = "mysql")]
    backends.extend(mysql::backends());
    #[cfg(not(feature = "mysql"))]
    backends.push(Availability::not_run("mysql", "the feature `mysql` is off"));
    #[cfg(feature = "sqlite")]
    // It needs no server, so that it would run beside each one.
    match std::env::var("CONFORMANCE_BACKEND") {
        Ok(asked) if asked != "sqlite" => {}
        _ => backends.extend(sqlite::backends()),
    }
    #[cfg(not(feature = "sqlite"))]
    backends.push(Availability::not_run("sqlite", "the feature `sqlite` is off"));
    conformance::main(backends)
}
