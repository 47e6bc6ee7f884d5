//! A ledger accuses no store that keeps its word, and each that does not.

use std::collections::HashSet;
use std::num::NonZeroU32;

use async_trait::async_trait;
use session_core::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Touch,
    Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, Error, Fate, Finding, Gathering, KeyFormat, MemoryStore, Principal, SessionKey, Timestamp,
    Updated, Version,
};

use super::*;
use crate::around::store_around;

/// What goes wrong, once in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A write is done, and its error leaves doubt. Or it is not done, and its error leaves doubt.
    Doubt,
    /// Nothing is done, and the error says so.
    Refusal,
    /// An update is acknowledged and not done.
    LostUpdate,
    /// A create is acknowledged and not done.
    LostCreate,
    /// A session that was ended is loaded, by this host.
    Revived,
    /// A write is done, and its error says that it was not: a Galera node that lost its cluster.
    FalseRefusal,
    /// A write that was refused is done later.
    LateWrite,
    /// A load shows an earlier state: a standby.
    StaleLoad,
    /// A write that was in doubt destroys the session.
    DoubtDestroys,
}

struct Faulty {
    store: Arc<dyn Store>,
    fault: Fault,
    writes: AtomicUsize,
    /// The first state of each session, and those that are ended.
    seen: Mutex<std::collections::HashMap<SessionKey, session_core::contract::Record>>,
    ended: Mutex<HashSet<SessionKey>>,
}

/// One write in so many meets the fault.
const SOME: usize = 7;

impl Faulty {
    fn around(store: Arc<dyn Store>, fault: Fault) -> Arc<dyn Store> {
        let (seen, ended, writes) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        Arc::new(Faulty { store, fault, writes, seen, ended })
    }

    async fn pass(&self) -> &dyn Store {
        &*self.store
    }

    async fn pass_write(&self) -> Result<&dyn Store> {
        Ok(&*self.store)
    }

    fn meets(&self) -> Option<usize> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        number.is_multiple_of(SOME).then_some(number / SOME)
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn unavailable(in_doubt: bool) -> Error {
    Error::unavailable("as the test says").with_in_doubt(in_doubt)
}

store_around!(Faulty, {
    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        if self.fault == Fault::LostCreate && self.meets().is_some() {
            return Ok(Created::Created);
        }
        self.store.create(create, now).await
    }
    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        let loaded = self.store.load(load, now).await?;
        if let Loaded::Record(record) = &loaded {
            self.seen.lock().unwrap().entry(load.key.clone()).or_insert_with(|| record.clone());
        }
        let first = self.seen.lock().unwrap().get(&load.key).cloned();
        let shows_old = match self.fault {
            Fault::StaleLoad => matches!(loaded, Loaded::Record(_)),
            Fault::Revived => self.ended.lock().unwrap().contains(&load.key),
            _ => false,
        };
        match first {
            Some(first) if shows_old => Ok(Loaded::Record(first)),
            _ => Ok(loaded),
        }
    }
    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        let Some(number) = self.meets() else { return self.store.update(update, now).await };
        let version = update.expected.unwrap_or(Version::FIRST);
        match self.fault {
            Fault::Refusal => Err(unavailable(false)),
            Fault::Doubt if number % 2 == 0 => Err(unavailable(true)),
            Fault::Doubt | Fault::FalseRefusal => {
                self.store.update(update, now).await?;
                Err(unavailable(self.fault == Fault::Doubt))
            }
            Fault::LateWrite => {
                let (store, update) = (Arc::clone(&self.store), update.clone());
                tokio::spawn(async move {
                    sleep(Duration::from_millis(5)).await;
                    store.update(&update, now).await
                });
                Err(unavailable(false))
            }
            Fault::LostUpdate => Ok(Updated::Saved(Version::new(version.get() + 1))),
            Fault::DoubtDestroys => {
                let destroy = Destroy { key: update.key.clone(), mode: session_core::DestroyMode::Remove };
                self.store.destroy(&destroy, now).await?;
                Err(unavailable(true))
            }
            _ => self.store.update(update, now).await,
        }
    }
    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.store.touch(touch, now).await
    }
    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.ended.lock().unwrap().insert(destroy.key.clone());
        self.store.destroy(destroy, now).await
    }
    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let mut all = Vec::new();
        for load in loads {
            all.push(self.load(load, now).await);
        }
        Ok(all)
    }
    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        let mut all = Vec::new();
        for write in writes {
            all.push(write.apply(self, now).await);
        }
        Ok(all)
    }
});

