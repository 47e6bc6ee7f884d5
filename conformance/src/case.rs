//! What a case is, and what it has to work with.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::contract::{Checked, Gathered, Store};
use session_core::{Error, Gathering};
use tokio::time::Instant;

use crate::company::{Company, Gate};
use crate::{Namespace, Options, Subject, kept};

/// A guarantee: a section of `GUARANTEES.md`, which says all that it promises and what it does not.
///
/// ```
/// use conformance::Guarantee;
///
/// let of_expiry = conformance::cases().into_iter().filter(|case| case.guarantee == Guarantee::G4);
/// assert!(of_expiry.count() > 5);
/// assert_eq!(Guarantee::G4.to_string(), "G4");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// Two ids are one session only if their bytes are equal.
    G1,
    /// A create never overwrites: of many creates of one id, one succeeds.
    G2,
    /// A session that ended is never loaded, changed or revived.
    G3,
    /// Expiry is exact, to the millisecond.
    G4,
    /// An update that expects a version loses no other update.
    G5,
    /// A rotation moves a session in one step.
    G6,
    /// A load returns what was saved, byte for byte.
    G7,
    /// One sequential order explains all that concurrent callers see.
    G8,
    /// Any future may be dropped.
    G9,
    /// What was acknowledged survives a kill.
    G10,
    /// A purge removes what has expired, and nothing else.
    G11,
    /// A damaged row harms no other session.
    G12,
    /// Two tables never see each other's sessions.
    G13,
    /// Listing, counting and ending the sessions of a principal is complete and exact.
    G14,
    /// No id, payload or password is printed, logged or left behind.
    G15,
    /// No call waits longer than its deadline, and the store works again after an outage.
    G16,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How a case looks for a broken guarantee. The quick ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One situation, written down.
    Single,
    /// Sequences drawn by lot, compared with a model after each step.
    Model,
    /// Callers at the same time, and what they saw explained by one order.
    Concurrent,
    /// Something is dropped, cut, stopped or killed.
    Fault,
}

impl Kind {
    /// The kind as a word for reports, such as `model`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Single => "single",
            Kind::Model => "model",
            Kind::Concurrent => "concurrent",
            Kind::Fault => "fault",
        }
    }
}

/// A case of the suite, as [`cases`](crate::cases) lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseInfo {
    /// A sentence about behaviour: `expiry_is_exact_in_every_operation`.
    pub name: &'static str,
    /// What it proves.
    pub guarantee: Guarantee,
    /// How.
    pub kind: Kind,
}

/// What came of a case. Only [`Failed`](Outcome::Failed) speaks against the store.
///
/// ```
/// use conformance::Outcome;
///
/// fn mark(outcome: &Outcome) -> &'static str {
///     match outcome {
///         Outcome::Passed => "proven",
///         Outcome::Failed(_) => "broken",
///         Outcome::NotRun(_) => "not run",
///         Outcome::NotApplicable(_) => "does not apply",
///         Outcome::Shared(_) => "proven elsewhere",
///     }
/// }
/// assert_eq!(mark(&Outcome::NotRun("no server".to_owned())), "not run");
/// ```
///
/// Exhaustive: each outcome counts in another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guarantee held.
    Passed,
    /// It was broken, and how.
    Failed(String),
    /// It could not be tried here, and could be elsewhere; why not.
    NotRun(String),
    /// There is nothing to try: the backend makes no such promise, or has no such part. Why not.
    NotApplicable(String),
    /// Another variant, which runs the same code, was tried in its place; which one.
    Shared(String),
}

/// A call that has no answer after this time never gets one: far longer than any call takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Why a case ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    NotRun(String),
    NotApplicable(String),
}

pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// An error that the case did not ask for.
impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        let mut text = format!("an unexpected error, {}: {error}", error.kind().as_str());
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Stop::Failed(text)
    }
}

pub(crate) fn failed<T>(why: impl Into<String>) -> Verdict<T> {
    Err(Stop::Failed(why.into()))
}

/// Ends the case as one that could not be tried here.
pub(crate) fn not_run<T>(why: impl Into<String>) -> Verdict<T> {
    Err(Stop::NotRun(why.into()))
}

/// Ends the case as one that does not concern this backend.
pub(crate) fn does_not_apply<T>(why: impl Into<String>) -> Verdict<T> {
    Err(Stop::NotApplicable(why.into()))
}

