//! The suite is tested by what it is for: every store that is broken must be found out, by a case that names the
//! right guarantee, and a store that is right must never be accused.

#![expect(
    clippy::unwrap_used,
    reason = "a poisoned lock, or more rows than a number can hold, is a broken test"
)]

mod batch;
mod cache;
mod faults;
mod lock;
mod net;
mod parts;
mod principals;
mod rotation;
mod rules;
mod store;
mod subject;
mod tell;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;

use conformance::{CaseReport, Guarantee, Options, Outcome, run};
use libtest_mimic::{Arguments, Failed, Trial};
use session_core::KeyFormat;
use tokio::runtime::{Handle, Runtime};

use faults::Fault;
use subject::{Form, Small};

/// Enough for every fault; more find the same.
const CASES: u32 = 16;
/// For each seed of a right store.
const CASES_OF_A_SEED: u32 = 8;
const SEEDS: u64 = 22;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(4);
    let runtime = Runtime::new().expect("the tokio runtime starts");
    let mut trials = Vec::new();
    for (fault, guarantee) in faults::ALL {
        let name = format!("is_found_out::{fault:?}::{guarantee}");
        trials.push(Trial::test(name, move || is_found_out(*fault, *guarantee)));
    }
    for seed in 0..SEEDS {
        let handle = runtime.handle().clone();
        let form = right(seed);
        trials.push(Trial::test(format!("is_not_accused::{}", describe(&form, seed)), move || {
            is_not_accused(&handle, form, seed)
        }));
    }
    let handle = runtime.handle().clone();
    trials.push(Trial::test("is_not_accused::over_a_network", move || {
        // What it writes does not cross it, so that only what is loaded, and how long it takes, can be judged.
        let form = Form { served: true, ..Form::RIGHT };
        let mut reports = examine(&handle, form, 1, 1, Some("::G7::".to_owned()));
        for guarantee in [Guarantee::G10, Guarantee::G16] {
            reports.extend(examine(&handle, form, 1, 1, Some(format!("small::native::{guarantee}::"))));
        }
        failures_of(reports)
    }));
    let handle = runtime.handle().clone();
    trials.push(Trial::test("a_failure_is_shown_in_few_steps", move || a_failure_is_shown(&handle)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Right stores of every kind: with all abilities, and without each of them.
fn right(seed: u64) -> Form {
    let mut form = Form::RIGHT;
    if seed % 2 == 1 {
        form.format = KeyFormat::Plain;
    }
    match seed % 11 {
        2 => form.can.versions = false,
        3 => form.can.principals = false,
        4 => form.can.rotation = false,
        5 => form.can.tombstones = false,
        6 => form.can.exact_expiry = false,
        7 => {
            // What a table of connect-mssql-v2 can do.
            form.can.versions = false;
            form.can.principals = false;
            form.can.rotation = false;
            form.can.tombstones = false;
            form.can.created_at = false;
            form.can.exact_expiry = false;
        }
        8 => form.can.returns_new_version = false,
        9 => form.can.removes_principal_rows = false,
        10 => form.can.tells_rotation = false,
        _ => {}
    }
    form
}

fn describe(form: &Form, seed: u64) -> String {
    let can = form.can;
    let without: Vec<&str> = [
        (can.versions, "versions"),
        (can.principals, "principals"),
        (can.rotation, "rotation"),
        (can.tombstones, "tombstones"),
        (can.created_at, "created_at"),
        (can.exact_expiry, "exact_expiry"),
        (can.returns_new_version, "returns_new_version"),
        (can.removes_principal_rows, "removes_principal_rows"),
        (can.tells_rotation, "tells_rotation"),
    ]
    .into_iter()
    .filter_map(|(can, what)| (!can).then_some(what))
    .collect();
    let without = if without.is_empty() { "nothing".to_owned() } else { without.join("+") };
    format!("{:?}_keys::without_{without}::seed_{seed}", form.format)
}

fn examine(runtime: &Handle, form: Form, seed: u64, cases: u32, filter: Option<String>) -> Vec<CaseReport> {
    let options = Options { seed, cases, fail_fast: true, filter, ..Options::default() };
    runtime.block_on(run(Arc::new(Small::new(form)), &options))
}

fn is_found_out(fault: Fault, guarantee: Guarantee) -> Result<(), Failed> {
    // Its own, so that a panic of one store is not another's.
    let runtime = Runtime::new().expect("the tokio runtime starts");
    // Gathering is another engine's test.
    let filter = format!("small::native::{guarantee}::");
    let reports = examine(runtime.handle(), faults::form_of(fault), 1, CASES, Some(filter));
    let caught = reports.iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
    if caught {
        Ok(())
    } else {
        Err(format!("{} cases of {guarantee} ran, and none failed", reports.len()).into())
    }
}

fn is_not_accused(runtime: &Handle, form: Form, seed: u64) -> Result<(), Failed> {
    failures_of(examine(runtime, form, seed, CASES_OF_A_SEED, None))
}

fn failures_of(reports: Vec<CaseReport>) -> Result<(), Failed> {
    let failures: Vec<String> = reports
        .into_iter()
        .filter_map(|report| match report.outcome {
            Outcome::Failed(why) => Some(format!("{} ({}): {why}", report.case.name, report.variant)),
            _ => None,
        })
        .collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n").into()) }
}

/// What a model-based case says of a store that is broken: the shortest sequence, what was expected, and the command
/// that repeats it.
fn a_failure_is_shown(runtime: &Handle) -> Result<(), Failed> {
    let filter = "small::native::G5::versions_are_as_the_model_says".to_owned();
    let form = faults::form_of(Fault::TouchCountsTheVersionUp);
    let reports = examine(runtime, form, 7, CASES, Some(filter));
    let Some(Outcome::Failed(why)) = reports.first().map(|report| &report.outcome) else {
        return Err(format!("it did not fail: {reports:?}").into());
    };
    let steps = why.lines().filter(|line| line.contains(". handle ")).count();
    // A create and a touch are enough; what differs is seen at the end at the latest.
    for part in ["create key", "touch key", "expected: ", "--seed 7", "--exact 'small::native::G5::"] {
        if !why.contains(part) {
            return Err(format!("no {part:?} in: {why}").into());
        }
    }
    if steps <= 3 { Ok(()) } else { Err(format!("{steps} steps where 2 are enough: {why}").into()) }
}
