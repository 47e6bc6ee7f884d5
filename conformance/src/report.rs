//! What came of a run, for programs to read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{CaseInfo, Outcome};

/// What came of one case on one backend, in one of its ways: what [`run`](crate::run) returns, and a line of the file that
/// `CONFORMANCE_REPORT` names.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// As [`Subject::name`](crate::Subject::name).
    pub backend: String,
    /// As [`Subject::variant`](crate::Subject::variant); with `, gathered` if concurrent calls were gathered into
    /// batches, and `, cached` if loads went through what a [`Cached`](session_core::contract::Cached) store keeps.
    pub variant: String,
    /// The case.
    pub case: CaseInfo,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// How many batches of two operations or more reached a store that gathers: its own and those that calls were gathered
    /// into.
    pub batches: usize,
    /// How many loads found what was kept up to date.
    pub kept: usize,
}

/// The reports as the JSON that `CONFORMANCE_REPORT` asks for.
pub(crate) fn to_json(reports: &[CaseReport], seed: u64) -> Value {
    let mut runs: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
    for report in reports {
        let (outcome, why) = match &report.outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(why) => ("failed", Some(why)),
            Outcome::NotRun(why) => ("not_run", Some(why)),
            Outcome::NotApplicable(why) => ("not_applicable", Some(why)),
            Outcome::Shared(why) => ("shared", Some(why)),
        };
        runs.entry((&report.backend, &report.variant)).or_default().push(json!({
            "case": report.case.name,
            "guarantee": report.case.guarantee.to_string(),
            "kind": report.case.kind.as_str(),
            "outcome": outcome,
            "why": why,
            "seconds": report.took.as_secs_f64(),
            "batches": report.batches,
            "kept": report.kept,
        }));
    }
    let runs: Vec<Value> = runs
        .into_iter()
        .map(|((backend, variant), cases)| {
            json!({ "backend": backend, "variant": variant, "seed": seed, "cases": cases })
        })
        .collect();
    json!({ "runs": runs })
}