/// Ends the case if the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return $crate::case::failed(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

/// Ends the case if what came is not what was expected.
macro_rules! ensure_eq {
    ($came:expr, $expected:expr, $($message:tt)+) => {
        match (&$came, &$expected) {
            (came, expected) => {
                if came != expected {
                    return $crate::case::failed(format!(
                        "{}: expected {expected:?}, but it is {came:?}",
                        format_args!($($message)+),
                    ));
                }
            }
        }
    };
}
pub(crate) use ensure_eq;

pub(crate) type Body = fn(Ctx) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// When a case has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It works: few at a time.
    Work,
    /// It waits for a clock nearly all the time: beside those that work, and many at a time.
    Wait,
    /// It stops or kills the server that others use: alone, after all others.
    Alone,
}

/// A case and its code.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) info: CaseInfo,
    pub(crate) turn: Turn,
    pub(crate) body: Body,
}

impl Case {
    pub(crate) const fn new(guarantee: Guarantee, kind: Kind, name: &'static str, body: Body) -> Case {
        Case { info: CaseInfo { name, guarantee, kind }, turn: Turn::Work, body }
    }

    pub(crate) const fn waits(mut self) -> Case {
        self.turn = Turn::Wait;
        self
    }

    pub(crate) const fn alone(mut self) -> Case {
        self.turn = Turn::Alone;
        self
    }
}

/// A case whose name is its function's.
macro_rules! case {
    ($guarantee:ident, $kind:ident, $name:ident) => {
        $crate::case::Case::new(
            $crate::Guarantee::$guarantee,
            $crate::Kind::$kind,
            stringify!($name),
            |ctx| Box::pin($name(ctx)),
        )
    };
}
pub(crate) use case;

/// What a case has to work with: stores on tables of its own.
#[derive(Clone)]
pub(crate) struct Ctx {
    shared: Arc<Shared>,
}

struct Shared {
    subject: Arc<dyn Subject>,
    travel: Travel,
    seed: u64,
    cases: u32,
    kills: Option<u32>,
    /// The words that repeat this case, for a person to type.
    repeat: String,
    namespaces: Mutex<Vec<Namespace>>,
    /// How many batches of two or more came of calls that were gathered.
    batches: Arc<AtomicUsize>,
    /// How many loads were answered by what was kept.
    kept: Arc<AtomicUsize>,
}

/// How calls go to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Travel {
    /// One by one.
    Alone,
    /// Those that meet are gathered into batches.
    Gathered,
    /// The same, and each meets others.
    InCompany,
    /// One by one, and loads through what is kept.
    Kept,
}

impl Ctx {
    pub(crate) fn new(subject: Arc<dyn Subject>, travel: Travel, options: &Options, repeat: String) -> Ctx {
        Ctx {
            shared: Arc::new(Shared {
                subject,
                travel,
                batches: Arc::default(),
                kept: Arc::default(),
                seed: options.seed,
                cases: options.cases,
                kills: options.kills,
                repeat,
                namespaces: Mutex::new(Vec::new()),
            }),
        }
    }

    pub(crate) fn subject(&self) -> &dyn Subject {
        &*self.shared.subject
    }

    pub(crate) fn seed(&self) -> u64 {
        self.shared.seed
    }

    pub(crate) fn cases(&self) -> u32 {
        self.shared.cases
    }

    /// How often a case of kills kills, if nobody said.
    pub(crate) fn kills_or(&self, few: u32) -> u32 {
        self.shared.kills.unwrap_or(few)
    }

    pub(crate) fn repeat(&self) -> &str {
        &self.shared.repeat
    }

    pub(crate) fn is_gathered(&self) -> bool {
        matches!(self.shared.travel, Travel::Gathered | Travel::InCompany)
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.shared.travel == Travel::Kept
    }

    /// How many batches of two operations or more calls of this case were gathered into.
    pub(crate) fn batches(&self) -> usize {
        self.shared.batches.load(Ordering::SeqCst)
    }

    /// How many loads of this case found what a cache had kept up to date.
    pub(crate) fn kept(&self) -> usize {
        self.shared.kept.load(Ordering::SeqCst)
    }

    /// A namespace that is removed after the case.
    pub(crate) fn namespace(&self) -> Namespace {
        let namespace = Namespace::unique();
        self.adopt(namespace.clone());
        namespace
    }

