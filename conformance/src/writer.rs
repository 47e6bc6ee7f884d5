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

use session_core::Updated;
use session_core::contract::Created;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::case::{Ctx, Stop, Travel, Verdict, ensure_eq, failed, not_run};
use crate::fixture::{Fixture, persist};
use crate::{Availability, Namespace, Options};

const OPTION: &str = "--conformance-writer";
/// Each writes sessions of its own, one after another.
const WRITERS: usize = 4;
/// Updates before a session is destroyed and another one begun.
const UPDATES: i64 = 8;

/// Whether this program's `main` knows the hidden option.
static HAS_WRITER: AtomicBool = AtomicBool::new(false);

/// What a writer does to its session: the version that it writes, or that it destroys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Write(i64),
    Destroy,
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
pub(crate) async fn run_if_asked(subjects: &[Availability]) -> Option<ExitCode> {
    HAS_WRITER.store(true, Ordering::SeqCst);
    let mut args = env::args().skip_while(|arg| arg != OPTION).skip(1);
    let (name, variant, gathered, namespace) = (args.next()?, args.next()?, args.next()?, args.next()?);
    let subject = subjects.iter().find_map(|subject| match subject {
        Availability::Ready(subject) if subject.name() == name && subject.variant() == variant => {
            Some(subject)
        }
        _ => None,
    })?;
    let travel = if gathered == "true" { Travel::Gathered } else { Travel::Alone };
    let ctx = Ctx::new(Arc::clone(subject), travel, &Options::default(), String::new());
    let written = write_for_ever(&ctx, &Namespace::from_text(namespace)).await;
    if let Err(Stop::Failed(why) | Stop::NotRun(why) | Stop::NotApplicable(why)) = written {
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
                    say(&id, "tries", Act::Destroy)?;
                    persist(|| fixture.destroy(&key, fixture.modes()[0], 0)).await?;
                    say(&id, "did", Act::Destroy)?;
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
        Act::Destroy => "destroy".to_owned(),
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
        ctx.subject().name(),
        ctx.subject().variant(),
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
        let act = if act == "destroy" {
            Act::Destroy
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
            // A write that was cut off is no obstacle to the next one. It may still be under way in the server, and
            // reach the session after it was looked at.
            if found.is_some() {
                let again = persist(|| fixture.update(&key, "after", 100, 0)).await?;
                let ended_meanwhile = again == Updated::Gone && last.tried == Some(Act::Destroy);
                let next = matches!(again, Updated::Saved(_)) || ended_meanwhile;
                ensure_eq!(next, true, "an update after the process that wrote before was killed");
            } else if last.acknowledged.is_none() {
                let created = persist(|| fixture.try_create(&key, "after", 100)).await?;
                if created == Created::KeyTaken {
                    let found = fixture.payload(&key, 0).await?;
                    ensure_eq!(found, Some(payload(id, 1)), "what took the key where a create was cut off");
                }
            }
        }
        Ok(())
    }
}

/// What is loaded after an act.
fn state(id: &str, act: Option<Act>, fixture: &Fixture) -> Option<(String, i64)> {
    match act {
        Some(Act::Write(version)) => Some((payload(id, version), fixture.version(version - 1).get())),
        Some(Act::Destroy) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use session_core::contract::{Create, Destroy, Write};
    use session_core::{MemoryStore, Version};

    use super::*;
    use crate::wrap::Watched;

    const ID: &str = "writer0-session1";

    /// A killed writer's session, and a write that reaches the store only after it was looked at.
    async fn check(last: Last, late: impl FnOnce(&Fixture) -> Write) -> Verdict {
        let (store, watch) = Watched::new(Arc::new(MemoryStore::new()));
        let fixture = Fixture::of(Arc::new(store));
        if last.acknowledged.is_some() {
            fixture.create(ID, &payload(ID, 1), 100).await?;
        }
        watch.after_the_next_load(late(&fixture), fixture.now(0));
        Log(BTreeMap::from([(ID.to_owned(), last)])).check(&fixture).await
    }

    fn destroy(fixture: &Fixture) -> Write {
        let key = fixture.key(ID).unwrap();
        Write::Destroy(Destroy { key, mode: session_core::DestroyMode::Remove })
    }

    fn create(fixture: &Fixture, payload: String) -> Write {
        Write::Create(Create {
            key: fixture.key(ID).unwrap(),
            payload: payload.into(),
            expires_at: fixture.until(100),
            principal: None,
            version: Version::FIRST,
        })
    }

    #[tokio::test]
    async fn what_was_tried_may_happen_while_one_looks() {
        let written = Some(Act::Write(1));
        let ended = Last { acknowledged: written, tried: Some(Act::Destroy) };
        check(ended, destroy).await.unwrap();
        let created = Last { acknowledged: None, tried: written };
        check(created, |fixture| create(fixture, payload(ID, 1))).await.unwrap();
    }

    #[tokio::test]
    async fn what_nobody_tried_must_not() {
        let written = Some(Act::Write(1));
        let updated = Last { acknowledged: written, tried: Some(Act::Write(2)) };
        assert!(check(updated, destroy).await.is_err());
        let created = Last { acknowledged: None, tried: written };
        assert!(check(created, |fixture| create(fixture, "another's".to_owned())).await.is_err());
    }
}