/// What a ledger says of two hosts, the first of which has a fault.
async fn verdict(fault: Fault) -> std::result::Result<Summary, String> {
    let store = memory();
    let faulty = Faulty::around(Arc::clone(&store), fault);
    let hosts = [Arc::clone(&faulty), Arc::clone(&store)];
    let (ledger, ()) = under_load(&hosts, 8, sleep(Duration::from_secs(2))).await.unwrap();
    ledger.check(&[("faulty", faulty), ("sound", store)]).await
}

#[tokio::test(start_paused = true)]
async fn a_store_that_keeps_its_word_is_not_accused() {
    for fault in [Fault::None, Fault::Doubt, Fault::Refusal] {
        let summary = verdict(fault).await.unwrap_or_else(|wrong| panic!("{fault:?}: {wrong}"));
        assert!(summary.sessions > 50 && summary.writes > 500, "{summary:?}");
        assert_eq!(summary.doubts > 0, fault == Fault::Doubt, "{summary:?}");
        assert_eq!(summary.refused > 0, fault == Fault::Refusal, "{summary:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_broken_promise_is_found_out() {
    for (fault, words) in [
        (Fault::LostUpdate, "a load after Holds"),
        (Fault::LostCreate, "shows None"),
        (Fault::Revived, "may be [Ended]"),
        (Fault::FalseRefusal, "was told Stale"),
        (Fault::LateWrite, "was told Stale"),
        (Fault::StaleLoad, "shows Some(1)"),
        (Fault::DoubtDestroys, "may be [Holds"),
    ] {
        let wrong = verdict(fault).await.expect_err(&format!("{fault:?} is found out"));
        assert!(wrong.contains(words), "{fault:?}: {wrong}");
    }
}

#[tokio::test]
async fn half_a_rotation_is_found_out() {
    let host = host(&memory()).unwrap();
    let data = |number: u64| serde_json::json!({ "name": "one", "number": number });
    let first = host.create(&data(1)).await.unwrap();
    let states = vec![State::Holds(1), State::Moved];
    let session = Session { name: "one".to_owned(), id: first.id.clone(), left: Vec::new(), states };
    session.look(&host).await.unwrap();
    // Both are live.
    let second = host.create(&data(2)).await.unwrap();
    assert!(session.look(&host).await.unwrap_err().contains("2 live sessions"));
    // The new one alone is, then none.
    host.destroy(&first.id).await.unwrap();
    session.look(&host).await.unwrap();
    host.destroy(&second.id).await.unwrap();
    assert!(session.look(&host).await.unwrap_err().contains("0 live sessions"));
}

#[tokio::test]
async fn an_id_that_was_left_stays_dead() {
    let host = host(&memory()).unwrap();
    let data = serde_json::json!({ "name": "one", "number": 1 });
    let (old, new) = (host.create(&data).await.unwrap(), SessionId::random().unwrap());
    let session = Session { name: "one".to_owned(), id: new, left: vec![old.id], states: vec![State::Ended] };
    assert!(session.look(&host).await.unwrap_err().contains("is back under an id"));
}

#[tokio::test]
async fn nothing_acknowledged_proves_nothing() {
    assert!(Ledger::default().check(&[]).await.unwrap_err().contains("nothing was proven"));
}

#[test]
fn a_silence_is_the_longest_time_without_a_success() {
    let begun = Instant::now();
    let at = |seconds: u64| begun + Duration::from_secs(seconds);
    let ledger = Ledger {
        begun: Some(begun),
        ended: Some(at(20)),
        successes: [1, 2, 9, 10, 15].map(at).to_vec(),
        ..Ledger::default()
    };
    assert_eq!(ledger.silence(), Duration::from_secs(7));
    assert_eq!(ledger.silence_since(at(6)), Duration::from_secs(5));
    assert_eq!(ledger.silence_since(at(16)), Duration::from_secs(4));
}
