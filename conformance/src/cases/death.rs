//! G3: dead is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use session_core::contract::{Rotate, Rotated};
use session_core::{
    Clock, DestroyMode, ErrorKind, Gathering, ManualClock, SessionId, Sessions, SetOutcome, TimeToLive,
    Timestamp, Updated,
};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq};
use crate::fixture::{Fixture, expect_refusal, persist};
use crate::world::{T, at};

pub(crate) const CASES: &[Case] = &[
    case!(G3, Single, an_absent_session_stays_absent),
    case!(G3, Single, an_expired_session_is_not_revived),
    case!(G3, Single, a_destroyed_session_is_not_revived),
    case!(G3, Single, a_rotated_away_session_is_not_revived),
    case!(G3, Single, an_update_into_the_past_ends_a_session),
    case!(G3, Single, set_brings_no_session_back),
    case!(G3, Single, a_row_that_stays_is_refused_without_tombstones),
    case!(G3, Concurrent, a_destroy_is_final_for_concurrent_writers),
    case!(G3, Concurrent, one_of_many_destroys_is_told_so),
];

async fn an_absent_session_stays_absent(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.key("absent")?;
    fixture.expect_dead(&key, 0, "an absent session").await?;
    fixture.create("present", "p", 100).await?;
    fixture.expect_dead(&key, 0, "an absent session beside another").await?;
    ensure_eq!(fixture.store.clear().await?, 1, "the rows after late writes to an absent session");
    Ok(())
}

async fn an_expired_session_is_not_revived(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    fixture.create("bystander", "b", 2000).await?;
    for until in [-1000, -1, 0] {
        let key = fixture.create(&format!("until {until}"), "p", until).await?;
        fixture.expect_dead(&key, 0, "an expired session").await?;
    }
    let touched = fixture.create("touched", "p", 100).await?;
    ensure!(fixture.touch(&touched, 5, 0).await?, "a live session cannot be touched");
    fixture.expect_dead(&touched, 5, "a session that a touch let expire").await
}

async fn a_destroyed_session_is_not_revived(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    fixture.create("bystander", "b", 2000).await?;
    for mode in fixture.modes() {
        let key = fixture.create(&format!("{mode:?}"), "p", 2000).await?;
        fixture.update(&key, "q", 2000, 0).await?;
        ensure_eq!(fixture.destroy(&key, *mode, 0).await?, true, "destroying a live session, {mode:?}");
        // Also at times before and after that of the destroy.
        for now in [0, -5, 5, 1999] {
            fixture.expect_dead(&key, now, &format!("a session destroyed {mode:?}, at {now}")).await?;
        }
        if *mode != DestroyMode::Remove && fixture.can.rotation {
            let other = fixture.create(&format!("rotates onto {mode:?}"), "p", 2000).await?;
            let onto = fixture.rotate(&fixture.rotate_of(&other, &key, 2000), 0).await?;
            ensure_eq!(onto, Rotated::KeyTaken, "a rotation to the key of a destroyed session");
            fixture.expect_dead(&key, 0, "a destroyed session after a rotation to its key").await?;
        }
    }
    Ok(())
}

async fn a_rotated_away_session_is_not_revived(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if !fixture.can.rotation {
        return does_not_apply("this table cannot rotate");
    }
    for mode in fixture.modes() {
        let old = fixture.create(&format!("old {mode:?}"), "p", 100).await?;
        let new = fixture.key(&format!("new {mode:?}"))?;
        let rotate = Rotate { mode: *mode, ..fixture.rotate_of(&old, &new, 100) };
        let rotated = fixture.rotate(&rotate, 0).await?;
        fixture.expect_rotated(rotated, 1, &format!("a rotation, {mode:?}"))?;
        fixture.expect_dead(&old, 0, &format!("a session rotated away {mode:?}")).await?;
        fixture.expect_live(&new, "p", 0, "the session it was rotated to, after late writes").await?;
        let created = fixture.try_create(&old, "another", 100).await?;
        let taken = *mode != DestroyMode::Remove;
        ensure_eq!(
            created == session_core::contract::Created::KeyTaken,
            taken,
            "whether the key of a session rotated away {mode:?} is taken"
        );
    }
    Ok(())
}

async fn an_update_into_the_past_ends_a_session(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("a", "p", 100).await?;
    let updated = fixture.update(&key, "q", 0, 0).await?;
    fixture.expect_saved(updated, 1, "an update whose expiry has passed")?;
    fixture.expect_dead(&key, 0, "a session updated into the past").await
}

