//! What was proven: the model that the table and the files are made of.

mod html;
mod json;
mod junit;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::Value;

pub(crate) use table::print;

/// The guarantees, as GUARANTEES.md numbers and calls them.
pub(crate) const GUARANTEES: [(&str, &str); 16] = [
    ("G1", "exact identity"),
    ("G2", "create never overwrites"),
    ("G3", "dead is dead"),
    ("G4", "exact expiry"),
    ("G5", "no lost update"),
    ("G6", "atomic rotation"),
    ("G7", "payload fidelity"),
    ("G8", "linearizable per session"),
    ("G9", "cancel-safe"),
    ("G10", "durable"),
    ("G11", "safe purge"),
    ("G12", "contained faults"),
    ("G13", "separate tables"),
    ("G14", "principals"),
    ("G15", "secrets stay secret"),
    ("G16", "bounded waiting"),
];

/// Everything that one command found out.
#[derive(Debug)]
pub(crate) struct Report {
    /// The command that repeats it.
    pub(crate) command: String,
    pub(crate) started: SystemTime,
    pub(crate) took: Duration,
    pub(crate) seed: u64,
    /// What it ran on: revision, compiler, operating system.
    pub(crate) context: Vec<(&'static str, String)>,
    pub(crate) backends: Vec<Proof>,
}

/// What became of one backend.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) backend: &'static str,
    /// The server, and where it came from.
    pub(crate) server: Option<String>,
    pub(crate) end: End,
    pub(crate) runs: Vec<Run>,
    pub(crate) took: Duration,
}

/// How the attempt on a backend ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The suite ran to its end.
    Ran,
    /// There was nothing to run it against, or nothing to run, and that was no fault.
    NotRun(String),
    /// It should have run, or have run to its end, and did not.
    Broken(String),
}

/// The suite on one variant of a backend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) backend: String,
    pub(crate) variant: String,
    pub(crate) cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) guarantee: String,
    pub(crate) kind: String,
    pub(crate) outcome: Outcome,
    pub(crate) seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// It could not be tried here, and could be elsewhere.
    NotRun(String),
    /// There is nothing to try: the backend makes no such promise.
    Inapplicable(String),
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) not_run: usize,
    pub(crate) inapplicable: usize,
}

/// What is known about one guarantee of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proven,
    /// What ran passed, and something did not run.
    Partly,
    Failed,
    NotRun,
    Inapplicable,
}

impl Counts {
    fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let mut counts = Self::default();
        for case in cases {
            match case.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::NotRun(_) => counts.not_run += 1,
                Outcome::Inapplicable(_) => counts.inapplicable += 1,
            }
        }
        counts
    }

    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self { failed: 1.., .. } => Verdict::Failed,
            Self { passed: 0, not_run: 0, inapplicable: 1.., .. } => Verdict::Inapplicable,
            Self { passed: 0, .. } => Verdict::NotRun,
            Self { not_run: 0, .. } => Verdict::Proven,
            Self { .. } => Verdict::Partly,
        }
    }
}

impl Proof {
    fn cases(&self) -> impl Iterator<Item = &Case> {
        self.runs.iter().flat_map(|run| &run.cases)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts::of(self.cases())
    }

    pub(crate) fn of_guarantee(&self, guarantee: &str) -> Counts {
        Counts::of(self.cases().filter(|case| case.guarantee == guarantee))
    }

    /// Whether at least one case passed or failed.
    pub(crate) fn ran_something(&self) -> bool {
        self.cases().any(|case| matches!(case.outcome, Outcome::Passed | Outcome::Failed(_)))
    }

    /// The cases that were not run although the backend was, with those that do not apply: how many of which guarantee,
    /// by reason.
    fn omissions(&self) -> BTreeMap<(bool, &str), BTreeMap<&str, usize>> {
        let mut reasons: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for case in self.cases() {
            let reason = match &case.outcome {
                Outcome::NotRun(why) => (false, why.as_str()),
                Outcome::Inapplicable(why) => (true, why.as_str()),
                Outcome::Passed | Outcome::Failed(_) => continue,
            };
            *reasons.entry(reason).or_default().entry(case.guarantee.as_str()).or_default() += 1;
        }
        reasons
    }
}

impl Report {
    /// Cases passed and failed; a backend that is broken counts as one more failure.
    pub(crate) fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        for proof in &self.backends {
            let counts = proof.counts();
            totals.passed += counts.passed;
            totals.failed += counts.failed + usize::from(matches!(proof.end, End::Broken(_)));
            totals.not_run += counts.not_run;
            totals.inapplicable += counts.inapplicable;
        }
        totals
    }

    /// What is to be known about each case that failed and each backend that is broken.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for Proof { backend, end, runs, .. } in &self.backends {
            if let End::Broken(why) = end {
                failures.push(format!("{backend}: {why}"));
            }
            for run in runs {
                failures.extend(run.cases.iter().filter_map(|case| {
                    let Outcome::Failed(why) = &case.outcome else { return None };
                    Some(format!("{backend}, {}: {} {}\n{why}", run.variant, case.guarantee, case.name))
                }));
            }
        }
        failures
    }

    /// Writes `report.json`, `junit.xml` and `report.html` into the folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let files = [
            ("report.json", json::render(self)),
            ("junit.xml", junit::render(self)),
            ("report.html", html::render(self)),
        ];
        for (name, content) in files {
            let path = folder.join(name);
            fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    /// The start as `2026-01-31 23:59:59 UTC`.
    fn date(&self) -> String {
        let seconds = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (day, time) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(day);
        format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
    }
}

