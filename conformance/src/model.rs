//! Model-based testing: sequences of operations drawn by lot, compared with the oracle after each step and for the
//! whole table at the end.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{BoxedStrategy, Just, Strategy};
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use session_core::contract::Store;
use session_core::{Capabilities, DestroyMode};
use tokio::runtime::Handle;

use crate::case::{Ctx, Verdict, failed};
use crate::oracle::Table;
use crate::spec::{Answer, Call, Key, Op};
use crate::world::{Frame, T, World};

/// Few, so that operations meet.
const KEYS: u8 = 3;
const HANDLES: usize = 2;
const LONGEST: usize = 20;
/// An expiry that no step of a sequence reaches.
const FAR: i64 = 50;

/// How often each kind of operation is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix {
    pub(crate) create: u32,
    pub(crate) load: u32,
    pub(crate) update: u32,
    pub(crate) touch: u32,
    pub(crate) destroy: u32,
    pub(crate) rotate: u32,
    pub(crate) fate: u32,
    pub(crate) destroy_principal: u32,
    pub(crate) forget_principal: u32,
    pub(crate) purge: u32,
    pub(crate) list: u32,
    pub(crate) count: u32,
    pub(crate) clear: u32,
    pub(crate) load_many: u32,
    pub(crate) write_many: u32,
}

impl Mix {
    pub(crate) const EVERYTHING: Mix = Mix {
        create: 8,
        load: 4,
        update: 5,
        touch: 4,
        destroy: 3,
        rotate: 4,
        fate: 3,
        destroy_principal: 2,
        forget_principal: 1,
        purge: 3,
        list: 3,
        count: 2,
        clear: 1,
        load_many: 2,
        write_many: 4,
    };
}

#[derive(Clone, Debug)]
struct Sequence {
    /// Which of the frames.
    frame: usize,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    handle: usize,
    call: Call,
    /// Ask even for what the store cannot do.
    insist: bool,
}

/// Draws sequences until one is not as the oracle says, and then shows the shortest one that is not.
pub(crate) async fn check(ctx: &Ctx, mix: Mix) -> Verdict {
    let handles = ctx.handles(HANDLES).await?;
    let world = World::new(&*handles[0], usize::from(KEYS)).await?;
    let config = Config {
        cases: ctx.cases(),
        failure_persistence: None,
        max_shrink_iters: 1000,
        max_shrink_time: 20_000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&ctx.seed().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let runtime = Handle::current();
    // proptest calls its test synchronously.
    let checked = tokio::task::spawn_blocking(move || {
        runner.run(&sequences(mix), |sequence| {
            runtime.block_on(run(&world, &handles, &sequence)).map_err(TestCaseError::fail)
        })
    })
    .await;
    match checked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(TestError::Fail(reason, _))) => {
            failed(format!("the store is not as the model says. The shortest sequence found:\n{reason}"))
        }
        Ok(Err(TestError::Abort(reason))) => failed(format!("no sequences could be drawn: {reason}")),
        Err(panic) => failed(format!("the model panicked: {panic}")),
    }
}

async fn run(world: &World, handles: &[Arc<dyn Store>], sequence: &Sequence) -> Result<(), String> {
    let mut world = world.clone();
    let capabilities = world.capabilities();
    let bases = [T, 0, -2, i64::MAX - 3, i64::MIN + 3];
    world.frame = Frame::around(bases[sequence.frame % bases.len()], capabilities);
    let mut trace = format!("  times count from {:?}\n", world.frame.expiry(0));

    // What a sequence that failed has left.
    handles[0].clear().await.map_err(|error| format!("{trace}  clear: {error}"))?;
    let mut states = vec![Table::default()];
    for (number, step) in sequence.steps.iter().enumerate() {
        let call = place(&step.call, &world.frame, capabilities, step.insist);
        let _ = write!(trace, "  {:>2}. handle {}, {call}", number + 1, step.handle);
        states = compare(&world, &*handles[step.handle], &call, states, &mut trace).await?;
    }
    for (number, call) in whole_table().into_iter().enumerate() {
        let call = place(&call, &world.frame, capabilities, false);
        let _ = write!(trace, "  at the end, {call}");
        states = compare(&world, &*handles[number % HANDLES], &call, states, &mut trace).await?;
    }
    Ok(())
}

