//! G16: bounded waiting.

use std::future::Future;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use session_core::contract::Store;
use session_core::{ErrorKind, Gathering, Result, SessionId, Sessions};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::case::{Case, Ctx, Stop, Verdict, case, does_not_apply, ensure, ensure_eq, failed};
use crate::control::Control;
use crate::network::Mode;
use crate::proxy::Proxy;
use crate::wrap::Watched;

pub(crate) const CASES: &[Case] = &[
    case!(G16, Single, every_operation_has_a_deadline).waits(),
    case!(G16, Fault, a_silent_network_ends_in_unavailable).waits(),
    case!(G16, Fault, an_exhausted_pool_ends_in_unavailable).waits(),
    case!(G16, Fault, a_slow_network_is_no_failure).waits(),
    case!(G16, Fault, the_handle_works_again_after_an_outage).waits(),
    case!(G16, Fault, a_stopped_server_ends_in_unavailable).alone(),
];

/// The deadline of a call on a server whose new connections are quick.
const DEADLINE: Duration = Duration::from_millis(700);
/// How much later than its deadline a call may return on a busy machine.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How long a handle may take to find out that the database is back: its longest back-off, and a new connection; on a
/// server with slow ones, also calls that failed only as their connections were new.
const RECOVERY: Duration = Duration::from_secs(12);

pub(super) type Counters = Sessions<u64>;

fn deadline(ctx: &Ctx) -> Duration {
    DEADLINE + ctx.subject().cold_start()
}

fn handle(ctx: &Ctx, store: impl Store) -> Verdict<Counters> {
    // Of the breaker's own cases one is below; here each call is to find out for itself.
    let builder = Sessions::builder(store).gathering(Gathering::OFF).deadline(deadline(ctx));
    Ok(builder.on_error(|_| session_core::ErrorAction::Continue).build()?)
}

/// Checks that a call that gets no answer ends in `Unavailable`, and in time.
async fn expect_unavailable<R>(
    what: &str,
    deadline: Duration,
    call: impl Future<Output = Result<R>>,
) -> Verdict {
    let start = Instant::now();
    match timeout(deadline + GRACE, call).await {
        Err(_) => {
            failed(format!("{what}: no end within {:?}, with a deadline of {deadline:?}", start.elapsed()))
        }
        Ok(Ok(_)) => failed(format!("{what}: it succeeds, although nothing answers")),
        Ok(Err(error)) => {
            ensure_eq!(error.kind(), ErrorKind::Unavailable, "{what}: the kind of error ({error})");
            Ok(())
        }
    }
}

/// Tries every operation at once on a database that does not answer.
async fn expect_all_unavailable(ctx: &Ctx, sessions: &Counters, id: &SessionId) -> Verdict {
    let deadline = deadline(ctx);
    let can = sessions.capabilities();
    let key = sessions.key(id)?;
    let ids = [id.clone()];
    // Where the table cannot do it, the call is refused without asking, which is another case's affair.
    let modify = async {
        if can.versions {
            expect_unavailable("modify", deadline, sessions.modify(id, |count| *count += 1)).await?;
        }
        Ok(())
    };
    let rotate = async {
        if can.rotation {
            expect_unavailable("rotate", deadline, sessions.rotate(id)).await?;
        }
        Ok(())
    };
    let destroy_principal = async {
        if can.principals {
            expect_unavailable("destroy by principal", deadline, sessions.destroy_principal("ann")).await?;
        }
        Ok(())
    };
    tokio::try_join!(
        expect_unavailable("create", deadline, sessions.create(&1)),
        expect_unavailable("load", deadline, sessions.load(id)),
        expect_unavailable("update", deadline, sessions.update(id, &1, None)),
        expect_unavailable("touch", deadline, sessions.touch(id)),
        expect_unavailable("set", deadline, sessions.set(id, &1)),
        expect_unavailable("destroy", deadline, sessions.destroy(id)),
        expect_unavailable("destroy of several", deadline, sessions.destroy_many(&ids)),
        expect_unavailable("list", deadline, sessions.list(None, Some(&key), NonZeroU32::MIN)),
        expect_unavailable("count", deadline, sessions.count(None)),
        expect_unavailable("purge", deadline, sessions.purge(NonZeroU32::MIN)),
        expect_unavailable("clear", deadline, sessions.clear()),
        expect_unavailable("connect", deadline, sessions.connect()),
        expect_unavailable("doctor", deadline, sessions.doctor()),
        modify,
        rotate,
        destroy_principal,
    )?;
    Ok(())
}

/// In this process: a store that takes every call and answers none.
async fn every_operation_has_a_deadline(ctx: Ctx) -> Verdict {
    let (watched, watch) = Watched::new(ctx.store().await?);
    let sessions = handle(&ctx, watched)?;
    let id = sessions.create(&0).await?.id;
    watch.silence(true);
    expect_all_unavailable(&ctx, &sessions, &id).await?;
    watch.silence(false);
    let session = sessions.load(&id).await?;
    ensure_eq!(session.map(|session| session.data), Some(0), "the data after calls that got no answer");
    Ok(())
}

/// A store whose connections go through a proxy.
pub(super) async fn through_a_proxy(ctx: &Ctx) -> Verdict<(std::sync::Arc<dyn Store>, Proxy)> {
    let Some(server) = ctx.subject().address() else { return does_not_apply("there is no server") };
    let namespace = ctx.namespace();
    ctx.open(&namespace).await?;
    let proxy = Proxy::start(server).await?;
    let store = ctx.open_via(&namespace, Some(proxy.address())).await?;
    Ok((store, proxy))
}