    /// A namespace with this name, which the caller has made unique. It is removed after the case.
    pub(crate) fn namespace_named(&self, name: impl Into<String>) -> Namespace {
        let namespace = Namespace::from_text(name);
        self.adopt(namespace.clone());
        namespace
    }

    fn adopt(&self, namespace: Namespace) {
        self.shared.namespaces.lock().unwrap_or_else(PoisonError::into_inner).push(namespace);
    }

    /// A store on a table of its own.
    pub(crate) async fn store(&self) -> Verdict<Arc<dyn Store>> {
        self.open(&self.namespace()).await
    }

    /// A handle on a namespace, with connections of its own.
    pub(crate) async fn open(&self, namespace: &Namespace) -> Verdict<Arc<dyn Store>> {
        self.open_via(namespace, None).await
    }

    pub(crate) async fn open_via(
        &self,
        namespace: &Namespace,
        via: Option<SocketAddr>,
    ) -> Verdict<Arc<dyn Store>> {
        self.prepare(self.shared.subject.open(namespace, via).await?)
    }

    /// A handle on a namespace whose table lacks characters, where there is such a table.
    pub(crate) async fn open_narrow(&self, namespace: &Namespace) -> Verdict<Option<Arc<dyn Store>>> {
        let store = self.shared.subject.open_narrow(namespace).await?;
        store.map(|store| self.prepare(store)).transpose()
    }

    fn prepare(&self, store: Arc<dyn Store>) -> Verdict<Arc<dyn Store>> {
        let store = Arc::new(Checked::new(store));
        if self.shared.travel == Travel::Kept {
            if !store.capabilities().versions {
                return does_not_apply("this table holds no versions, by which a cache asks");
            }
            return Ok(kept::keep(store, Arc::clone(&self.shared.kept))?);
        }
        Ok(self.gather(store))
    }

    /// The store as this run is to use it.
    pub(crate) fn gather(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        if !self.is_gathered() {
            return store;
        }
        let recommended = store.gathering();
        // A backend that recommends none must be right with it all the same. One lane of each kind, so that calls meet.
        let gathering = Gathering {
            read_lanes: 1,
            write_lanes: 1,
            max_batch: if recommended.max_batch > 1 { recommended.max_batch } else { 16 },
            max_bytes: if recommended.max_bytes > 0 { recommended.max_bytes } else { 1 << 20 },
        };
        // The default, and where connections are slow to be of use, time for callers that wait for new ones in turn.
        let deadline = Duration::from_secs(5) + 4 * self.shared.subject.cold_start();
        let gate = Gate::new(store, Arc::clone(&self.shared.batches));
        let gather = |store| Gathered::new(store, gathering).with_deadline(deadline);
        match self.shared.travel {
            Travel::InCompany => Arc::new(Company::new(gate, gather)),
            Travel::Alone | Travel::Kept | Travel::Gathered => Arc::new(gather(Arc::new(gate))),
        }
    }

    /// Several handles on one new namespace.
    pub(crate) async fn handles(&self, count: usize) -> Verdict<Vec<Arc<dyn Store>>> {
        let namespace = self.namespace();
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            handles.push(self.open(&namespace).await?);
        }
        Ok(handles)
    }

    /// Repeats a check until it holds, and ends the case if it does not in time.
    pub(crate) async fn eventually<F>(
        &self,
        within: Duration,
        what: &str,
        mut check: impl FnMut() -> F,
    ) -> Verdict
    where
        F: Future<Output = Verdict>,
    {
        let deadline = Instant::now() + within;
        loop {
            let why = match tokio::time::timeout_at(deadline, check()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Stop::Failed(why))) => why,
                Ok(Err(stop)) => return Err(stop),
                Err(_) => "there was no answer at all".to_owned(),
            };
            if Instant::now() >= deadline {
                return failed(format!("{what}: not within {within:?}; at last {why}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes every namespace of the case.
    pub(crate) async fn clean_up(&self) -> Verdict {
        let namespaces =
            std::mem::take(&mut *self.shared.namespaces.lock().unwrap_or_else(PoisonError::into_inner));
        for namespace in namespaces {
            self.shared.subject.remove(&namespace).await?;
        }
        Ok(())
    }
}
