//! G10: durable.

use std::sync::Arc;
use std::time::Duration;

use session_core::contract::Store;
use session_core::{Error, ErrorKind};

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure_eq};
use crate::control::Control;
use crate::fixture::Fixture;
use crate::history::History;
use crate::network::Mode;
use crate::proxy::Proxy;
use crate::rng::Rng;
use crate::workload::{self, Habits};
use crate::world::World;
use crate::writer;

pub(crate) const CASES: &[Case] = &[
    case!(G10, Single, what_one_handle_wrote_another_finds),
    case!(G10, Fault, acknowledged_writes_survive_the_kill_of_this_process),
    case!(G10, Fault, a_cut_connection_leaves_every_write_whole),
    case!(G10, Fault, a_torn_answer_leaves_every_write_whole),
    case!(G10, Fault, acknowledged_writes_survive_the_kill_of_the_server).alone(),
];

/// Within this time after a server is back a store that was open all the time must work.
const RECOVERY: Duration = Duration::from_secs(15);

/// Everything is written when a call returns, not when a handle is closed.
async fn what_one_handle_wrote_another_finds(ctx: Ctx) -> Verdict {
    let namespace = ctx.namespace();
    let writer = Fixture::of(ctx.open(&namespace).await?);
    let mut expected = Vec::new();
    for number in 0..20 {
        let id = format!("session {number}");
        let key = writer.create(&id, "created", 100).await?;
        match number % 4 {
            0 => expected.push((key, Some("created"))),
            1 => {
                writer.update(&key, "updated", 100, 0).await?;
                expected.push((key, Some("updated")));
            }
            2 => {
                writer.touch(&key, -1, 0).await?;
                expected.push((key, None));
            }
            _ => {
                writer.destroy(&key, writer.modes()[0], 0).await?;
                expected.push((key, None));
            }
        }
    }
    let reader = Fixture::of(ctx.open(&namespace).await?);
    drop(writer);
    for again in [reader, Fixture::of(ctx.open(&namespace).await?)] {
        for (key, payload) in &expected {
            let found = again.payload(key, 0).await?;
            ensure_eq!(found.as_deref(), *payload, "what a handle that was opened later finds");
        }
    }
    Ok(())
}

async fn acknowledged_writes_survive_the_kill_of_this_process(ctx: Ctx) -> Verdict {
    if !ctx.subject().durable() {
        return does_not_apply("this backend is not durable");
    }
    let mut rng = Rng::new(ctx.seed());
    for _ in 0..ctx.kills_or(3) {
        let namespace = ctx.namespace();
        let fixture = Fixture::of(ctx.open(&namespace).await?);
        let acknowledged = 20 + usize::try_from(rng.below(60)).unwrap_or(0);
        let log = writer::kill_a_writer(&ctx, &namespace, acknowledged).await?;
        // The handle that was open all the time, and a new one.
        log.check(&fixture).await?;
        let another = Fixture::of(ctx.open(&namespace).await?);
        // What is still under way in the server may end a session between two looks, but not for ever.
        ctx.eventually(Duration::from_secs(5), "one view of two handles", || async {
            ensure_eq!(
                another.live_keys(0).await?,
                fixture.live_keys(0).await?,
                "the live sessions as a new handle sees them"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// What a caller may be told while connections break: that there was no answer, or that there was contention.
fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict)
}

/// Lets callers work while something happens to their connections, and explains what they saw.
async fn work_through_a_proxy(ctx: &Ctx, disturb: fn(&Proxy, &mut Rng)) -> Verdict {
    let Some(server) = ctx.subject().address() else { return does_not_apply("there is no server") };
    let namespace = ctx.namespace();
    let direct = ctx.open(&namespace).await?;
    let proxy = Arc::new(Proxy::start(server).await?);
    let mut handles: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..2 {
        handles.push(ctx.open_via(&namespace, Some(proxy.address())).await?);
    }
    let mut rng = Rng::new(ctx.seed());
    for round in 0..ctx.cases().div_ceil(4) {
        let world = Arc::new(World::of_fresh_keys(&*direct, &format!("round {round}"), 3)?);
        let history = Arc::new(History::default());
        let habits = Habits {
            workers: 4,
            calls: 8,
            batches: 8,
            drops: 0,
            silence: true,
            times: !ctx.is_gathered(),
            forgives: is_outage,
        };
        let disturber = {
            let (proxy, mut rng) = (Arc::clone(&proxy), rng.fork(u64::from(round)));
            tokio::spawn(async move {
                for _ in 0..3 {
                    tokio::time::sleep(Duration::from_micros(500 + rng.below(8000))).await;
                    disturb(&proxy, &mut rng);
                }
            })
        };
        let worked = workload::run(&world, &handles, &history, habits, &mut rng).await;
        disturber.await.map_err(|panic| Stop::Failed(panic.to_string()))?;
        worked?;
        proxy.set(Mode::Pass);
        // What was cut may still be under way in the server, as far as the history is concerned.
        workload::look(&world, std::slice::from_ref(&direct), &history).await?;
        history.check(&world)?;
        for handle in &handles {
            let fixture = Fixture::of(Arc::clone(handle));
            ctx.eventually(RECOVERY, "a store after its connections were cut", || async {
                fixture.count(0).await?;
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}

async fn a_cut_connection_leaves_every_write_whole(ctx: Ctx) -> Verdict {
    work_through_a_proxy(&ctx, |proxy, _| proxy.cut()).await
}

async fn a_torn_answer_leaves_every_write_whole(ctx: Ctx) -> Verdict {
    work_through_a_proxy(&ctx, |proxy, rng| {
        proxy.set(if rng.once_in(2) { Mode::Tear } else { Mode::Pass });
    })
    .await
}

async fn acknowledged_writes_survive_the_kill_of_the_server(ctx: Ctx) -> Verdict {
    if ctx.subject().address().is_none() {
        return does_not_apply("there is no server");
    }
    let control = Control::from_env()?;
    let namespace = ctx.namespace();
    let handles = vec![ctx.open(&namespace).await?, ctx.open(&namespace).await?];
    let mut rng = Rng::new(ctx.seed());
    for round in 0..ctx.kills_or(2) {
        let world = Arc::new(World::of_fresh_keys(&*handles[0], &format!("round {round}"), 3)?);
        let history = Arc::new(History::default());
        let habits = Habits {
            workers: 4,
            calls: 10,
            batches: 8,
            drops: 0,
            silence: true,
            times: !ctx.is_gathered(),
            forgives: is_outage,
        };
        let killer = {
            let (control, wait) = (control.clone(), Duration::from_millis(2 + rng.below(30)));
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                control.kill().await
            })
        };
        let worked = workload::run(&world, &handles, &history, habits, &mut rng).await;
        let killed = killer.await.map_err(|panic| Stop::Failed(panic.to_string()))?;
        // Whatever went wrong, the others need the server.
        control.start().await?;
        killed?;
        worked?;
        for handle in &handles {
            let fixture = Fixture::of(Arc::clone(handle));
            ctx.eventually(RECOVERY, "a store after its server was killed and started again", || async {
                fixture.count(0).await?;
                Ok(())
            })
            .await?;
        }
        let opened_later = ctx.open(&namespace).await?;
        workload::look(&world, std::slice::from_ref(&opened_later), &history).await?;
        history.check(&world)?;
    }
    Ok(())
}
