//! Options out of their range, and options that the table cannot carry out.

use std::time::Duration;

use session_core::{DestroyMode, ErrorKind, Gathering, SessionsBuilder};

use crate::support::{Visit, World, secs};

fn refusal(
    world: &World,
    set: impl FnOnce(SessionsBuilder<Visit>) -> SessionsBuilder<Visit>,
) -> (ErrorKind, String) {
    let error = set(world.builder()).build().unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn options_out_of_their_range_are_refused_with_what_to_give() {
    let world = World::new();
    let refusals = [
        refusal(&world, |b| b.max_lifetime(Duration::ZERO)),
        refusal(&world, |b| b.max_lifetime(Duration::MAX)),
        refusal(&world, |b| b.payload_limit(0)),
        refusal(&world, |b| b.touch_throttle(91)),
        refusal(&world, |b| b.deadline(Duration::ZERO)),
        refusal(&world, |b| b.database_clock(Duration::ZERO)),
        refusal(&world, |b| {
            b.gathering(Gathering { read_lanes: 1, write_lanes: 1, max_batch: 0, max_bytes: 0 })
        }),
    ];
    for (kind, text) in refusals {
        assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
        assert!(text.contains("give "), "{text}");
    }
    assert!(world.builder::<Visit>().touch_throttle(90).build().is_ok());
}

#[test]
fn options_that_the_table_cannot_carry_out_are_refused_with_what_to_do() {
    let world = World::new();
    world.script.can(|can| {
        can.created_at = false;
        can.tombstones = false;
        can.principals = false;
    });
    for (set, remedy) in [
        (refusal(&world, |b| b.max_lifetime(secs(1))), "leave out `max_lifetime`"),
        (refusal(&world, |b| b.destroy_mode(DestroyMode::Keep)), "use `DestroyMode::Remove`"),
        (refusal(&world, |b| b.principal(|_| None)), "leave out `principal`"),
    ] {
        let (kind, text) = set;
        assert_eq!(kind, ErrorKind::Unsupported, "{text}");
        assert!(text.starts_with("script: ") && text.ends_with(remedy), "{text}");
    }
    assert!(world.builder::<Visit>().build().is_ok());
}

#[test]
fn building_a_handle_asks_the_database_nothing() {
    let world = World::new();
    let store = world.handle();
    assert!(store.is_connected());
    assert_eq!(world.script.calls(), [""; 0]);
    assert_eq!(world.events.take(), [""; 0]);
}

#[test]
fn a_builder_prints_its_store_and_time_to_live() {
    let builder: SessionsBuilder<Visit> = World::new().builder();
    assert_eq!(format!("{builder:?}"), "SessionsBuilder { store: Script, time_to_live: Fixed(86400s), .. }");
}
