//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, ValueExt};

use super::subject::{Role, SUBJECTS, Subject};
use crate::server::{Kind, Sources};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
    Mariadb,
    Mysql,
    Mssql,
}

const BACKENDS: [Backend; 5] =
    [Backend::Sqlite, Backend::Postgres, Backend::Mariadb, Backend::Mysql, Backend::Mssql];

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        self.server().map_or("sqlite", Kind::name)
    }

    pub(crate) fn server(self) -> Option<Kind> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(Kind::Postgres),
            Self::Mariadb => Some(Kind::Mariadb),
            Self::Mysql => Some(Kind::Mysql),
            Self::Mssql => Some(Kind::Mssql),
        }
    }

    /// The driver that it needs.
    pub(crate) fn driver(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb | Self::Mysql => "mysql",
            Self::Mssql => "mssql",
        }
    }
}

/// The workloads but for the purge, which is an order of its own.
pub(crate) const WORKLOADS: [&str; 6] = ["load", "save", "touch", "create", "destroy", "mixed"];
pub(crate) const PURGE: &str = "purge";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) backends: Vec<Backend>,
    /// They were named, so it is a failure if one does not run.
    pub(crate) is_named: bool,
    pub(crate) subjects: Vec<&'static Subject>,
    pub(crate) workloads: Vec<String>,
    pub(crate) callers: Vec<u64>,
    pub(crate) repetitions: u32,
    pub(crate) time: Duration,
    pub(crate) sessions: u64,
    pub(crate) bytes: u64,
    pub(crate) expired: u64,
    /// Whether the best pool size is looked for.
    pub(crate) tune: bool,
    pub(crate) sources: Sources,
    pub(crate) report: Option<PathBuf>,
    line: String,
}

pub(crate) fn help() -> String {
    let names = |names: Vec<&str>| names.join(", ");
    format!(
        "\
Usage: cargo xtask bench [OPTIONS] [BACKEND...]

Measures this project's store, its peers and the bare drivers on the same servers, in turns, and prints throughput,
latency, CPU per operation, and ratios. Servers are found or started as `cargo xtask conformance` does it.

Backends: {} (all of them if none is named)

  --against PEER,...     only these peers: {}
  --quick                1 and 64 callers, short runs, 3 of each, no search for the best pool size
  --workloads A,B,...    only these: {}, {PURGE}
  --callers N,...        so many callers at once (otherwise 1, 16, 64, 256)
  --repetitions N        runs of each kind, of which the median counts (otherwise 5)
  --seconds N            how long a run takes (otherwise 2; parts of a second are allowed)
  --sessions N           sessions in each table (otherwise 100000; with --quick 20000)
  --bytes N              JSON in each session (otherwise 1024)
  --report DIR           write report.json and report.html

  --url BACKEND=URL      this server; also SESSION_STORE_{{POSTGRES,MARIADB,MYSQL,MSSQL}}_URL. Tables named bench_… are made in it
  --babelfish DIR        where Babelfish is installed, in place of SQL Server; also BABELFISH_HOME
  --image BACKEND=IMAGE  this container image in place of the official one
  --install              on Debian and Ubuntu: install the packages of servers that are missing
  -h, --help             this text

The numbers mean something only on a machine that has nothing else to do.",
        names(BACKENDS.iter().map(|backend| backend.name()).collect()),
        names(peers().map(|peer| peer.name).collect()),
        WORKLOADS.join(", "),
    )
}

fn peers() -> impl Iterator<Item = &'static Subject> {
    SUBJECTS.iter().filter(|subject| subject.role == Role::Peer)
}

