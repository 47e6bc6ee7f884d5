//! What the doctor says.

use session_core::{DestroyMode, Finding, Severity, TimeToLive};

use crate::support::{Fault, Visit, World, ms, secs};

#[tokio::test(start_paused = true)]
async fn a_healthy_store_has_no_findings() {
    let world = World::new();
    world.script.set_skew(1_000);
    assert_eq!(world.handle().doctor().await.unwrap(), []);
    assert_eq!(world.script.calls(), ["diagnose", "server_time"]);
}

#[tokio::test(start_paused = true)]
async fn the_backends_findings_come_first() {
    let world = World::new();
    let missing = Finding::fault("the index on expires_at is missing", "create index …");
    world.script.find(missing.clone());
    world.script.set_skew(5_000);
    let findings = world.handle().doctor().await.unwrap();
    assert_eq!(findings[0], missing);
    assert_eq!(findings.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn clocks_that_disagree_are_named_with_a_remedy() {
    for (skew, words) in [
        (1_001, "the database's clock is 1001 ms ahead of this host's"),
        (-3_600_000, "the database's clock is 3600000 ms behind this host's"),
    ] {
        let world = World::new();
        world.script.set_skew(skew);
        let findings = world.handle().doctor().await.unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Warning);
        assert_eq!(findings[0].what, words);
        assert!(findings[0].remedy.contains("time server"), "{}", findings[0].remedy);
        assert!(findings[0].remedy.contains("database_clock"), "{}", findings[0].remedy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_goes_by_the_databases_clock_only_notes_the_difference() {
    let world = World::new();
    world.script.set_skew(60_000);
    let store = world.builder::<Visit>().database_clock(secs(600)).build().unwrap();
    let findings = store.doctor().await.unwrap();
    assert_eq!(findings[0].severity, Severity::Note);
    assert!(findings[0].what.ends_with("the handle corrects that"), "{}", findings[0].what);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_not_taken_for_a_wrong_clock() {
    let world = World::new();
    world.script.always("server_time", || Fault::Slow(ms(1_500)));
    world.script.set_skew(900);
    assert_eq!(world.handle().doctor().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn destroyed_sessions_that_would_stay_for_ever_are_named() {
    let world = World::new();
    let builder = || world.builder::<Visit>().time_to_live(TimeToLive::never());
    let findings = builder().build().unwrap().doctor().await.unwrap();
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].remedy.contains("max_lifetime"), "{}", findings[0].remedy);
    let hard = builder().destroy_mode(DestroyMode::Remove).build().unwrap();
    assert_eq!(hard.doctor().await.unwrap(), []);
    let limited = builder().max_lifetime(secs(60)).build().unwrap();
    assert_eq!(limited.doctor().await.unwrap(), []);
}
