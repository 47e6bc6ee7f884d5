//! What a handle keeps of what it reads: always asked for, never out of date, forgotten with the session.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use session_core::contract::{Cached, Create, Load, Store as _};
use session_core::{
    CacheSize, Codec, ErrorKind, Json, MemoryStore, Reloaded, Result, SessionId, Sessions, SessionsBuilder,
    TouchOutcome, Version,
};

use crate::support::{DAY, Fault, NOW, Visit, World, after, gone, id, secs, unreachable, visit, visit_of};

const SIZE: CacheSize = CacheSize::sessions(100);

/// JSON that counts how often it is read.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn decoded(&self) -> u32 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Codec<Visit> for Counted {
    fn encode(&self, data: &Visit) -> Result<String> {
        Json.encode(data)
    }
    fn decode(&self, text: &str) -> Result<Visit> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Json.decode(text)
    }
    fn verify(&self, _: &Visit, _: &str) -> Result<()> {
        Ok(())
    }
}

fn options(world: &World) -> SessionsBuilder<Visit> {
    world.builder::<Visit>().principal(|visit| visit.user.clone()).cache(SIZE)
}

fn keeping(world: &World) -> Sessions<Visit> {
    options(world).build().unwrap()
}

async fn shared(sessions: &Sessions<Visit>, id: &SessionId) -> Arc<Visit> {
    sessions.load_shared(id).await.unwrap().unwrap().data
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_neither_decoded_nor_copied() {
    let (world, codec) = (World::new(), Counted::default());
    let (sessions, other) = (options(&world).codec(codec.clone()).build().unwrap(), world.handle());
    let new = other.create(&visit(1)).await.unwrap();
    let first = shared(&sessions, &new.id).await;
    world.clock.advance(secs(1));
    other.touch(&new.id).await.unwrap();

    let second = sessions.load_shared(&new.id).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second.data), "one copy for all");
    assert_eq!((second.version(), second.expires_at()), (new.version, after(DAY + secs(1))));
    assert_eq!(second.created_at(), Some(NOW));
    assert_eq!(sessions.load(&new.id).await.unwrap().unwrap().data, visit(1));
    sessions.modify(&new.id, |visit| visit.count += 1).await.unwrap().unwrap();
    assert_eq!((first.count, codec.decoded()), (1, 1), "a change is made on a copy");

    assert_eq!(shared(&sessions, &new.id).await.count, 2);
    assert_eq!(codec.decoded(), 1, "what was written is read before it is kept");
}

#[tokio::test(start_paused = true)]
async fn every_load_asks_the_database() {
    let world = World::new();
    let sessions = keeping(&world);
    let id = sessions.create(&visit(1)).await.unwrap().id;
    shared(&sessions, &id).await;
    world.script.calls();
    shared(&sessions, &id).await;
    sessions.load(&id).await.unwrap().unwrap();
    assert_eq!(world.script.calls(), ["load", "load"]);

    world.script.always("load", gone);
    let error = sessions.load_shared(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "what is kept is no answer");
}

#[tokio::test(start_paused = true)]
async fn what_others_did_is_seen() {
    let world = World::new();
    let (sessions, other) = (keeping(&world), world.handle());
    let id = other.create(&visit(1)).await.unwrap().id;
    shared(&sessions, &id).await;
    other.modify(&id, |visit| visit.count = 2).await.unwrap().unwrap();
    assert_eq!(shared(&sessions, &id).await.count, 2);
    let new = other.rotate(&id).await.unwrap().unwrap();
    assert!(sessions.load_shared(&id).await.unwrap().is_none());
    assert_eq!(shared(&sessions, &new.id).await.count, 2);
    world.clock.advance(DAY);
    assert!(sessions.load_shared(&new.id).await.unwrap().is_none(), "it has expired");
}

