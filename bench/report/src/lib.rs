//! What `cargo xtask bench` found out: the model, as report.json has it, and what is made of it for people.

mod page;
mod picture;

use std::collections::BTreeMap;

use indicatif::HumanFloatCount;
use serde::{Deserialize, Serialize};

pub use page::{STYLE, body};
pub use picture::pictures;

/// Everything that one command found out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The command that repeats it.
    pub command: String,
    /// What it ran on.
    pub machine: BTreeMap<String, String>,
    /// One after the other.
    pub backends: Vec<Measured>,
}

/// What a subject is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// This project, as it is used.
    Ours,
    /// This project, with something switched off.
    Variant,
    /// The driver without anything above it.
    Bare,
    /// Somebody else's store on the same database.
    Peer,
    /// Somebody else's store on Redis, beside the database.
    Redis,
}

impl Role {
    /// The name in report.json, and the class of its bars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Variant => "variant",
            Self::Bare => "bare",
            Self::Peer => "peer",
            Self::Redis => "redis",
        }
    }
}

/// What was measured on one backend.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Its name on the command line.
    pub backend: String,
    /// The server, its durability, its disk.
    pub place: String,
    /// Why nothing was measured.
    pub not_run: Option<String>,
    /// Who took part.
    #[serde(default)]
    pub contenders: Vec<Contender>,
    /// In the order in which they ran.
    pub races: Vec<Race>,
}

/// A subject on this backend.
#[derive(Debug, Serialize, Deserialize)]
pub struct Contender {
    /// What it is called.
    pub title: String,
    /// What it is to the comparison.
    pub role: Role,
    /// How it was set up.
    pub settings: Option<String>,
    /// Why it did not run.
    pub not_run: Option<String>,
}

/// One workload at one number of callers, for all contenders.
#[derive(Debug, Serialize, Deserialize)]
pub struct Race {
    /// What they did.
    pub workload: String,
    /// How many did it at once.
    pub callers: u64,
    /// Our speed as a multiple of the bare driver's.
    pub ratio_to_bare: Option<f64>,
    /// And of the best peer's.
    pub ratio_to_best_peer: Option<f64>,
    /// And of Redis', whichever durability is faster.
    #[serde(default)]
    pub ratio_to_redis: Option<f64>,
    /// What each contender did.
    pub results: Vec<Score>,
    /// For each contender, its runs.
    #[serde(skip)]
    pub runs: Vec<Vec<Run>>,
}

/// What a contender did: medians over its runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Score {
    /// What it is called.
    pub title: String,
    /// What it is to the comparison.
    pub role: Role,
    /// Calls.
    pub ops_per_second: Option<f64>,
    /// Of the purge alone.
    pub purged_per_second: Option<f64>,
    /// Half of the calls took no longer.
    pub p50_us: Option<f64>,
    /// 99 of 100 calls took no longer.
    pub p99_us: Option<f64>,
    /// No call took longer.
    pub max_us: Option<f64>,
    /// Processor time of the client's process.
    pub client_cpu_us_per_op: Option<f64>,
    /// Processor time of the server.
    pub server_cpu_us_per_op: Option<f64>,
    /// Calls that failed.
    pub errors: Option<Errors>,
    /// Of each run, not only the median.
    #[serde(default)]
    pub runs_ops_per_second: Vec<f64>,
}

/// Calls that failed in a contender's runs, and what the first one said.
#[derive(Debug, Serialize, Deserialize)]
pub struct Errors {
    /// How many.
    pub count: f64,
    /// What the first one said.
    pub first: String,
}

/// One run of one contender, as its process tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    ops: f64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    client_cpu_seconds: Option<f64>,
    /// Of the server, as far as somebody knows it.
    pub server_cpu_seconds: Option<f64>,
    purged_per_second: Option<f64>,
    #[serde(default)]
    errors: f64,
    first_error: Option<String>,
}

impl Run {
    /// Calls.
    pub fn ops_per_second(&self) -> f64 {
        self.ops / self.seconds
    }

    /// What counts.
    pub fn speed(&self) -> Option<f64> {
        self.purged_per_second.or(Some(self.ops_per_second()))
    }

    fn per_op(&self, seconds: Option<f64>) -> Option<f64> {
        Some(seconds? * 1e6 / self.ops)
    }
}

impl Score {
    fn of(Contender { title, role, .. }: &Contender, runs: &[Run]) -> Self {
        let first = runs.iter().find_map(|run| run.first_error.clone());
        let count = runs.iter().map(|run| run.errors).sum();
        Self {
            title: title.clone(),
            role: *role,
            ops_per_second: median(runs, |run| Some(run.ops_per_second())),
            purged_per_second: median(runs, |run| run.purged_per_second),
            p50_us: median(runs, |run| Some(run.p50_us)),
            p99_us: median(runs, |run| Some(run.p99_us)),
            max_us: median(runs, |run| Some(run.max_us)),
            client_cpu_us_per_op: median(runs, |run| run.per_op(run.client_cpu_seconds)),
            server_cpu_us_per_op: median(runs, |run| run.per_op(run.server_cpu_seconds)),
            errors: first.map(|first| Errors { count, first }),
            runs_ops_per_second: runs.iter().map(Run::ops_per_second).collect(),
        }
    }

    /// What counts.
    pub fn speed(&self) -> Option<f64> {
        self.purged_per_second.or(self.ops_per_second)
    }
}

fn median(runs: &[Run], number: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().filter_map(number).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

impl Race {
    /// The contender of a role that was fastest.
    pub fn best(&self, role: Role) -> Option<&Score> {
        let of_role = self.results.iter().filter(|score| score.role == role);
        let speed = |score: &Score| score.speed().unwrap_or(0.0);
        of_role.max_by(|a, b| speed(a).total_cmp(&speed(b))).filter(|best| speed(best) > 0.0)
    }

    /// Sums up the runs.
    pub fn conclude(&mut self, contenders: &[Contender]) {
        self.results = contenders.iter().zip(&self.runs).map(|(who, runs)| Score::of(who, runs)).collect();
        let ratio = |role| Some(self.best(Role::Ours)?.speed()? / self.best(role)?.speed()?);
        let [bare, peer, redis] = [Role::Bare, Role::Peer, Role::Redis].map(ratio);
        (self.ratio_to_bare, self.ratio_to_best_peer, self.ratio_to_redis) = (bare, peer, redis);
    }
}

impl Measured {
    /// One on which nothing was measured, and why.
    pub fn not_run(backend: &str, why: String) -> Self {
        Self { backend: backend.to_owned(), not_run: Some(why), ..Self::default() }
    }
}

/// Speed, latencies, processor times.
pub fn numbers(score: &Score) -> [String; 5] {
    let &Score { p50_us, p99_us, client_cpu_us_per_op, server_cpu_us_per_op, .. } = score;
    [score.speed(), p50_us, p99_us, client_cpu_us_per_op, server_cpu_us_per_op]
        .map(|number| number.map_or_else(|| "–".to_owned(), count))
}

/// A number in groups of three digits, with a fraction if it is short.
pub fn count(number: f64) -> String {
    let digits = usize::from(number < 99.95);
    format!("{:.digits$}", HumanFloatCount(number))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_grouped() {
        let numbers = [0.25, 99.94, 100.0, 999.6, 1234567.0].map(count);
        assert_eq!(numbers, ["0.2", "99.9", "100", "1,000", "1,234,567"]);
    }
}
