//! One statement and one round trip for each outcome of each operation: what a store is asked to do while somebody counts.

use std::future::Future;
use std::num::NonZeroU32;

use session_core::contract::{
    Created, Destroy, DestroyPrincipal, Filter, Load, Loaded, Rotated, Store, Touched, Update, Write, Written,
};
use session_core::{DestroyMode, Fate, Updated, Version};

use super::{MODES, NOW, ann, create, destroy, key, load, rotate, touch, update};

/// Counts what reaches the server.
pub(crate) trait Counter {
    /// Makes a call that is to take so many prepared statements and round trips.
    async fn takes<T>(
        &self,
        what: &str,
        statements: i64,
        trips: i64,
        call: impl Future<Output = session_core::Result<T>>,
    ) -> T;

    /// Makes a call that is to take one of each.
    async fn one<T>(&self, what: &str, call: impl Future<Output = session_core::Result<T>>) -> T {
        self.takes(what, 1, 1, call).await
    }
}

/// What else depends on the server.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    /// Whether an update that expects no version is told the new one.
    pub(crate) tells_versions: bool,
    /// Statements and round trips of a create that finds its key taken.
    pub(crate) create_taken: (i64, i64),
    /// Statements and round trips of a batch of touches of which one is of a session that is gone.
    pub(crate) batch_with_one_gone: (i64, i64),
}

/// Every outcome of every operation on one session or one principal. Ids of different rounds differ.
pub(crate) async fn single_operations(
    counter: &impl Counter,
    store: &dyn Store,
    manners: Manners,
    round: u32,
) {
    let id = |name: &str| format!("{name}{round}");
    let [a, b, gone] = ["a", "b", "gone"].map(id);
    let told = |version| if manners.tells_versions { Version::new(version) } else { Version::NONE };

    let new = create(&a);
    assert_eq!(counter.one("create", store.create(&new, NOW)).await, Created::Created);
    let (statements, trips) = manners.create_taken;
    let taken = counter.takes("create, taken", statements, trips, store.create(&new, NOW)).await;
    assert_eq!(taken, Created::KeyTaken);
    for (what, id, known, found) in [
        ("load", &a, None, true),
        ("load, known", &a, Some(Version::FIRST), false),
        ("load, known no more", &a, Some(Version::new(9)), true),
        ("load, gone", &gone, None, false),
    ] {
        let loaded = counter.one(what, store.load(&Load { key: key(id), known }, NOW)).await;
        assert_eq!(matches!(loaded, Loaded::Unchanged { .. }), what == "load, known", "{what}");
        assert_eq!(loaded.record().is_some(), found, "{what}");
    }
    for (what, update, outcome) in [
        ("update", update(&a, Some(1)), Updated::Saved(Version::new(2))),
        ("update, stale", update(&a, Some(1)), Updated::Stale),
        ("update, gone", update(&gone, Some(1)), Updated::Gone),
        ("update of any version", update(&a, None), Updated::Saved(told(3))),
        ("update of any version, gone", update(&gone, None), Updated::Gone),
        (
            "update that leaves the expiry",
            Update { expires_at: None, ..update(&a, Some(3)) },
            Updated::Saved(Version::new(4)),
        ),
    ] {
        assert_eq!(counter.one(what, store.update(&update, NOW)).await, outcome, "{what}");
    }
    for (what, touch, outcome) in [
        ("touch", touch(&a, None), Touched::Moved),
        ("touch, gone", touch(&gone, None), Touched::Gone),
        ("touch of a version", touch(&a, Some(4)), Touched::Moved),
        ("touch of a version, stale", touch(&a, Some(9)), Touched::Stale),
        ("touch of a version, gone", touch(&gone, Some(4)), Touched::Gone),
    ] {
        assert_eq!(counter.one(what, store.touch(&touch, NOW)).await, outcome, "{what}");
    }
    assert_eq!(counter.one("fate", store.fate(&key(&a), NOW)).await, Fate::Live);
    assert_eq!(counter.one("fate, unknown", store.fate(&key(&gone), NOW)).await, Fate::Unknown);

    store.create(&create(&b), NOW).await.unwrap();
    for mode in MODES {
        let from = id(&format!("from, {mode:?} "));
        store.create(&create(&from), NOW).await.unwrap();
        let [to, then, last] = [1, 2, 3].map(|step| format!("{from}, {step}"));
        for (what, rotate, outcome) in [
            ("rotate, taken", rotate(&from, &b, Some(1), mode), Rotated::KeyTaken),
            ("rotate, stale", rotate(&from, &to, Some(9), mode), Rotated::Stale),
            ("rotate, stale and taken", rotate(&from, &b, Some(9), mode), Rotated::Stale),
            ("rotate, gone", rotate(&gone, &to, Some(1), mode), Rotated::Gone),
            ("rotate any version, taken", rotate(&from, &b, None, mode), Rotated::KeyTaken),
            ("rotate any version, gone", rotate(&gone, &to, None, mode), Rotated::Gone),
            ("rotate", rotate(&from, &to, Some(1), mode), Rotated::Rotated(Version::new(2))),
            ("rotate any version", rotate(&to, &then, None, mode), Rotated::Rotated(told(3))),
            ("rotate once more", rotate(&then, &last, Some(3), mode), Rotated::Rotated(Version::new(4))),
        ] {
            let what = format!("{what}, {mode:?}");
            assert_eq!(counter.one(&what, store.rotate(&rotate, NOW)).await, outcome, "{what}");
            assert!(load(store, &b).await.is_some(), "{what}");
        }
        let found = load(store, &last).await.unwrap();
        assert_eq!((found.payload.as_str(), found.version), ("{}", Version::new(4)), "{mode:?}");
        let destroy = destroy(&last, mode);
        assert!(counter.one(&format!("destroy, {mode:?}"), store.destroy(&destroy, NOW)).await);
        assert!(!counter.one(&format!("destroy, gone, {mode:?}"), store.destroy(&destroy, NOW)).await);
    }

    let hers = Filter { principal: Some(ann()) };
    counter.one("list", store.list(&Filter::default(), None, NonZeroU32::MIN, NOW)).await;
    counter.one("list hers", store.list(&hers, None, NonZeroU32::MIN, NOW)).await;
    counter.one("count", store.count(&Filter::default(), NOW)).await;
    counter.one("count hers", store.count(&hers, NOW)).await;
    counter.one("purge", store.purge_expired(NOW, NonZeroU32::MIN)).await;
    counter.one("time", store.server_time()).await;
    let but = key(&b);
    let end = |except, mode| DestroyPrincipal { principal: ann(), except, created_before: None, mode };
    for mode in MODES {
        let name = format!("{mode:?}, all but one");
        store.create(&create(&id(&name)), NOW).await.unwrap();
        let all_but_one = end(Some(but.clone()), mode);
        let ended = counter.one(&name, store.destroy_principal(&all_but_one, NOW)).await;
        // The one from before the rounds, too, in the first of them.
        assert!(ended >= 1, "{name}");
        let again = counter.one(&name, store.destroy_principal(&all_but_one, NOW)).await;
        assert_eq!(again, 0, "{name}");
        let none = DestroyPrincipal { created_before: Some(NOW), ..end(None, mode) };
        assert_eq!(counter.one("end older ones", store.destroy_principal(&none, NOW)).await, 0, "{name}");
    }
    let ended = counter.one("end hers", store.destroy_principal(&end(None, DestroyMode::Keep), NOW)).await;
    assert_eq!(ended, 1);
    let wiped = counter.one("forget her", store.forget_principal(&ann(), NOW)).await;
    assert!(wiped >= 1, "the rows that were kept");
    assert_eq!(counter.one("forget her again", store.forget_principal(&ann(), NOW)).await, 0);
}

