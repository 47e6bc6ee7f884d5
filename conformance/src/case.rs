//! What a case is, and what it has to work with.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::{Error, Gathered, Gathering, Store};
use tokio::time::Instant;

use crate::{Backend, Namespace};

/// A guarantee of `GUARANTEES.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "GUARANTEES.md says what each one is")]
pub enum Guarantee {
    G1,
    G2,
    G3,
    G4,
    G5,
    G6,
    G7,
    G8,
    G9,
    G10,
    G11,
    G12,
    G13,
    G14,
    G15,
    G16,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How a case looks for a broken guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// A case of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseInfo {
    /// A sentence about behaviour: `expiry_is_exact_to_the_ms`.
    pub name: &'static str,
    /// What it proves.
    pub guarantee: Guarantee,
    /// How.
    pub kind: Kind,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guarantee held.
    Passed,
    /// It was broken, and how.
    Failed(String),
    /// It was not tried, and why not.
    NotRun(String),
}

/// A call that has no answer after this time never gets one: far longer than any call takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Why a case ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    NotRun(String),
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

pub(crate) fn not_run<T>(why: impl Into<String>) -> Verdict<T> {
    Err(Stop::NotRun(why.into()))
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

/// A case and its code.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) info: CaseInfo,
    /// Stops or kills the server that others use: runs alone, after all others.
    pub(crate) alone: bool,
    pub(crate) body: Body,
}

impl Case {
    pub(crate) const fn new(guarantee: Guarantee, kind: Kind, name: &'static str, body: Body) -> Case {
        Case { info: CaseInfo { name, guarantee, kind }, alone: false, body }
    }

    pub(crate) const fn alone(mut self) -> Case {
        self.alone = true;
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
    backend: Arc<dyn Backend>,
    gathered: bool,
    seed: u64,
    cases: u32,
    /// The words that repeat this case, for a person to type.
    repeat: String,
    namespaces: Mutex<Vec<Namespace>>,
}

impl Ctx {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        gathered: bool,
        seed: u64,
        cases: u32,
        repeat: String,
    ) -> Ctx {
        Ctx {
            shared: Arc::new(Shared {
                backend,
                gathered,
                seed,
                cases,
                repeat,
                namespaces: Mutex::new(Vec::new()),
            }),
        }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.shared.backend
    }

    pub(crate) fn seed(&self) -> u64 {
        self.shared.seed
    }

    pub(crate) fn cases(&self) -> u32 {
        self.shared.cases
    }

    pub(crate) fn repeat(&self) -> &str {
        &self.shared.repeat
    }

    pub(crate) fn is_gathered(&self) -> bool {
        self.shared.gathered
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
        let store = self.shared.backend.open(namespace, via).await?;
        Ok(self.gather(store))
    }

    /// The store as this run is to use it.
    pub(crate) fn gather(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        if !self.shared.gathered {
            return store;
        }
        let recommended = store.gathering();
        // A backend that recommends none must be right with it all the same.
        let gathering = Gathering {
            read_lanes: recommended.read_lanes.max(1),
            write_lanes: recommended.write_lanes.max(1),
            max_batch: if recommended.max_batch > 1 { recommended.max_batch } else { 16 },
            max_bytes: if recommended.max_bytes > 0 { recommended.max_bytes } else { 1 << 20 },
        };
        // The default, and where connections are slow to be of use, time for callers that wait for new ones in turn.
        let deadline = Duration::from_secs(5) + 4 * self.shared.backend.cold_start();
        Arc::new(Gathered::new(store, gathering).with_deadline(deadline))
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
                Ok(Err(Stop::NotRun(why))) => return not_run(why),
                Ok(Err(Stop::Failed(why))) => why,
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
            self.shared.backend.remove(&namespace).await?;
        }
        Ok(())
    }
}
