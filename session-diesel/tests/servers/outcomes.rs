//! One statement and one round trip for each outcome of each operation: what a store is asked to do while somebody counts.

use std::future::Future;
use std::num::NonZeroU32;

use session_core::{
    Created, Destroy, DestroyMode, Filter, Payload, Principal, Rotate, Rotated, Store, Touch, Update,
    Updated, Version, Write, Written,
};

use crate::{LATER, NOW, create, key};

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
    /// Statements and round trips of a batch of touches of which one is of a session that is gone.
    pub(crate) batch_with_one_gone: (i64, i64),
}

fn update(id: &str, expected: Option<i64>) -> Update {
    Update {
        key: key(id),
        payload: Payload::from("[]"),
        expires_at: LATER,
        principal: Some(Principal::new("ann").unwrap()),
        expected: expected.map(Version::new),
    }
}

pub(crate) fn rotate(from: &str, to: &str, expected: Option<i64>, mode: DestroyMode) -> Rotate {
    Rotate {
        from: key(from),
        to: key(to),
        payload: None,
        expires_at: LATER,
        principal: Some(Principal::new("ann").unwrap()),
        expected: expected.map(Version::new),
        mode,
    }
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
    assert_eq!(counter.one("create, taken", store.create(&new, NOW)).await, Created::KeyTaken);
    assert!(counter.one("load", store.load(&new.key, NOW)).await.is_some());
    assert!(counter.one("load, gone", store.load(&key(&gone), NOW)).await.is_none());
    for (what, update, outcome) in [
        ("update", update(&a, Some(1)), Updated::Saved(Version::new(2))),
        ("update, stale", update(&a, Some(1)), Updated::Stale),
        ("update, gone", update(&gone, Some(1)), Updated::Gone),
        ("update of any version", update(&a, None), Updated::Saved(told(3))),
        ("update of any version, gone", update(&gone, None), Updated::Gone),
    ] {
        assert_eq!(counter.one(what, store.update(&update, NOW)).await, outcome, "{what}");
    }
    let touch = |id: &str| Touch { key: key(id), expires_at: LATER };
    assert!(counter.one("touch", store.touch(&touch(&a), NOW)).await);
    assert!(!counter.one("touch, gone", store.touch(&touch(&gone), NOW)).await);

    store.create(&create(&b), NOW).await.unwrap();
    for mode in [DestroyMode::Soft, DestroyMode::Hard] {
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
            assert!(store.load(&key(&b), NOW).await.unwrap().is_some(), "{what}");
        }
        let found = store.load(&key(&last), NOW).await.unwrap().unwrap();
        assert_eq!((found.payload.as_str(), found.version), ("{}", Version::new(4)), "{mode:?}");
        let destroy = Destroy { key: key(&last), mode };
        assert!(counter.one(&format!("destroy, {mode:?}"), store.destroy(&destroy, NOW)).await);
        assert!(!counter.one(&format!("destroy, gone, {mode:?}"), store.destroy(&destroy, NOW)).await);
    }

    let ann = Principal::new("ann").unwrap();
    let hers = Filter { principal: Some(ann.clone()) };
    counter.one("list", store.list(&Filter::default(), None, NonZeroU32::MIN, NOW)).await;
    counter.one("list hers", store.list(&hers, None, NonZeroU32::MIN, NOW)).await;
    counter.one("count", store.count(&Filter::default(), NOW)).await;
    counter.one("count hers", store.count(&hers, NOW)).await;
    counter.one("purge", store.purge_expired(NOW, NonZeroU32::MIN)).await;
    counter.one("time", store.server_time()).await;
    let but = key(&b);
    for mode in [DestroyMode::Soft, DestroyMode::Hard] {
        let name = format!("{mode:?}, all but one");
        store.create(&create(&id(&name)), NOW).await.unwrap();
        let ended = counter.one(&name, store.destroy_principal(&ann, Some(&but), mode, NOW)).await;
        // The one from before the rounds, too, in the first of them.
        assert!(ended >= 1, "{name}");
        let again = counter.one(&name, store.destroy_principal(&ann, Some(&but), mode, NOW)).await;
        assert_eq!(again, 0, "{name}");
    }
    let ended = counter.one("end hers", store.destroy_principal(&ann, None, DestroyMode::Hard, NOW)).await;
    assert_eq!(ended, 1);
}

/// Batches, each of one kind.
pub(crate) async fn many_at_once(counter: &impl Counter, store: &dyn Store, manners: Manners) {
    let keys: Vec<_> = (0..9).map(|number| key(&number.to_string())).collect();
    counter.one("load many", store.load_many(&keys, NOW)).await;
    let creates: Vec<Write> = (0..8).map(|number| Write::Create(create(&number.to_string()))).collect();
    counter.one("create many", store.write_many(&creates, NOW)).await;
    let touches: Vec<Write> =
        keys.iter().map(|key| Write::Touch(Touch { key: key.clone(), expires_at: LATER })).collect();
    let (statements, trips) = manners.batch_with_one_gone;
    let touched =
        counter.takes("touch many, one gone", statements, trips, store.write_many(&touches, NOW)).await;
    let live = |outcome: &session_core::Result<Written>| matches!(outcome, Ok(Written::Touched(true)));
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
    for (mode, ids) in [(DestroyMode::Soft, 0..4), (DestroyMode::Hard, 4..8)] {
        let ends: Vec<Write> =
            ids.map(|id| Write::Destroy(Destroy { key: keys[id].clone(), mode })).collect();
        let ended = counter.one("end many", store.write_many(&ends, NOW)).await;
        assert!(ended.iter().all(|outcome| matches!(outcome, Ok(Written::Destroyed(true)))));
    }
    counter.one("clear", store.clear()).await;
}
