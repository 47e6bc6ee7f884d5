//! Deadlines and retries.

use std::time::Duration;

use session_core::{Error, ErrorKind, Operation, Result, SessionId, Sessions, TouchOutcome};
use tokio::time::{Instant, timeout};

use crate::support::{Fault, Visit, World, conflict, ms, rows, secs, unreachable, visit};

/// Does one operation of that name, and returns its error if it fails.
async fn operate(store: &Sessions<Visit>, name: &str, id: &SessionId) -> Result<()> {
    match name {
        "create" => store.create(&visit(0)).await.map(drop),
        "load" => store.load(id).await.map(drop),
        "update" => store.update(id, &visit(1), None).await.map(drop),
        "touch" => store.touch(id).await.map(drop),
        "rotate" => store.rotate_with(id, &visit(2), None).await.map(drop),
        "destroy" => store.destroy(id).await.map(drop),
        "write_many" => store.destroy_many(std::slice::from_ref(id)).await.map(drop),
        "destroy_principal" => store.destroy_principal("ann").await.map(drop),
        "purge_expired" => store.purge(rows(10)).await.map(drop),
        "list" => store.list(None, None, rows(10)).await.map(drop),
        "count" => store.count(None).await.map(drop),
        "clear" => store.clear().await.map(drop),
        "diagnose" => store.doctor().await.map(drop),
        other => panic!("{other}"),
    }
}

const READS: [&str; 4] = ["load", "list", "count", "diagnose"];
const WRITES: [&str; 9] = [
    "create",
    "update",
    "touch",
    "rotate",
    "destroy",
    "write_many",
    "destroy_principal",
    "purge_expired",
    "clear",
];

