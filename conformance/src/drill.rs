//! Drills: what is done to servers that a test program starts for itself, several of them as one.

use std::env;
use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::{CaseInfo, CaseReport, Guarantee, Kind, Options, Outcome, report};

/// What a drill found out: how it went, for people to read, or what was wrong.
pub type Finding = Result<String, String>;

/// Something that is done to servers, and what must hold meanwhile. The [front page](crate#drill-with-the-ledger) has an
/// example.
#[derive(Debug)]
pub struct Drill {
    /// A sentence about behaviour.
    pub name: &'static str,
    /// What it needs and this machine lacks; `None` if it can be run. A drill that lacks something is shown as not run.
    pub missing: Option<String>,
    /// What is done, as often as [`Options::kills`] says where it kills. It starts its servers, and stops them.
    pub run: fn(&Options) -> Finding,
}

/// Runs drills one after another as the command line says: the whole `main` of a test program. Options and
/// environment are those of [`main`](crate::main); the report's variant is `drills`. A drill's name is
/// `backend::drills::name`. `--no-faults` runs none. A drill has no time limit, so let each bound its own waits.
///
/// The exit code is that of [`main`](crate::main). A drill that panics has failed, with the panic's message.
///
/// ```no_run
/// use std::process::ExitCode;
/// use conformance::{Drill, Finding, Options, drills};
///
/// fn a_frozen_server_is_left(options: &Options) -> Finding {
///     let times = options.kills.unwrap_or(2); // `--kills N`
///     // … start the servers, hurt them that often, stop them …
///     Ok(format!("frozen {times} times"))
/// }
///
/// fn main() -> ExitCode {
///     let missing = std::env::var("YOURS_HOME").is_err().then(|| "YOURS_HOME is not set".to_owned());
///     drills("yours", [Drill { name: "a_frozen_server_is_left", missing, run: a_frozen_server_is_left }])
/// }
/// ```
pub fn drills(backend: &'static str, drills: impl IntoIterator<Item = Drill>) -> ExitCode {
    let (options, rest) = match Options::from_args(env::args_os()) {
        Ok(parsed) => parsed,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let mut arguments = Arguments::from_iter(rest);
    // Each has the machine for itself, and on one thread the harness would begin its line before a drill speaks.
    arguments.test_threads = Some(2);
    let machine = Arc::new(Mutex::new(()));
    let reports = Arc::new(Mutex::new(Vec::new()));
    let trials =
        drills.into_iter().map(|drill| trial(backend, drill, &options, &machine, &reports)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(file) = env::var_os("CONFORMANCE_REPORT").filter(|_| !arguments.list) {
        let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = fs::write(&file, report::to_json(&reports, options.seed).to_string()) {
            eprintln!("the report cannot be written to {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    conclusion.exit_code()
}

fn trial(
    backend: &'static str,
    drill: Drill,
    options: &Options,
    machine: &Arc<Mutex<()>>,
    reports: &Arc<Mutex<Vec<CaseReport>>>,
) -> Trial {
    let name = format!("{backend}::drills::{}", drill.name);
    let skipped = drill.missing.or_else(|| (!options.faults).then(|| "--no-faults".to_owned()));
    let reported = {
        let reports = Arc::clone(reports);
        move |outcome, since: Instant| {
            let case = CaseInfo { name: drill.name, guarantee: Guarantee::G10, kind: Kind::Fault };
            let (backend, variant) = (backend.to_owned(), "drills".to_owned());
            let took = since.elapsed();
            let report = CaseReport { backend, variant, case, outcome, took, batches: 1, kept: 0 };
            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        }
    };
    if let Some(why) = skipped {
        let name = format!("{name} (not run: {why})");
        reported(Outcome::NotRun(why), Instant::now());
        return Trial::test(name, || Ok(())).with_ignored_flag(true);
    }
    let (options, machine) = (options.clone(), Arc::clone(machine));
    Trial::test(name, move || {
        let _machine = machine.lock().unwrap_or_else(PoisonError::into_inner);
        let since = Instant::now();
        let found = std::panic::catch_unwind(|| (drill.run)(&options));
        let found = found.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default())
        });
        match found {
            Ok(how) => {
                println!("{}: {how}", drill.name);
                reported(Outcome::Passed, since);
                Ok(())
            }
            Err(why) => {
                reported(Outcome::Failed(why.clone()), since);
                Err(Failed::from(why))
            }
        }
    })
}

/// Runs a drill's work to its end, on a multi-threaded tokio runtime of its own. Tasks that are left then are dropped.
///
/// ```
/// let answer = conformance::block_on(async { tokio::spawn(async { 6 * 7 }).await });
/// assert_eq!(answer.unwrap(), 42);
/// ```
///
/// # Panics
/// Where the runtime cannot be started.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        Runtime::new().unwrap_or_else(|error| panic!("the tokio runtime cannot be started: {error}"));
    let came_to = runtime.block_on(work);
    // A call that hangs must not keep the program.
    runtime.shutdown_background();
    came_to
}