/// Batches, each of one kind.
pub(crate) async fn many_at_once(counter: &impl Counter, store: &dyn Store, manners: Manners) {
    let keys: Vec<_> = (0..9).map(|number| key(&number.to_string())).collect();
    let loads: Vec<Load> =
        keys.iter().map(|key| Load { key: key.clone(), known: Some(Version::FIRST) }).collect();
    counter.one("load many, gone", store.load_many(&loads, NOW)).await;
    let creates: Vec<Write> = (0..8).map(|number| Write::Create(create(&number.to_string()))).collect();
    counter.one("create many", store.write_many(&creates, NOW)).await;
    let loaded = counter.one("load many", store.load_many(&loads, NOW)).await;
    let unchanged = |outcome: &session_core::Result<Loaded>| matches!(outcome, Ok(Loaded::Unchanged { .. }));
    assert_eq!(loaded.iter().filter(|outcome| unchanged(outcome)).count(), 8);
    let touches: Vec<Write> = (0..9).map(|number| Write::Touch(touch(&number.to_string(), None))).collect();
    let (statements, trips) = manners.batch_with_one_gone;
    let touched =
        counter.takes("touch many, one gone", statements, trips, store.write_many(&touches, NOW)).await;
    let live =
        |outcome: &session_core::Result<Written>| matches!(outcome, Ok(Written::Touched(Touched::Moved)));
    assert_eq!(touched.iter().filter(|outcome| live(outcome)).count(), 8);
    let touched = counter.one("touch many", store.write_many(&touches[..8], NOW)).await;
    assert!(touched.iter().all(live));
    for (expected, version) in [(Some(1), Version::new(2)), (None, Version::new(3))] {
        let updates: Vec<Write> =
            (0..8).map(|number| Write::Update(update(&number.to_string(), expected))).collect();
        let version = if expected.is_some() || manners.tells_versions { version } else { Version::NONE };
        for outcome in counter.one("update many", store.write_many(&updates, NOW)).await {
            let saved = Written::Updated(Updated::Saved(version));
            assert!(matches!(outcome, Ok(written) if written == saved), "{outcome:?}");
        }
    }
    let touches: Vec<Write> =
        (0..8).map(|number| Write::Touch(touch(&number.to_string(), Some(3)))).collect();
    let touched = counter.one("touch many of a version", store.write_many(&touches, NOW)).await;
    assert!(touched.iter().all(live));
    for (mode, ids) in [(DestroyMode::Forget, 0..3), (DestroyMode::Keep, 3..5), (DestroyMode::Remove, 5..8)] {
        let ends: Vec<Write> =
            ids.map(|id| Write::Destroy(Destroy { key: keys[id].clone(), mode })).collect();
        let ended = counter.one("end many", store.write_many(&ends, NOW)).await;
        assert!(ended.iter().all(|outcome| matches!(outcome, Ok(Written::Destroyed(true)))));
    }
    counter.one("clear", store.clear()).await;
}