/// `None` if only the help is wanted.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>> {
    let mut named = Vec::new();
    let mut against: Option<Vec<String>> = None;
    let mut workloads: Option<Vec<String>> = None;
    let mut callers: Option<Vec<u64>> = None;
    let (mut repetitions, mut time, mut sessions) = (None, None, None);
    let (mut quick, mut bytes, mut report) = (false, 1024, None);
    let mut sources = Sources::default();
    let mut line = "cargo xtask bench".to_owned();
    while let Some(argument) = parser.next()? {
        let option = match &argument {
            Arg::Long(name) => (*name).to_owned(),
            _ => String::new(),
        };
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("quick") => quick = true,
            Arg::Long("against") => {
                let peers = list(&mut parser)?;
                line.push_str(&format!(" --against {}", peers.join(",")));
                against = Some(peers);
            }
            Arg::Long("workloads") => workloads = Some(list(&mut parser)?),
            Arg::Long("callers") => {
                let numbers =
                    list(&mut parser)?.iter().map(|number| number.parse()).collect::<Result<_, _>>();
                callers = Some(numbers.context("--callers takes numbers, as in 1,64")?);
            }
            Arg::Long("repetitions") => repetitions = Some(parser.value()?.parse()?),
            Arg::Long("seconds") => {
                let seconds: f64 = parser.value()?.parse()?;
                time = Some(Duration::try_from_secs_f64(seconds).context("--seconds")?);
            }
            Arg::Long("sessions") => sessions = Some(parser.value()?.parse()?),
            Arg::Long("bytes") => bytes = parser.value()?.parse()?,
            Arg::Long("report") => report = Some(parser.value()?.into()),
            Arg::Long("url") => {
                let (kind, url) = assignment(&parser.value()?.string()?)?;
                sources.urls.insert(kind, url);
            }
            Arg::Long("image") => {
                let (kind, image) = assignment(&parser.value()?.string()?)?;
                sources.images.insert(kind, image);
            }
            Arg::Long("babelfish") => sources.babelfish = Some(parser.value()?.into()),
            Arg::Long("install") => sources.install = true,
            Arg::Value(name) => {
                let name = name.string()?;
                let backend = BACKENDS.into_iter().find(|backend| backend.name() == name);
                named.push(backend.with_context(|| format!("no backend `{name}`"))?);
                line.push_str(&format!(" {name}"));
            }
            other => return Err(other.unexpected().into()),
        }
        if quick && option == "quick" {
            line.push_str(" --quick");
        }
    }
    let chosen = |peers: &[String], name: &str| peers.iter().any(|peer| peer == name);
    if let Some(unknown) =
        against.iter().flatten().find(|name| !peers().any(|peer| peer.name == name.as_str()))
    {
        bail!("no peer `{unknown}`");
    }
    let workloads = workloads.unwrap_or_else(|| {
        let all = WORKLOADS.iter().chain((!quick).then_some(&PURGE));
        all.map(|&name| name.to_owned()).collect()
    });
    if let Some(unknown) =
        workloads.iter().find(|name| name.as_str() != PURGE && !WORKLOADS.contains(&name.as_str()))
    {
        bail!("no workload `{unknown}`");
    }
    let subjects = SUBJECTS.iter().filter(|subject| {
        subject.role != Role::Peer || against.as_ref().is_none_or(|peers| chosen(peers, subject.name))
    });
    Ok(Some(Options {
        is_named: !named.is_empty(),
        backends: if named.is_empty() { BACKENDS.to_vec() } else { named },
        subjects: subjects.collect(),
        workloads,
        callers: callers.unwrap_or_else(|| if quick { vec![1, 64] } else { vec![1, 16, 64, 256] }),
        repetitions: repetitions.unwrap_or(if quick { 3 } else { 5 }),
        time: time.unwrap_or(Duration::from_millis(if quick { 700 } else { 2_000 })),
        sessions: sessions.unwrap_or(if quick { 20_000 } else { 100_000 }),
        bytes,
        expired: if quick { 10_000 } else { 50_000 },
        tune: !quick,
        sources,
        report,
        line,
    }))
}

impl Options {
    /// The command that runs the same again. URLs hold passwords and are left out.
    pub(crate) fn command_line(&self) -> String {
        let callers: Vec<_> = self.callers.iter().map(u64::to_string).collect();
        format!(
            "{} --workloads {} --callers {} --repetitions {} --seconds {} --sessions {} --bytes {}",
            self.line,
            self.workloads.join(","),
            callers.join(","),
            self.repetitions,
            self.time.as_secs_f64(),
            self.sessions,
            self.bytes,
        )
    }
}

fn list(parser: &mut lexopt::Parser) -> Result<Vec<String>> {
    Ok(parser.value()?.string()?.split(',').map(|name| name.trim().to_owned()).collect())
}

fn assignment(text: &str) -> Result<(Kind, String)> {
    let (name, value) = text.split_once('=').context("expected BACKEND=VALUE")?;
    let backend = BACKENDS.into_iter().find(|backend| backend.name() == name);
    let kind = backend.and_then(Backend::server).with_context(|| format!("no server `{name}`"))?;
    Ok((kind, value.to_owned()))
}
