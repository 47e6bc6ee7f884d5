//! G16: networks and servers as they are: far, forgetful, closing what is idle, and locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use session_core::contract::Store;
use session_core::{ErrorKind, Gathering, SessionId, Sessions, Updated};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::waiting::{Counters, GRACE, expect_outage, expect_recovery, through_a_proxy};
use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed, not_run};
use crate::control::Control;
use crate::network::Mode;
use crate::proxy::Proxy;

pub(crate) const CASES: &[Case] = &[
    case!(G16, Fault, a_far_server_is_found_again_after_an_outage).waits(),
    case!(G16, Fault, forgotten_connections_cost_one_deadline_at_most).waits(),
    case!(G16, Fault, a_write_on_a_connection_that_was_closed_while_idle_is_done).waits(),
    case!(G16, Fault, a_locked_table_takes_no_more_connections_than_the_pool_has).waits(),
    case!(G16, Fault, a_stranger_in_the_servers_place_is_an_error_in_time).waits(),
    case!(G16, Fault, a_write_beyond_the_servers_idle_limit_is_done).alone(),
];

/// How far a far server is, each way.
const FAR: Duration = Duration::from_millis(150);
/// The default deadline of a call, within which a login at that distance succeeds.
const DEADLINE: Duration = Duration::from_secs(5);
/// After how long a rest a connection has to prove itself, at the latest.
const REST: Duration = Duration::from_secs(8);
/// As many as a pool may have connections.
const CALLERS: usize = 20;
/// How long a table is locked: longer than a call waits, and another after it.
const LOCKED: Duration = Duration::from_secs(12);

fn deadline(ctx: &Ctx) -> Duration {
    DEADLINE + ctx.subject().cold_start()
}

fn handle(ctx: &Ctx, store: Arc<dyn Store>) -> Verdict<Counters> {
    Ok(Sessions::builder(store).gathering(Gathering::OFF).deadline(deadline(ctx)).build()?)
}

/// A login takes several round trips, and so over a second at this distance.
async fn a_far_server_is_found_again_after_an_outage(ctx: Ctx) -> Verdict {
    let Some(server) = ctx.subject().address() else { return does_not_apply("there is no server") };
    let outage = async |mode| {
        let namespace = ctx.namespace();
        ctx.open(&namespace).await?;
        let proxy = Proxy::start(server).await?;
        let sessions = handle(&ctx, ctx.open_via(&namespace, Some(proxy.address())).await?)?;
        let id = sessions.create(&7).await?.id;
        expect_outage(&ctx, &sessions, &id, &proxy, mode).await?;
        proxy.set(Mode::Delay(FAR));
        expect_recovery(&ctx, &sessions).await?;
        let session = sessions.load(&id).await?;
        ensure_eq!(session.map(|session| session.data), Some(7), "a session from before the outage");
        Ok(())
    };
    tokio::try_join!(outage(Mode::Refuse), outage(Mode::BlackHole)).map(drop)
}

/// As many loads at once as a pool has connections, so that each of these is used.
async fn load_at_once(sessions: &Counters, id: &SessionId) -> Verdict {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (sessions, id) = (sessions.clone(), id.clone());
        callers.spawn(async move { sessions.load(&id).await });
    }
    while let Some(loaded) = callers.join_next().await {
        let loaded = loaded.map_err(|panic| Stop::Failed(panic.to_string()))??;
        ensure!(loaded.is_some(), "a live session cannot be loaded");
    }
    Ok(())
}

