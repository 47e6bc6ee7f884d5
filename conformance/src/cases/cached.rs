//! G8, through a handle that keeps what it reads: it is never out of date, whoever else writes, rotates and ends.

use std::sync::Arc;

use session_core::contract::Store;
use session_core::{CacheSize, Codec, Error, RotateOutcome, Sessions, SessionsBuilder, Updated};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, PATIENCE, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};

pub(crate) const CASES: &[Case] = &[
    case!(G8, Concurrent, a_session_that_is_kept_is_never_out_of_date),
    case!(G8, Single, a_session_that_is_kept_ends_with_its_session),
    case!(G8, Single, each_handle_keeps_sessions_of_its_own_type),
];

/// Few, so that sessions make room for each other.
const KEPT: CacheSize = CacheSize::sessions(4);

/// Data that say how often they were changed.
type Count = u64;

fn keeping(store: Arc<dyn Store>) -> SessionsBuilder<Count> {
    Sessions::builder(store).deadline(PATIENCE).cache(KEPT)
}

/// Two ways to read the same.
async fn read(sessions: &Sessions<Count>, id: &session_core::SessionId) -> Verdict<Option<Count>> {
    let (shared, owned) = (sessions.load_shared(id).await?, sessions.load(id).await?);
    // Nobody else writes this session meanwhile.
    ensure_eq!(
        owned.as_ref().map(|session| session.data),
        shared.as_ref().map(|session| *session.data),
        "a load"
    );
    ensure_eq!(
        owned.map(|session| session.info().clone()),
        shared.map(|session| session.info().clone()),
        "a load"
    );
    Ok(sessions.load_shared(id).await?.map(|session| *session.data))
}

