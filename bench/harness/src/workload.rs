//! The workloads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::announce;
use crate::dice::Dice;
use crate::histogram::Histogram;
use crate::{Failure, Result, Subject, cpu, data};

/// How long the callers work before it counts.
const WARM_UP: Duration = Duration::from_millis(150);
/// How many callers prepare and clean up, outside the measurement.
const HELPERS: usize = 64;
/// The most sessions that a run of destroys has at its disposal.
const MOST_STOCK: usize = 30_000;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What the callers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Load,
    Save,
    Touch,
    Create,
    Destroy,
    /// 80 % load, 10 % touch, 5 % save, 3 % create, 2 % destroy.
    Mixed,
}

impl Kind {
    pub(crate) fn parse(name: &str) -> Option<Kind> {
        Some(match name {
            // The second name is what it is on the web.
            "load" | "read" => Kind::Load,
            "save" | "change" => Kind::Save,
            "touch" => Kind::Touch,
            "create" | "sign-in" => Kind::Create,
            "destroy" => Kind::Destroy,
            "mixed" => Kind::Mixed,
            _ => return None,
        })
    }
}

/// A subject, its sessions, and what is known of it.
pub(crate) struct Bench<S: Subject> {
    subject: Arc<S>,
    bytes: usize,
    /// They live throughout.
    sessions: Arc<Vec<S::Id>>,
    /// Creates in a second, at the last run of them: so many sessions does a run of destroys need.
    creates: f64,
}

/// What one caller has seen.
struct Seen<S: Subject> {
    latencies: Histogram,
    errors: u64,
    first_error: Option<Failure>,
    /// Sessions that it created and that still live.
    created: Vec<S::Id>,
}

impl<S: Subject> Seen<S> {
    fn new() -> Seen<S> {
        Seen { latencies: Histogram::new(), errors: 0, first_error: None, created: Vec::new() }
    }

    fn error(&mut self, error: Failure) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    fn merge(&mut self, other: Seen<S>) {
        self.latencies.merge(&other.latencies);
        self.errors += other.errors;
        if let Some(error) = other.first_error {
            self.first_error.get_or_insert(error);
        }
        self.created.extend(other.created);
    }
}

impl<S: Subject> Bench<S> {
    pub(crate) fn new(subject: Arc<S>) -> Bench<S> {
        Bench { subject, bytes: 1024, sessions: Arc::default(), creates: 2_000.0 }
    }

    /// Fills the table with sessions that live throughout.
    pub(crate) async fn prepare(&mut self, sessions: usize, bytes: usize) -> Result<Value> {
        self.bytes = bytes;
        let begin = Instant::now();
        let created = self.create(sessions, false).await?;
        self.creates = as_f64(sessions) / begin.elapsed().as_secs_f64().max(1e-6);
        self.settle(&created).await?;
        self.sessions = Arc::new(created);
        Ok(json!({"sessions": sessions}))
    }