/// Makes one call and keeps the states that explain its answer.
async fn compare(
    world: &World,
    store: &dyn Store,
    call: &Call,
    states: Vec<Table>,
    trace: &mut String,
) -> Result<Vec<Table>, String> {
    let answer = match world.call(store, call).await {
        Ok(answer) => answer,
        Err(error) => return Err(format!("{trace} -> {error}")),
    };
    let _ = writeln!(trace, " -> {answer:?}");
    let mut possible: Vec<Answer> = Vec::new();
    let mut next: Vec<Table> = Vec::new();
    for (expected, state) in states.iter().flat_map(|state| world.rules.apply(state, call)) {
        if expected == answer && !next.contains(&state) {
            next.push(state);
        } else if !possible.contains(&expected) {
            possible.push(expected);
        }
    }
    if next.is_empty() {
        let expected: Vec<String> = possible.iter().map(|answer| format!("{answer:?}")).collect();
        return Err(format!("{trace}      expected: {}", expected.join(" or ")));
    }
    Ok(next)
}

/// Everything that can be seen of a table, at several times, and last how many rows there are.
fn whole_table() -> Vec<Call> {
    let mut calls = Vec::new();
    for now in [0, 2] {
        calls.extend((0..KEYS).map(|key| Call { now, op: Op::Load { key, known: None } }));
        calls.extend((0..KEYS).map(|key| Call { now, op: Op::Fate { key } }));
        calls.push(Call { now, op: Op::Count { principal: None } });
        calls.push(Call { now, op: Op::List { principal: None, after: None, limit: 10 } });
    }
    calls.push(Call { now: 0, op: Op::Clear });
    calls
}

/// A call in the frame, without what the store cannot do unless that is insisted on.
fn place(call: &Call, frame: &Frame, can: Capabilities, insist: bool) -> Call {
    let mut op = call.op.clone();
    place_op(&mut op, frame, can, insist);
    Call { now: frame.clamp(call.now), op }
}

fn place_op(op: &mut Op, frame: &Frame, can: Capabilities, insist: bool) {
    match op {
        Op::Create { expires_at, principal, .. } => {
            *expires_at = frame.clamp(*expires_at);
            *principal = principal.filter(|_| can.principals || insist);
        }
        Op::Load { known, .. } => *known = known.filter(|_| can.versions || insist),
        Op::Update { expires_at, principal, expected, .. } => {
            *expires_at = expires_at.map(|time| frame.clamp(time));
            *principal = principal.filter(|_| can.principals || insist);
            *expected = expected.filter(|_| can.versions || insist);
        }
        Op::Touch { expires_at, expected, .. } => {
            *expires_at = frame.clamp(*expires_at);
            *expected = expected.filter(|_| can.versions || insist);
        }
        Op::Destroy { mode, .. } => place_mode(mode, can, insist),
        Op::DestroyPrincipal { created_before, mode, .. } => {
            *created_before =
                created_before.filter(|_| can.created_at || insist).map(|time| frame.clamp(time));
            place_mode(mode, can, insist);
        }
        Op::Rotate { expires_at, principal, expected, mode, .. } => {
            *expires_at = expires_at.map(|time| frame.clamp(time));
            *principal = principal.filter(|_| can.principals || insist);
            *expected = expected.filter(|_| can.versions || insist);
            place_mode(mode, can, insist);
        }
        Op::List { principal, .. } | Op::Count { principal } => {
            *principal = principal.filter(|_| can.principals || insist);
        }
        // A batch with an operation that is refused is a case of its own.
        Op::LoadMany { loads } => {
            loads.iter_mut().for_each(|(_, known)| *known = known.filter(|_| can.versions));
        }
        Op::WriteMany { writes } => writes.iter_mut().for_each(|write| place_op(write, frame, can, false)),
        _ => {}
    }
}

fn place_mode(mode: &mut DestroyMode, can: Capabilities, insist: bool) {
    if !can.tombstones && !insist {
        *mode = DestroyMode::Remove;
    }
}

fn sequences(mix: Mix) -> BoxedStrategy<Sequence> {
    let step = (0..HANDLES, times(), ops(mix), proptest::bool::weighted(0.1))
        .prop_map(|(handle, now, op, insist)| Step { handle, call: Call { now, op }, insist });
    // Ordinary times most often; the others are the same sequences moved to where arithmetic ends.
    let frame = Union::new_weighted(vec![
        (6, Just(0).boxed()),
        (1, Just(1).boxed()),
        (1, Just(2).boxed()),
        (1, Just(3).boxed()),
        (1, Just(4).boxed()),
    ]);
    (frame, vec(step, 1..=LONGEST)).prop_map(|(frame, steps)| Sequence { frame, steps }).boxed()
}

fn times() -> BoxedStrategy<i64> {
    (0_i64..=2).boxed()
}

fn expiries() -> BoxedStrategy<i64> {
    Union::new_weighted(vec![(3, (0_i64..=3).boxed()), (2, Just(FAR).boxed())]).boxed()
}

