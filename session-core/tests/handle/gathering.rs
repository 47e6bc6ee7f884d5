//! Gathering, as the handle sets it up.

use futures_util::future::join_all;
use session_core::Gathering;

use crate::support::{Fault, Visit, World, id, ms, secs, visit};

const LANES: Gathering = Gathering { read_lanes: 1, write_lanes: 1, max_batch: 100, max_bytes: 1 << 20 };

#[tokio::test(start_paused = true)]
async fn calls_are_gathered_as_the_backend_recommends() {
    let world = World::new();
    world.script.set_gathering(LANES);
    let store = world.handle();
    world.script.always("load", || Fault::Slow(ms(1)));
    let ids: Vec<_> = (0..10).map(|n| id(&format!("{n}"))).collect();
    join_all(ids.iter().map(|id| store.load(id))).await;
    assert_eq!(world.script.calls(), ["load", "load_many"]);
}

#[tokio::test(start_paused = true)]
async fn gathering_can_be_switched_off_and_on() {
    for (recommended, chosen, expected) in
        [(LANES, Gathering::OFF, vec!["create"; 3]), (Gathering::OFF, LANES, vec!["create", "write_many"])]
    {
        let world = World::new();
        world.script.set_gathering(recommended);
        let store = world.builder::<Visit>().gathering(chosen).build().unwrap();
        world.script.always("create", || Fault::Slow(ms(1)));
        let visits = [visit(1), visit(2), visit(3)];
        for new in join_all(visits.iter().map(|visit| store.create(visit))).await {
            assert!(store.load(&new.unwrap().id).await.unwrap().is_some());
        }
        let calls: Vec<_> = world.script.calls().into_iter().filter(|call| *call != "load").collect();
        assert_eq!(calls, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_backend_stays_visible_behind_the_gatherer() {
    let world = World::new();
    world.script.set_gathering(LANES);
    let store = world.handle();
    assert_eq!(format!("{:?}", store.backend()), "Script");
    assert_eq!(store.backend().backend(), "script");
    assert!(format!("{store:?}").contains("store: Script"), "{store:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_with_the_handles_deadline() {
    let world = World::new();
    world.script.set_gathering(LANES);
    let store = world.builder::<Visit>().deadline(secs(2)).build().unwrap();
    world.script.always("load", || Fault::Slow(ms(1)));
    world.script.always("load_many", || Fault::Hang);
    let ids: Vec<_> = (0..3).map(|n| id(&format!("{n}"))).collect();
    let start = tokio::time::Instant::now();
    let results = join_all(ids.iter().map(|id| store.load(id))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(start.elapsed() < ms(2_010), "{:?}", start.elapsed());
    world.script.heal();
    tokio::time::sleep(ms(100)).await;
    assert!(store.load(&ids[0]).await.unwrap().is_none());
}
