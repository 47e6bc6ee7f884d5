//! The report for programs.

use serde_json::{Map, Value, json};

use super::{Case, End, GUARANTEES, Outcome, Proof, Report, Verdict};

pub(super) fn render(report: &Report) -> String {
    let totals = report.totals();
    let context: Map<_, _> =
        report.context.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let value = json!({
        "command": report.command,
        "started": report.date(),
        "seconds": report.took.as_secs_f64(),
        "seed": report.seed,
        "context": context,
        "passed": totals.passed,
        "failed": totals.failed,
        "not_run": totals.not_run,
        "not_applicable": totals.inapplicable,
        "backends": report.backends.iter().map(backend).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn backend(proof: &Proof) -> Value {
    let (end, why) = match &proof.end {
        End::Ran => ("ran", None),
        End::NotRun(why) => ("not_run", Some(why)),
        End::Broken(why) => ("broken", Some(why)),
    };
    let guarantees: Map<_, _> = GUARANTEES
        .iter()
        .map(|(guarantee, _)| {
            let verdict = match proof.of_guarantee(guarantee).verdict() {
                Verdict::Proven => "proven",
                Verdict::Partly => "proven in part",
                Verdict::Failed => "failed",
                Verdict::NotRun => "not run",
                Verdict::Inapplicable => "does not apply",
            };
            ((*guarantee).to_owned(), json!(verdict))
        })
        .collect();
    json!({
        "backend": proof.backend,
        "server": proof.server,
        "end": end,
        "why": why,
        "seconds": proof.took.as_secs_f64(),
        "guarantees": guarantees,
        "runs": proof.runs.iter().map(|run| json!({
            "variant": run.variant,
            "cases": run.cases.iter().map(case).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn case(case: &Case) -> Value {
    let (outcome, why) = match &case.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(why) => ("failed", Some(why)),
        Outcome::NotRun(why) => ("not_run", Some(why)),
        Outcome::Inapplicable(why) => ("not_applicable", Some(why)),
    };
    json!({
        "case": case.name,
        "guarantee": case.guarantee,
        "kind": case.kind,
        "outcome": outcome,
        "why": why,
        "seconds": case.seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn verdicts_and_reasons_are_in_it() {
        let value: Value = serde_json::from_str(&render(&sample())).expect("JSON");
        assert_eq!(value["backends"][0]["guarantees"]["G14"], "proven in part");
        assert_eq!(value["backends"][2]["why"], "it did not compile");
        assert_eq!(value["failed"], 2);
    }
}
