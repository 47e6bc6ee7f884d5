//! G11: safe purge.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use session_core::contract::{Create, Payload, Write};
use session_core::{DestroyMode, Gathering, ManualClock, Sessions, TouchOutcome, Updated, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, PATIENCE, Stop, Verdict, case, ensure, ensure_eq};
use crate::fixture::{Fixture, persist};

pub(crate) const CASES: &[Case] = &[
    case!(G11, Single, a_purge_removes_the_expired_and_nothing_else),
    case!(G11, Single, a_purge_keeps_to_its_limit),
    case!(G11, Concurrent, a_renewed_session_survives_a_purge),
    case!(G11, Concurrent, several_purges_remove_each_row_once),
    case!(G11, Concurrent, a_large_purge_in_batches_disturbs_no_writer),
    case!(G11, Concurrent, no_deadlock_of_eight_purges_and_thirty_two_writers_is_seen),
];

/// A writer that waits longer than this, and sees more batches go by than [`BY`], is blocked by the purge. On a slow machine
/// few batches take as long, and on a fast one many go by while the writer was not ready.
const BLOCKED: Duration = Duration::from_secs(5);
const BY: u64 = 20;

async fn a_purge_removes_the_expired_and_nothing_else(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let mut live = Vec::new();
    for until in [1, 2, 1000] {
        live.push(fixture.create(&format!("live until {until}"), "p", until).await?);
    }
    for until in [-1000, -1, 0] {
        fixture.create(&format!("expired at {until}"), "p", until).await?;
    }
    let mut rows = 6;
    if fixture.can.tombstones {
        // Destroyed, one with time left and one without: only the second one goes.
        for until in [0, 500] {
            let key = fixture.create(&format!("destroyed, until {until}"), "p", 500).await?;
            fixture.update(&key, "p", until.max(1), -5).await?;
            ensure!(
                fixture.destroy(&key, DestroyMode::Keep, -5).await?,
                "a live session cannot be destroyed"
            );
        }
        rows += 2;
    }
    ensure_eq!(fixture.purge(100, -1001).await?, 0, "the rows purged before any expiry");
    ensure_eq!(fixture.purge(100, 0).await?, 3, "the rows purged");
    ensure_eq!(fixture.purge(100, 0).await?, 0, "the rows that a second purge removes");
    for key in &live {
        fixture.expect_live(key, "p", 0, "a live session after a purge").await?;
    }
    let expected = if fixture.can.tombstones { 2 } else { 1 };
    ensure_eq!(fixture.purge(100, 1).await?, expected, "the rows purged one unit later");
    rows -= 3 + expected;
    ensure_eq!(fixture.store.clear().await?, rows, "the rows that are left");
    Ok(())
}

async fn a_purge_keeps_to_its_limit(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    for number in 0..10 {
        fixture.create(&format!("expired {number}"), "p", 0).await?;
        fixture.create(&format!("live {number}"), "p", 100).await?;
    }
    for (limit, removed) in [(1, 1), (3, 3), (4, 4), (4, 2), (4, 0)] {
        ensure_eq!(fixture.purge(limit, 0).await?, removed, "the rows of a purge of up to {limit}");
    }
    for number in 0..3 {
        fixture.create(&format!("expired again {number}"), "p", 0).await?;
    }
    ensure_eq!(fixture.purge(u32::MAX, 0).await?, 3, "the rows of a purge of as many as there may be");
    ensure_eq!(fixture.store.clear().await?, 10, "the rows after purges");
    Ok(())
}

