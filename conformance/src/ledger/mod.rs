//! A ledger of what a store acknowledged while its servers were hurt, and whether it kept its word.
//!
//! [`under_load`] lets writers loose on several stores over one table, each a host of an application, while something is
//! done to the servers. Every session has one writer, so at each moment there is one thing that a load may show. A write
//! is followed by a load through another store. The ledger notes
//! - what a load showed that was not so: an old state, or a session that was ended or never there;
//! - what a write was told that was not so: *stale*, *gone* or *taken*, where nobody else writes. It comes of a write
//!   that was done although its error said that nothing was;
//! - when writes succeeded.
//!
//! A write that is in doubt ends what its writer knows of the session: both states are right from then on, and only
//! these. [`Ledger::check`] looks at all sessions once more, through every store that it is given.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use conformance::ledger::under_load;
//! use session_core::{MemoryStore, contract::Store};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table: Arc<dyn Store> = Arc::new(MemoryStore::new());
//! let hosts = [Arc::clone(&table), Arc::clone(&table)]; // each with connections of its own, on a server
//! let faults = async {
//!     // Here something is done to the servers. The load ends with it.
//!     tokio::time::sleep(Duration::from_millis(500)).await;
//!     tokio::time::Instant::now()
//! };
//! let (ledger, hurt) = under_load(&hosts, 8, faults).await?;
//! println!("without a success for {:?}, {:?} of it afterwards", ledger.silence(), ledger.silence_since(hurt));
//! let summary = ledger.check(&[("the server", table)]).await?;
//! assert!(summary.writes > 0);
//! println!("{summary}"); // 312 writes of 40 sessions, 0 refused, 0 in doubt, none lost or revived
//! # Ok(()) }
//! ```
//!
//! A ledger that never complains proves nothing: let one drill take away what the others rely on, such as a synchronous
//! standby, and expect [`Ledger::check`] to fail there.

mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use session_core::contract::Store;
use session_core::{Result, SessionId, Sessions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a server may take to answer the last look.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many look at once, at the end.
const LOOKS: usize = 64;

/// How many complaints are worth reading.
const SHOWN: usize = 12;

/// What was acknowledged, and what was wrong: what [`under_load`] returns.
#[derive(Debug, Default)]
pub struct Ledger {
    sessions: Vec<Session>,
    wrong: Vec<String>,
    /// When writes were acknowledged, in order.
    successes: Vec<Instant>,
    begun: Option<Instant>,
    ended: Option<Instant>,
    /// How many writes were refused, with nothing done.
    refused: usize,
    /// How many writes are in doubt.
    doubts: usize,
}

/// A session, and what may be found of it.
#[derive(Clone, Debug)]
struct Session {
    /// Its principal, whose only session it is, whatever its id.
    name: String,
    id: SessionId,
    /// The ids that it had before.
    left: Vec<SessionId>,
    /// One state, or two where a write is in doubt.
    states: Vec<State>,
}

/// A state of a session, as it is found under its last known id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has the data of this write.
    Holds(u64),
    /// It has an id that nobody was told.
    Moved,
    /// It was ended, or never begun.
    Ended,
}

/// Runs `writers` writers, turn by turn over the stores, until `faults` has come to its end, and returns what it came to.
/// Each store is a host's, and all are of one table, which must hold versions and principals and rotate.
///
/// Each writer pauses for 10 ms between two writes: 32 writers make a busy site. Every call has the handle's default
/// deadline of 5 s. So the load ends some seconds after `faults`, at most.
///
/// # Errors
/// What a handle refuses of its options, such as principals in a table without them.
///
/// # Cancel safety
/// Dropping it ends the writers.
pub async fn under_load<T>(
    stores: &[Arc<dyn Store>],
    writers: usize,
    faults: impl Future<Output = T>,
) -> Result<(Ledger, T)> {
    let hosts = Arc::new(stores.iter().map(host).collect::<Result<Vec<_>>>()?);
    let ledger = Arc::new(Mutex::new(Ledger { begun: Some(Instant::now()), ..Ledger::default() }));
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    for number in 0..writers {
        let writer = writer::Writer::new(number, &hosts, &ledger, stopped.clone());
        running.spawn(writer.run());
    }
    let came_to = faults.await;
    // An error says that all of them have ended.
    _ = stop.send(true);
    while let Some(ended) = running.join_next().await {
        if let Err(panic) = ended {
            lock(&ledger).wrong.push(format!("a writer panicked: {panic}"));
        }
    }
    let mut ledger = std::mem::take(&mut *lock(&ledger));
    ledger.ended = Some(Instant::now());
    ledger.successes.sort_unstable();
    Ok((ledger, came_to))
}

