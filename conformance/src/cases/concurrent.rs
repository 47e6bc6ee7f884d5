//! G8: linearizable per session.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::contract::{Create, Payload, Touch, Update, Write, Written};
use session_core::{DestroyMode, Gathering, Sessions, Updated, Version};
use tokio::task::JoinSet;

use crate::case::{Case, Ctx, PATIENCE, Stop, Verdict, case, ensure_eq};
use crate::fixture::{Fixture, persist};
use crate::history::{History, is_contention};
use crate::plain::Plain as _;
use crate::rng::Rng;
use crate::workload::{self, Habits};
use crate::world::World;

pub(crate) const CASES: &[Case] = &[
    case!(G8, Single, batches_of_any_size_answer_as_single_calls),
    case!(G8, Concurrent, concurrent_calls_are_explained_by_one_order),
    case!(G8, Concurrent, concurrent_batches_are_explained_by_one_order),
    case!(G8, Concurrent, a_write_is_seen_by_every_later_read),
    case!(G8, Concurrent, no_conflict_reaches_a_caller_of_the_handle),
];

/// Few calls at a time, so that every history can be decided, but many histories.
async fn histories(ctx: &Ctx, batches: u64) -> Verdict {
    let handles = ctx.handles(3).await?;
    let mut rng = Rng::new(ctx.seed());
    for round in 0..ctx.cases().div_ceil(2) {
        let world = Arc::new(World::of_fresh_keys(&*handles[0], &format!("round {round}"), 3)?);
        let history = Arc::new(History::default());
        let habits = Habits {
            workers: 5,
            calls: 8,
            batches,
            drops: 0,
            silence: false,
            times: !ctx.is_gathered(),
            forgives: is_contention,
        };
        workload::run(&world, &handles, &history, habits, &mut rng).await?;
        workload::look(&world, &handles, &history).await?;
        history.check(&world)?;
    }
    Ok(())
}

async fn concurrent_calls_are_explained_by_one_order(ctx: Ctx) -> Verdict {
    histories(&ctx, 20).await
}

async fn concurrent_batches_are_explained_by_one_order(ctx: Ctx) -> Verdict {
    histories(&ctx, 2).await
}

