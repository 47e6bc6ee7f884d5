//! What concurrent callers do to a few sessions, drawn by lot.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use session_core::contract::Store;
use session_core::{DestroyMode, Error};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::case::{PATIENCE, Stop, Verdict, failed};
use crate::history::History;
use crate::rng::Rng;
use crate::spec::{Call, Key, Op};
use crate::world::World;

/// How callers behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) workers: u64,
    pub(crate) calls: u64,
    /// One call in so many is a batch.
    pub(crate) batches: u64,
    /// One call in so many is dropped before it returns; 0 for none.
    pub(crate) drops: u64,
    /// Whether a call that is not dropped may stay without an answer for [`PATIENCE`].
    pub(crate) silence: bool,
    /// Whether calls have different times. Those that are gathered share one, at most a second later than their own.
    pub(crate) times: bool,
    /// Whether an error is nobody's fault. The others end the case.
    pub(crate) forgives: fn(&Error) -> bool,
}

/// Lets callers loose on the sessions of a world, each on one of the handles, and writes down what they see.
pub(crate) async fn run(
    world: &Arc<World>,
    handles: &[Arc<dyn Store>],
    history: &Arc<History>,
    habits: Habits,
    rng: &mut Rng,
) -> Verdict {
    let mut workers = JoinSet::new();
    let common = i64::try_from(rng.below(3)).unwrap_or(0);
    for worker in 0..habits.workers {
        let store = Arc::clone(rng.pick(handles));
        let (world, history) = (Arc::clone(world), Arc::clone(history));
        let mut rng = rng.fork(worker + 1);
        rng.next();
        workers.spawn(async move {
            for turn in 0..habits.calls {
                let payload = u32::try_from(100 + worker * 1000 + turn * 10).unwrap_or(u32::MAX);
                let op = draw(&mut rng, &world, payload, habits.batches);
                let now = if habits.times { i64::try_from(rng.below(3)).unwrap_or(0) } else { common };
                let call = Call { now, op };
                let what = call.to_string();
                let calling = history.call(&world, &*store, call);
                let drops = habits.drops > 0 && rng.once_in(habits.drops);
                let returned = if drops {
                    drop_early(calling, &mut rng).await
                } else {
                    timeout(PATIENCE, calling).await.ok()
                };
                match returned {
                    Some(Err(error)) if !(habits.forgives)(&error) => {
                        return failed(format!("{what}: {}: {error}", error.kind().as_str()));
                    }
                    None if !drops && !habits.silence => {
                        return failed(format!("{what}: no answer within {PATIENCE:?}"));
                    }
                    _ => {}
                }
            }
            Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|panic| Stop::Failed(panic.to_string()))??;
    }
    Ok(())
}

/// Loads every session of the world through every handle, so that the history ends with what is there.
pub(crate) async fn look(world: &World, handles: &[Arc<dyn Store>], history: &History) -> Verdict {
    for store in handles {
        for key in world.key_numbers() {
            let call = history.call(world, &**store, Call { now: 0, op: Op::Load { key, known: None } });
            match timeout(PATIENCE, call).await {
                Ok(loaded) => loaded?,
                Err(_) => return failed(format!("load at the end: no answer within {PATIENCE:?}")),
            }
        }
    }
    Ok(())
}

/// Polls a future a few times, or for a short time, and then drops it.
///
/// On a busy machine a short time is no poll at all, so that it is the one or the other.
pub(crate) async fn drop_early<F: Future>(future: F, rng: &mut Rng) -> Option<F::Output> {
    let (mut polls, time) = if rng.once_in(2) {
        (rng.below(5), Duration::from_millis(100))
    } else {
        (u64::MAX, Duration::from_micros(rng.below(3000)))
    };
    let mut future = pin!(future);
    let polled = std::future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        future.as_mut().poll(context).map(Some)
    });
    timeout(time, polled).await.ok().flatten()
}

fn draw(rng: &mut Rng, world: &World, payload: u32, batches: u64) -> Op {
    if rng.once_in(batches) {
        let mut keys: Vec<Key> = world.key_numbers().collect();
        rng.shuffle(&mut keys);
        keys.truncate(1 + usize::try_from(rng.below(3)).unwrap_or(0));
        if rng.once_in(3) {
            Op::LoadMany { loads: keys.into_iter().map(|key| (key, version(rng, world))).collect() }
        } else {
            let writes =
                keys.into_iter().zip(payload..).map(|(key, payload)| write(rng, world, key, payload));
            Op::WriteMany { writes: writes.collect() }
        }
    } else {
        single(rng, world, payload)
    }
}

fn single(rng: &mut Rng, world: &World, payload: u32) -> Op {
    let can = world.capabilities();
    let keys: Vec<Key> = world.key_numbers().collect();
    let key = *rng.pick(&keys);
    match rng.below(22) {
        0..=4 => Op::Load { key, known: version(rng, world) },
        5 if can.rotation => Op::Rotate {
            from: key,
            to: keys[(usize::from(key) + 1) % keys.len()],
            payload: rng.once_in(2).then_some(payload),
            expires_at: Some(50),
            principal: principal(rng, world),
            expected: version(rng, world),
            mode: mode(rng, world),
        },
        6 if can.rotation => Op::Rotate {
            from: key,
            to: keys[(usize::from(key) + 1) % keys.len()],
            payload: None,
            expires_at: None,
            principal: None,
            expected: None,
            mode: mode(rng, world),
        },
        7 => Op::Purge { limit: 100 },
        8 if can.principals => Op::DestroyPrincipal {
            principal: 1,
            except: rng.once_in(2).then_some(key),
            created_before: (can.created_at && rng.once_in(3)).then_some(1),
            mode: mode(rng, world),
        },
        10 => Op::Fate { key },
        11 if can.principals && rng.once_in(2) => Op::ForgetPrincipal { principal: 1 },
        9 => Op::List { principal: None, after: None, limit: 10_000 },
        _ => write(rng, world, key, payload),
    }
}

fn write(rng: &mut Rng, world: &World, key: Key, payload: u32) -> Op {
    let near = [1, 2, 3];
    let expires_at = if rng.once_in(6) { *rng.pick(&near) } else { 50 };
    match rng.below(12) {
        0..=3 => Op::Create { key, payload, expires_at, principal: principal(rng, world) },
        4..=8 => Op::Update {
            key,
            payload,
            expires_at: (!rng.once_in(3)).then_some(expires_at),
            principal: principal(rng, world),
            expected: version(rng, world),
        },
        9 | 10 => Op::Touch { key, expires_at: expires_at + 1, expected: version(rng, world) },
        _ => Op::Destroy { key, mode: mode(rng, world) },
    }
}

fn principal(rng: &mut Rng, world: &World) -> Option<u8> {
    (world.capabilities().principals && rng.once_in(3)).then(|| u8::from(rng.once_in(3)))
}

fn mode(rng: &mut Rng, world: &World) -> DestroyMode {
    let modes: &[DestroyMode] = if world.capabilities().tombstones {
        &[DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove]
    } else {
        &[DestroyMode::Remove]
    };
    *rng.pick(modes)
}

/// A version that the caller expects or knows, if any.
fn version(rng: &mut Rng, world: &World) -> Option<i64> {
    let drawn = i64::try_from(1 + rng.below(4)).unwrap_or(1);
    (world.capabilities().versions && rng.once_in(2)).then_some(drawn)
}