/// Sessions are renewed in their last moment while purges take away what has expired. Whoever was told that his
/// session is renewed must have it.
async fn a_renewed_session_survives_a_purge(ctx: Ctx) -> Verdict {
    const SESSIONS: usize = 6;
    let handles = Fixture::handles(&ctx, 3).await?;
    for round in 0..20 {
        let mut keys = Vec::new();
        for session in 0..SESSIONS {
            keys.push(handles[0].create(&format!("round {round}, session {session}"), "p", 10).await?);
        }
        let mut callers = JoinSet::new();
        for (session, key) in keys.iter().enumerate() {
            let (fixture, key) = (handles[session % 2].clone(), key.clone());
            callers.spawn(async move {
                Ok::<_, Stop>(Some(if session % 2 == 0 {
                    persist(|| fixture.touch(&key, 1000, 9)).await?
                } else {
                    let updated = persist(|| fixture.update(&key, "p", 1000, 9)).await?;
                    updated != session_core::Updated::Gone
                }))
            });
        }
        for _ in 0..2 {
            let fixture = handles[2].clone();
            callers.spawn(async move {
                persist(|| fixture.purge(100, 10)).await?;
                Ok(None)
            });
        }
        let mut renewed = 0;
        while let Some(caller) = callers.join_next().await {
            let outcome = caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
            renewed += usize::from(outcome == Some(true));
        }
        let mut live = 0;
        for key in &keys {
            let at_once = handles[1].load(key, 10).await?.is_some();
            persist(|| handles[2].purge(100, 10)).await?;
            let later = handles[0].load(key, 10).await?.is_some();
            ensure_eq!(later, at_once, "whether a renewed session is live after another purge");
            live += usize::from(later);
        }
        ensure_eq!(
            live,
            renewed,
            "the sessions that are live, of those whose callers were told they are renewed"
        );
        handles[0].store.clear().await?;
    }
    Ok(())
}