async fn a_write_is_seen_by_every_later_read(ctx: Ctx) -> Verdict {
    let handles = Fixture::handles(&ctx, 3).await?;
    let mut writers = JoinSet::new();
    for writer in 0..4_usize {
        let handles = handles.clone();
        writers.spawn(async move {
            let (own, others) =
                (&handles[writer % 3], [&handles[(writer + 1) % 3], &handles[(writer + 2) % 3]]);
            let key = own.create(&format!("writer {writer}"), "0", 100).await?;
            for turn in 0..25_usize {
                let payload = format!("{turn}");
                persist(|| own.update(&key, &payload, 100, 0)).await?;
                others[turn % 2].expect_live(&key, &payload, 0, "read right after an update").await?;
                let until = 100 + i64::try_from(turn).unwrap_or(0);
                persist(|| own.touch(&key, until, 0)).await?;
                let record = others[turn % 2].load(&key, 0).await?;
                let Some(record) = record else {
                    return crate::case::failed("a session cannot be loaded right after a touch");
                };
                own.expect_expiry(record.expires_at, own.until(until), "read right after a touch")?;
            }
            persist(|| own.destroy(&key, DestroyMode::Remove, 0)).await?;
            ensure_eq!(others[0].load(&key, 0).await?, None, "read right after a destroy");
            Ok::<_, Stop>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

/// Everything that locks rows, on few sessions, through the handle: deadlocks are its affair.
async fn no_conflict_reaches_a_caller_of_the_handle(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let mut stores: Vec<Sessions<u64>> = Vec::new();
    for _ in 0..3 {
        let store = ctx.open(&namespace).await?;
        let has_principals = store.capabilities().principals;
        let mut builder = Sessions::builder(store).gathering(Gathering::OFF).deadline(PATIENCE);
        if has_principals {
            builder = builder.principal(|_| Some("ann".to_owned()));
        }
        stores.push(builder.build()?);
    }
    let can = stores[0].capabilities();
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(stores[0].create(&number).await?.id);
    }
    let mut callers = JoinSet::new();
    let rng = Rng::new(ctx.seed());
    for caller in 0..8_u64 {
        let mut rng = rng.fork(caller);
        let (store, mut ids) = (rng.pick(&stores).clone(), ids.clone());
        callers.spawn(async move {
            for turn in 0..15_u64 {
                let at = usize::try_from(rng.below(4)).unwrap_or(0);
                let id = ids[at].clone();
                match rng.below(8) {
                    0 => ids[at] = store.create(&turn).await?.id,
                    1 if can.rotation => {
                        if let Some(new) = store.rotate(&id).await? {
                            ids[at] = new.id;
                        }
                    }
                    2 => _ = store.destroy_many(&ids).await?,
                    3 => _ = store.purge(NonZeroU32::MAX).await?,
                    4 if can.principals => _ = store.destroy_others("ann", &id).await?,
                    5 => _ = store.touch(&id).await?,
                    6 => _ = store.set(&id, &turn).await?,
                    _ => _ = store.update(&id, &turn, None).await?,
                }
            }
            Ok::<_, Stop>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

/// Sessions in every state, and a write to each: on one table one by one, on another in batches of any size.
async fn batches_of_any_size_answer_as_single_calls(ctx: Ctx) -> Verdict {
    const SESSIONS: usize = 150;
    let (singles, batches) = (Fixture::new(&ctx).await?, Fixture::new(&ctx).await?);
    let mut rng = Rng::new(ctx.seed());
    let mut keys = Vec::new();
    for number in 0..SESSIONS {
        let id = format!("session {number}");
        let state = rng.below(5);
        for fixture in [&singles, &batches] {
            if state == 0 {
                continue;
            }
            let key = fixture.create(&id, "before", if state == 1 { 0 } else { 100 }).await?;
            if state == 2 {
                let mode = fixture.modes()[0];
                fixture.destroy(&key, mode, 0).await?;
            } else if state == 3 {
                fixture.update(&key, "updated", 100, 0).await?;
            }
        }
        keys.push(singles.key(&id)?);
    }
    let mut writes: Vec<Write> = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let (key, expires_at) = (key.clone(), singles.until(*rng.pick(&[0, 1, 200])));
        let payload = Payload::from(format!("payload {number}"));
        let version = i64::try_from(1 + rng.below(2)).unwrap_or(1);
        let expected = (singles.can.versions && rng.once_in(2)).then(|| Version::new(version));
        let principal = if rng.once_in(2) { singles.principal("ann")? } else { None };
        writes.push(match rng.below(4) {
            0 => Write::Create(Create { key, payload, expires_at, principal, version: Version::FIRST }),
            1 => Write::Update(Update { key, payload, expires_at: Some(expires_at), principal, expected }),
            2 => Write::Touch(Touch { key, expires_at, expected: None }),
            _ => Write::Destroy(session_core::contract::Destroy { key, mode: *rng.pick(singles.modes()) }),
        });
    }
    rng.shuffle(&mut writes);

    let now = singles.now(0);
    let mut one_by_one = Vec::new();
    for write in &writes {
        for outcome in singles.store.write_many(std::slice::from_ref(write), now).await? {
            one_by_one.push(outcome?);
        }
    }
    let mut rest: &[Write] = &writes;
    let mut at_once = Vec::new();
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(batch_size(&mut rng, rest.len()));
        let outcomes = batches.store.write_many(batch, now).await?;
        ensure_eq!(outcomes.len(), batch.len(), "the outcomes of a batch");
        for outcome in outcomes {
            at_once.push(outcome?);
        }
        rest = others;
    }
    for (write, (single, batched)) in writes.iter().zip(one_by_one.iter().zip(&at_once)) {
        let saved = |written: &Written| match written {
            Written::Updated(Updated::Saved(version)) => Some(*version),
            _ => None,
        };
        // One may tell the version that nobody expected, and the other leave it open.
        let expects_none =
            !singles.can.returns_new_version && matches!(write, Write::Update(Update { expected: None, .. }));
        match (saved(single), saved(batched)) {
            (Some(single), Some(batched))
                if expects_none && (single == Version::NONE || batched == Version::NONE) => {}
            _ => ensure_eq!(batched, single, "{write:?} in a batch"),
        }
    }

    rng.shuffle(&mut keys);
    let mut rest: &[session_core::SessionKey] = &keys;
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(batch_size(&mut rng, rest.len()));
        let outcomes = batches.store.find_many(batch, now).await?;
        ensure_eq!(outcomes.len(), batch.len(), "the outcomes of a batch of loads");
        for (key, outcome) in batch.iter().zip(outcomes) {
            let (outcome, single) = (outcome?, singles.store.find(key, now).await?);
            ensure_eq!(outcome, single, "a session loaded in a batch, after batches of writes");
            ensure_eq!(batches.store.find(key, now).await?, single, "the same session loaded by itself");
        }
        rest = others;
    }
    ensure_eq!(batches.store.write_many(&[], now).await?.len(), 0, "the outcomes of an empty batch");
    ensure_eq!(batches.store.find_many(&[], now).await?.len(), 0, "the outcomes of an empty batch of loads");
    let rows = singles.store.clear().await?;
    ensure_eq!(batches.store.clear().await?, rows, "the rows after batches");
    Ok(())
}

fn batch_size(rng: &mut Rng, most: usize) -> usize {
    let size = *rng.pick(&[1, 2, 3, 7, 40, 64, 100]);
    most.min(size)
}