#[tokio::test(start_paused = true)]
async fn what_ends_through_the_handle_is_forgotten() {
    for way in 0..9 {
        let world = World::new();
        let sessions = keeping(&world);
        let id = sessions.create(&visit_of("ann")).await.unwrap().id;
        let kept: Weak<Visit> = Arc::downgrade(&shared(&sessions, &id).await);
        assert!(kept.upgrade().is_some());
        match way {
            0 => assert!(sessions.destroy(&id).await.unwrap()),
            1 => assert!(sessions.destroy_key(&sessions.key(&id).unwrap()).await.unwrap()),
            2 => assert_eq!(sessions.destroy_many(std::slice::from_ref(&id)).await.unwrap(), 1),
            3 => assert!(sessions.rotate(&id).await.unwrap().is_some()),
            4 => assert_eq!(sessions.destroy_principal("ann").await.unwrap(), 1),
            5 => assert_eq!(sessions.forget_principal("ann").await.unwrap(), 1),
            6 => assert_eq!(sessions.clear().await.unwrap(), 1),
            7 => {
                // It was done, and nobody knows.
                world.script.once("destroy", Fault::FailAfter(unreachable(true)));
                sessions.destroy(&id).await.unwrap_err();
            }
            _ => {
                // It ended elsewhere, and this handle hears of it.
                world.handle().destroy(&id).await.unwrap();
                assert!(sessions.load_shared(&id).await.unwrap().is_none());
            }
        }
        assert!(kept.upgrade().is_none(), "way {way}");
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_of_others_stay() {
    let world = World::new();
    let sessions = keeping(&world);
    let mut kept = Vec::new();
    let mut ids = Vec::new();
    for user in ["ann", "bob", "ann"] {
        let id = sessions.create(&visit_of(user)).await.unwrap().id;
        kept.push(Arc::downgrade(&shared(&sessions, &id).await));
        ids.push(id);
    }
    assert_eq!(sessions.destroy_others("ann", &ids[0]).await.unwrap(), 1);
    let stay: Vec<bool> = kept.iter().map(|kept| kept.upgrade().is_some()).collect();
    assert_eq!(stay, [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_reads_past_what_is_kept_and_keeps_nothing() {
    let world = World::new();
    let sessions = keeping(&world);
    let id = id("in both");
    // The version of a change that is undone belongs to another one later.
    let create = |payload: &str| Create {
        key: sessions.key(&id).unwrap(),
        payload: payload.into(),
        expires_at: after(DAY),
        principal: None,
        version: Version::new(7),
    };
    let undone = MemoryStore::new();
    undone.create(&create(r#"{"user":null,"count":1}"#), NOW).await.unwrap();
    let within = sessions.over(undone).unwrap();
    assert_eq!(shared(&within, &id).await.count, 1);
    world.script.memory().create(&create(r#"{"user":null,"count":2}"#), NOW).await.unwrap();
    assert_eq!(shared(&sessions, &id).await.count, 2);
    assert_eq!(shared(&within, &id).await.count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cache_is_one_of_a_handle_and_its_clones() {
    let world = World::new();
    let (sessions, other) = (keeping(&world), keeping(&world));
    let id = sessions.create(&visit(1)).await.unwrap().id;
    let first = shared(&sessions, &id).await;
    assert!(Arc::ptr_eq(&first, &shared(&sessions.clone(), &id).await));
    let throttled = sessions.with_touch_throttle(10).unwrap();
    assert!(Arc::ptr_eq(&first, &shared(&throttled, &id).await));
    assert!(!Arc::ptr_eq(&first, &shared(&other, &id).await));
    assert!(!Arc::ptr_eq(&shared(&world.handle(), &id).await, &shared(&world.handle(), &id).await));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded() {
    let common = serde_json::to_string(&visit(0)).unwrap().len() + 256;
    for (size, most) in [(CacheSize::sessions(8), 8), (CacheSize::bytes(8 * common), 8)] {
        let world = World::new();
        let sessions = world.builder::<Visit>().cache(size).build().unwrap();
        let mut kept: Vec<Weak<Visit>> = Vec::new();
        for count in 0..200 {
            let id = sessions.create(&visit(count % 10)).await.unwrap().id;
            kept.push(Arc::downgrade(&shared(&sessions, &id).await));
        }
        let alive = kept.iter().filter(|kept| kept.upgrade().is_some()).count();
        assert!((1..=most).contains(&alive), "{size:?}: {alive} are kept");
    }
    let world = World::new();
    let sessions = world.builder::<Visit>().cache(CacheSize::bytes(100)).build().unwrap();
    let id = sessions.create(&visit(1)).await.unwrap().id;
    let large = Arc::downgrade(&shared(&sessions, &id).await);
    assert!(large.upgrade().is_none(), "larger than the whole");
    let _largest: Sessions<Visit> =
        world.builder().cache(CacheSize::sessions(usize::MAX)).build().expect("it takes no room in advance");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_cannot_be_is_refused() {
    let world = World::new();
    for size in [CacheSize::sessions(0), CacheSize::bytes(0)] {
        let error = world.builder::<Visit>().cache(size).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = Cached::new(Arc::new(MemoryStore::new()), size).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    world.script.can(|can| can.versions = false);
    let error = world.builder::<Visit>().cache(SIZE).build().unwrap_err();
    assert_eq!((error.kind(), error.backend()), (ErrorKind::Unsupported, Some("script")));
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_kept_is_printed() {
    let world = World::new();
    let sessions = keeping(&world);
    let id = sessions.create(&visit_of("ann-the-secret")).await.unwrap().id;
    shared(&sessions, &id).await;
    let cached = Cached::new(Arc::new(world.script.clone()), SIZE).unwrap();
    let key = sessions.key(&id).unwrap();
    cached.load(&Load::new(key), NOW).await.unwrap().record().unwrap();
    let printed = format!("{sessions:?} {cached:?}");
    assert!(printed.contains("sessions: 1") && !printed.contains("ann"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn a_shared_session_is_renewed_and_brought_up_to_date() {
    let world = World::new();
    let (sessions, other) = (keeping(&world), world.handle());
    let new = other.create(&visit(1)).await.unwrap();
    let mut session = sessions.load_shared(&new.id).await.unwrap().unwrap();
    world.clock.advance(secs(1));
    let renewed = sessions.refresh(&mut session).await.unwrap();
    assert_eq!(renewed, TouchOutcome::Moved(after(DAY + secs(1))));
    assert_eq!(sessions.reload(&mut session).await.unwrap(), Reloaded::Unchanged);
    other.modify(&new.id, |visit| visit.count = 2).await.unwrap().unwrap();
    assert_eq!(sessions.reload(&mut session).await.unwrap(), Reloaded::Changed);
    let mut owned = session.into_owned();
    owned.data.count = 3;
    sessions.save(&mut owned).await.unwrap();
    assert_eq!(shared(&sessions, &new.id).await.count, 3);
    assert_eq!(sessions.count(None).await.unwrap(), 1);
    assert_eq!(sessions.purge(NonZeroU32::MIN).await.unwrap(), 0);
}
