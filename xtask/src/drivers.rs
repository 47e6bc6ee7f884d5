//! `cargo xtask drivers`: each driver's own tests against a real server, and the facade's tests of the web layer and of the
//! adapters: what is not in the contract, and therefore not in the conformance suite.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::process::{self, Missing};
use crate::server::{self, Kind, Sources};
use crate::tally::Tally;
use crate::terminal;
use crate::testing::{self, Counts};
use crate::workspace::{self, Metadata};

/// Run the drivers' own tests against real servers
///
/// Runs the tests of the drivers that need a server and are no backend's promise to an application: round trips and prepared
/// statements as the server counts them, every error and its class, every number, encryption and its certificates, a pooler
/// before the server, tables that a Node application made. Then the web layer and the stores for tower-sessions and
/// actix-session on that server, under real requests: 100 rounds of 8 at once, or as many as ROUNDS says. Servers are found or started as by cargo xtask conformance.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Whose driver; all of them if none is named, and each that is named has to run
    #[arg(value_name = "DATABASE")]
    kinds: Vec<Kind>,
    /// That one of these was not run is a failure
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    require: Vec<Kind>,
    #[command(flatten)]
    tally: Tally,
    #[command(flatten)]
    sources: Sources,
}

/// Runs the command. Returns whether nothing failed.
pub(crate) fn run(options: Options) -> Result<bool> {
    let start = Instant::now();
    let mut total = Counts::default();
    let mut missing = Vec::new();
    let meant = if options.kinds.is_empty() { &Kind::SINGLE[..] } else { &options.kinds };
    for &kind in meant {
        terminal::step(format_args!("\n{}", kind.name()));
        let is_required = options.require.contains(&kind) || options.kinds.contains(&kind);
        let proven = prove(kind, &options.sources);
        missing.extend(proven.as_ref().is_err_and(|error| error.is::<Missing>()).then_some(kind));
        total.add(Counts::of(kind.name(), proven, is_required));
    }
    let succeeded = options.tally.conclude("drivers", start, &total)?;
    server::tell_missing(&missing, "cargo xtask drivers");
    Ok(succeeded)
}

/// The facade's tests that run on every store.
const FACADE: &[&str] =
    &["web", "tower_sessions_merge", "tower_sessions_hosts", "tower_sessions_0_14", "actix_session"];

fn prove(kind: Kind, sources: &Sources) -> Result<Counts> {
    let server = server::open(kind, sources)?;
    let pooler = process::find("pgbouncer", &["/usr/sbin".into()]);
    if kind == Kind::Postgres && sources.local.install && pooler.is_none() {
        server::install(&["pgbouncer"])?;
    }
    if kind == Kind::Mssql && sources.local.install && !workspace::has_openssl() {
        server::install(&["libssl-dev", "pkg-config"])?;
    }
    let module = match kind {
        Kind::Postgres => "postgres::",
        Kind::Mariadb | Kind::Mysql | Kind::Galera => "mysql::",
        Kind::Mssql => "mssql::",
    };
    let everything = Metadata::read()?.everything();
    let tests = || {
        let mut cargo = workspace::cargo();
        // All features of the workspace, as for the other commands: nothing is compiled twice.
        cargo.args(["test", "--no-fail-fast"]).args(&everything);
        for &other in Kind::value_variants() {
            cargo.env_remove(other.url_variable());
        }
        cargo.env(kind.url_variable(), &server.url);
        cargo
    };
    let mut counts = testing::run(tests().args(["--test", "driver", "--", module]))?;
    let mut facade = tests();
    facade.args(FACADE.iter().flat_map(|test| ["--test", test]));
    // The module is named for the store.
    facade.env("STORES", module.trim_end_matches(':'));
    counts.add(testing::run(&mut facade)?);
    if matches!(kind, Kind::Postgres | Kind::Mariadb | Kind::Mysql) {
        counts.add(migrations(|cargo| cargo.env(kind.url_variable(), &server.url), module)?);
    }
    Ok(counts)
}

/// The files for migration tools, run by those tools: `tests/migrations`, a workspace of its own, as no store needs them.
pub(crate) fn migrations(on: impl FnOnce(&mut Command) -> &mut Command, module: &str) -> Result<Counts> {
    let mut cargo = workspace::cargo();
    // In the workspace's own folder, so that what both need is compiled once.
    cargo.args(["test", "--locked", "--target-dir"]).arg(workspace::root().join("target"));
    cargo.arg("--manifest-path").arg(workspace::root().join("tests/migrations/Cargo.toml"));
    testing::run(on(&mut cargo).args(["--", module]))
}