    async fn settle(&self, ids: &[S::Id]) -> Result<()> {
        let mut tasks = JoinSet::new();
        for ids in ids.chunks(ids.len().div_ceil(HELPERS).max(1)) {
            let (subject, ids) = (Arc::clone(&self.subject), ids.to_vec());
            tasks.spawn(async move {
                for id in &ids {
                    subject.settle(id).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Lets `callers` work for `time`, after a short warm-up.
    pub(crate) async fn run(&mut self, kind: Kind, callers: usize, time: Duration) -> Result<Value> {
        let stock = match kind {
            Kind::Destroy => {
                // At least as many as can be destroyed in that time, if a destroy costs what a create does.
                let seconds = (time + WARM_UP).as_secs_f64();
                let wanted = (self.creates * 1.2 * seconds).clamp(500.0, as_f64(MOST_STOCK));
                self.create(wanted.round() as usize, false).await?
            }
            _ => Vec::new(),
        };
        let shift = Arc::new(Shift {
            phase: AtomicU8::new(WARMING),
            kind,
            subject: Arc::clone(&self.subject),
            sessions: Arc::clone(&self.sessions),
            stock,
            next: AtomicUsize::new(0),
        });
        let mut tasks = shift.start(callers, self.bytes);
        if kind != Kind::Destroy {
            tokio::time::sleep(WARM_UP).await;
        }
        announce("begin")?;
        let (cpu, server) = (cpu::seconds(), self.subject.server_cpu_seconds());
        let begin = Instant::now();
        shift.phase.store(MEASURING, Ordering::SeqCst);
        let mut seen = Seen::new();
        let early = tokio::time::timeout(time, gather(&mut tasks, &mut seen)).await.is_ok();
        let elapsed = begin.elapsed();
        let cpu = cpu::seconds() - cpu;
        let server = self.subject.server_cpu_seconds().zip(server).map(|(end, begin)| end - begin);
        shift.phase.store(OVER, Ordering::SeqCst);
        announce("end")?;
        if !early {
            gather(&mut tasks, &mut seen).await;
        }
        let ops = seen.latencies.count();
        if kind == Kind::Create {
            self.creates = as_f64(usize::try_from(ops).unwrap_or(0)) / elapsed.as_secs_f64();
        }
        let rest = shift.next.load(Ordering::Relaxed).min(shift.stock.len());
        seen.created.extend_from_slice(&shift.stock[rest..]);
        self.destroy(std::mem::take(&mut seen.created)).await?;
        let mut result = report(&seen, elapsed, cpu);
        result["server_cpu_seconds"] = json!(server);
        Ok(result)
    }

    /// Lets `callers` load and touch, and purges expired sessions meanwhile.
    pub(crate) async fn purge(&mut self, expired: usize, callers: usize) -> Result<Value> {
        self.create(expired, true).await?;
        let shift = Arc::new(Shift {
            phase: AtomicU8::new(WARMING),
            kind: Kind::Mixed,
            subject: Arc::clone(&self.subject),
            sessions: Arc::clone(&self.sessions),
            stock: Vec::new(),
            next: AtomicUsize::new(0),
        });
        let mut tasks = shift.start(callers, self.bytes);
        tokio::time::sleep(WARM_UP).await;
        announce("begin")?;
        let cpu = cpu::seconds();
        let begin = Instant::now();
        shift.phase.store(MEASURING, Ordering::SeqCst);
        let purged = self.subject.purge().await;
        let elapsed = begin.elapsed();
        let cpu = cpu::seconds() - cpu;
        announce("end")?;
        // Calls that the purge held up are seen, too.
        tokio::time::sleep(Duration::from_millis(100)).await;
        shift.phase.store(OVER, Ordering::SeqCst);
        let mut seen = Seen::new();
        gather(&mut tasks, &mut seen).await;
        self.destroy(std::mem::take(&mut seen.created)).await?;
        purged?;
        let mut result = report(&seen, elapsed, cpu);
        result["purged_per_second"] = json!(as_f64(expired) / elapsed.as_secs_f64());
        Ok(result)
    }

    async fn create(&self, count: usize, expired: bool) -> Result<Vec<S::Id>> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for helper in 0..HELPERS {
            let (subject, next) = (Arc::clone(&self.subject), Arc::clone(&next));
            let mut draft = subject.draft(data::sample(self.bytes, as_u64(helper)));
            tasks.spawn(async move {
                let mut ids = Vec::new();
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    ids.push(subject.create(&mut draft, expired).await?);
                }
                Ok::<_, Failure>(ids)
            });
        }
        let mut ids = Vec::with_capacity(count);
        while let Some(done) = tasks.join_next().await {
            ids.extend(done??);
        }
        Ok(ids)
    }

    async fn destroy(&self, ids: Vec<S::Id>) -> Result<()> {
        let (ids, next) = (Arc::new(ids), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..HELPERS {
            let (subject, ids, next) = (Arc::clone(&self.subject), Arc::clone(&ids), Arc::clone(&next));
            tasks.spawn(async move {
                while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                    subject.destroy(id).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// What the callers of one run share.
struct Shift<S: Subject> {
    phase: AtomicU8,
    kind: Kind,
    subject: Arc<S>,
    sessions: Arc<Vec<S::Id>>,
    /// What a run of destroys may take, and what is next.
    stock: Vec<S::Id>,
    next: AtomicUsize,
}

impl<S: Subject> Shift<S> {
    fn start(self: &Arc<Self>, callers: usize, bytes: usize) -> JoinSet<Seen<S>> {
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let shift = Arc::clone(self);
            let draft = self.subject.draft(data::sample(bytes, as_u64(caller)));
            tasks.spawn(async move { shift.work(as_u64(caller), draft).await });
        }
        tasks
    }

    /// One caller: one call after another, until the run is over.
    async fn work(&self, caller: u64, mut draft: S::Draft) -> Seen<S> {
        let mut seen = Seen::new();
        let mut dice = Dice::new(caller);
        loop {
            let phase = self.phase.load(Ordering::Relaxed);
            if phase == OVER {
                return seen;
            }
            if self.kind == Kind::Destroy && phase == WARMING {
                tokio::task::yield_now().await;
                continue;
            }
            let begin = Instant::now();
            match self.step(&mut dice, &mut draft, &mut seen).await {
                Ok(false) => return seen,
                Ok(true) if phase == MEASURING && self.phase.load(Ordering::Relaxed) == MEASURING => {
                    seen.latencies.record(begin.elapsed());
                }
                Ok(true) => {}
                Err(error) => seen.error(error),
            }
        }
    }

    /// One call. False if there is nothing left to do.
    async fn step(&self, dice: &mut Dice, draft: &mut S::Draft, seen: &mut Seen<S>) -> Result<bool> {
        let subject = &*self.subject;
        let kind = match self.kind {
            Kind::Mixed => match dice.roll(100) {
                0..80 => Kind::Load,
                80..90 => Kind::Touch,
                90..95 => Kind::Save,
                95..98 => Kind::Create,
                _ => Kind::Destroy,
            },
            kind => kind,
        };
        let id = &self.sessions[dice.roll(self.sessions.len())];
        match kind {
            Kind::Load => {
                if !subject.load(id).await? {
                    return Err("a session that was never destroyed is gone".into());
                }
            }
            Kind::Save => subject.save(id, draft).await?,
            Kind::Touch => subject.touch(id, draft).await?,
            Kind::Destroy if self.kind == Kind::Destroy => {
                let Some(id) = self.stock.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                    return Ok(false);
                };
                subject.destroy(id).await?;
            }
            Kind::Destroy if !seen.created.is_empty() => {
                if let Some(id) = seen.created.pop() {
                    subject.destroy(&id).await?;
                }
            }
            // A mixed caller that has nothing of its own to destroy yet creates instead.
            _ => seen.created.push(subject.create(draft, false).await?),
        }
        Ok(true)
    }
}

async fn gather<S: Subject>(tasks: &mut JoinSet<Seen<S>>, seen: &mut Seen<S>) {
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(done) => seen.merge(done),
            Err(panic) => seen.error(panic.into()),
        }
    }
}

fn report<S: Subject>(seen: &Seen<S>, elapsed: Duration, cpu: f64) -> Value {
    let ops = seen.latencies.count();
    json!({
        "ops": ops,
        "seconds": elapsed.as_secs_f64(),
        "p50_us": seen.latencies.micros_at(500),
        "p99_us": seen.latencies.micros_at(990),
        "max_us": seen.latencies.micros_at(1000),
        "client_cpu_seconds": cpu,
        "errors": seen.errors,
        "first_error": seen.first_error.as_ref().map(ToString::to_string),
    })
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn as_f64(number: usize) -> f64 {
    number as f64
}
