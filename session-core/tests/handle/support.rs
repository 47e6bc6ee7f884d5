//! A store that does as it is told, a recorder of events, and what the tests share.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::{Future, pending};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Record, Rotate, Rotated, Store,
    Touch, Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Clock, Error, ErrorKind, Event, Fate, Finding, Gathering, KeyFormat, ManualClock,
    MemoryStore, Observer, Principal, Result, SessionId, SessionKey, Sessions, SessionsBuilder, Timestamp,
    Updated, Version,
};
use tokio::time::{Instant, sleep};

/// What the host's clock shows when a test begins.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn rows(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

/// The point `span` after the test began.
pub(crate) fn after(span: Duration) -> Timestamp {
    NOW.saturating_add(span)
}

/// What most tests keep in a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) user: Option<String>,
    pub(crate) count: u64,
}

pub(crate) fn visit(count: u64) -> Visit {
    Visit { user: None, count }
}

pub(crate) fn visit_of(user: &str) -> Visit {
    Visit { user: Some(user.to_owned()), count: 0 }
}

/// A scripted store, the clock of the host, and a recorder of what the handle tells.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) events: Events,
}

impl World {
    pub(crate) fn new() -> World {
        crate::tracing_spans::record();
        let clock = Arc::new(ManualClock::new(NOW));
        World { script: Script::new(Arc::clone(&clock)), clock, events: Events::default() }
    }

    pub(crate) fn builder<T: Serialize + DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> SessionsBuilder<T> {
        Sessions::builder(self.script.clone()).clock(Arc::clone(&self.clock)).observer(self.events.clone())
    }

    /// A handle with every option at its default.
    pub(crate) fn handle(&self) -> Sessions<Visit> {
        self.builder().build().unwrap()
    }
}

type Faults = dyn Fn() -> Fault + Send + Sync;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a scripted call does in place of what it should.
pub(crate) enum Fault {
    /// It never answers.
    Hang,
    /// It does what it should, after this time.
    Slow(Duration),
    /// It fails and does nothing.
    Fail(Error),
    /// It does what it should, and then fails.
    FailAfter(Error),
    /// Something else comes first.
    Meanwhile(BoxFuture<()>),
    /// A key is taken.
    Taken,
    Panic,
}

impl Fault {
    pub(crate) fn meanwhile(work: impl Future<Output = ()> + Send + 'static) -> Fault {
        Fault::Meanwhile(Box::pin(work))
    }
}

/// The database itself is gone; whether the call was done is `in_doubt`.
pub(crate) fn unreachable(in_doubt: bool) -> Error {
    Error::unavailable("connection refused; start the database").with_unreachable().with_in_doubt(in_doubt)
}

pub(crate) fn gone() -> Fault {
    Fault::Fail(unreachable(false))
}

pub(crate) fn conflict() -> Fault {
    Fault::Fail(Error::new(ErrorKind::Conflict, "deadlock; try again"))
}

/// [`MemoryStore`], with faults on demand. Counts every call.
#[derive(Clone)]
pub(crate) struct Script(Arc<Inner>);

struct Inner {
    memory: MemoryStore,
    clock: Arc<ManualClock>,
    /// By how many milliseconds the server's clock is ahead.
    skew: AtomicI64,
    /// The most rows that a purge has time for.
    fits: AtomicU32,
    capabilities: Mutex<Capabilities>,
    gathering: Mutex<Gathering>,
    findings: Mutex<Vec<Finding>>,
    calls: Mutex<Vec<(&'static str, Instant)>>,
    once: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
    always: Mutex<HashMap<&'static str, Arc<Faults>>>,
}

impl Script {
    fn new(clock: Arc<ManualClock>) -> Script {
        Script(Arc::new(Inner {
            memory: MemoryStore::new(),
            clock,
            skew: AtomicI64::new(0),
            fits: AtomicU32::new(u32::MAX),
            capabilities: Mutex::new(Capabilities::ALL),
            gathering: Mutex::new(Gathering::OFF),
            findings: Mutex::default(),
            calls: Mutex::default(),
            once: Mutex::default(),
            always: Mutex::default(),
        }))
    }

