//! `cargo xtask interop`: a Node application and a Rust one on one table of sessions, and one browser that uses both. The
//! browser is `tests/interop.rs`; this starts the databases and makes the applications.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::backend::Backend;
use crate::process::{self, Missing};
use crate::server::{self, Kind, Programs, Sources};
use crate::tally::Tally;
use crate::testing::{self, Counts};
use crate::workspace::{self, Metadata};
use crate::{cleanup, terminal};

/// The oldest Node that runs what `interop/package-lock.json` pins.
const OLDEST_NODE: u32 = 20;

/// The databases that a Node store and this project both know.
const DATABASES: &[Backend] = &[
    Backend::Sqlite,
    Backend::Server(Kind::Postgres),
    Backend::Server(Kind::Mariadb),
    Backend::Server(Kind::Mssql),
];

/// Prove that a Node application and a Rust one share live sessions
///
/// Runs a Node application (express, express-session; connect-typeorm, and on SQL Server also connect-mssql-v2) and a Rust
/// one (the layer for express sessions) on one live table, and a browser that signs in on one, is known on the other,
/// counts up on both in turn, signs out on one and is unknown on both: in every direction, on a table that either of them
/// made. Servers are started and stopped here. One that was there before is never used: the tables have names of their own.
///
/// Needs Node 20 or later and npm, and says so where they are missing. The first run installs the packages that
/// interop/package-lock.json pins into interop/node_modules; it needs npm's registry and no compiler.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where the table is; all of them by default
    #[arg(value_name = "DATABASE", value_parser = Backend::parser(DATABASES))]
    databases: Vec<Backend>,
    /// Fail if something cannot run, instead of saying so
    #[arg(long)]
    require: bool,
    #[command(flatten)]
    local: Programs,
    #[command(flatten)]
    tally: Tally,
}

/// Runs the command. Returns whether nothing failed.
pub(crate) fn run(options: Options) -> Result<bool> {
    let start = Instant::now();
    let mut total = Counts::default();
    let meant = if options.databases.is_empty() { DATABASES } else { &options.databases };
    let sources = Sources { local: options.local, fresh: true, ..Sources::default() };
    let applications = applications().or_else(|error| error.downcast().map(Err))?;
    for (&database, layout, maker) in meant.iter().flat_map(tables) {
        let title = format!("{}, {layout}, on a table that {maker} made", database.name());
        terminal::step(format_args!("\n{title}"));
        let proven = match &applications {
            Ok(applications) => prove(database, layout, maker, applications, &sources),
            Err(Missing(why)) => Err(Missing(why.clone()).into()),
        };
        total.add(Counts::of(&title, proven, options.require));
    }
    options.tally.conclude("interop", start, &total)
}

/// The tables that both use in a database: in the layout of which Node package, and made by whom.
fn tables(database: &Backend) -> impl Iterator<Item = (&Backend, &'static str, &'static str)> {
    let second = (*database == Backend::Server(Kind::Mssql)).then_some("connect-mssql-v2");
    let layouts = second.into_iter().chain(["connect-typeorm"]);
    layouts.flat_map(move |layout| ["Node", "Rust"].map(|maker| (database, layout, maker)))
}

/// Starts the database and lets the browser loose.
fn prove(
    database: Backend,
    layout: &str,
    maker: &str,
    applications: &[(&str, PathBuf)],
    sources: &Sources,
) -> Result<Counts> {
    let (folder, _guard) = cleanup::folder("interop")?;
    let mut server = None;
    let url = match database {
        Backend::Server(kind) => server.insert(server::open(kind, sources)?).url.clone(),
        _ => format!("sqlite:{}", folder.join("sessions.db").display()),
    };
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--quiet", "--test=interop"]).args(Metadata::read()?.everything());
    cargo.env("INTEROP_URL", url).env("INTEROP_LAYOUT", layout).env("INTEROP_MAKER", maker);
    cargo.env("INTEROP_FOLDER", &folder).envs(applications.iter().map(|(name, path)| (name, path)));
    testing::run(&mut cargo)
}

/// Finds Node, installs the packages, and builds the Rust application. Returns the variables that name the programs, or
/// what is missing here.
fn applications() -> Result<Result<Vec<(&'static str, PathBuf)>, Missing>> {
    let (node, npm) = (process::need("node", &[])?, process::need("npm", &[])?);
    let answer = process::answer(Command::new(&node).arg("--version"), Duration::from_secs(30))?.output;
    let major = answer.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < OLDEST_NODE) {
        bail!(Missing(format!("`node` is {}: install Node 20 or later and npm", answer.trim())));
    }
    terminal::step("applications");
    workspace::npm_ci(&npm, &workspace::root().join("interop"))?;
    let mut arguments = vec!["--example=express_twin".to_owned()];
    arguments.extend(Metadata::read()?.everything());
    let mut made = workspace::build(&arguments)?.into_iter();
    let twin = made.find(|((_, name), _)| name == "express_twin");
    let rust = twin.context("examples/express_twin.rs does not compile")?.1;
    Ok(Ok(vec![("INTEROP_NODE", node), ("INTEROP_RUST", rust)]))
}
