//! G9: cancel-safe.

use std::sync::Arc;
use std::time::Duration;

use session_core::DestroyMode;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::case::{Case, Ctx, PATIENCE, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::fixture::{Fixture, persist};
use crate::history::{History, is_contention};
use crate::network::Mode;
use crate::plain::Plain as _;
use crate::proxy::Proxy;
use crate::rng::Rng;
use crate::workload::{self, Habits, drop_early};
use crate::world::World;

pub(crate) const CASES: &[Case] = &[
    case!(G9, Fault, a_dropped_call_happens_wholly_or_not_at_all),
    case!(G9, Fault, a_store_is_usable_after_many_dropped_calls),
    case!(G9, Fault, nobody_sees_anothers_session_after_dropped_calls),
    case!(G9, Fault, nobody_sees_anothers_session_over_a_slow_network).waits(),
];

async fn a_dropped_call_happens_wholly_or_not_at_all(ctx: Ctx) -> Verdict {
    let handles = ctx.handles(3).await?;
    let mut rng = Rng::new(ctx.seed());
    for round in 0..ctx.cases().div_ceil(2) {
        let world = Arc::new(World::of_fresh_keys(&*handles[0], &format!("round {round}"), 3)?);
        let history = Arc::new(History::default());
        let habits = Habits {
            workers: 5,
            calls: 8,
            batches: 8,
            drops: 4,
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

/// Drops so many calls at once and one after another that a pool that loses a connection with each is empty.
async fn a_store_is_usable_after_many_dropped_calls(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    let key = fixture.create("s", "p", 100).await?;
    let mut rng = Rng::new(ctx.seed());
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (fixture, key, mut rng) = (fixture.clone(), key.clone(), rng.fork(caller));
        callers.spawn(async move {
            for turn in 0..40 {
                match (caller + turn) % 4 {
                    0 => _ = drop_early(fixture.load(&key, 0), &mut rng).await,
                    1 => _ = drop_early(fixture.update(&key, "q", 100, 0), &mut rng).await,
                    2 => _ = drop_early(fixture.touch(&key, 200, 0), &mut rng).await,
                    _ => _ = drop_early(fixture.purge(10, 0), &mut rng).await,
                }
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))?;
    }
    rng.next();
    let work = async {
        // As many at once as before: each must get a connection.
        let mut callers = JoinSet::new();
        for caller in 0..16 {
            let fixture = fixture.clone();
            callers.spawn(async move {
                let key = fixture.create(&format!("caller {caller}"), "p", 100).await?;
                persist(|| fixture.update(&key, "q", 100, 0)).await?;
                fixture.expect_live(&key, "q", 0, "a session after many dropped calls").await?;
                ensure!(
                    persist(|| fixture.destroy(&key, DestroyMode::Remove, 0)).await?,
                    "a live session cannot be destroyed after many dropped calls"
                );
                Ok::<_, Stop>(())
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
        }
        ensure_eq!(fixture.count(0).await?, 1, "the sessions after many dropped calls");
        Ok(())
    };
    match timeout(PATIENCE, work).await {
        Ok(verdict) => verdict,
        Err(_) => failed(format!("after many dropped calls the store gives no answer within {PATIENCE:?}")),
    }
}

/// Every session holds its own name. Whoever loads one must get that one, whatever was dropped before.
async fn expect_own_sessions(fixture: &Fixture, rng: &Rng) -> Verdict {
    let mut callers = JoinSet::new();
    for caller in 0..8_u64 {
        let (fixture, mut rng) = (fixture.clone(), rng.fork(caller));
        callers.spawn(async move {
            let mut own = Vec::new();
            for number in 0..3 {
                let name = format!("caller {caller}, session {number}");
                own.push((fixture.create(&name, &name, 100).await?, name));
            }
            for turn in 0..30 {
                let (key, name) = rng.pick(&own).clone();
                let saved = format!("{name}, turn {turn}");
                if rng.once_in(2) {
                    drop_early(fixture.load(&key, 0), &mut rng).await;
                    drop_early(fixture.update(&key, &saved, 100, 0), &mut rng).await;
                    let keys: Vec<_> = own.iter().map(|(key, _)| key.clone()).collect();
                    drop_early(fixture.store.find_many(&keys, fixture.now(0)), &mut rng).await;
                }
                let payload = match timeout(PATIENCE, fixture.payload(&key, 0)).await {
                    Ok(payload) => payload?,
                    Err(_) => return failed(format!("a load has no answer within {PATIENCE:?}")),
                };
                let Some(payload) = payload else {
                    return failed("a live session cannot be loaded after dropped calls");
                };
                ensure!(payload.starts_with(&name), "a load of {name:?} gives another session's {payload:?}");
                let keys: Vec<_> = own.iter().map(|(key, _)| key.clone()).collect();
                let batch = fixture.store.find_many(&keys, fixture.now(0)).await?;
                for ((_, name), record) in own.iter().zip(batch) {
                    let payload =
                        record?.map(|record| record.payload.as_str().to_owned()).unwrap_or_default();
                    ensure!(
                        payload.starts_with(name.as_str()),
                        "a load of {name:?} in a batch gives another session's {payload:?}"
                    );
                }
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

async fn nobody_sees_anothers_session_after_dropped_calls(ctx: Ctx) -> Verdict {
    let fixture = Fixture::new(&ctx).await?;
    expect_own_sessions(&fixture, &Rng::new(ctx.seed())).await
}

/// With each answer some milliseconds under way, most calls are dropped while one is.
async fn nobody_sees_anothers_session_over_a_slow_network(ctx: Ctx) -> Verdict {
    let Some(server) = ctx.subject().address() else { return does_not_apply("there is no server") };
    let namespace = ctx.namespace();
    ctx.open(&namespace).await?;
    let proxy = Proxy::start(server).await?;
    let fixture = Fixture::of(ctx.open_via(&namespace, Some(proxy.address())).await?);
    proxy.set(Mode::Delay(Duration::from_millis(2)));
    expect_own_sessions(&fixture, &Rng::new(ctx.seed())).await
}