/// What a NAT does with connections that nobody used for some time: both sides believe that they are open, and no byte
/// arrives. Whatever was in the pool, one deadline is the most that it costs.
async fn forgotten_connections_cost_one_deadline_at_most(ctx: Ctx) -> Verdict {
    let (store, proxy) = through_a_proxy(&ctx).await?;
    let sessions = handle(&ctx, store)?;
    let id = sessions.create(&0).await?.id;
    // Slow, so that no connection serves two callers.
    proxy.set(Mode::Delay(Duration::from_millis(30)));
    load_at_once(&sessions, &id).await?;
    proxy.set(Mode::Pass);
    sleep(REST).await;
    proxy.forget();
    let start = Instant::now();
    let most = deadline(&ctx) + GRACE;
    loop {
        match timeout(most, sessions.load(&id)).await {
            Ok(Ok(_)) => break,
            Ok(Err(error)) => ensure_eq!(error.kind(), ErrorKind::Unavailable, "the kind of error ({error})"),
            Err(_) => return failed(format!("a load has no end within {most:?}")),
        }
        let took = start.elapsed();
        ensure!(took < most, "the first success after {took:?}, with a deadline of {:?}", deadline(&ctx));
        sleep(Duration::from_millis(5)).await;
    }
    let took = start.elapsed();
    ensure!(took < most, "the first success after {took:?}, with a deadline of {:?}", deadline(&ctx));
    // One that failed speaks for all that are as old.
    load_at_once(&sessions, &id).await?;
    let took = start.elapsed();
    ensure!(took < most, "{CALLERS} more loads end after {took:?}, with a deadline of {:?}", deadline(&ctx));
    Ok(())
}

/// A balancer that has lost its server, or a port that belongs to another program by now. What a stranger says is never an
/// answer, each call ends in time, and nobody waits for a room of the size that its first bytes seem to announce.
async fn a_stranger_in_the_servers_place_is_an_error_in_time(ctx: Ctx) -> Verdict {
    let (store, proxy) = through_a_proxy(&ctx).await?;
    let sessions = handle(&ctx, store)?;
    let id = sessions.create(&5).await?.id;
    proxy.set(Mode::Stranger);
    proxy.cut();
    // Whoever is told of a closed connection has heard of it by now.
    sleep(Duration::from_millis(1200)).await;
    let most = deadline(&ctx) + GRACE;
    for round in 0..6 {
        let start = Instant::now();
        let outcome = timeout(most, async {
            match round % 2 {
                0 => sessions
                    .load(&id)
                    .await
                    .map(|found| format!("a load finds {}", if found.is_some() { "it" } else { "nothing" })),
                _ => sessions.create(&6).await.map(|_| "a create is done".to_owned()),
            }
        })
        .await;
        let took = start.elapsed();
        match outcome {
            Err(_) => return failed(format!("a call has no end within {took:?} where a web server answers")),
            Ok(Ok(what)) => return failed(format!("{what}, and a web server answers in the server's place")),
            Ok(Err(error)) => {
                let is_apt = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Backend);
                ensure!(is_apt, "the kind of error where a web server answers: {error}");
                ensure!(!error.is_in_doubt(), "nothing was sent to a server, and this is in doubt: {error}");
            }
        }
        sleep(Duration::from_millis(150)).await;
    }
    proxy.set(Mode::Pass);
    expect_recovery(&ctx, &sessions).await?;
    let session = sessions.load(&id).await?;
    ensure_eq!(session.map(|session| session.data), Some(5), "a session from before the stranger");
    Ok(())
}

/// Every kind of write, each after a rest in which all connections were closed. An error of any kind is one too many:
/// nothing had been sent.
async fn write_after_rests(sessions: Counters, rest: Duration, kind: usize) -> Verdict {
    let can = sessions.capabilities();
    let mut id = sessions.create(&0).await?.id;
    sleep(rest).await;
    let what = match kind {
        0 => {
            id = sessions.create(&0).await.map_err(|error| closed("create", &error))?.id;
            "create"
        }
        1 => {
            let updated = sessions.update(&id, &1, None).await.map_err(|error| closed("update", &error))?;
            ensure!(updated != Updated::Gone, "a live session cannot be updated");
            "update"
        }
        2 => {
            sessions.touch(&id).await.map_err(|error| closed("touch", &error))?;
            "touch"
        }
        3 if can.rotation => {
            let rotated = sessions.rotate(&id).await.map_err(|error| closed("rotate", &error))?;
            let Some(new) = rotated else { return failed("a live session cannot be rotated") };
            id = new.id;
            "rotate"
        }
        _ => {
            let done = sessions.destroy(&id).await.map_err(|error| closed("destroy", &error))?;
            ensure!(done, "a live session cannot be destroyed");
            return Ok(());
        }
    };
    ensure!(sessions.is_connected(), "after {what} the handle says that it is not connected");
    ensure!(sessions.load(&id).await?.is_some(), "a live session cannot be loaded after {what}");
    Ok(())
}

/// The kinds of writes above.
const WRITES: usize = 5;

