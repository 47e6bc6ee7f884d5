//! Runs cases on subjects.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::RwLock;

use crate::beside::{Begun, Beside};
use crate::case::{Case, Ctx, Stop, Travel, Turn};
use crate::cases::ALL;
use crate::panics::Since;
use crate::{Availability, CaseReport, Guarantee, Kind, Options, Outcome, Subject, report, writer};

/// A case that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// As long as a kill and what follows may take, where many are asked for.
const KILL: Duration = Duration::from_secs(20);

/// Runs the suite as the command line says and reports on standard output: the whole `main` of a backend's
/// `tests/conformance.rs`.
///
/// The exit code is a failure if a case failed. What could not be run is shown, and is none. [Options and
/// variables](crate#run-it) are read from the command line and the environment.
///
/// ```no_run
/// use std::process::ExitCode;
/// use conformance::{Availability, Subject};
///
/// // Two layouts of one backend: two subjects with one name and two variants.
/// fn prove(native: impl Subject, shared_with_node: impl Subject) -> ExitCode {
///     conformance::main([Availability::ready(native), Availability::ready(shared_with_node)])
/// }
/// ```
pub fn main(subjects: impl IntoIterator<Item = Availability>) -> ExitCode {
    let subjects: Vec<Availability> = subjects.into_iter().collect();
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
    if let Some(ended) = runtime.block_on(writer::run_if_asked(&subjects)) {
        return ended;
    }
    let mut arguments = Arguments::from_iter(rest);
    arguments.test_threads.get_or_insert(2);

    let desk = Desk::new(options.clone(), runtime.handle().clone());
    let runs = Run::all(subjects);
    // Where one case after another is wanted, none runs beside.
    let beside =
        (arguments.test_threads != Some(1) && !arguments.list).then(|| Beside::new(runtime.handle().clone()));
    let mut cases: Vec<&Case> = ALL.iter().flat_map(|cases| cases.iter()).collect();
    if options.fail_fast {
        cases.sort_by_key(|case| case.info.kind);
    }
    let mut trials = Vec::new();
    for turn in [Turn::Work, Turn::Wait, Turn::Alone] {
        for run in &runs {
            for case in cases.iter().copied().filter(|case| case.turn == turn && run.concerns(case)) {
                let begun = Begun::default();
                let trial = desk.trial(run.clone(), *case, begun.clone());
                if let Some(beside) = beside.as_ref().filter(|_| turn == Turn::Wait)
                    && !arguments.is_filtered_out(&trial)
                {
                    beside.begin(&begun, desk.examine(run.clone(), *case));
                }
                trials.push(trial);
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
        let reports = desk.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = fs::write(&file, report::to_json(&reports, options.seed).to_string()) {
            eprintln!("the report cannot be written to {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    conclusion.exit_code()
}

/// Runs the suite on one subject inside a program, one case after another, without printing anything: with calls passed on
/// one by one, with calls gathered into batches, and with loads through a cache.
///
/// It takes as long as [`main`] with one thread: minutes on a server. A case that hangs fails after 5 minutes. Cases that
/// kill this process need [`main`], and are not run here.
///
/// ```
/// use std::{collections::HashMap, net::SocketAddr, sync::{Arc, Mutex}};
/// use conformance::{Namespace, Options, Outcome, Subject};
/// # use session_core::contract::Store;
/// # use session_core::{MemoryStore, Result};
/// # #[derive(Default)]
/// # struct Memory(Mutex<HashMap<Namespace, Arc<MemoryStore>>>);
/// # #[async_trait::async_trait]
/// # impl Subject for Memory {
/// #     fn name(&self) -> String { "memory".into() }
/// #     fn durable(&self) -> bool { false }
/// #     async fn open(&self, namespace: &Namespace, _: Option<SocketAddr>) -> Result<Arc<dyn Store>> {
/// #         Ok(self.0.lock().unwrap().entry(namespace.clone()).or_default().clone())
/// #     }
/// #     async fn remove(&self, namespace: &Namespace) -> Result<()> {
/// #         self.0.lock().unwrap().remove(namespace);
/// #         Ok(())
/// #     }
/// # }
///
/// # #[tokio::main] async fn main() {
/// let options = Options { filter: Some("native::G2::".to_owned()), ..Options::default() };
/// let reports = conformance::run(Arc::new(Memory::default()), &options).await;
/// for report in &reports {
///     if let Outcome::Failed(why) = &report.outcome {
///         panic!("{} on {}: {why}", report.case.name, report.variant);
///     }
/// }
/// assert!(reports.iter().any(|report| report.outcome == Outcome::Passed));
/// # }
/// ```
///
/// # Cancel safety
/// What the case that was under way had made in the database stays there.
pub async fn run(subject: Arc<dyn Subject>, options: &Options) -> Vec<CaseReport> {
    let mut reports = Vec::new();
    for run in Run::all(vec![Availability::Ready(subject)]) {
        for case in ALL.iter().flat_map(|cases| cases.iter()).filter(|case| run.concerns(case)) {
            if options.filter.as_ref().is_none_or(|filter| run.name_of(case).contains(filter)) {
                let report = run.examine(case, options).await;
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

/// How a run treats its stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Calls are passed on one by one.
    Direct,
    /// Calls are gathered into batches.
    Gathered,
    /// Loads go through what is kept.
    Cached,
}

impl Mode {
    fn name(self) -> Option<&'static str> {
        match self {
            Mode::Direct => None,
            Mode::Gathered => Some("gathered"),
            Mode::Cached => Some("cached"),
        }
    }
}

/// One subject, in one mode.
#[derive(Clone)]
struct Run {
    name: String,
    variant: String,
    mode: Mode,
    /// The variant of the same backend, if there is one, that is run with a cache in this one's place.
    cached_as: Option<String>,
    subject: Result<Arc<dyn Subject>, String>,
}

impl Run {
    fn all(availabilities: Vec<Availability>) -> Vec<Run> {
        let mut firsts: BTreeMap<String, String> = BTreeMap::new();
        let mut runs = Vec::new();
        for availability in availabilities {
            let (name, variant, subject) = match availability {
                Availability::Ready(subject) => (subject.name(), subject.variant(), Ok(subject)),
                Availability::NotRun { name, variant, why } => (name, variant, Err(why)),
            };
            let first = firsts.entry(name.clone()).or_insert_with(|| variant.clone());
            let cached_as = Some(first.clone()).filter(|first| *first != variant);
            runs.extend([Mode::Direct, Mode::Gathered, Mode::Cached].map(|mode| Run {
                name: name.clone(),
                variant: variant.clone(),
                mode,
                cached_as: cached_as.clone(),
                subject: subject.clone(),
            }));
        }
        runs
    }

    /// `postgres::native::G4::expiry_is_exact_to_the_ms`
    fn name_of(&self, case: &Case) -> String {
        let mode = self.mode.name().map_or_else(String::new, |name| format!("+{name}"));
        format!("{}::{}{mode}::{}::{}", self.name, self.variant, case.info.guarantee, case.info.name)
    }

    /// Where one caller makes one call after another, or several do on one session, none would meet another's. What is
    /// about waiting, and what breaks half-way, is not about batches.
    fn travel(&self, case: &Case) -> Travel {
        match case.info.kind {
            _ if self.mode == Mode::Direct => Travel::Alone,
            _ if self.mode == Mode::Cached => Travel::Kept,
            Kind::Single | Kind::Model | Kind::Concurrent if case.info.guarantee != Guarantee::G16 => {
                Travel::InCompany
            }
            _ => Travel::Gathered,
        }
    }

    /// A cache changes what a load does. Connections, the death of a process, and rows that are damaged or changed behind the
    /// store's back have nothing to do with it: it rests on versions that count up.
    fn concerns(&self, case: &Case) -> bool {
        use Guarantee::{G3, G4, G5, G6, G7, G8, G14};
        let is_of_loads = matches!(case.info.guarantee, G3 | G4 | G5 | G6 | G7 | G8 | G14);
        self.mode != Mode::Cached || (is_of_loads && case.turn == Turn::Work && case.info.kind != Kind::Fault)
    }

    /// The variant that runs the same code in this case. A cache knows no layout: it lies above all of them.
    fn shared(&self, subject: &dyn Subject, case: &Case) -> Option<String> {
        match self.mode {
            Mode::Cached => self.cached_as.clone(),
            mode => subject.shared(&case.info, mode == Mode::Gathered),
        }
    }

    async fn examine(&self, case: &Case, options: &Options) -> CaseReport {
        let start = Instant::now();
        let (mut batches, mut kept) = (0, 0);
        let outcome = match &self.subject {
            Err(why) => Outcome::NotRun(why.clone()),
            Ok(_) if case.info.kind == Kind::Fault && !options.faults => {
                Outcome::NotRun("faults are left out".to_owned())
            }
            Ok(subject) => match self.shared(&**subject, case).filter(|_| !options.thorough) {
                Some(other) => Outcome::Shared(format!(
                    "proven on `{other}`, which runs the same code (--thorough: here too)"
                )),
                None => {
                    let outcome;
                    (outcome, batches, kept) = self.attempt(subject, case, options).await;
                    outcome
                }
            },
        };
        let mode = self.mode.name().map_or_else(String::new, |name| format!(", {name}"));
        let variant = format!("{}{mode}", self.variant);
        let took = start.elapsed();
        CaseReport { backend: self.name.clone(), variant, case: case.info, outcome, took, batches, kept }
    }

    async fn attempt(
        &self,
        subject: &Arc<dyn Subject>,
        case: &Case,
        options: &Options,
    ) -> (Outcome, usize, usize) {
        let repeat = format!(
            "cargo test{} --test {} -- --exact '{}' --seed {} --cases {}{}",
            env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |package| format!(" -p {package}")),
            test_name().unwrap_or_else(|| "conformance".to_owned()),
            self.name_of(case),
            options.seed,
            options.cases,
            if options.thorough { " --thorough" } else { "" },
        );
        let ctx = Ctx::new(Arc::clone(subject), self.travel(case), options, repeat);
        let limit = LIMIT.max(KILL * options.kills.unwrap_or(0));
        let since = Since::now();
        // In a task of its own, so that a panic is a failure of this case alone.
        let mut task = tokio::spawn((case.body)(ctx.clone()));
        let verdict = match tokio::time::timeout(limit, &mut task).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(panic)) => Err(Stop::Failed(format!("the case panicked: {panic}"))),
            Err(_) => {
                task.abort();
                Err(Stop::Failed(format!("it hangs: no end within {limit:?}")))
            }
        };
        let cleaned = match tokio::time::timeout(LIMIT, ctx.clean_up()).await {
            Ok(cleaned) => cleaned,
            Err(_) => Err(Stop::Failed("removing the case's tables hangs".to_owned())),
        };
        let quiet = match since.first() {
            Some(panic) => Err(Stop::Failed(format!(
                "a task that nobody waited for panicked, of this case or of one beside it: {panic}"
            ))),
            None => Ok(()),
        };
        let outcome = match (verdict, cleaned.and(quiet)) {
            (Err(Stop::Failed(why)), _) | (_, Err(Stop::Failed(why))) => {
                Outcome::Failed(format!("{why}\nrepeat with: {}", ctx.repeat()))
            }
            (Err(Stop::NotRun(why)), _) | (_, Err(Stop::NotRun(why))) => Outcome::NotRun(why),
            (Err(Stop::NotApplicable(why)), _) | (_, Err(Stop::NotApplicable(why))) => {
                Outcome::NotApplicable(why)
            }
            (Ok(()), Ok(())) if self.mode == Mode::Gathered && ctx.batches() == 0 => unmet(case),
            (Ok(()), Ok(())) if self.mode == Mode::Cached && ctx.kept() == 0 => Outcome::Shared(
                "proven where nothing is kept: no load of this case finds a session that was kept".to_owned(),
            ),
            (Ok(()), Ok(())) => Outcome::Passed,
        };
        (outcome, ctx.batches(), ctx.kept())
    }
}

/// What cargo calls this test program: the name of its file, without the hash behind it.
fn test_name() -> Option<String> {
    let program = env::current_exe().ok()?;
    Some(program.file_stem()?.to_str()?.rsplit_once('-')?.0.to_owned())
}

/// A gathered case of which no two calls met has not run, or makes none of those that are gathered.
fn unmet(case: &Case) -> Outcome {
    if matches!(case.info.kind, Kind::Concurrent | Kind::Model) {
        return Outcome::NotRun("no two calls met: no batch was made".to_owned());
    }
    Outcome::Shared("proven where calls are not gathered: this case makes no batch".to_owned())
}

/// Where cases are examined and their reports come together.
#[derive(Clone)]
struct Desk {
    options: Options,
    runtime: Handle,
    /// Whoever stops the server waits until nobody else uses it.
    server: Arc<RwLock<()>>,
    reports: Arc<Mutex<Vec<CaseReport>>>,
}

impl Desk {
    fn new(options: Options, runtime: Handle) -> Desk {
        Desk { options, runtime, server: Arc::default(), reports: Arc::default() }
    }

    fn examine(&self, run: Run, case: Case) -> impl Future<Output = CaseReport> + Send + use<> {
        let desk = self.clone();
        async move {
            let (_others, _all);
            if case.turn == Turn::Alone {
                _all = desk.server.write().await;
            } else {
                _others = desk.server.read().await;
            }
            let report = run.examine(&case, &desk.options).await;
            if let (Outcome::Failed(why), true) = (&report.outcome, desk.options.fail_fast) {
                println!("first failure: {}: {why}", run.name_of(&case));
                std::process::exit(101);
            }
            report
        }
    }

    fn trial(&self, run: Run, case: Case, begun: Begun) -> Trial {
        let desk = self.clone();
        Trial::ignorable_test(run.name_of(&case), move || {
            let report = match begun.take() {
                Some(begun) => {
                    desk.runtime.block_on(begun).map_err(|panic| Failed::from(panic.to_string()))?
                }
                None => desk.runtime.block_on(desk.examine(run, case)),
            };
            let outcome = report.outcome.clone();
            desk.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            match outcome {
                Outcome::Passed => Ok(Completion::Completed),
                Outcome::NotRun(why) => Ok(Completion::ignored_with(format!("not run: {why}"))),
                Outcome::NotApplicable(why) => Ok(Completion::ignored_with(format!("does not apply: {why}"))),
                Outcome::Shared(why) => Ok(Completion::ignored_with(format!("shared: {why}"))),
                Outcome::Failed(why) => {
                    Err(Failed::from(format!("{} is broken: {why}", case.info.guarantee)))
                }
            }
        })
    }
}