/// Checks that a handle that saw an outage works, without being opened anew.
pub(super) async fn expect_recovery(ctx: &Ctx, sessions: &Counters) -> Verdict {
    ctx.eventually(RECOVERY + 4 * ctx.subject().cold_start(), "a handle after an outage", || async {
        let id = sessions.create(&7).await?.id;
        let session = sessions.load(&id).await?;
        ensure_eq!(session.map(|session| session.data), Some(7), "a session that was made after an outage");
        ensure!(sessions.is_connected(), "the handle says that it is not connected");
        Ok(())
    })
    .await
}

async fn a_silent_network_ends_in_unavailable(ctx: Ctx) -> Verdict {
    let (store, proxy) = through_a_proxy(&ctx).await?;
    let sessions = handle(&ctx, store)?;
    let id = sessions.create(&0).await?.id;
    proxy.set(Mode::BlackHole);
    expect_all_unavailable(&ctx, &sessions, &id).await?;
    proxy.set(Mode::Pass);
    expect_recovery(&ctx, &sessions).await
}

/// More callers than any pool has connections, none of which is answered.
async fn an_exhausted_pool_ends_in_unavailable(ctx: Ctx) -> Verdict {
    let (store, proxy) = through_a_proxy(&ctx).await?;
    let sessions = handle(&ctx, store)?;
    let id = sessions.create(&0).await?.id;
    proxy.set(Mode::BlackHole);
    let mut callers = JoinSet::new();
    let deadline = deadline(&ctx);
    for caller in 0..100_u32 {
        let (sessions, id) = (sessions.clone(), id.clone());
        callers.spawn(async move {
            if caller % 2 == 0 {
                expect_unavailable("one of 100 loads", deadline, sessions.load(&id)).await
            } else {
                expect_unavailable("one of 100 creates", deadline, sessions.create(&1)).await
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    proxy.set(Mode::Pass);
    expect_recovery(&ctx, &sessions).await
}

async fn a_slow_network_is_no_failure(ctx: Ctx) -> Verdict {
    let (store, proxy) = through_a_proxy(&ctx).await?;
    proxy.set(Mode::Delay(Duration::from_millis(15)));
    let sessions: Counters =
        Sessions::builder(store).gathering(Gathering::OFF).deadline(Duration::from_secs(20)).build()?;
    for number in 0..5 {
        let id = sessions.create(&number).await?.id;
        let session = sessions.load(&id).await?;
        ensure_eq!(session.map(|session| session.data), Some(number), "a session over a slow network");
        ensure!(sessions.destroy(&id).await?, "a live session cannot be destroyed over a slow network");
    }
    Ok(())
}

/// With the breaker: calls are refused while the database is not there, and let through when it is back. One network
/// refuses connections, the other swallows what is sent, at the same time.
async fn the_handle_works_again_after_an_outage(ctx: Ctx) -> Verdict {
    let outage = async |mode| {
        let (store, proxy) = through_a_proxy(&ctx).await?;
        let sessions: Counters =
            Sessions::builder(store).gathering(Gathering::OFF).deadline(deadline(&ctx)).build()?;
        let id = sessions.create(&7).await?.id;
        expect_outage(&ctx, &sessions, &id, &proxy, mode).await?;
        // Refused at once now, or after one probe of a second.
        let start = Instant::now();
        let refused = sessions.load(&id).await;
        ensure!(refused.is_err(), "a load succeeds although the network is gone");
        let took = start.elapsed();
        ensure!(took < deadline(&ctx) + GRACE, "a call while disconnected takes {took:?}");
        proxy.set(Mode::Pass);
        expect_recovery(&ctx, &sessions).await?;
        let session = sessions.load(&id).await?;
        ensure_eq!(session.map(|session| session.data), Some(7), "a session from before the outage");
        Ok(())
    };
    tokio::try_join!(outage(Mode::Refuse), outage(Mode::BlackHole)).map(drop)
}

/// Ends every connection, lets no other be made, and waits until the handle says so.
pub(super) async fn expect_outage(
    ctx: &Ctx,
    sessions: &Counters,
    id: &SessionId,
    proxy: &Proxy,
    mode: Mode,
) -> Verdict {
    proxy.set(mode);
    proxy.cut();
    let within = Duration::from_secs(15) + 4 * ctx.subject().cold_start();
    ctx.eventually(within, "the end of the connection", || async {
        // One call without an answer may be one locked row: several at once are a sign.
        let load = || sessions.load(id);
        let loaded = tokio::join!(load(), load(), load(), load());
        ensure!(loaded.0.is_err(), "a load succeeds although the network is gone");
        ensure!(!sessions.is_connected(), "the handle says that it is connected");
        Ok(())
    })
    .await
}

async fn a_stopped_server_ends_in_unavailable(ctx: Ctx) -> Verdict {
    if ctx.subject().address().is_none() {
        return does_not_apply("there is no server");
    }
    let control = Control::from_env()?;
    let sessions = handle(&ctx, ctx.store().await?)?;
    let id = sessions.create(&0).await?.id;
    control.pause().await?;
    let verdict = expect_all_unavailable(&ctx, &sessions, &id).await;
    // Whatever went wrong, the others need the server.
    control.resume().await?;
    verdict?;
    expect_recovery(&ctx, &sessions).await
}
