//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use bench_report::Role;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::subject::{SUBJECTS, Subject, WEB};
use crate::backend::Backend;
use crate::server::{Kind, Sources};

const WORKLOADS: &str = "load,save,touch,create,destroy,mixed,purge";
/// Pages that read the session, pages that change it, and sign-ins.
const WEB_WORKLOADS: &str = "read,change,sign-in";
const QUICK_WORKLOADS: &str = "load,save,touch,create,destroy,mixed";
/// An order of its own.
pub(crate) const PURGE: &str = "purge";

/// Measure this project's store beside its peers and the bare drivers
///
/// Measures on the same servers, in turns, and prints throughput, latency, CPU per operation, and ratios. Servers are found or
/// started as by cargo xtask conformance; tables named bench_… are made in them. The numbers mean something only on a machine
/// that has nothing else to do.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// What to measure; all of them if none is named, and each that is named has to run. After `web`: the same application
    /// over HTTP, requests in place of operations
    #[arg(value_name = "BACKEND", value_parser = Named::parser())]
    named: Vec<Named>,
    /// Only these peers
    #[arg(long, value_name = "PEER,...", value_delimiter = ',', value_parser = peers())]
    against: Vec<String>,
    /// 1 and 64 callers, short runs, 3 of each, fewer sessions, no purge, no search for the best pool size
    #[arg(long)]
    quick: bool,
    /// Only these
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = workloads())]
    #[arg(default_value = WORKLOADS, default_value_ifs([("named", "web", WEB_WORKLOADS), ("quick", "true", QUICK_WORKLOADS)]))]
    pub(crate) workloads: Vec<String>,
    /// So many callers at once
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    #[arg(default_value = "1,16,64,256", default_value_if("quick", "true", "1,64"))]
    pub(crate) callers: Vec<u64>,
    /// Runs of each kind, of which the median counts
    #[arg(long, value_name = "N", default_value = "5", default_value_if("quick", "true", "3"))]
    pub(crate) repetitions: u32,
    /// How long a run takes; parts of a second are allowed
    #[arg(long, value_name = "N", value_parser = seconds)]
    #[arg(default_value = "2", default_value_if("quick", "true", "0.7"))]
    pub(crate) seconds: Duration,
    /// Sessions in each table
    #[arg(long, value_name = "N", default_value = "100000", default_value_if("quick", "true", "20000"))]
    pub(crate) sessions: u64,
    /// JSON in each session
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) bytes: u64,
    /// Measure nothing: draw docs/figures*.svg from the report.json of an earlier run
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub(crate) figures: Option<PathBuf>,
    /// Write report.json and report.html
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// A backend, or `web`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named(Option<Backend>);

impl Named {
    fn parser() -> impl TypedValueParser<Value = Self> {
        let names = Backend::DATABASES.iter().map(|backend| backend.name()).chain(["web"]);
        PossibleValuesParser::new(names)
            .map(|name| Self(Backend::DATABASES.iter().copied().find(|backend| backend.name() == name)))
    }
}

fn workloads() -> Vec<&'static str> {
    WORKLOADS.split(',').chain(WEB_WORKLOADS.split(',')).collect()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn is_peer(role: Role) -> bool {
    matches!(role, Role::Peer | Role::Redis)
}

fn peers() -> Vec<&'static str> {
    SUBJECTS.iter().filter(|subject| is_peer(subject.role)).map(|subject| subject.name).collect()
}

/// The driver that a backend needs.
pub(crate) fn driver(backend: Backend) -> &'static str {
    if backend == Backend::Server(Kind::Mariadb) { "mysql" } else { backend.name() }
}

impl Options {
    pub(crate) fn backends(&self) -> Vec<Backend> {
        let named: Vec<Backend> = self.named.iter().filter_map(|named| named.0).collect();
        if named.is_empty() { Backend::DATABASES.to_vec() } else { named }
    }

    /// Whether an application is measured, and not the stores themselves.
    fn is_web(&self) -> bool {
        self.named.contains(&Named(None))
    }

    /// They were named, so it is a failure if one does not run.
    pub(crate) fn is_named(&self) -> bool {
        self.named.iter().any(|named| named.0.is_some())
    }

    pub(crate) fn subjects(&self) -> impl Iterator<Item = &'static Subject> {
        let is_meant = |name| self.against.is_empty() || self.against.iter().any(|peer| peer == name);
        let subjects = if self.is_web() { WEB } else { SUBJECTS };
        subjects.iter().filter(move |subject| !is_peer(subject.role) || is_meant(subject.name))
    }

    /// How many expired sessions are purged.
    pub(crate) fn expired(&self) -> u64 {
        if self.quick { 10_000 } else { 50_000 }
    }

    /// Whether the best pool size is looked for.
    pub(crate) fn tune(&self) -> bool {
        !self.quick
    }
}