fn closed(what: &str, error: &session_core::Error) -> Stop {
    let doubt = if error.is_in_doubt() { ", and in doubt" } else { "" };
    Stop::Failed(format!("{what} on a connection that was closed while it was idle fails{doubt}: {error}"))
}

async fn a_write_on_a_connection_that_was_closed_while_idle_is_done(ctx: Ctx) -> Verdict {
    // Longer than a client without optimisation takes for a password's SCRAM on a busy machine, in which nothing passes.
    const IDLE: Duration = Duration::from_millis(700);
    let mut writers = JoinSet::new();
    for kind in 0..WRITES {
        let (store, proxy) = through_a_proxy(&ctx).await?;
        let sessions = handle(&ctx, store)?;
        proxy.close_idle_after(IDLE);
        writers.spawn(async move {
            let written = write_after_rests(sessions, 2 * IDLE, kind).await;
            drop(proxy);
            written
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

async fn a_write_beyond_the_servers_idle_limit_is_done(ctx: Ctx) -> Verdict {
    if ctx.subject().address().is_none() {
        return does_not_apply("there is no server");
    }
    // The limit is the whole server's.
    Control::from_env()?;
    let Some(limit) = ctx.subject().limit_idle(true).await? else {
        return does_not_apply("this server has no limit for idle connections");
    };
    let write = async {
        let mut writers = JoinSet::new();
        for kind in 0..WRITES {
            let sessions = handle(&ctx, ctx.store().await?)?;
            writers.spawn(write_after_rests(sessions, limit + Duration::from_millis(700), kind));
        }
        while let Some(writer) = writers.join_next().await {
            writer.map_err(|panic| Stop::Failed(panic.to_string()))??;
        }
        Ok(())
    };
    let verdict = write.await;
    // Whatever went wrong, the others need the server as it was.
    ctx.subject().limit_idle(false).await?;
    verdict
}

/// A migration, or an administrator. Each call ends in time, and leaves nothing behind on the server that goes on
/// waiting beside the next one's.
async fn a_locked_table_takes_no_more_connections_than_the_pool_has(ctx: Ctx) -> Verdict {
    let Some(most) = ctx.subject().pool_size() else {
        return match ctx.subject().address() {
            Some(_) => not_run("the size of the pool is not known"),
            None => does_not_apply("there is no server"),
        };
    };
    let namespace = ctx.namespace();
    let sessions = handle(&ctx, ctx.open(&namespace).await?)?;
    let id = sessions.create(&0).await?.id;
    let Some(lock) = ctx.subject().lock(&namespace).await? else {
        return not_run("this backend offers no way to lock a table");
    };
    let over = Arc::new(AtomicBool::new(false));
    let (failures, bound) = (Arc::new(AtomicUsize::new(0)), deadline(&ctx) + GRACE);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (sessions, id) = (sessions.clone(), id.clone());
        let (over, failures) = (Arc::clone(&over), Arc::clone(&failures));
        callers.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let start = Instant::now();
                let outcome = match caller % 3 {
                    0 => sessions.load(&id).await.map(drop),
                    1 => sessions.update(&id, &1, None).await.map(drop),
                    _ => sessions.create(&1).await.map(drop),
                };
                let took = start.elapsed();
                ensure!(took < bound, "a call on a locked table takes {took:?}");
                if let Err(error) = outcome {
                    failures.fetch_add(1, Ordering::SeqCst);
                    let is_apt = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict);
                    ensure!(is_apt, "the kind of error on a locked table: {error}");
                }
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        });
    }
    let counted = count_statements(&ctx, &namespace, most).await;
    drop(lock);
    over.store(true, Ordering::SeqCst);
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    counted?;
    ensure!(failures.load(Ordering::SeqCst) >= CALLERS, "the table was not locked: calls succeed");
    expect_recovery(&ctx, &sessions).await
}

async fn count_statements(ctx: &Ctx, namespace: &crate::Namespace, most: usize) -> Verdict {
    let start = Instant::now();
    let mut seen = 0;
    while start.elapsed() < LOCKED {
        let Some(count) = ctx.subject().statements_under_way(namespace).await? else {
            return not_run("the server does not tell what it has under way");
        };
        seen = seen.max(count);
        ensure!(count <= most, "a pool of {most} connections has {count} statements under way on the server");
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(seen > 0, "no call waits for the lock");
    Ok(())
}
