//! What was proven: the model that the table and the files are made of.

mod html;
mod junit;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::machine::{self, Facts};
use crate::server::Kind;
pub(crate) use table::print;

/// Number and name of each guarantee, as GUARANTEES.md has them.
pub(crate) fn guarantees() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../GUARANTEES.md").lines().filter_map(|line| line.strip_prefix("## ")?.split_once(": "))
}

/// Everything that one command found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The command that repeats it.
    pub(crate) command: String,
    #[serde(serialize_with = "date")]
    pub(crate) started: jiff::Timestamp,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) took: Duration,
    pub(crate) seed: u64,
    /// What it ran on: revision, compiler, operating system.
    pub(crate) context: Facts,
    pub(crate) backends: Vec<Proof>,
}

fn date<S: Serializer>(time: &jiff::Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&machine::date(*time))
}

/// What became of one backend.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Proof {
    pub(crate) backend: &'static str,
    /// The server, and where it came from.
    pub(crate) server: Option<String>,
    /// The server that is missing here.
    #[serde(skip)]
    pub(crate) missing: Option<Kind>,
    #[serde(flatten)]
    pub(crate) end: End,
    pub(crate) runs: Vec<Run>,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) took: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// How the attempt on a backend ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "end", content = "why", rename_all = "snake_case")]
pub(crate) enum End {
    /// The suite ran to its end.
    #[default]
    Ran,
    /// There was nothing to run it against, or nothing to run, and that was no fault.
    NotRun(String),
    /// It should have run, or have run to its end, and did not.
    Broken(String),
}

/// What the suite writes, with more that is of no use here.
#[derive(Debug, Deserialize)]
pub(crate) struct Suite {
    pub(crate) runs: Vec<Run>,
}

/// The suite on one variant of a backend.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    #[serde(skip_serializing)]
    pub(crate) backend: String,
    pub(crate) variant: String,
    pub(crate) cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    #[serde(rename = "case")]
    pub(crate) name: String,
    pub(crate) guarantee: String,
    pub(crate) kind: String,
    pub(crate) outcome: Outcome,
    /// Unless it passed.
    pub(crate) why: Option<String>,
    pub(crate) seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It could not be tried here, and could be elsewhere.
    NotRun,
    /// There is nothing to try: the backend makes no such promise.
    NotApplicable,
    /// Another variant that runs the same code was tried in its place.
    Shared,
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) not_run: usize,
    #[serde(rename = "not_applicable")]
    pub(crate) inapplicable: usize,
    pub(crate) shared: usize,
}

/// What is known about one guarantee of one backend: a class of the page, a sign, words, and a word of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict(&'static str, &'static str, &'static str, &'static str);

const PROVEN: Verdict = Verdict("pass", "✓", "proven", "ok");
/// What ran passed, and something did not run.
const PARTLY: Verdict = Verdict("part", "◐", "proven in part", "part");
const FAILED: Verdict = Verdict("fail", "✕", "failed", "FAIL");
const NOT_RUN: Verdict = Verdict("none", "·", "not run", "-");
const INAPPLICABLE: Verdict = Verdict("none", "–", "does not apply", "n/a");

impl Counts {
    pub(crate) fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            *match case.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Failed => &mut counts.failed,
                Outcome::NotRun => &mut counts.not_run,
                Outcome::NotApplicable => &mut counts.inapplicable,
                Outcome::Shared => &mut counts.shared,
            } += 1;
        }
        counts
    }

    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self { failed: 1.., .. } => FAILED,
            Self { passed: 0, not_run: 0, inapplicable: 1.., .. } => INAPPLICABLE,
            Self { passed: 0, .. } => NOT_RUN,
            Self { not_run: 0, .. } => PROVEN,
            Self { .. } => PARTLY,
        }
    }
}

impl Case {
    pub(crate) fn why(&self) -> &str {
        self.why.as_deref().unwrap_or("no reason was given")
    }
}

impl Proof {
    /// One of a backend on which the suite did not run.
    pub(crate) fn not_run(backend: Backend, why: &str) -> Self {
        Self { backend: backend.name(), end: End::NotRun(why.to_owned()), ..Self::default() }
    }

    pub(crate) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.runs.iter().flat_map(|run| &run.cases)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts::of(self.cases())
    }

    pub(crate) fn of_guarantee(&self, guarantee: &str) -> Counts {
        Counts::of(self.cases().filter(|case| case.guarantee == guarantee))
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Run, &Case)> {
        let cases = self.runs.iter().flat_map(|run| run.cases.iter().map(move |case| (run, case)));
        cases.filter(|(_, case)| case.outcome == Outcome::Failed)
    }

    /// The cases that were not run although the backend was, with those that do not apply and those that another variant
    /// proves: how many of which guarantee, by word and reason.
    fn omissions(&self) -> BTreeMap<(&str, &str), BTreeMap<&str, usize>> {
        let mut reasons: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for case in self.cases() {
            let word = match case.outcome {
                Outcome::Passed | Outcome::Failed => continue,
                Outcome::NotRun => "not run",
                Outcome::NotApplicable => "n/a",
                Outcome::Shared => "shared",
            };
            let reason = reasons.entry((word, case.why())).or_default();
            *reason.entry(case.guarantee.as_str()).or_default() += 1;
        }
        reasons
    }

    fn json(&self) -> Value {
        let verdict = |(g, _)| (String::from(g), json!(self.of_guarantee(g).verdict().2));
        let mut proof = json!(self);
        proof["guarantees"] = guarantees().map(verdict).collect();
        proof
    }
}

