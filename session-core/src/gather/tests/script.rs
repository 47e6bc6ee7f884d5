//! A store in memory that records every call, lets it wait at a gate, and fails where it is told to.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::{
    Capabilities, Create, Created, Destroy, DestroyMode, Error, ErrorKind, Filter, Finding, KeyFormat,
    Listed, MemoryStore, Principal, Record, Result, Rotate, Rotated, SessionKey, Store, Timestamp, Touch,
    Update, Updated, Write, Written,
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
pub(super) enum Fate {
    Succeed,
    Fail {
        kind: ErrorKind,
        indeterminate: bool,
    },
    Panic,
    Hang,
    /// The many-key forms forget one answer.
    LoseAnAnswer,
}

type Fates = dyn Fn(&Call) -> Fate + Send + Sync;

pub(super) struct Script {
    pub(super) inner: MemoryStore,
    gate: Semaphore,
    /// How often each call lets others go first, as a database does that takes its time.
    pauses: usize,
    calls: Mutex<Vec<Call>>,
    fates: Box<Fates>,
}

impl Script {
    /// A store whose gate is shut: each call waits for [`Script::admit`].
    pub(super) fn shut() -> Arc<Script> {
        Script::shut_with(|_| Fate::Succeed)
    }

    /// As [`Script::shut`], with fates of one's own.
    pub(super) fn shut_with(fates: impl Fn(&Call) -> Fate + Send + Sync + 'static) -> Arc<Script> {
        Script::with(0, 0, fates)
    }

    /// A store whose gate stands open, and which takes its time: what is called meanwhile arrives during the call.
    pub(super) fn open() -> Arc<Script> {
        Script::with(Semaphore::MAX_PERMITS, 2, |_| Fate::Succeed)
    }

    fn with(
        permits: usize,
        pauses: usize,
        fates: impl Fn(&Call) -> Fate + Send + Sync + 'static,
    ) -> Arc<Script> {
        Arc::new(Script {
            inner: MemoryStore::with_key_format(KeyFormat::Plain),
            gate: Semaphore::new(permits),
            pauses,
            calls: Mutex::default(),
            fates: Box::new(fates),
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

    async fn pass(&self, form: &'static str, keys: &[&SessionKey], now: Timestamp) -> Result<Fate> {
        let keys = keys.iter().map(|key| key.as_text().unwrap().to_owned()).collect();
        let call = Call { form, keys, now };
        self.calls.lock().unwrap().push(call.clone());
        self.gate.acquire().await.unwrap().forget();
        for _ in 0..self.pauses {
            tokio::task::yield_now().await;
        }
        match (self.fates)(&call) {
            Fate::Fail { kind, indeterminate } => {
                Err(Error::new(kind, format!("{form} fails as told")).with_indeterminate(indeterminate))
            }
            Fate::Panic => panic!("{form} panics as told"),
            Fate::Hang => std::future::pending().await,
            fate => Ok(fate),
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
    async fn load(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        self.pass("load", &[key], now).await?;
        self.inner.load(key, now).await
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.pass("update", &[&update.key], now).await?;
        self.inner.update(update, now).await
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<bool> {
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
    async fn destroy_principal(
        &self,
        principal: &Principal,
        except: Option<&SessionKey>,
        mode: DestroyMode,
        now: Timestamp,
    ) -> Result<u64> {
        self.inner.destroy_principal(principal, except, mode, now).await
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
    async fn load_many(&self, keys: &[SessionKey], now: Timestamp) -> Result<Vec<Result<Option<Record>>>> {
        let fate = self.pass("load_many", &keys.iter().collect::<Vec<_>>(), now).await?;
        let mut answers = self.inner.load_many(keys, now).await?;
        if let Fate::LoseAnAnswer = fate {
            answers.pop();
        }
        Ok(answers)
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let fate = self.pass("write_many", &writes.iter().map(Write::key).collect::<Vec<_>>(), now).await?;
        let mut answers = self.inner.write_many(writes, now).await?;
        if let Fate::LoseAnAnswer = fate {
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