    /// The next call of this name does that; after it the one after, and so on.
    pub(crate) fn once(&self, name: &'static str, fault: Fault) {
        self.0.once.lock().unwrap().entry(name).or_default().push_back(fault);
    }

    /// Every call of this name does that from now on.
    pub(crate) fn always(&self, name: &'static str, fault: impl Fn() -> Fault + Send + Sync + 'static) {
        self.0.always.lock().unwrap().insert(name, Arc::new(fault));
    }

    /// All calls do what they should from now on.
    pub(crate) fn heal(&self) {
        self.0.once.lock().unwrap().clear();
        self.0.always.lock().unwrap().clear();
    }

    pub(crate) fn can(&self, change: impl FnOnce(&mut Capabilities)) {
        change(&mut self.0.capabilities.lock().unwrap());
    }

    pub(crate) fn set_gathering(&self, gathering: Gathering) {
        *self.0.gathering.lock().unwrap() = gathering;
    }

    pub(crate) fn set_skew(&self, millis: i64) {
        self.0.skew.store(millis, Ordering::SeqCst);
    }

    /// The server gives up a purge of more rows.
    pub(crate) fn set_fits(&self, rows: u32) {
        self.0.fits.store(rows, Ordering::SeqCst);
    }

    pub(crate) fn find(&self, finding: Finding) {
        self.0.findings.lock().unwrap().push(finding);
    }

    /// The names of the calls since the last time that somebody asked.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.timed_calls().into_iter().map(|(name, _)| name).collect()
    }

    pub(crate) fn timed_calls(&self) -> Vec<(&'static str, Instant)> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }

    /// The database as somebody else sees it, past every fault.
    pub(crate) fn memory(&self) -> &MemoryStore {
        &self.0.memory
    }

    /// Puts text into the table that no handle would write.
    pub(crate) async fn plant(&self, id: &SessionId, payload: &str, principal: Option<&str>) {
        let create = Create {
            key: id.key(KeyFormat::Hashed).unwrap(),
            payload: payload.into(),
            expires_at: after(DAY),
            principal: principal.map(|name| Principal::new(name).unwrap()),
            version: Version::FIRST,
        };
        assert_eq!(self.memory().create(&create, NOW).await.unwrap(), Created::Created);
    }

    /// The row behind an id, if it is live.
    pub(crate) async fn row(&self, id: &SessionId) -> Option<Record> {
        let key = id.key(KeyFormat::Hashed).unwrap();
        self.memory().load(&Load::new(key), self.0.clock.now()).await.unwrap().record()
    }

    async fn fault(&self, name: &'static str) -> Result<Then> {
        self.0.calls.lock().unwrap().push((name, Instant::now()));
        let once = self.0.once.lock().unwrap().get_mut(name).and_then(VecDeque::pop_front);
        let fault = once.or_else(|| self.0.always.lock().unwrap().get(name).map(|fault| fault()));
        match fault {
            None => Ok(Then::Do),
            Some(Fault::Hang) => pending().await,
            Some(Fault::Slow(span)) => {
                sleep(span).await;
                Ok(Then::Do)
            }
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::FailAfter(error)) => Ok(Then::DoAndFail(error)),
            Some(Fault::Meanwhile(work)) => {
                work.await;
                Ok(Then::Do)
            }
            Some(Fault::Taken) => Ok(Then::SayTaken),
            Some(Fault::Panic) => panic!("the script says so"),
        }
    }
}

enum Then {
    Do,
    DoAndFail(Error),
    SayTaken,
}