/// The handle's create-or-update, which is how the Node stores write.
async fn set_brings_no_session_back(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    if !store.capabilities().tombstones {
        return does_not_apply("this table keeps no tombstones: an id that was destroyed is as good as new");
    }
    let clock = Arc::new(ManualClock::new(at(T)));
    let sessions: Sessions<u64> = Sessions::builder(store)
        .gathering(Gathering::OFF)
        .clock(Shared(Arc::clone(&clock)))
        .time_to_live(TimeToLive::fixed(Duration::from_secs(60))?)
        .build()?;
    let (destroyed, expired) = (SessionId::new("destroyed")?, SessionId::new("expired")?);
    for id in [&destroyed, &expired] {
        let set = sessions.set(id, &1).await?;
        ensure!(matches!(set, SetOutcome::Created(_)), "set with a new id answers {set:?}");
    }
    ensure!(sessions.destroy(&destroyed).await?, "a live session cannot be destroyed");
    ensure_eq!(sessions.set(&destroyed, &2).await?, SetOutcome::Gone, "set with an id that was destroyed");
    ensure!(sessions.load(&destroyed).await?.is_none(), "set brought a destroyed session back");
    clock.advance(Duration::from_secs(60));
    ensure_eq!(sessions.set(&expired, &2).await?, SetOutcome::Gone, "set with an id that has expired");
    ensure!(sessions.load(&expired).await?.is_none(), "set brought an expired session back");
    Ok(())
}

/// A clock that the case keeps in its hands.
#[derive(Debug)]
struct Shared(Arc<ManualClock>);

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

async fn a_row_that_stays_is_refused_without_tombstones(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    if fixture.can.tombstones {
        return does_not_apply("this table keeps tombstones");
    }
    let key = fixture.create("a", "p", 100).await?;
    let to = fixture.key("b")?;
    for mode in [DestroyMode::Forget, DestroyMode::Keep] {
        let destroyed = fixture.destroy(&key, mode, 0).await;
        expect_refusal(destroyed, ErrorKind::Unsupported, &format!("a destroy, {mode:?}"))?;
        let rotate = Rotate { mode, ..fixture.rotate_of(&key, &to, 100) };
        expect_refusal(
            fixture.rotate(&rotate, 0).await,
            ErrorKind::Unsupported,
            "a rotation with that mode",
        )?;
    }
    fixture.expect_live(&key, "p", 0, "a session after destroys that were refused").await?;
    ensure_eq!(fixture.load(&to, 0).await?, None, "the key that a rotation was refused to");
    Ok(())
}

/// Writers, touchers and rotators go on until they are told that the session is gone; from the moment a destroy has
/// returned nobody may find it.
async fn a_destroy_is_final_for_concurrent_writers(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 4).await?;
    for round in 0..10 {
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let key = handles[0].create(&format!("round {round}"), "p", 1000).await?;
        let over = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for writer in 0..6 {
            let (fixture, key, over) =
                (handles[writer % handles.len()].clone(), key.clone(), Arc::clone(&over));
            writers.spawn(async move {
                loop {
                    let is_over = over.load(Ordering::SeqCst);
                    let gone = match writer % 3 {
                        0 => persist(|| fixture.update(&key, "late", 1000, 0)).await? == Updated::Gone,
                        1 => !persist(|| fixture.touch(&key, 2000, 0)).await?,
                        _ => fixture.load(&key, 0).await?.is_none(),
                    };
                    if gone {
                        return Ok(());
                    }
                    ensure!(!is_over, "a call that began after a destroy had returned finds the session");
                    tokio::task::yield_now().await;
                }
            });
        }
        tokio::task::yield_now().await;
        let destroyed = persist(|| handles[3].destroy(&key, mode, 0)).await?;
        over.store(true, Ordering::SeqCst);
        ensure!(destroyed, "destroying a live session says that it is not live");
        for fixture in &handles {
            ensure_eq!(fixture.load(&key, 0).await?, None, "a load after a destroy that returned");
        }
        while let Some(writer) = writers.join_next().await {
            writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
        }
        handles[1].expect_dead(&key, 0, "a session destroyed among writers").await?;
    }
    Ok(())
}

async fn one_of_many_destroys_is_told_so(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 4).await?;
    for round in 0..10 {
        let mode = handles[0].modes()[round % handles[0].modes().len()];
        let key = handles[0].create(&format!("round {round}"), "p", 1000).await?;
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (fixture, key) = (handles[caller % handles.len()].clone(), key.clone());
            callers.spawn(async move { persist(|| fixture.destroy(&key, mode, 0)).await });
        }
        let mut told = 0;
        while let Some(caller) = callers.join_next().await {
            told += u32::from(caller.map_err(|panic| Stop::Failed(panic.to_string()))??);
        }
        ensure_eq!(told, 1, "the callers among 8 that destroyed one session");
    }
    Ok(())
}