/// Callers who write, rotate and end sessions through other handles, and look through one that keeps what it reads; and
/// others who read there all the time, so that what is old would be kept.
async fn a_session_that_is_kept_is_never_out_of_date(ctx: Ctx) -> Verdict {
    const WRITERS: usize = 4;
    const TURNS: u64 = 20;
    let namespace = ctx.namespace();
    let store = ctx.open(&namespace).await?;
    if !store.capabilities().versions {
        return does_not_apply("this table holds no versions, by which a cache asks");
    }
    let kept: Sessions<Count> = keeping(store).build()?;
    let other: Sessions<Count> = Sessions::builder(ctx.open(&namespace).await?).deadline(PATIENCE).build()?;
    let mut callers = JoinSet::new();
    for writer in 0..WRITERS {
        let (kept, other) = (kept.clone(), other.clone());
        callers.spawn(async move {
            let mut id = other.create(&0).await?.id;
            for turn in 1..=TURNS {
                let reader = {
                    // It reads from before the write until after it, and so keeps what is about to be old.
                    let (kept, id) = (kept.clone(), id.clone());
                    tokio::spawn(async move {
                        let mut last = turn - 1;
                        for _ in 0..4 {
                            let Some(session) = kept.load_shared(&id).await? else { break };
                            ensure!(*session.data >= last, "a load gives {} after {last}", *session.data);
                            last = *session.data;
                        }
                        Ok::<_, Stop>(())
                    })
                };
                let by = if turn % 5 == 0 { &kept } else { &other };
                if turn % 4 == 0 && by.capabilities().rotation {
                    let RotateOutcome::Rotated(new) = by.rotate_with(&id, &turn, None).await? else {
                        return failed("a live session cannot be rotated");
                    };
                    ensure_eq!(
                        read(&kept, &id).await?,
                        None,
                        "the id that was rotated away, read right after"
                    );
                    id = new.id;
                } else {
                    let updated = by.update(&id, &turn, None).await?;
                    ensure!(matches!(updated, Updated::Saved(_)), "a live session is {updated:?}");
                }
                ensure_eq!(
                    read(&kept, &id).await?,
                    Some(turn),
                    "writer {writer}, read right after its write"
                );
                other.touch(&id).await?;
                let (seen, told) = (kept.load_shared(&id).await?, other.load(&id).await?);
                ensure_eq!(
                    seen.map(|session| session.expires_at()),
                    told.map(|session| session.expires_at()),
                    "the expiry right after a touch"
                );
                reader.await.map_err(|panic| Stop::Failed(panic.to_string()))??;
            }
            ensure!(other.destroy(&id).await?, "a live session cannot be ended");
            ensure_eq!(read(&kept, &id).await?, None, "a session that was ended elsewhere");
            Ok::<_, Stop>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

/// Whatever ends a session, here or elsewhere; and a new session under the same id.
async fn a_session_that_is_kept_ends_with_its_session(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let store = ctx.open(&namespace).await?;
    let can = store.capabilities();
    if !can.versions {
        return does_not_apply("this table holds no versions, by which a cache asks");
    }
    let options = |store| {
        let builder = keeping(store).destroy_mode(session_core::DestroyMode::Remove);
        if can.principals { builder.principal(|_| Some("ann".to_owned())) } else { builder }
    };
    let kept = options(store).build()?;
    let other = options(ctx.open(&namespace).await?).build()?;
    for (by, whose) in [(&kept, "through the same handle"), (&other, "elsewhere")] {
        for way in ["destroy", "destroy many", "rotate", "of a principal", "forget", "clear"] {
            if (way == "rotate" && !can.rotation)
                || (matches!(way, "of a principal" | "forget") && !can.principals)
            {
                continue;
            }
            let id = session_core::SessionId::new(format!("{way} {whose}"))?;
            let Some(_) = kept.create_with_id(&id, &1).await? else { return failed("a new id is taken") };
            ensure_eq!(read(&kept, &id).await?, Some(1), "a session before {way} {whose}");
            match way {
                "destroy" => _ = by.destroy(&id).await?,
                "destroy many" => _ = by.destroy_many(std::slice::from_ref(&id)).await?,
                "rotate" => _ = by.rotate(&id).await?,
                "of a principal" => _ = by.destroy_principal("ann").await?,
                "forget" => _ = by.forget_principal("ann").await?,
                _ => _ = by.clear().await?,
            }
            ensure_eq!(read(&kept, &id).await?, None, "a session after {way} {whose}");
            // A row that is left until the next purge still takes the id.
            by.purge(std::num::NonZeroU32::MAX).await?;
            if other.create_with_id(&id, &2).await?.is_some() {
                ensure_eq!(
                    read(&kept, &id).await?,
                    Some(2),
                    "a new session under an id that ended by {way} {whose}"
                );
            }
        }
    }
    Ok(())
}

/// The same text, read in another way.
struct Doubled;

impl Codec<Count> for Doubled {
    fn encode(&self, data: &Count) -> Result<String, Error> {
        Ok((data / 2).to_string())
    }
    fn decode(&self, text: &str) -> Result<Count, Error> {
        let half: Count = text.parse().map_err(|_| Error::corrupt("no number"))?;
        Ok(half * 2)
    }
}

async fn each_handle_keeps_sessions_of_its_own_type(ctx: Ctx) -> Verdict {
    let store = ctx.store().await?;
    if !store.capabilities().versions {
        return does_not_apply("this table holds no versions, by which a cache asks");
    }
    let numbers: Sessions<Count> = keeping(Arc::clone(&store)).build()?;
    let doubled: Sessions<Count> = keeping(Arc::clone(&store)).codec(Doubled).build()?;
    let values: Sessions<serde_json::Value> = Sessions::builder(store).cache(KEPT).build()?;
    let id = numbers.create(&21).await?.id;
    for round in ["read first", "kept"] {
        ensure_eq!(read(&numbers, &id).await?, Some(21), "a number, {round}");
        ensure_eq!(read(&doubled, &id).await?, Some(42), "the same text by another codec, {round}");
        let value = values.load_shared(&id).await?.map(|session| session.data.as_ref().clone());
        ensure_eq!(value, Some(serde_json::json!(21)), "the same text as another type, {round}");
    }
    Ok(())
}