impl Report {
    /// Cases passed and failed; a backend that is broken counts as one more failure.
    pub(crate) fn totals(&self) -> Counts {
        let broken = self.backends.iter().filter(|proof| matches!(proof.end, End::Broken(_))).count();
        let counts = Counts::of(self.backends.iter().flat_map(Proof::cases));
        Counts { failed: counts.failed + broken, ..counts }
    }

    /// What is to be known about each case that failed and each backend that is broken.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for proof in &self.backends {
            let backend = proof.backend;
            if let End::Broken(why) = &proof.end {
                failures.push(format!("{backend}: {why}"));
            }
            failures.extend(proof.failures().map(|(run, case)| {
                format!("{backend}, {}: {} {}\n{}", run.variant, case.guarantee, case.name, case.why())
            }));
        }
        failures
    }

    /// Writes `report.json`, `junit.xml` and `report.html` into the folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write(folder, "report.json", &format!("{:#}\n", self.json()))?;
        write(folder, "junit.xml", &junit::render(self))?;
        write(folder, "report.html", &html::render(self))
    }

    fn json(&self) -> Value {
        let mut report = json!(self);
        let totals = json!(self.totals());
        report
            .as_object_mut()
            .into_iter()
            .for_each(|all| all.extend(totals.as_object().cloned().unwrap_or_default()));
        report["backends"] = self.backends.iter().map(Proof::json).collect();
        report
    }
}

/// A page that needs nothing else.
pub(crate) fn page(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "session-store: " (title) }
                style { (PreEscaped(style)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// Writes a file into a folder, which is made if need be.
pub(crate) fn write(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, content))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// A duration for people: `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn human(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> Report {
        let text = r#"{"runs": [{"backend": "memory", "variant": "native", "seed": 1, "cases": [
            {"case": "ids_are_bytes", "guarantee": "G1", "kind": "single", "outcome": "passed", "why": null, "seconds": 0.2},
            {"case": "late_update", "guarantee": "G3", "kind": "single", "outcome": "failed",
             "why": "expected <Gone> & got \"Saved\"\u0000", "seconds": 0.2},
            {"case": "kill", "guarantee": "G10", "kind": "fault", "outcome": "not_applicable", "why": "this table forgets", "seconds": 0},
            {"case": "pages", "guarantee": "G14", "kind": "single", "outcome": "passed", "why": null, "seconds": 0.2},
            {"case": "crash", "guarantee": "G14", "kind": "fault", "outcome": "not_run", "why": "no control", "seconds": 0}]}]}"#;
        let proof = |backend, end, runs| Proof { end, runs, ..Proof::not_run(backend, "") };
        Report {
            command: "cargo xtask conformance --seed 7".to_owned(),
            started: jiff::Timestamp::constant(1_709_210_096, 0),
            took: Duration::from_secs(83),
            seed: 7,
            context: Facts::from([("compiler".to_owned(), "rustc 1.89.0".to_owned())]),
            backends: vec![
                proof(
                    Backend::Memory,
                    End::Ran,
                    serde_json::from_str::<Suite>(text).expect("it is well-formed").runs,
                ),
                proof(Backend::Server(Kind::Mysql), End::NotRun("no server".to_owned()), Vec::new()),
                proof(
                    Backend::Server(Kind::Postgres),
                    End::Broken("it did not compile".to_owned()),
                    Vec::new(),
                ),
            ],
        }
    }

    #[test]
    fn a_verdict_is_the_worst_that_happened() {
        let verdict = |guarantee| sample().backends[0].of_guarantee(guarantee).verdict();
        assert_eq!(["G1", "G2", "G3"].map(verdict), [PROVEN, NOT_RUN, FAILED]);
        assert_eq!(["G10", "G14"].map(verdict), [INAPPLICABLE, PARTLY]);
    }

    #[test]
    fn the_report_for_programs_has_verdicts_and_reasons() {
        let report = sample().json();
        assert_eq!(report["started"], "2024-02-29 12:34:56 UTC");
        assert_eq!(report["backends"][0]["guarantees"]["G14"], "proven in part");
        assert_eq!(report["backends"][0]["runs"][0]["cases"][2]["outcome"], "not_applicable");
        assert_eq!(report["backends"][2]["why"], "it did not compile");
        assert_eq!(report["failed"], 2, "a broken backend is one");
    }

    #[test]
    fn guarantees_are_numbered_without_a_gap() {
        let numbers: Vec<_> = guarantees().map(|(number, _)| number.to_owned()).collect();
        let expected: Vec<_> = (1..=numbers.len()).map(|number| format!("G{number}")).collect();
        assert_eq!(numbers, expected);
        assert!(numbers.len() >= 16);
    }
}