fn lock(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle as an application has it.
fn host(store: &Arc<dyn Store>) -> Result<Sessions<Value>> {
    let name = |data: &Value| data["name"].as_str().map(str::to_owned);
    Sessions::builder(Arc::clone(store)).principal(name).build()
}

impl Ledger {
    /// Looks at every session through each of these stores, by their names, and complains of what is not as it may be.
    ///
    /// Each look is tried for 30 s before it is a complaint that there is no answer.
    ///
    /// # Errors
    /// The complaints of the load and of the look, in words: the first 12, and how many more there are. A load in which
    /// no write was acknowledged is one.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn check(mut self, stores: &[(&str, Arc<dyn Store>)]) -> std::result::Result<Summary, String> {
        if self.successes.is_empty() {
            self.wrong.push("no write was acknowledged: nothing was proven".to_owned());
        }
        let sessions = Arc::new(std::mem::take(&mut self.sessions));
        for (name, store) in stores {
            let host = host(store).map_err(|error| error.to_string())?;
            let (next, mut looks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
            for _ in 0..LOOKS {
                let (host, sessions, next) = (host.clone(), Arc::clone(&sessions), Arc::clone(&next));
                looks.spawn(async move {
                    let mut wrong = Vec::new();
                    while let Some(session) = sessions.get(next.fetch_add(1, Ordering::Relaxed)) {
                        wrong.extend(session.look(&host).await.err());
                    }
                    wrong
                });
            }
            while let Some(looked) = looks.join_next().await {
                let wrong = looked.unwrap_or_else(|panic| vec![panic.to_string()]);
                self.wrong.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
            }
        }
        if self.wrong.is_empty() {
            return Ok(Summary {
                sessions: sessions.len(),
                writes: self.successes.len(),
                refused: self.refused,
                doubts: self.doubts,
            });
        }
        let more = self.wrong.len().saturating_sub(SHOWN);
        let mut shown = self.wrong[..self.wrong.len() - more].join("\n");
        if more > 0 {
            shown.push_str(&format!("\nand {more} more"));
        }
        Err(format!("{} sessions, {} writes; {shown}", sessions.len(), self.successes.len()))
    }

    /// The longest time without an acknowledged write between `from` and the end of the load.
    pub fn silence_since(&self, from: Instant) -> Duration {
        let ended = self.ended.unwrap_or(from);
        let after = self.successes.iter().copied().filter(|success| *success > from && *success < ended);
        let mut last = from;
        let mut longest = Duration::ZERO;
        for success in after.chain([ended]) {
            longest = longest.max(success.saturating_duration_since(last));
            last = success;
        }
        longest
    }

    /// The longest time without an acknowledged write in the whole load.
    pub fn silence(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| self.silence_since(begun))
    }
}

/// What a ledger without a complaint counted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Sessions that were begun.
    pub sessions: usize,
    /// Writes that were acknowledged.
    pub writes: usize,
    /// Writes that were refused, with nothing done.
    pub refused: usize,
    /// Writes that are in doubt.
    pub doubts: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { sessions, writes, refused, doubts } = self;
        write!(
            f,
            "{writes} writes of {sessions} sessions, {refused} refused, {doubts} in doubt, none lost or revived"
        )
    }
}

impl Session {
    /// Complains of what may not be.
    async fn look(&self, host: &Sessions<Value>) -> std::result::Result<(), String> {
        for left in &self.left {
            if let Some(number) = persist(|| number(host, left)).await? {
                return Err(format!(
                    "{} is back under an id that it had left, with write {number}",
                    self.name
                ));
            }
        }
        // What is in doubt may happen between two looks.
        let tries = if self.states.len() > 1 { 5 } else { 1 };
        let mut complaint = String::new();
        for _ in 0..tries {
            let loaded = persist(|| number(host, &self.id)).await?;
            let count = persist(|| host.count(Some(&self.name))).await?;
            let fits = self.states.iter().any(|state| match state {
                State::Holds(number) => loaded == Some(*number) && count == 1,
                State::Moved => loaded.is_none() && count == 1,
                State::Ended => loaded.is_none() && count == 0,
            });
            if fits {
                return Ok(());
            }
            complaint = format!(
                "{} may be {:?}, and is {loaded:?} with {count} live sessions",
                self.name, self.states
            );
            sleep(Duration::from_millis(200)).await;
        }
        Err(complaint)
    }
}

/// The number of the last write of a session that is live.
async fn number(host: &Sessions<Value>, id: &SessionId) -> Result<Option<u64>> {
    let session = host.load(id).await?;
    // What has no number is of nobody here.
    Ok(session.map(|session| session.data["number"].as_u64().unwrap_or(u64::MAX)))
}

/// Tries again until there is an answer.
async fn persist<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> std::result::Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => return Err(format!("no answer: {error}")),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