/// Runs one operation whose statement does `fault`, for each of the names.
async fn each(
    names: &[&'static str],
    fault: impl Fn() -> Fault,
    mut check: impl FnMut(&str, &World, Result<()>, Duration),
) {
    for name in names {
        let world = World::new();
        let store = world.handle();
        let new = store.create(&visit(0)).await.unwrap();
        world.script.calls();
        world.script.once(name, fault());
        let start = Instant::now();
        let result = operate(&store, name, &new.id).await;
        check(name, &world, result, start.elapsed());
    }
}

/// How often the store was asked for this operation since the last time that somebody asked.
fn calls_of(world: &World, name: &str) -> usize {
    world.script.calls().into_iter().filter(|call| *call == name).count()
}

#[tokio::test(start_paused = true)]
async fn every_operation_on_a_hanging_database_ends_at_the_deadline() {
    for (names, in_doubt) in [(&READS[..], false), (&WRITES[..], true)] {
        each(
            names,
            || Fault::Hang,
            |name, _, result, took| {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}");
                assert_eq!(error.is_in_doubt(), in_doubt, "{name}");
                assert!(!error.is_unreachable(), "{name}");
                assert!(took >= secs(5) && took < ms(5_002), "{name}: {took:?}");
                assert!(error.to_string().contains("no answer within the deadline of 5s"), "{error}");
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_several_statements_has_one_deadline() {
    let world = World::new();
    let store = world.builder::<Visit>().max_lifetime(secs(999)).build().unwrap();
    let new = store.create(&visit(0)).await.unwrap();
    for name in ["load", "update", "touch", "create"] {
        world.script.always(name, || Fault::Slow(secs(3)));
    }
    let start = Instant::now();
    assert_eq!(store.update(&new.id, &visit(1), None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.touch(&new.id).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.modify(&new.id, |_| ()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let error = store.set(&new.id, &visit(1)).await.unwrap_err();
    assert_eq!(error.operation(), Some(Operation::Set));
    assert!(start.elapsed() >= secs(20) && start.elapsed() < ms(20_010), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_ends_while_it_reads_certainly_changed_nothing() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    world.script.once("load", Fault::Hang);
    assert!(!store.modify(&new.id, |_| ()).await.unwrap_err().is_in_doubt());
    world.script.once("update", Fault::Hang);
    assert!(store.modify(&new.id, |_| ()).await.unwrap_err().is_in_doubt());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_beyond_what_a_timer_can_count_is_none() {
    let world = World::new();
    let store = world.builder::<Visit>().deadline(Duration::MAX).build().unwrap();
    world.script.once("create", Fault::Slow(secs(3_600)));
    store.create(&visit(0)).await.unwrap();
    store.connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_as_often_as_told() {
    for retries in [0, 1, 5] {
        for name in READS.iter().chain(&WRITES).copied() {
            let world = World::new();
            let store = world.builder::<Visit>().conflict_retries(retries).build().unwrap();
            let new = store.create(&visit(0)).await.unwrap();
            world.script.calls();
            world.script.always(name, conflict);
            let error = operate(&store, name, &new.id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{name}");
            assert_eq!(calls_of(&world, name), 1 + usize::try_from(retries).unwrap(), "{name}");

            world.script.heal();
            for _ in 0..retries {
                world.script.once(name, conflict());
            }
            operate(&store, name, &new.id).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_after_which_something_may_have_happened_is_not_tried_again() {
    // A purge that lost its third batch to others: what the first two removed is counted nowhere.
    let world = World::new();
    let store = world.handle();
    let half_done = || Fault::Fail(Error::new(ErrorKind::Conflict, "deadlock").with_in_doubt(true));
    world.script.always("purge_expired", half_done);
    let error = store.purge(rows(10)).await.unwrap_err();
    assert!(error.is_in_doubt());
    assert_eq!(world.script.calls(), ["server_time", "purge_expired"]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_after_a_conflict_grows_from_1_to_64_ms() {
    let world = World::new();
    let store = world.builder::<Visit>().conflict_retries(8).build().unwrap();
    world.script.always("count", conflict);
    store.count(None).await.unwrap_err();
    let times: Vec<_> = world.script.timed_calls().into_iter().map(|(_, time)| time).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The timer rounds up to whole milliseconds.
    for (wait, least) in waits.into_iter().zip([1, 2, 4, 8, 16, 32, 32, 32]) {
        assert!(wait >= ms(least) && wait <= ms(2 * least + 1), "{wait:?} for {least}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_at_the_deadline_is_reported_as_what_it_is() {
    let world = World::new();
    let builder = world.builder::<Visit>().deadline(ms(20));
    let store = builder.conflict_retries(1_000).build().unwrap();
    world.script.always("clear", conflict);
    let start = Instant::now();
    let error = store.clear().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(!error.is_in_doubt());
    assert!(start.elapsed() <= ms(20));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_certainly_did_nothing_is_tried_once_more_over_a_new_connection() {
    each(
        &WRITES,
        || Fault::Fail(unreachable(false)),
        |name, world, result, _| {
            result.unwrap();
            assert_eq!(calls_of(world, name), 2, "{name}");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_happened_is_not_tried_again() {
    each(
        &WRITES,
        || Fault::FailAfter(unreachable(true)),
        |name, world, result, _| {
            let error = result.unwrap_err();
            assert!(error.is_in_doubt(), "{name}");
            assert_eq!(calls_of(world, name), 1, "{name}");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_read_is_tried_once_more_over_a_new_connection() {
    each(
        &READS,
        || Fault::Fail(unreachable(true)),
        |name, world, result, _| {
            result.unwrap();
            assert_eq!(world.script.calls()[..2], [name, name]);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_twice_changed_nothing_for_certain() {
    let world = World::new();
    let store = world.handle();
    world.script.always("load", || Fault::Fail(unreachable(true)));
    let error = store.load(&SessionId::random().unwrap()).await.unwrap_err();
    assert!(error.is_unreachable() && !error.is_in_doubt());
    assert_eq!(world.script.calls(), ["load", "load"]);
}

#[tokio::test(start_paused = true)]
async fn other_errors_are_not_tried_again() {
    use session_core::Error;
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::TooLarge,
        ErrorKind::Corrupt,
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
        ErrorKind::Backend,
    ] {
        each(
            &["load", "update"],
            || Fault::Fail(Error::new(kind, "because")),
            |name, world, result, _| {
                assert_eq!(result.unwrap_err().kind(), kind);
                assert_eq!(world.script.calls(), [name]);
            },
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_half_way_leaves_the_handle_usable() {
    let world = World::new();
    let store = world.handle();
    let new = store.create(&visit(0)).await.unwrap();
    for name in READS.iter().chain(&WRITES) {
        world.script.once(name, Fault::Hang);
        assert!(timeout(ms(1), operate(&store, name, &new.id)).await.is_err(), "{name}");
    }
    assert!(matches!(store.touch(&new.id).await.unwrap(), TouchOutcome::Moved(_)));
    assert!(store.is_connected());
}

#[test]
fn every_future_of_a_handle_can_be_spawned() {
    fn check<R>(_: impl Future<Output = R> + Send + 'static) {}
    let store = World::new().handle();
    let id = SessionId::random().unwrap();
    check(async move {
        store.connect().await?;
        store.create(&visit(0)).await?;
        store.set(&id, &visit(0)).await?;
        store.modify(&id, |visit| visit.count += 1).await?;
        let mut session = store.load(&id).await?.unwrap();
        store.save(&mut session).await?;
        store.refresh(&mut session).await?;
        store.rotate(&id).await?;
        store.rotate_with(&id, &visit(0), None).await?;
        store.update(&id, &visit(0), None).await?;
        store.touch(&id).await?;
        store.destroy(&id).await?;
        store.destroy_key(&store.key(&id)?).await?;
        store.destroy_others("ann", &id).await?;
        store.create_with_id(&id, &visit(0)).await?;
        store.destroy_many(&[id]).await?;
        store.destroy_principal("ann").await?;
        store.list(None, None, rows(1)).await?;
        store.count(None).await?;
        store.purge(rows(1)).await?;
        store.clear().await?;
        store.sweeper().start().stop().await;
        store.doctor().await?;
        Result::<()>::Ok(())
    });
}
