//! What was measured: the model that the table and the files are made of.

use serde_json::{Value, json};

use super::subject::Role;

pub(crate) struct Report {
    /// The command that repeats it.
    pub(crate) command: String,
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) backends: Vec<Backend>,
}

/// What was measured on one backend.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    /// The server, its durability, its disk.
    pub(crate) place: String,
    /// Why nothing was measured.
    pub(crate) not_run: Option<String>,
    pub(crate) contenders: Vec<Contender>,
    /// In the order in which they ran.
    pub(crate) races: Vec<Race>,
}

/// A subject on this backend.
pub(crate) struct Contender {
    pub(crate) title: &'static str,
    pub(crate) role: Role,
    /// How it was set up, or why it did not run.
    pub(crate) settings: Result<String, String>,
}

/// One workload at one number of callers, for all contenders.
pub(crate) struct Race {
    pub(crate) workload: String,
    pub(crate) callers: u64,
    /// For each contender, its runs.
    pub(crate) runs: Vec<Vec<Run>>,
}

/// One run of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) ops_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    pub(crate) client_cpu_us: Option<f64>,
    pub(crate) server_cpu_us: Option<f64>,
    /// Of the purge alone.
    pub(crate) purged_per_second: Option<f64>,
    pub(crate) errors: f64,
    pub(crate) first_error: Option<String>,
}

/// A number of each run, of which the median counts.
pub(crate) type Metric = fn(&Run) -> Option<f64>;

pub(crate) const THROUGHPUT: Metric = |run| Some(run.ops_per_second);
pub(crate) const PURGED: Metric = |run| run.purged_per_second;
pub(crate) const P50: Metric = |run| Some(run.p50_us);
pub(crate) const P99: Metric = |run| Some(run.p99_us);
pub(crate) const MAX: Metric = |run| Some(run.max_us);
pub(crate) const CLIENT: Metric = |run| run.client_cpu_us;
pub(crate) const SERVER: Metric = |run| run.server_cpu_us;

impl Run {
    /// Reads what a subject's process answered. `None` if it did nothing.
    pub(crate) fn parse(answer: &Value) -> Option<Run> {
        let number = |name: &str| answer[name].as_f64();
        let ops = number("ops").filter(|&ops| ops > 0.0)?;
        let each = |seconds: f64| seconds * 1e6 / ops;
        Some(Run {
            ops_per_second: ops / number("seconds")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            max_us: number("max_us")?,
            client_cpu_us: number("client_cpu_seconds").map(each),
            server_cpu_us: number("server_cpu_seconds").map(each),
            purged_per_second: number("purged_per_second"),
            errors: number("errors").unwrap_or(0.0),
            first_error: answer["first_error"].as_str().map(str::to_owned),
        })
    }
}

impl Race {
    /// What counts for this workload.
    pub(crate) fn speed(&self) -> Metric {
        if self.workload == super::options::PURGE { PURGED } else { THROUGHPUT }
    }

    /// The median over a contender's runs.
    pub(crate) fn median(&self, contender: usize, metric: Metric) -> Option<f64> {
        let mut values: Vec<f64> = self.runs.get(contender)?.iter().filter_map(metric).collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        if values.len() % 2 == 1 {
            return Some(upper);
        }
        Some((values.get(middle - 1)? + upper) / 2.0)
    }

    /// Calls that failed in a contender's runs, and what the first one said.
    pub(crate) fn errors(&self, contender: usize) -> Option<(f64, &str)> {
        let runs = self.runs.get(contender)?;
        let count: f64 = runs.iter().map(|run| run.errors).sum();
        let first = runs.iter().find_map(|run| run.first_error.as_deref())?;
        Some((count, first))
    }
}

impl Backend {
    pub(crate) fn not_run(name: &'static str, why: String) -> Backend {
        Backend { name, place: String::new(), not_run: Some(why), contenders: Vec::new(), races: Vec::new() }
    }

    /// The contender of a role that was fastest in this race.
    pub(crate) fn best(&self, race: &Race, role: Role) -> Option<usize> {
        let speed = |contender| race.median(contender, race.speed()).unwrap_or(0.0);
        let of_role = self.contenders.iter().enumerate().filter(|(_, contender)| contender.role == role);
        let best = of_role.map(|(index, _)| index).max_by(|&a, &b| speed(a).total_cmp(&speed(b)))?;
        (speed(best) > 0.0).then_some(best)
    }

    /// How many times as fast as the best of a role we are.
    pub(crate) fn ratio(&self, race: &Race, role: Role) -> Option<f64> {
        let speed = |contender: Option<usize>| race.median(contender?, race.speed());
        Some(speed(self.best(race, Role::Ours))? / speed(self.best(race, role))?)
    }
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        json!({
            "command": self.command,
            "machine": self.machine.iter().map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect::<serde_json::Map<_, _>>(),
            "backends": self.backends.iter().map(Backend::json).collect::<Vec<_>>(),
        })
    }
}

impl Backend {
    fn json(&self) -> Value {
        let contender = |contender: &Contender| {
            json!({
                "title": contender.title,
                "role": contender.role.name(),
                "settings": contender.settings.as_ref().ok(),
                "not_run": contender.settings.as_ref().err(),
            })
        };
        let race = |race: &Race| {
            let results = self.contenders.iter().enumerate().map(|(index, contender)| {
                let median = |metric| race.median(index, metric);
                json!({
                    "title": contender.title,
                    "ops_per_second": median(THROUGHPUT),
                    "purged_per_second": median(PURGED),
                    "p50_us": median(P50),
                    "p99_us": median(P99),
                    "max_us": median(MAX),
                    "client_cpu_us_per_op": median(CLIENT),
                    "server_cpu_us_per_op": median(SERVER),
                    "errors": race.errors(index).map(|(count, first)| json!({"count": count, "first": first})),
                    "runs_ops_per_second": race.runs[index].iter().map(|run| run.ops_per_second).collect::<Vec<_>>(),
                })
            });
            json!({
                "workload": race.workload,
                "callers": race.callers,
                "ratio_to_bare": self.ratio(race, Role::Bare),
                "ratio_to_best_peer": self.ratio(race, Role::Peer),
                "results": results.collect::<Vec<_>>(),
            })
        };
        json!({
            "backend": self.name,
            "place": self.place,
            "not_run": self.not_run,
            "contenders": self.contenders.iter().map(contender).collect::<Vec<_>>(),
            "races": self.races.iter().map(race).collect::<Vec<_>>(),
        })
    }
}
