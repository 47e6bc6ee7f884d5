//! A child process that writes until it is killed, and says before each write what it is about to do and after it
//! that it was acknowledged.
//!
//! The test binary starts itself again with a hidden option; `main` then does nothing but this.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_core::{Created, Updated};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::case::{Ctx, Stop, Verdict, ensure_eq, failed, not_run};
use crate::fixture::{Fixture, persist};
use crate::{Availability, Namespace};

const OPTION: &str = "--conformance-writer";
/// Each writes sessions of its own, one after another.
const WRITERS: usize = 4;
/// Updates before a session is ended and another one begun.
const UPDATES: i64 = 8;

/// Whether this program's `main` knows the hidden option.
static HAS_WRITER: AtomicBool = AtomicBool::new(false);

/// What a writer does to its session: the version that it writes, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Write(i64),
    End,
}

/// One session's last acts: the one that was acknowledged, and the one that was tried after it.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    acknowledged: Option<Act>,
    tried: Option<Act>,
}

/// What a child said before it was killed, by session.
#[derive(Debug, Default)]
pub(crate) struct Log(BTreeMap<String, Last>);

/// Runs the writer if the command line asks for it.
pub(crate) async fn run_if_asked(backends: &[Availability]) -> Option<ExitCode> {
    HAS_WRITER.store(true, Ordering::SeqCst);
    let mut args = env::args().skip_while(|arg| arg != OPTION).skip(1);
    let (name, variant, gathered, namespace) = (args.next()?, args.next()?, args.next()?, args.next()?);
    let backend = backends.iter().find_map(|backend| match backend {
        Availability::Ready(backend) if backend.name() == name && backend.variant() == variant => {
            Some(backend)
        }
        _ => None,
    })?;
    let ctx = Ctx::new(Arc::clone(backend), gathered == "true", 0, 0, String::new());
    let written = write_for_ever(&ctx, &Namespace::from_text(namespace)).await;
    if let Err(Stop::Failed(why) | Stop::NotRun(why)) = written {
        eprintln!("the writer failed: {why}");
    }
    Some(ExitCode::FAILURE)
}

async fn write_for_ever(ctx: &Ctx, namespace: &Namespace) -> Verdict {
    let fixture = Fixture::of(ctx.open(namespace).await?);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let fixture = fixture.clone();
        writers.spawn(async move {
            for session in 0_u64.. {
                let id = format!("writer{writer}-session{session}");
                say(&id, "tries", Act::Write(1))?;
                let key = fixture.create(&id, &payload(&id, 1), 100).await?;
                say(&id, "did", Act::Write(1))?;
                for version in 2..=UPDATES {
                    say(&id, "tries", Act::Write(version))?;
                    let payload = payload(&id, version);
                    let updated = persist(|| fixture.update(&key, &payload, 100, 0)).await?;
                    fixture.expect_saved(updated, version - 1, &format!("an update of {id}"))?;
                    say(&id, "did", Act::Write(version))?;
                }
                if session % 2 == 1 {
                    say(&id, "tries", Act::End)?;
                    persist(|| fixture.destroy(&key, fixture.modes()[0], 0)).await?;
                    say(&id, "did", Act::End)?;
                }
            }
            Ok::<_, Stop>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

fn payload(id: &str, version: i64) -> String {
    format!("{{\"id\":\"{id}\",\"version\":{version}}}")
}

fn say(id: &str, verb: &str, act: Act) -> Verdict {
    let act = match act {
        Act::Write(version) => version.to_string(),
        Act::End => "end".to_owned(),
    };
    let mut out = stdout().lock();
    writeln!(out, "{id} {verb} {act}")
        .and_then(|()| out.flush())
        .map_err(|error| Stop::Failed(format!("standard output is closed: {error}")))
}

/// Starts a child that writes to a namespace, kills it with SIGKILL after so many acknowledged writes, and returns
/// what it said.
pub(crate) async fn kill_a_writer(ctx: &Ctx, namespace: &Namespace, acknowledged: usize) -> Verdict<Log> {
    if !HAS_WRITER.load(Ordering::SeqCst) {
        return not_run(
            "this program cannot start itself again as a writer: it does not call `conformance::main`",
        );
    }
    let text = |error: std::io::Error| Stop::Failed(format!("the writing process: {error}"));
    let arguments = [
        OPTION.to_owned(),
        ctx.backend().name(),
        ctx.backend().variant(),
        ctx.is_gathered().to_string(),
        namespace.as_str().to_owned(),
    ];
    let mut child = Command::new(env::current_exe().map_err(text)?)
        .args(arguments.map(OsString::from))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(text)?;
    let Some(out) = child.stdout.take() else { return failed("the writing process has no output") };
    let mut lines = BufReader::new(out).lines();
    let (mut log, mut done) = (Log::default(), 0);
    let mut killed = false;
    // What it said before it died counts, also what was not read before it was killed.
    while let Some(line) = lines.next_line().await.map_err(text)? {
        done += usize::from(log.note(&line));
        if done >= acknowledged && !killed {
            child.start_kill().map_err(text)?;
            killed = true;
        }
    }
    let ended = child.wait_with_output().await.map_err(text)?;
    if !killed {
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        return failed(format!("the writing process ended by itself ({}): {said}", ended.status));
    }
    Ok(log)
}

impl Log {
    /// Notes a line. True if it acknowledges a write.
    fn note(&mut self, line: &str) -> bool {
        let mut words = line.split(' ');
        let (Some(id), Some(verb), Some(act)) = (words.next(), words.next(), words.next()) else {
            return false;
        };
        let act = if act == "end" {
            Act::End
        } else if let Ok(version) = act.parse() {
            Act::Write(version)
        } else {
            return false;
        };
        let last = self.0.entry(id.to_owned()).or_default();
        if verb == "did" {
            *last = Last { acknowledged: Some(act), tried: None };
            true
        } else {
            last.tried = Some(act);
            false
        }
    }

    /// Checks that every acknowledged write is there, and the last one of each writer, which was not acknowledged,
    /// wholly or not at all.
    pub(crate) async fn check(&self, fixture: &Fixture) -> Verdict {
        for (id, last) in &self.0 {
            let key = fixture.key(id)?;
            let record = fixture.load(&key, 0).await?;
            let mut allowed = vec![state(id, last.acknowledged, fixture)];
            allowed.extend(last.tried.map(|act| state(id, Some(act), fixture)));
            let found = record.map(|record| (record.payload.as_str().to_owned(), record.version.get()));
            if !allowed.contains(&found) {
                return failed(format!(
                    "{id}: the process that wrote it was killed; last acknowledged {:?}, tried {:?}, found {found:?}",
                    last.acknowledged, last.tried
                ));
            }
            // A write that was cut off is no obstacle to the next one.
            if found.is_some() {
                let again = persist(|| fixture.update(&key, "after", 100, 0)).await?;
                let next = matches!(again, Updated::Saved(_));
                ensure_eq!(next, true, "an update after the process that wrote before was killed");
            } else if last.acknowledged.is_none() {
                let created = persist(|| fixture.try_create(&key, "after", 100)).await?;
                ensure_eq!(created, Created::Created, "a create where one was cut off");
            }
        }
        Ok(())
    }
}

/// What is loaded after an act.
fn state(id: &str, act: Option<Act>, fixture: &Fixture) -> Option<(String, i64)> {
    match act {
        Some(Act::Write(version)) => Some((payload(id, version), fixture.version(version - 1).get())),
        Some(Act::End) | None => None,
    }
}
