//! Runs cases against backends.

use std::env;
use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Handle, Runtime};

use crate::case::{Case, Ctx, Stop};
use crate::cases::ALL;
use crate::{Availability, Backend, CaseReport, Kind, Options, Outcome, report, writer};

/// A case that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the suite as the command line says and reports on standard output: the whole `main` of a backend's
/// `tests/conformance.rs`.
///
/// The exit code is a failure if a case failed. What could not be run is shown, and is none.
pub fn main(backends: impl IntoIterator<Item = Availability>) -> ExitCode {
    let backends: Vec<Availability> = backends.into_iter().collect();
    let (options, rest) = match Options::from_args(env::args_os()) {
        Ok(parsed) => parsed,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the tokio runtime cannot be started: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(ended) = runtime.block_on(writer::run_if_asked(&backends)) {
        return ended;
    }
    let mut arguments = Arguments::from_iter(rest);
    arguments.test_threads.get_or_insert(2);

    let reports = Arc::new(Mutex::new(Vec::new()));
    let gate = Arc::new(RwLock::new(()));
    let mut subjects = Vec::new();
    for backend in backends {
        subjects.extend(Subject::all(backend));
    }
    let mut trials = Vec::new();
    for alone in [false, true] {
        for subject in &subjects {
            for case in ALL.iter().flat_map(|cases| cases.iter()).filter(|case| case.alone == alone) {
                trials.push(trial(
                    subject.clone(),
                    *case,
                    options.clone(),
                    runtime.handle().clone(),
                    Arc::clone(&gate),
                    Arc::clone(&reports),
                ));
            }
        }
    }
    if !arguments.list {
        println!("seed {}", options.seed);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // A task that a broken backend left hanging must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(2));

    if let Some(file) = env::var_os("CONFORMANCE_REPORT").filter(|_| !arguments.list) {
        let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = fs::write(&file, report::to_json(&reports, options.seed).to_string()) {
            eprintln!("the report cannot be written to {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    conclusion.exit_code()
}

/// Runs the suite on one backend inside a program, one case after another, without printing anything: both with
/// calls passed on one by one and with calls gathered into batches.
pub async fn run(backend: Arc<dyn Backend>, options: &Options) -> Vec<CaseReport> {
    let mut reports = Vec::new();
    for subject in Subject::all(Availability::Ready(backend)) {
        for case in ALL.iter().flat_map(|cases| cases.iter()) {
            if options.filter.as_ref().is_none_or(|filter| subject.name_of(case).contains(filter)) {
                let report = subject.examine(case, options).await;
                let failed = matches!(report.outcome, Outcome::Failed(_));
                reports.push(report);
                if failed && options.fail_fast {
                    return reports;
                }
            }
        }
    }
    reports
}

/// One backend in one variant.
#[derive(Clone)]
struct Subject {
    name: String,
    variant: String,
    gathered: bool,
    backend: Result<Arc<dyn Backend>, String>,
}

impl Subject {
    fn all(availability: Availability) -> Vec<Subject> {
        let (name, variant, backend) = match availability {
            Availability::Ready(backend) => (backend.name(), backend.variant(), Ok(backend)),
            Availability::NotRun { name, variant, why } => (name, variant, Err(why)),
        };
        let raw = Subject { name, variant, gathered: false, backend };
        let gathered = Subject { gathered: true, ..raw.clone() };
        vec![raw, gathered]
    }

    /// `postgres::native::G4::expiry_is_exact_to_the_ms`
    fn name_of(&self, case: &Case) -> String {
        let gathered = if self.gathered { "+gathered" } else { "" };
        format!("{}::{}{gathered}::{}::{}", self.name, self.variant, case.info.guarantee, case.info.name)
    }

    async fn examine(&self, case: &Case, options: &Options) -> CaseReport {
        let start = Instant::now();
        let outcome = match &self.backend {
            Err(why) => Outcome::NotRun(why.clone()),
            Ok(_) if case.info.kind == Kind::Fault && !options.faults => {
                Outcome::NotRun("faults are left out".to_owned())
            }
            Ok(backend) => self.attempt(backend, case, options).await,
        };
        let variant =
            if self.gathered { format!("{}, gathered", self.variant) } else { self.variant.clone() };
        CaseReport { backend: self.name.clone(), variant, case: case.info, outcome, took: start.elapsed() }
    }

    async fn attempt(&self, backend: &Arc<dyn Backend>, case: &Case, options: &Options) -> Outcome {
        let repeat = format!(
            "cargo test{} --test conformance -- --exact '{}' --seed {} --cases {}",
            env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |package| format!(" -p {package}")),
            self.name_of(case),
            options.seed,
            options.cases,
        );
        let ctx = Ctx::new(Arc::clone(backend), self.gathered, options.seed, options.cases, repeat);
        // In a task of its own, so that a panic is a failure of this case alone.
        let mut task = tokio::spawn((case.body)(ctx.clone()));
        let verdict = match tokio::time::timeout(LIMIT, &mut task).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(panic)) => Err(Stop::Failed(format!("the case panicked: {panic}"))),
            Err(_) => {
                task.abort();
                Err(Stop::Failed(format!("it hangs: no end within {LIMIT:?}")))
            }
        };
        let cleaned = match tokio::time::timeout(LIMIT, ctx.clean_up()).await {
            Ok(cleaned) => cleaned,
            Err(_) => Err(Stop::Failed("removing the case's tables hangs".to_owned())),
        };
        match (verdict, cleaned) {
            (Err(Stop::Failed(why)), _) | (_, Err(Stop::Failed(why))) => {
                Outcome::Failed(format!("{why}\nrepeat with: {}", ctx.repeat()))
            }
            (Err(Stop::NotRun(why)), _) | (_, Err(Stop::NotRun(why))) => Outcome::NotRun(why),
            (Ok(()), Ok(())) => Outcome::Passed,
        }
    }
}

fn trial(
    subject: Subject,
    case: Case,
    options: Options,
    runtime: Handle,
    gate: Arc<RwLock<()>>,
    reports: Arc<Mutex<Vec<CaseReport>>>,
) -> Trial {
    Trial::ignorable_test(subject.name_of(&case), move || {
        // Whoever stops the server waits until nobody else uses it.
        let (_others, _all);
        if case.alone {
            _all = gate.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _others = gate.read().unwrap_or_else(PoisonError::into_inner);
        }
        let report = runtime.block_on(subject.examine(&case, &options));
        let outcome = report.outcome.clone();
        reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        match outcome {
            Outcome::Passed => Ok(Completion::Completed),
            Outcome::NotRun(why) => Ok(Completion::ignored_with(format!("not run: {why}"))),
            Outcome::Failed(why) => Err(Failed::from(format!("{} is broken: {why}", case.info.guarantee))),
        }
    })
}