impl Then {
    fn end<R>(self, answer: Result<R>) -> Result<R> {
        match self {
            Then::DoAndFail(error) => Err(error),
            Then::Do | Then::SayTaken => answer,
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

#[async_trait]
impl Store for Script {
    fn backend(&self) -> &'static str {
        "script"
    }
    fn capabilities(&self) -> Capabilities {
        *self.0.capabilities.lock().unwrap()
    }
    fn key_format(&self) -> KeyFormat {
        self.0.memory.key_format()
    }
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        match self.fault("create").await? {
            Then::SayTaken => Ok(Created::KeyTaken),
            then => then.end(self.0.memory.create(create, now).await),
        }
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        self.fault("load").await?.end(self.0.memory.load(load, now).await)
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let then = self.fault("update").await?;
        then.end(self.0.memory.update(update, now).await)
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        let then = self.fault("touch").await?;
        then.end(self.0.memory.touch(touch, now).await)
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        let then = self.fault("destroy").await?;
        then.end(self.0.memory.destroy(destroy, now).await)
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        match self.fault("rotate").await? {
            Then::SayTaken => Ok(Rotated::KeyTaken),
            then => then.end(self.0.memory.rotate(rotate, now).await),
        }
    }
    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        let then = self.fault("fate").await?;
        then.end(self.0.memory.fate(key, now).await)
    }
    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        let then = self.fault("destroy_principal").await?;
        then.end(self.0.memory.destroy_principal(destroy, now).await)
    }
    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        let then = self.fault("forget_principal").await?;
        then.end(self.0.memory.forget_principal(principal, now).await)
    }
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        let then = self.fault("purge_expired").await?;
        if limit.get() > self.0.fits.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the server gave up waiting").with_in_doubt(false));
        }
        then.end(self.0.memory.purge_expired(now, limit).await)
    }
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        let then = self.fault("list").await?;
        then.end(self.0.memory.list(filter, after, limit, now).await)
    }
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        let then = self.fault("count").await?;
        then.end(self.0.memory.count(filter, now).await)
    }
    async fn clear(&self) -> Result<u64> {
        let then = self.fault("clear").await?;
        then.end(self.0.memory.clear().await)
    }
    async fn server_time(&self) -> Result<Timestamp> {
        let then = self.fault("server_time").await?;
        let host = self.0.clock.now().as_millis();
        then.end(Ok(Timestamp::from_millis(host + self.0.skew.load(Ordering::SeqCst))))
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        let then = self.fault("diagnose").await?;
        then.end(Ok(self.0.findings.lock().unwrap().clone()))
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let then = self.fault("load_many").await?;
        then.end(self.0.memory.load_many(loads, now).await)
    }
    /// A fault of `destroy` strikes a single destroy of the batch.
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let then = self.fault("write_many").await?;
        let keys: HashSet<_> = writes.iter().map(Write::key).collect();
        assert_eq!(keys.len(), writes.len(), "the keys of a batch are distinct");
        let mut outcomes = Vec::new();
        for write in writes {
            let fault = self.0.once.lock().unwrap().get_mut("destroy").and_then(VecDeque::pop_front);
            match fault {
                Some(Fault::Fail(error)) => outcomes.push(Err(error)),
                _ => outcomes.extend(self.0.memory.write_many(std::slice::from_ref(write), now).await?),
            }
        }
        then.end(Ok(outcomes))
    }
    fn gathering(&self) -> Gathering {
        *self.0.gathering.lock().unwrap()
    }
}

/// Writes down every event in a few words.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    /// The events since the last time that somebody asked.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn push(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }
}

impl Observer for Events {
    fn observe(&self, event: &Event<'_>) {
        self.push(match event {
            Event::Connected => "connected".to_owned(),
            Event::Disconnected { .. } => "disconnected".to_owned(),
            Event::Error { error } => {
                let operation = error.operation().expect("every error that is told names its operation");
                assert_eq!(error.backend(), Some("script"));
                format!("error: {operation}: {}", error.kind().as_str())
            }
            Event::Created { .. } => "created".to_owned(),
            Event::Destroyed { .. } => "destroyed".to_owned(),
            Event::PrincipalDestroyed { principal, count } => {
                format!("destroyed {count} of {}", principal.as_str())
            }
            Event::Rotated { .. } => "rotated".to_owned(),
            Event::Purged { count } => format!("purged {count}"),
            Event::Cleared { count } => format!("cleared {count}"),
            other => format!("{other:?}"),
        });
    }
}
