//! A store in memory that records every call, lets it wait at a gate, and fails where it is told to.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use crate::{
    Capabilities, Error, ErrorKind, Finding, KeyFormat, MemoryStore, Principal, Result, SessionKey,
    Timestamp, Updated, Version,
};

/// A call as the store saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// `load`, `load_many`, `create`, …
    pub(super) form: &'static str,
    /// The plain text of the keys, in the order given.
    pub(super) keys: Vec<String>,
    pub(super) now: Timestamp,
}

/// What becomes of a call behind the gate.
pub(super) enum Turn {
    Succeed,
    Fail {
        kind: ErrorKind,
        in_doubt: bool,
    },
    Panic,
    Hang,
    /// The many-key forms forget one answer.
    LoseAnAnswer,
}

type Turns = dyn Fn(&Call) -> Turn + Send + Sync;

pub(super) struct Script {
    pub(super) inner: MemoryStore,
    gate: Semaphore,
    /// How often each call lets others go first, as a database does that takes its time.
    pauses: usize,
    calls: Mutex<Vec<Call>>,
    /// What the loads so far knew, one list for each trip.
    known: Mutex<Vec<Vec<Option<Version>>>>,
    turns: Box<Turns>,
}

impl Script {
    /// A store whose gate is shut: each call waits for [`Script::admit`].
    pub(super) fn shut() -> Arc<Script> {
        Script::shut_with(|_| Turn::Succeed)
    }

    /// As [`Script::shut`], with turns of one's own.
    pub(super) fn shut_with(turns: impl Fn(&Call) -> Turn + Send + Sync + 'static) -> Arc<Script> {
        Script::with(0, 0, turns)
    }

    /// A store whose gate stands open, and which takes its time: what is called meanwhile arrives during the call.
    pub(super) fn open() -> Arc<Script> {
        Script::with(Semaphore::MAX_PERMITS, 2, |_| Turn::Succeed)
    }

    fn with(
        permits: usize,
        pauses: usize,
        turns: impl Fn(&Call) -> Turn + Send + Sync + 'static,
    ) -> Arc<Script> {
        Arc::new(Script {
            inner: MemoryStore::with_key_format(KeyFormat::Plain),
            gate: Semaphore::new(permits),
            pauses,
            calls: Mutex::default(),
            known: Mutex::default(),
            turns: Box::new(turns),
        })
    }

    /// Lets so many calls through the gate.
    pub(super) fn admit(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    /// Lets all further calls through.
    pub(super) fn throw_open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// The calls so far, as `form key key`.
    pub(super) fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|call| format!("{} {}", call.form, call.keys.join(" "))).collect()
    }

    /// The times of the calls so far.
    pub(super) fn times(&self) -> Vec<Timestamp> {
        self.calls.lock().unwrap().iter().map(|call| call.now).collect()
    }

    /// The versions that the loads of each trip so far knew.
    pub(super) fn known(&self) -> Vec<Vec<Option<Version>>> {
        self.known.lock().unwrap().clone()
    }

    async fn pass(&self, form: &'static str, keys: &[&SessionKey], now: Timestamp) -> Result<Turn> {
        let keys = keys.iter().map(|key| key.as_text().unwrap().to_owned()).collect();
        let call = Call { form, keys, now };
        self.calls.lock().unwrap().push(call.clone());
        self.gate.acquire().await.unwrap().forget();
        for _ in 0..self.pauses {
            tokio::task::yield_now().await;
        }
        match (self.turns)(&call) {
            Turn::Fail { kind, in_doubt } => {
                Err(Error::new(kind, format!("{form} fails as told")).with_in_doubt(in_doubt))
            }
            Turn::Panic => panic!("{form} panics as told"),
            Turn::Hang => std::future::pending().await,
            turn => Ok(turn),
        }
    }
}

#[async_trait]
impl Store for Script {
    fn backend(&self) -> &'static str {
        "script"
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn key_format(&self) -> KeyFormat {
        self.inner.key_format()
    }
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.pass("create", &[&create.key], now).await?;
        self.inner.create(create, now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        self.known.lock().unwrap().push(vec![load.known]);
        self.pass("load", &[&load.key], now).await?;
        self.inner.load(load, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.pass("update", &[&update.key], now).await?;
        self.inner.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.pass("touch", &[&touch.key], now).await?;
        self.inner.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.pass("destroy", &[&destroy.key], now).await?;
        self.inner.destroy(destroy, now).await
    }
    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.inner.rotate(rotate, now).await
    }
    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<crate::Fate> {
        self.inner.fate(key, now).await
    }
    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        self.inner.destroy_principal(destroy, now).await
    }
    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.inner.forget_principal(principal, now).await
    }
    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.inner.purge_expired(now, limit).await
    }
    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.inner.list(filter, after, limit, now).await
    }
    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.inner.count(filter, now).await
    }
    async fn clear(&self) -> Result<u64> {
        self.inner.clear().await
    }
    async fn server_time(&self) -> Result<Timestamp> {
        self.inner.server_time().await
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.inner.diagnose().await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.known.lock().unwrap().push(loads.iter().map(|load| load.known).collect());
        let keys: Vec<&SessionKey> = loads.iter().map(|load| &load.key).collect();
        let turn = self.pass("load_many", &keys, now).await?;
        let mut answers = self.inner.load_many(loads, now).await?;
        if let Turn::LoseAnAnswer = turn {
            answers.pop();
        }
        Ok(answers)
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let turn = self.pass("write_many", &writes.iter().map(Write::key).collect::<Vec<_>>(), now).await?;
        let mut answers = self.inner.write_many(writes, now).await?;
        if let Turn::LoseAnAnswer = turn {
            answers.pop();
        }
        Ok(answers)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}