/// Makes expired sessions, a thousand at a time, from several callers: a store whose many-key forms are the provided ones
/// waits for the disk once for each row, and only calls at once can share that.
async fn fill(fixture: &Fixture, rows: u32) -> Verdict {
    let writes: Vec<Write> = (0..rows)
        .map(|number| {
            Ok(Write::Create(Create {
                key: fixture.key(&format!("expired {number}"))?,
                payload: Payload::from("{}"),
                expires_at: fixture.until(0),
                principal: None,
                version: Version::FIRST,
            }))
        })
        .collect::<Verdict<_>>()?;
    let mut fillers = JoinSet::new();
    for part in writes.chunks(writes.len().div_ceil(8).max(1)) {
        let (fixture, part) = (fixture.clone(), part.to_vec());
        fillers.spawn(async move {
            // What a server does well within the time that a statement has, however slow it is.
            for batch in part.chunks(100) {
                for outcome in persist(|| fixture.store.write_many(batch, fixture.now(-1))).await? {
                    outcome?;
                }
            }
            Ok::<_, Stop>(())
        });
    }
    while let Some(filler) = fillers.join_next().await {
        filler.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

async fn several_purges_remove_each_row_once(ctx: Ctx) -> Verdict {
    const ROWS: u32 = 400;
    let handles = Fixture::handles(&ctx, 4).await?;
    fill(&handles[0], ROWS).await?;
    for number in 0..10 {
        handles[0].create(&format!("live {number}"), "p", 100).await?;
    }
    let mut purges = JoinSet::new();
    for fixture in handles.clone() {
        purges.spawn(async move {
            let mut removed = 0;
            // A purge that met only rows that another one had locked is no reason to stop.
            let mut idle = 0;
            while idle < 3 {
                let count = persist(|| fixture.purge(7, 0)).await?;
                ensure!(count <= 7, "a purge of up to 7 rows removes {count}");
                removed += count;
                idle = if count == 0 { idle + 1 } else { 0 };
            }
            Ok(removed)
        });
    }
    let mut removed = 0;
    while let Some(purge) = purges.join_next().await {
        removed += purge.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    ensure_eq!(removed, u64::from(ROWS), "the rows that four purges at once say they removed");
    ensure_eq!(handles[0].store.clear().await?, 10, "the rows that are left");
    Ok(())
}

async fn a_large_purge_in_batches_disturbs_no_writer(ctx: Ctx) -> Verdict {
    // A purge is not gathered: once the large number is enough.
    let rows = if ctx.is_gathered() { 5_000 } else { (ctx.cases() * 1_600).min(50_000) };
    let handles = Fixture::handles(&ctx, 3).await?;
    fill(&handles[0], rows).await?;
    let done = Arc::new(AtomicBool::new(false));
    let batches = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (fixture, done, batches) = (handles[writer % 2].clone(), Arc::clone(&done), Arc::clone(&batches));
        writers.spawn(async move {
            let mut turn = 0;
            let key = fixture.create(&format!("writer {writer}"), "p", 100).await?;
            // A few turns also beside a purge that is over before they begin.
            while turn < 3 || !done.load(Ordering::SeqCst) {
                turn += 1;
                let payload = format!("turn {turn}");
                let (start, before) = (Instant::now(), batches.load(Ordering::SeqCst));
                persist(|| fixture.update(&key, &payload, 100, 0)).await?;
                ensure!(persist(|| fixture.touch(&key, 200, 0)).await?, "a live session cannot be touched");
                let id = format!("writer {writer}, turn {turn}");
                let another = fixture.create(&id, "p", 100).await?;
                let (took, by) = (start.elapsed(), batches.load(Ordering::SeqCst) - before);
                ensure!(
                    took < BLOCKED || by <= BY,
                    "three writes beside a purge took {took:?}, in which {by} batches of it were done"
                );
                fixture.expect_live(&key, &payload, 0, "a session beside a purge").await?;
                fixture.expect_live(&another, "p", 0, "a session that was made beside a purge").await?;
                ensure!(
                    persist(|| fixture.destroy(&another, DestroyMode::Remove, 0)).await?,
                    "a session that was made beside a purge is gone"
                );
            }
            Ok(())
        });
    }
    let (mut removed, mut idle) = (0, 0);
    while idle < 2 {
        let count = persist(|| handles[2].purge(500, 0)).await?;
        batches.fetch_add(1, Ordering::SeqCst);
        ensure!(count <= 500, "a purge of up to 500 rows removes {count}");
        removed += count;
        idle = if count == 0 { idle + 1 } else { 0 };
    }
    done.store(true, Ordering::SeqCst);
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    ensure_eq!(removed, u64::from(rows), "the rows that were purged");
    ensure_eq!(handles[0].store.clear().await?, 4, "the rows that are left");
    Ok(())
}

/// Whatever the database gives up in favour of another is tried again by the handle, within its bound.
async fn no_deadlock_of_eight_purges_and_thirty_two_writers_is_seen(ctx: Ctx) -> Verdict {
    const ROWS: u32 = 1_000;
    let fixtures = Fixture::handles(&ctx, 4).await?;
    fill(&fixtures[0], ROWS).await?;
    let mut handles: Vec<Sessions<u64>> = Vec::new();
    for fixture in &fixtures {
        let builder = Sessions::builder(Arc::clone(&fixture.store))
            .clock(ManualClock::new(fixture.now(0)))
            .gathering(Gathering::OFF)
            .cleanup_limit(0)
            .destroy_mode(DestroyMode::Remove)
            .deadline(PATIENCE);
        handles.push(builder.build()?);
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..32_usize {
        let (handle, done) = (handles[writer % 4].clone(), Arc::clone(&done));
        writers.spawn(async move {
            let id = handle.create(&0).await?.id;
            let mut turn = 0;
            while turn < 3 || !done.load(Ordering::SeqCst) {
                turn += 1;
                let updated = handle.update(&id, &turn, None).await?;
                ensure!(updated != Updated::Gone, "a live session is gone beside purges");
                let touched = handle.touch(&id).await?;
                ensure!(touched != TouchOutcome::Gone, "a live session is gone beside purges");
                let another = handle.create(&turn).await?.id;
                ensure!(handle.destroy(&another).await?, "a session that was just made is gone");
                // A store that never waits would keep the purges from their turns.
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let mut purges = JoinSet::new();
    for purge in 0..8_usize {
        let handle = handles[purge % 4].clone();
        purges.spawn(async move {
            let limit = NonZeroU32::MIN.saturating_add(24);
            let (mut removed, mut idle) = (0, 0);
            while idle < 3 {
                let count = handle.purge(limit).await?;
                removed += count;
                idle = if count == 0 { idle + 1 } else { 0 };
            }
            Ok::<_, Stop>(removed)
        });
    }
    let mut removed = 0;
    while let Some(purge) = purges.join_next().await {
        removed += purge.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    done.store(true, Ordering::SeqCst);
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    ensure_eq!(removed, u64::from(ROWS), "the rows that eight purges at once say they removed");
    ensure_eq!(fixtures[0].store.clear().await?, 32, "the rows that are left");
    Ok(())
}