/// The expiry of an update or rotation, which may leave it as it is.
fn new_expiries() -> BoxedStrategy<Option<i64>> {
    weighted(0.7, expiries()).boxed()
}

/// A version that a caller expects or knows, if any.
fn version() -> BoxedStrategy<Option<i64>> {
    weighted(0.5, 1_i64..4).boxed()
}

fn modes() -> BoxedStrategy<DestroyMode> {
    select(vec![DestroyMode::Forget, DestroyMode::Keep, DestroyMode::Remove]).boxed()
}

fn ops(mix: Mix) -> BoxedStrategy<Op> {
    let key = || 0..KEYS;
    let payload = || 0_u32..8;
    let principal = || weighted(0.6, 0_u8..2);
    let choices = [
        (mix.create, create().boxed()),
        (mix.load, (key(), version()).prop_map(|(key, known)| Op::Load { key, known }).boxed()),
        (mix.update, update().boxed()),
        (mix.touch, touch().boxed()),
        (mix.destroy, destroy().boxed()),
        (
            mix.rotate,
            (key(), key(), weighted(0.5, payload()), new_expiries(), principal(), version(), modes())
                .prop_map(|(from, to, payload, expires_at, principal, expected, mode)| Op::Rotate {
                    from,
                    to,
                    payload,
                    expires_at,
                    principal,
                    expected,
                    mode,
                })
                .boxed(),
        ),
        (mix.fate, key().prop_map(|key| Op::Fate { key }).boxed()),
        (
            mix.destroy_principal,
            (0_u8..2, weighted(0.5, key()), weighted(0.4, 0_i64..4), modes())
                .prop_map(|(principal, except, created_before, mode)| Op::DestroyPrincipal {
                    principal,
                    except,
                    created_before,
                    mode,
                })
                .boxed(),
        ),
        (mix.forget_principal, (0_u8..2).prop_map(|principal| Op::ForgetPrincipal { principal }).boxed()),
        (mix.purge, (1_u32..4).prop_map(|limit| Op::Purge { limit }).boxed()),
        (
            mix.list,
            (principal(), weighted(0.5, key()), 1_u32..4)
                .prop_map(|(principal, after, limit)| Op::List { principal, after, limit })
                .boxed(),
        ),
        (mix.count, principal().prop_map(|principal| Op::Count { principal }).boxed()),
        (mix.clear, Just(Op::Clear).boxed()),
        (
            mix.load_many,
            (keys(), vec(version(), usize::from(KEYS)))
                .prop_map(|(keys, known)| Op::LoadMany { loads: keys.into_iter().zip(known).collect() })
                .boxed(),
        ),
        (mix.write_many, writes().boxed()),
    ];
    Union::new_weighted(choices.into_iter().filter(|(weight, _)| *weight > 0).collect()).boxed()
}

fn create() -> impl Strategy<Value = Op> {
    (0..KEYS, 0_u32..8, expiries(), weighted(0.6, 0_u8..2))
        .prop_map(|(key, payload, expires_at, principal)| Op::Create { key, payload, expires_at, principal })
}

fn update() -> impl Strategy<Value = Op> {
    (0..KEYS, 0_u32..8, new_expiries(), weighted(0.6, 0_u8..2), version()).prop_map(
        |(key, payload, expires_at, principal, expected)| Op::Update {
            key,
            payload,
            expires_at,
            principal,
            expected,
        },
    )
}

fn touch() -> impl Strategy<Value = Op> {
    (0..KEYS, expiries(), version()).prop_map(|(key, expires_at, expected)| Op::Touch {
        key,
        expires_at,
        expected,
    })
}

fn destroy() -> impl Strategy<Value = Op> {
    (0..KEYS, modes()).prop_map(|(key, mode)| Op::Destroy { key, mode })
}

/// Distinct keys in any order.
fn keys() -> impl Strategy<Value = Vec<Key>> {
    subsequence((0..KEYS).collect::<Vec<_>>(), 1..=usize::from(KEYS)).prop_shuffle()
}

/// Writes of distinct keys in any order.
fn writes() -> impl Strategy<Value = Op> {
    let write = Union::new(vec![create().boxed(), update().boxed(), touch().boxed(), destroy().boxed()]);
    (keys(), vec(write, usize::from(KEYS))).prop_map(|(keys, mut writes)| {
        writes.truncate(keys.len());
        for (write, distinct) in writes.iter_mut().zip(keys) {
            match write {
                Op::Create { key, .. }
                | Op::Update { key, .. }
                | Op::Touch { key, .. }
                | Op::Destroy { key, .. } => *key = distinct,
                _ => {}
            }
        }
        Op::WriteMany { writes }
    })
}
