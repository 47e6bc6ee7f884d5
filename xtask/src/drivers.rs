//! `cargo xtask drivers`: each driver's own tests against a real server: what is not in the contract, and therefore not in
//! the conformance suite.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use lexopt::{Arg, ValueExt};

use crate::report::human;
use crate::server::{self, Kind, Opened, Sources};
use crate::testing::{self, Counts};
use crate::{process, tally, terminal, workspace};

const KINDS: [Kind; 4] = [Kind::Postgres, Kind::Mariadb, Kind::Mysql, Kind::Mssql];

const HELP: &str = "\
Usage: cargo xtask drivers [OPTIONS] [DATABASE...]

Runs the tests of the drivers that need a server and are no backend's promise to an application: round trips and prepared
statements as the server counts them, every error and its class, every number, encryption and its certificates, a pooler
before the server, tables that a Node application made. Servers are found or started as by cargo xtask conformance.

DATABASE is postgres, mariadb, mysql or mssql; all of them by default.

Options
  --url DATABASE=URL  this server; also SESSION_STORE_{POSTGRES,MARIADB,MYSQL,MSSQL}_URL
  --babelfish FOLDER  for mssql: Babelfish installed there; also BABELFISH_HOME
  --install           install the packages of missing servers, and PgBouncer (Debian, Ubuntu)
  --require A,B,...   that one of these was not run is a failure (so it is for a database that is named)
  --tally FILE        append how many passed and failed, and what failed
  -h, --help          this text";

struct Options {
    kinds: Vec<Kind>,
    required: Vec<Kind>,
    sources: Sources,
    tally: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(parser: lexopt::Parser) -> Result<ExitCode> {
    let options = match parse(parser) {
        Ok(Some(options)) => options,
        Ok(None) => {
            terminal::say(HELP);
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            terminal::failure(&format!("{error}; see cargo xtask drivers --help"));
            return Ok(ExitCode::from(2));
        }
    };
    let start = Instant::now();
    let mut total = Counts::default();
    for &kind in &options.kinds {
        terminal::step(&format!("\n{}", kind.name()));
        let counts = match prove(kind, &options.sources) {
            Ok(Ok(counts)) => counts,
            Ok(Err(why)) if options.required.contains(&kind) => {
                Counts::failed(format!("{} is required, but not run: {why}", kind.name()))
            }
            Ok(Err(why)) => {
                terminal::detail(&format!("not run: {why}"));
                Counts { not_run: 1, ..Counts::default() }
            }
            Err(error) => Counts::failed(format!("{}: {error:#}", kind.name())),
        };
        total.add(counts);
    }
    total.tell_failures();
    tally::add(options.tally.as_deref(), total.passed, total.failed, &total.failures)?;
    terminal::say(&format!("\ndrivers: {total} in {}", human(start.elapsed())));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The inner error says what is missing here.
fn prove(kind: Kind, sources: &Sources) -> Result<std::result::Result<Counts, String>> {
    let server = match server::open(kind, sources)? {
        Opened::Server(server) => server,
        Opened::Unavailable(why) => return Ok(Err(why)),
    };
    terminal::detail(&format!("server: {}", server.origin));
    if kind == Kind::Postgres
        && sources.install
        && process::find("pgbouncer", &["/usr/sbin".into()]).is_none()
    {
        server::install(&["pgbouncer"])?;
    }
    let (tests, module): (&[&str], _) = match kind {
        Kind::Postgres => (&["servers"], Some("postgres::")),
        Kind::Mariadb | Kind::Mysql => (&["servers"], Some("mysql::")),
        Kind::Mssql => (&["server", "connect_typeorm", "foreign_rows"], None),
    };
    let mut cargo = workspace::cargo();
    // All features of the workspace, as for the other commands: nothing is compiled twice.
    cargo.args(["test", "--no-fail-fast"]).args(workspace::Metadata::read_members()?.everything());
    cargo.args(tests.iter().flat_map(|test| ["--test", test]));
    cargo.args(module.map(|module| ["--", module]).into_iter().flatten());
    for &other in &KINDS {
        cargo.env_remove(other.url_variable());
    }
    cargo.env(kind.url_variable(), &server.url);
    testing::run(&mut cargo).map(Ok)
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>> {
    let mut options =
        Options { kinds: Vec::new(), required: Vec::new(), sources: Sources::default(), tally: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("url") => {
                let value = parser.value()?.string()?;
                let (name, url) =
                    value.split_once('=').context("--url takes DATABASE=URL, as in --url postgres=...")?;
                options.sources.urls.insert(kind(name)?, url.to_owned());
            }
            Arg::Long("babelfish") => options.sources.babelfish = Some(parser.value()?.into()),
            Arg::Long("install") => options.sources.install = true,
            Arg::Long("require") => {
                for name in parser.value()?.string()?.split(',') {
                    options.required.push(kind(name)?);
                }
            }
            Arg::Long("tally") => options.tally = Some(parser.value()?.into()),
            Arg::Value(name) => options.kinds.push(kind(&name.string()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.kinds.is_empty() {
        options.kinds.extend(KINDS);
    } else {
        options.required.extend(options.kinds.iter().copied());
    }
    Ok(Some(options))
}

fn kind(name: &str) -> Result<Kind> {
    KINDS.into_iter().find(|kind| kind.name() == name).with_context(|| {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name()).collect();
        format!("no database `{name}`: there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options> {
        parse(lexopt::Parser::from_args(line.split_whitespace())).map(|options| options.expect("not help"))
    }

    #[test]
    fn what_is_named_is_required() {
        let options = parsed("mysql --install").expect("valid");
        assert_eq!((options.kinds, options.required), (vec![Kind::Mysql], vec![Kind::Mysql]));
        let options = parsed("--require postgres,mariadb").expect("valid");
        assert_eq!((options.kinds.len(), options.required), (4, vec![Kind::Postgres, Kind::Mariadb]));
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, words) in [
            ("sqlite", "no database `sqlite`: there are postgres"),
            ("--url postgres", "takes DATABASE=URL"),
            ("--frobnicate", "frobnicate"),
        ] {
            let Err(error) = parsed(line) else { panic!("{line}") };
            assert!(error.to_string().contains(words), "{line}: {error}");
        }
    }
}
