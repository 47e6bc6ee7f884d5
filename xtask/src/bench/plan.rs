//! The run on one backend: who is ready, then every workload in turns.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::cpu;
use super::options::{Backend, Options, PURGE};
use super::programs::Programs;
use super::results::{self, Contender, Race, Run};
use super::subject::Subject;
use super::worker::{Role, Worker};
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

pub(crate) fn carry_out(
    backend: Backend,
    place: &Place,
    options: &Options,
    programs: &Programs,
) -> Result<results::Backend> {
    let mut measured = results::Backend {
        name: backend.name(),
        place: place.described.clone(),
        not_run: None,
        contenders: Vec::new(),
        races: Vec::new(),
    };
    let mut workers = Vec::new();
    for subject in options.subjects.iter().filter(|subject| subject.is_on(backend)) {
        let title = subject.title(backend);
        let ready = match programs.get(&subject.program) {
            Some(Ok(program)) => get_ready(program, subject, backend, place, options),
            Some(Err(why)) => Err(anyhow::anyhow!("{why}")),
            None => continue,
        };
        let settings = match &ready {
            Ok(worker) => Ok(worker.settings.clone()),
            Err(error) => Err(format!("{error:#}")),
        };
        terminal::detail(&match &settings {
            Ok(settings) => format!("{title}: {settings}"),
            Err(why) => format!("{title}: not measured: {why}"),
        });
        measured.contenders.push(Contender { title, role: subject.role, settings });
        workers.push(ready.ok());
    }
    if workers.iter().all(Option::is_none) {
        bail!("no subject is ready");
    }
    measured.races = races(options, workers.len());
    for repetition in 0..options.repetitions {
        for race in &mut measured.races {
            take_turns(race, &mut workers, repetition, place, options);
        }
    }
    Ok(measured)
}

/// Starts a subject with its best pool size and fills its table.
fn get_ready(
    program: &[PathBuf],
    subject: &Subject,
    backend: Backend,
    place: &Place,
    options: &Options,
) -> Result<Worker> {
    let mut best = *subject.pools.first().context("a subject without a pool size")?;
    if options.tune && subject.pools.len() > 1 {
        let mut most = 0.0;
        for &pool in subject.pools {
            let mut worker = start(program, subject, backend, place, pool, &format!("trial{pool}"))?;
            let score = trial(&mut worker, options)?;
            if score > most {
                (best, most) = (pool, score);
            }
        }
    }
    let mut worker = start(program, subject, backend, place, best, "run")?;
    worker.order(&json!({"order": "prepare", "sessions": options.sessions, "bytes": options.bytes}), None)?;
    Ok(worker)
}

fn start(
    program: &[PathBuf],
    subject: &Subject,
    backend: Backend,
    place: &Place,
    pool: u32,
    purpose: &str,
) -> Result<Worker> {
    let name = subject.name.replace('-', "_");
    let table = format!("bench_{}_{purpose}_{name}", std::process::id());
    let role =
        Role { subject: subject.name, backend: backend.driver(), url: &place.url, pool, table: &table };
    Worker::start(program, &role)
}

/// How well a pool size does with 64 callers: the product of loads and saves in a second.
fn trial(worker: &mut Worker, options: &Options) -> Result<f64> {
    worker.order(&json!({"order": "prepare", "sessions": 2_000, "bytes": options.bytes}), None)?;
    let mut score = 1.0;
    for workload in TRIALS {
        let order = json!({"order": "run", "workload": workload, "callers": 64, "millis": 400});
        score *= Run::parse(&worker.order(&order, None)?).map_or(0.0, |run| run.ops_per_second);
    }
    Ok(score)
}

fn races(options: &Options, contenders: usize) -> Vec<Race> {
    let mut races = Vec::new();
    for workload in &options.workloads {
        let callers: &[u64] = if workload == PURGE { &[CALLERS_DURING_PURGE] } else { &options.callers };
        for &callers in callers {
            races.push(Race { workload: workload.clone(), callers, runs: vec![Vec::new(); contenders] });
        }
    }
    races
}

/// One run of each contender, another one first each time.
fn take_turns(
    race: &mut Race,
    workers: &mut [Option<Worker>],
    repetition: u32,
    place: &Place,
    options: &Options,
) {
    let count = workers.len();
    let first = usize::try_from(repetition).map_or(0, |repetition| repetition % count);
    let mut line = Vec::new();
    for contender in (0..count).map(|turn| (first + turn) % count) {
        let Some(worker) = &mut workers[contender] else { continue };
        let order = match race.workload.as_str() {
            PURGE => json!({"order": "purge", "expired": options.expired, "callers": race.callers}),
            workload => json!({
                "order": "run",
                "workload": workload,
                "callers": race.callers,
                "millis": u64::try_from(options.time.as_millis()).unwrap_or(u64::MAX),
            }),
        };
        match worker.order(&order, place.server) {
            Ok(answer) => race.runs[contender].extend(Run::parse(&answer)),
            Err(error) => {
                terminal::detail(&format!("a subject gives up: {error:#}"));
                workers[contender] = None;
                continue;
            }
        }
        line.push(contender);
    }
    line.sort_unstable();
    let speeds = line.iter().map(|&contender| {
        let last = race.runs[contender].last().and_then(race.speed());
        last.map_or_else(|| "-".to_owned(), super::table::count)
    });
    terminal::detail(&format!(
        "{}/{} {:<8}{:>4}: {}",
        repetition + 1,
        options.repetitions,
        race.workload,
        race.callers,
        speeds.map(|speed| format!("{speed:>9}")).collect::<String>()
    ));
}