/// The date of a day since 1970, by counting 400-year eras from the first of March of the year 0.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// A duration for people: `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn human(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Reads what the suite wrote.
pub(crate) fn parse_runs(text: &str) -> Result<Vec<Run>> {
    let report: Value = serde_json::from_str(text).context("the suite's report is not JSON")?;
    let runs = report["runs"].as_array().context("the suite's report has no runs")?;
    runs.iter().map(parse_run).collect()
}

fn parse_run(run: &Value) -> Result<Run> {
    let cases = run["cases"].as_array().context("a run without cases")?;
    Ok(Run {
        backend: text(run, "backend")?,
        variant: text(run, "variant")?,
        cases: cases.iter().map(parse_case).collect::<Result<_>>()?,
    })
}

fn parse_case(case: &Value) -> Result<Case> {
    let why = || case["why"].as_str().unwrap_or("no reason was given").to_owned();
    let outcome = match case["outcome"].as_str() {
        Some("passed") => Outcome::Passed,
        Some("failed") => Outcome::Failed(why()),
        Some("not_run") if is_inapplicable(&why()) => Outcome::Inapplicable(why()),
        Some("not_run") => Outcome::NotRun(why()),
        other => anyhow::bail!("an outcome that nobody knows: {other:?}"),
    };
    Ok(Case {
        name: text(case, "case")?,
        guarantee: text(case, "guarantee")?,
        kind: text(case, "kind")?,
        outcome,
        seconds: case["seconds"].as_f64().unwrap_or_default(),
    })
}

/// The suite's reasons that speak of what the backend is, not of what was missing here.
fn is_inapplicable(why: &str) -> bool {
    ["this table ", "this backend is not ", "there is no server"].iter().any(|start| why.starts_with(start))
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key].as_str().with_context(|| format!("the suite's report lacks a `{key}`"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> Report {
        let case = |name: &str, guarantee: &str, outcome| Case {
            name: name.to_owned(),
            guarantee: guarantee.to_owned(),
            kind: "single".to_owned(),
            outcome,
            seconds: 0.25,
        };
        Report {
            command: "cargo xtask conformance --seed 7".to_owned(),
            started: UNIX_EPOCH + Duration::from_secs(1_709_210_096),
            took: Duration::from_secs(83),
            seed: 7,
            context: vec![("rustc", "1.89.0".to_owned())],
            backends: vec![
                Proof {
                    backend: "memory",
                    server: None,
                    end: End::Ran,
                    runs: vec![Run {
                        backend: "memory".to_owned(),
                        variant: "native".to_owned(),
                        cases: vec![
                            case("ids_are_bytes", "G1", Outcome::Passed),
                            case(
                                "late_update",
                                "G3",
                                Outcome::Failed("expected <Gone> & got \"Saved\"".to_owned()),
                            ),
                            case("kill", "G10", Outcome::Inapplicable("memory forgets".to_owned())),
                            case("pages", "G14", Outcome::Passed),
                            case("crash", "G14", Outcome::NotRun("no server control".to_owned())),
                        ],
                    }],
                    took: Duration::from_secs(80),
                },
                Proof {
                    backend: "mysql",
                    server: None,
                    end: End::NotRun("no server".to_owned()),
                    runs: Vec::new(),
                    took: Duration::ZERO,
                },
                Proof {
                    backend: "postgres",
                    server: Some("PostgreSQL 17".to_owned()),
                    end: End::Broken("it did not compile".to_owned()),
                    runs: Vec::new(),
                    took: Duration::from_secs(3),
                },
            ],
        }
    }

    #[test]
    fn a_verdict_is_the_worst_that_happened() {
        let report = sample();
        let memory = &report.backends[0];
        assert_eq!(memory.of_guarantee("G1").verdict(), Verdict::Proven);
        assert_eq!(memory.of_guarantee("G2").verdict(), Verdict::NotRun);
        assert_eq!(memory.of_guarantee("G3").verdict(), Verdict::Failed);
        assert_eq!(memory.of_guarantee("G10").verdict(), Verdict::Inapplicable);
        assert_eq!(memory.of_guarantee("G14").verdict(), Verdict::Partly);
    }

    #[test]
    fn a_broken_backend_counts_as_a_failure() {
        assert_eq!(sample().totals(), Counts { passed: 2, failed: 2, not_run: 1, inapplicable: 1 });
    }

    #[test]
    fn the_date_is_right_in_a_leap_year() {
        assert_eq!(sample().date(), "2024-02-29 12:34:56 UTC");
        assert_eq!(civil(0), (1970, 1, 1));
    }

    #[test]
    fn the_suites_report_is_read() {
        let text = r#"{"runs":[{"backend":"memory","variant":"native","seed":1,"cases":[
            {"case":"a","guarantee":"G4","kind":"single","outcome":"passed","why":null,"seconds":0.5},
            {"case":"b","guarantee":"G4","kind":"fault","outcome":"not_run","why":"no server control","seconds":0},
            {"case":"c","guarantee":"G3","kind":"single","outcome":"not_run","why":"this table cannot rotate","seconds":0}]}]}"#;
        let runs = parse_runs(text).expect("it is well-formed");
        assert_eq!(runs[0].variant, "native");
        assert_eq!(runs[0].cases[1].outcome, Outcome::NotRun("no server control".to_owned()));
        assert_eq!(runs[0].cases[2].outcome, Outcome::Inapplicable("this table cannot rotate".to_owned()));
        assert!(parse_runs("{}").is_err());
    }
}
