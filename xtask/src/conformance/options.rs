//! What the command line says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, ValueExt};

use super::{BACKENDS, Backend};
use crate::server::{Kind, Sources};

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// What to prove: those named, else all.
    pub(crate) backends: Vec<Backend>,
    pub(crate) named: BTreeSet<Backend>,
    pub(crate) required: BTreeSet<Backend>,
    pub(crate) sources: Sources,
    pub(crate) seed: u64,
    pub(crate) cases: Option<u32>,
    /// `None`: yes, but not against a server of the user's.
    pub(crate) faults: Option<bool>,
    pub(crate) keep_going: bool,
    pub(crate) filter: Option<String>,
    pub(crate) list: bool,
    pub(crate) report: Option<PathBuf>,
    pub(crate) tally: Option<PathBuf>,
}

pub(crate) fn help() -> String {
    let names: Vec<_> = BACKENDS.iter().map(|backend| backend.name()).collect();
    format!(
        "\
Usage: cargo xtask conformance [OPTIONS] [BACKEND...]

Runs the conformance suite against the backends, and sets up the servers that it needs. Each server is, in this order:
one whose address is given, a container (docker or podman), or local programs started in a temporary folder on a free
port of 127.0.0.1 as an unprivileged user. Everything is stopped and removed at the end, also after Ctrl-C.

Backends: {} (all of them if none is named)

What to run
  --filter TEXT          only the cases whose name contains TEXT, as in `G4` or `late_update`
  --seed N               repeat what was drawn by lot in an earlier run (otherwise a new seed, which is printed)
  --cases N              sequences per model-based case
  --faults, --no-faults  with or without cut connections, stopped servers and killed processes; the default is with
                         them, but not against a server whose address was given
  --keep-going           go on with the next backend after one has failed
  --list                 print the cases and run none

Where servers come from
  --url BACKEND=URL      this server; also SESSION_STORE_{{POSTGRES,MARIADB,MYSQL,MSSQL}}_URL. It is not stopped or killed
  --image BACKEND=IMAGE  this image in place of the official one. It must take the password from the same variable
                         (POSTGRES_PASSWORD, ...), pass arguments on to the server, and listen on the usual port
  --babelfish DIR        for mssql: Babelfish installed there; also BABELFISH_HOME
  --install              on Debian and Ubuntu: install the packages of servers that are missing

What comes of it
  --require A,B,...      that one of these was not run is a failure (so it is for a backend that is named)
  --report DIR           write report.json, junit.xml and report.html
  --tally FILE           append how many cases passed and failed, and what failed
  -h, --help             this text

Exit code: 0 all that ran passed; 1 something failed; 2 a wrong command line; 130 interrupted.",
        names.join(", ")
    )
}

/// `None` if only the help is wanted.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>> {
    let mut options = Options {
        backends: BACKENDS.to_vec(),
        named: BTreeSet::new(),
        required: BTreeSet::new(),
        sources: Sources { durable: true, ..Sources::default() },
        seed: random_seed(),
        cases: None,
        faults: None,
        keep_going: false,
        filter: None,
        list: false,
        report: None,
        tally: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("filter") => options.filter = Some(parser.value()?.string()?),
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("cases") => options.cases = Some(parser.value()?.parse()?),
            Arg::Long("faults") => options.faults = Some(true),
            Arg::Long("no-faults") => options.faults = Some(false),
            Arg::Long("keep-going") => options.keep_going = true,
            Arg::Long("list") => options.list = true,
            Arg::Long("url") => {
                let (kind, url) = assignment(&parser.value()?.string()?, "url")?;
                options.sources.urls.insert(kind, url);
            }
            Arg::Long("image") => {
                let (kind, image) = assignment(&parser.value()?.string()?, "image")?;
                options.sources.images.insert(kind, image);
            }
            Arg::Long("babelfish") => options.sources.babelfish = Some(parser.value()?.into()),
            Arg::Long("install") => options.sources.install = true,
            Arg::Long("require") => {
                for name in parser.value()?.string()?.split(',') {
                    options.required.insert(backend(name)?);
                }
            }
            Arg::Long("report") => options.report = Some(parser.value()?.into()),
            Arg::Long("tally") => options.tally = Some(parser.value()?.into()),
            Arg::Value(name) => {
                options.named.insert(backend(&name.string()?)?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if !options.named.is_empty() {
        options.backends.retain(|backend| options.named.contains(backend));
        if let Some(missing) = options.required.difference(&options.named).next() {
            bail!("`{}` is required, but other backends are named", missing.name());
        }
    }
    Ok(Some(options))
}

impl Options {
    /// The command that runs the same again. URLs hold passwords and are left out.
    pub(crate) fn command_line(&self) -> String {
        let mut line = "cargo xtask conformance".to_owned();
        for backend in &self.named {
            line.push_str(&format!(" {}", backend.name()));
        }
        line.push_str(&format!(" --seed {}", self.seed));
        if let Some(cases) = self.cases {
            line.push_str(&format!(" --cases {cases}"));
        }
        if let Some(filter) = &self.filter {
            line.push_str(&format!(" --filter '{filter}'"));
        }
        for (kind, image) in &self.sources.images {
            line.push_str(&format!(" --image {}={image}", kind.name()));
        }
        match self.faults {
            Some(true) => line.push_str(" --faults"),
            Some(false) => line.push_str(" --no-faults"),
            None => {}
        }
        line
    }
}

fn backend(name: &str) -> Result<Backend> {
    Backend::from_name(name.trim()).with_context(|| {
        let names: Vec<_> = BACKENDS.iter().map(|backend| backend.name()).collect();
        format!("no backend `{name}`: there are {}", names.join(", "))
    })
}

/// `postgres=…`
fn assignment(text: &str, option: &str) -> Result<(Kind, String)> {
    let example = || format!("--{option} takes BACKEND=VALUE, as in --{option} postgres=...");
    let (name, value) = text.split_once('=').with_context(example)?;
    match backend(name)? {
        Backend::Server(kind) if !value.is_empty() => Ok((kind, value.to_owned())),
        Backend::Server(_) => bail!(example()),
        other => bail!("`{}` has no server", other.name()),
    }
}

/// Short enough to be typed again.
fn random_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::from(now.subsec_nanos()) ^ now.as_secs()) % 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options> {
        parse(lexopt::Parser::from_args(line.split_whitespace())).map(|options| options.expect("not help"))
    }

    #[test]
    fn without_names_all_backends_are_meant() {
        let options = parsed("--require memory,sqlite --seed 7").expect("valid");
        assert_eq!(options.backends, BACKENDS);
        assert_eq!(options.required.len(), 2);
        assert_eq!(options.command_line(), "cargo xtask conformance --seed 7");
    }

    #[test]
    fn a_url_never_shows_in_the_command_line() {
        let options = parsed("postgres --url postgres=postgres://me:secret@host/db").expect("valid");
        assert_eq!(options.sources.urls[&Kind::Postgres], "postgres://me:secret@host/db");
        assert!(!options.command_line().contains("secret"));
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, words) in [
            ("postgers", "no backend `postgers`: there are memory"),
            ("--url sqlite=file", "`sqlite` has no server"),
            ("--url postgres", "takes BACKEND=VALUE"),
            ("memory --require sqlite", "other backends are named"),
            ("--seed many", "many"),
            ("--frobnicate", "frobnicate"),
        ] {
            let error = parsed(line).expect_err(line).to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
