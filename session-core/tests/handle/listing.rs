//! Listing and counting.

use std::collections::HashSet;

use session_core::{ErrorKind, Sessions};

use crate::support::{DAY, Visit, World, id, rows, visit_of};

fn handle(world: &World) -> Sessions<Visit> {
    world.builder().principal(|visit: &Visit| visit.user.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn pages_hold_every_live_session_once() {
    let world = World::new();
    let store = handle(&world);
    for n in 0..7 {
        let user = if n % 2 == 0 { "ann" } else { "bob" };
        store.create_with_id(&id(&format!("{n}")), &visit_of(user)).await.unwrap();
    }
    store.destroy(&id("0")).await.unwrap();
    for (principal, number) in [(None, 6), (Some("ann"), 3), (Some("bob"), 3), (Some("Ann"), 0)] {
        let mut keys = Vec::new();
        loop {
            let page = store.list(principal, keys.last(), rows(2)).await.unwrap();
            if page.is_empty() {
                break;
            }
            for entry in page {
                let session = entry.session.unwrap();
                assert!(principal.is_none() || session.data.user.as_deref() == principal);
                assert_eq!(session.info.expires_at, crate::support::after(DAY));
                keys.push(entry.key);
            }
        }
        assert_eq!(keys.len(), number, "{principal:?}");
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), number, "{principal:?}");
        assert_eq!(store.count(principal).await.unwrap(), u64::try_from(number).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_entry_says_so_and_the_listing_goes_on() {
    let world = World::new();
    let store = handle(&world);
    store.create(&visit_of("ann")).await.unwrap();
    world.script.plant(&id("corrupt"), "not json", Some("ann")).await;
    store.create(&visit_of("ann")).await.unwrap();
    let page = store.list(Some("ann"), None, rows(10)).await.unwrap();
    assert_eq!(page.len(), 3);
    let errors: Vec<_> = page.iter().filter_map(|entry| entry.session.as_ref().err()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind(), ErrorKind::Corrupt);
    assert!(errors[0].to_string().starts_with("script: list: "), "{}", errors[0]);
    // The key of a listing is enough to be rid of it.
    let corrupt = page.iter().find(|entry| entry.session.is_err()).unwrap();
    assert!(store.destroy_key(&corrupt.key).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_listed_until_the_millisecond_of_its_expiry() {
    let world = World::new();
    let store = handle(&world);
    store.create(&visit_of("ann")).await.unwrap();
    world.clock.advance(DAY - crate::support::ms(1));
    assert_eq!(store.list(None, None, rows(1)).await.unwrap().len(), 1);
    assert_eq!(store.count(None).await.unwrap(), 1);
    world.clock.advance(crate::support::ms(1));
    assert_eq!(store.list(None, None, rows(1)).await.unwrap().len(), 0);
    assert_eq!(store.count(None).await.unwrap(), 0);
}
