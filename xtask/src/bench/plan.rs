//! The run on one backend: who is ready, then every workload in turns.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bench_report::{Contender, Measured, Race, Run, count as count_of};
use serde_json::json;

use super::cpu;
use super::options::{Options, PURGE, driver};
use super::programs::Programs;
use super::subject::Subject;
use super::worker::Worker;
use crate::backend::Backend;
use crate::terminal;

/// Where a backend's sessions are kept.
pub(crate) struct Place {
    /// The server's address, or a folder. It may hold a password.
    pub(crate) url: String,
    /// The server's processes, if they can be watched.
    pub(crate) server: Option<cpu::Server>,
    pub(crate) described: String,
}

/// The callers that work while expired sessions are purged.
const CALLERS_DURING_PURGE: u64 = 32;

/// How the best pool size is found: a short run of each of these.
const TRIALS: [&str; 2] = ["load", "save"];

/// A run on one backend.
struct Plan<'a> {
    backend: Backend,
    place: &'a Place,
    options: &'a Options,
}

pub(crate) fn carry_out(
    backend: Backend,
    place: &Place,
    options: &Options,
    programs: &Programs,
) -> Result<Measured> {
    let plan = Plan { backend, place, options };
    let mut measured = Measured {
        backend: backend.name().to_owned(),
        place: place.described.clone(),
        ..Measured::default()
    };
    let mut workers = Vec::new();
    for subject in options.subjects().filter(|subject| subject.is_on(backend)) {
        let title = subject.title(backend);
        let ready = match programs.get(&subject.program) {
            Some(Ok(program)) => plan.get_ready(program, subject).map_err(|error| format!("{error:#}")),
            Some(Err(why)) => Err(why.clone()),
            None => continue,
        };
        terminal::detail(match &ready {
            Ok(worker) => format!("{title}: {}", worker.settings),
            Err(why) => format!("{title}: not measured: {why}"),
        });
        measured.contenders.push(Contender {
            title: title.to_owned(),
            role: subject.role,
            settings: ready.as_ref().ok().map(|worker| worker.settings.clone()),
            not_run: ready.as_ref().err().cloned(),
        });
        workers.push(ready.ok());
    }
    if workers.iter().all(Option::is_none) {
        bail!("no subject is ready");
    }
    for workload in &options.workloads {
        let callers = if workload == PURGE { &[CALLERS_DURING_PURGE][..] } else { &options.callers };
        measured.races.extend(callers.iter().map(|&callers| Race {
            workload: workload.clone(),
            callers,
            ratio_to_bare: None,
            ratio_to_best_peer: None,
            ratio_to_redis: None,
            results: Vec::new(),
            runs: vec![Vec::new(); workers.len()],
        }));
    }
    for repetition in 0..options.repetitions {
        for race in &mut measured.races {
            plan.take_turns(race, &mut workers, repetition);
        }
    }
    measured.races.iter_mut().for_each(|race| race.conclude(&measured.contenders));
    Ok(measured)
}

impl Plan<'_> {
    /// Starts a subject with its best pool size and fills its table.
    fn get_ready(&self, program: &[PathBuf], subject: &Subject) -> Result<Worker> {
        let mut best = *subject.pools.first().context("a subject without a pool size")?;
        if self.options.tune() && subject.pools.len() > 1 {
            let mut most = 0.0;
            for &pool in subject.pools {
                let mut worker = self.start(program, subject, pool, &format!("trial{pool}"))?;
                let score = self.trial(&mut worker)?;
                if score > most {
                    (best, most) = (pool, score);
                }
            }
        }
        let mut worker = self.start(program, subject, best, "run")?;
        self.prepare(&mut worker, self.options.sessions)?;
        Ok(worker)
    }

    fn start(&self, program: &[PathBuf], subject: &Subject, pool: u32, purpose: &str) -> Result<Worker> {
        let (process, name) = (std::process::id(), subject.name.replace('-', "_"));
        let told = [
            ("BENCH_SUBJECT", subject.name),
            ("BENCH_BACKEND", driver(self.backend)),
            ("BENCH_URL", &self.place.url),
            ("BENCH_POOL", &pool.to_string()),
            ("BENCH_TABLE", &format!("bench_{process}_{purpose}_{name}")),
        ];
        Worker::start(program, told)
    }

    fn prepare(&self, worker: &mut Worker, sessions: u64) -> Result<()> {
        let order = json!({"order": "prepare", "sessions": sessions, "bytes": self.options.bytes});
        worker.order(&order, None).map(drop)
    }

    /// How well a pool size does with 64 callers: the product of loads and saves in a second.
    fn trial(&self, worker: &mut Worker) -> Result<f64> {
        self.prepare(worker, 2_000)?;
        let mut score = 1.0;
        for workload in TRIALS {
            let order = json!({"order": "run", "workload": workload, "callers": 64, "millis": 400});
            score *= worker.order(&order, None)?.as_ref().map_or(0.0, Run::ops_per_second);
        }
        Ok(score)
    }

    /// One run of each contender, another one first each time.
    fn take_turns(&self, race: &mut Race, workers: &mut [Option<Worker>], repetition: u32) {
        let Self { place, options, .. } = self;
        let order = match race.workload.as_str() {
            PURGE => json!({"order": "purge", "expired": options.expired(), "callers": race.callers}),
            workload => json!({
                "order": "run",
                "workload": workload,
                "callers": race.callers,
                "millis": u64::try_from(options.seconds.as_millis()).unwrap_or(u64::MAX),
            }),
        };
        let count = workers.len();
        let first = usize::try_from(repetition).map_or(0, |repetition| repetition % count);
        for contender in (0..count).map(|turn| (first + turn) % count) {
            let Some(worker) = &mut workers[contender] else { continue };
            match worker.order(&order, place.server) {
                Ok(run) => race.runs[contender].extend(run),
                Err(error) => {
                    terminal::detail(format_args!("a subject gives up: {error:#}"));
                    workers[contender] = None;
                }
            }
        }
        let speed =
            |runs: &Vec<Run>| runs.last().and_then(Run::speed).map_or_else(|| "-".to_owned(), count_of);
        let alive = race.runs.iter().zip(workers).filter(|(_, worker)| worker.is_some());
        let speeds: String = alive.map(|(runs, _)| format!("{:>9}", speed(runs))).collect();
        let (turn, turns) = (repetition + 1, options.repetitions);
        terminal::detail(format_args!("{turn}/{turns} {:<8}{:>4}: {speeds}", race.workload, race.callers));
    }
}
