//! What holds of connect-typeorm's table in either database: what Node left reads as Node reads it, and no id is taken
//! for another.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::contract::{
    Checked, Create, Created, Destroy, DestroyPrincipal, Filter, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update,
};
use session_core::{
    DestroyMode, ErrorKind, Fate, Finding, KeyFormat, Principal, SessionId, SessionKey, Severity, Timestamp,
    Updated, Version,
};

use super::MODES;

/// The clock at which the fixtures are read.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_324_200_000);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_795_324_260_000);
const ALL_EXPIRED: Timestamp = Timestamp::from_millis(1_795_410_490_000);
const MANY: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

/// What a Node application left behind.
pub(crate) struct Left {
    pub(crate) live: u64,
    /// Live, of user 1 on the second view, and when it expires.
    pub(crate) ann: (&'static str, i64),
    /// Its text has a quotation mark, a backslash, an emoji and a U+0000.
    pub(crate) difficult: &'static str,
    pub(crate) destroyed: [&'static str; 2],
    pub(crate) expired: &'static str,
}

/// A store whose table has a unique index on the expiry, which is not of the layout.
pub(crate) async fn a_row_that_a_strange_index_refuses_has_no_taken_id(store: &dyn Store) {
    let [one, other] = ["one", "other"].map(|id| new(id, "{}"));
    assert_eq!(store.create(&one, NOW).await.unwrap(), Created::Created);
    let error = store.create(&other, NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, false), "{error:?}");
    assert_eq!(store.create(&one, NOW).await.unwrap(), Created::KeyTaken);
    let findings = store.diagnose().await.unwrap();
    let is_told = |finding: &Finding| {
        finding.severity == Severity::Fault && finding.what.contains("unique index on expiredAt")
    };
    assert!(findings.iter().any(is_told), "{findings:?}");
}

pub(crate) fn plain(id: &str) -> SessionKey {
    SessionId::new(id).and_then(|id| id.key(KeyFormat::Plain)).unwrap()
}

pub(crate) fn new(id: &str, payload: &str) -> Create {
    Create {
        key: plain(id),
        payload: payload.into(),
        expires_at: LATER,
        principal: None,
        version: Version::FIRST,
    }
}

pub(crate) fn update(id: &str, payload: &str) -> Update {
    Update {
        key: plain(id),
        payload: payload.into(),
        expires_at: Some(LATER),
        principal: None,
        expected: None,
    }
}

pub(crate) fn touch(id: &str) -> Touch {
    Touch { key: plain(id), expires_at: LATER, expected: None }
}

pub(crate) fn loads<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<Load> {
    ids.into_iter().map(|id| Load::new(plain(id))).collect()
}

/// Whether each of the loads of a batch found a session.
fn found(loaded: Vec<session_core::Result<Loaded>>) -> Vec<bool> {
    loaded.into_iter().map(|loaded| loaded.unwrap() != Loaded::Gone).collect()
}

pub(crate) fn rotate(from: &str, to: &str, mode: DestroyMode) -> Rotate {
    Rotate {
        from: plain(from),
        to: plain(to),
        payload: None,
        expires_at: None,
        principal: None,
        expected: None,
        mode,
    }
}

pub(crate) async fn payload(store: &dyn Store, id: &str) -> Option<String> {
    let loaded = store.load(&Load::new(plain(id)), NOW).await.unwrap();
    loaded.record().map(|record| record.payload.as_str().to_owned())
}

/// The table is as the dump made it; in the end it is empty.
pub(crate) async fn what_node_left_reads_as_node_reads_it(store: &dyn Store, left: &Left) {
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), left.live);
    let listed = store.list(&Filter::default(), None, MANY, NOW).await.unwrap();
    assert_eq!(u64::try_from(listed.len()).unwrap(), left.live);
    assert!(listed.iter().all(|listed| listed.record.is_ok()));

    let (ann, expires_at) = left.ann;
    let record = store.load(&Load::new(plain(ann)), NOW).await.unwrap().record().unwrap();
    assert_eq!(
        record.payload.as_str(),
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"id":1,"name":"Ann"},"views":2}"#
    );
    assert_eq!(record.expires_at.as_millis(), expires_at);
    assert_eq!((record.version, record.created_at, record.principal), (Version::NONE, None, None));
    let difficult = payload(store, left.difficult).await.unwrap();
    assert!(
        difficult.contains(r#"O'Brien \"q\" \\ é 😀"#) && difficult.contains(r"\u0000end"),
        "{difficult}"
    );
    assert_eq!(payload(store, &ann.to_lowercase()).await, None);

    let dead = || left.destroyed.into_iter().chain([left.expired]);
    let loaded = store.load_many(&loads([ann].into_iter().chain(dead())), NOW).await.unwrap();
    assert_eq!(found(loaded), [true, false, false, false]);
    for (id, fate) in left.destroyed.map(|id| (id, Fate::Destroyed)).into_iter().chain([
        (ann, Fate::Live),
        (left.expired, Fate::Expired),
        ("nobody", Fate::Unknown),
    ]) {
        assert_eq!(store.fate(&plain(id), NOW).await.unwrap(), fate, "{id}");
    }
    for dead in dead() {
        assert_eq!(payload(store, dead).await, None, "{dead}");
        assert_eq!(store.touch(&touch(dead), NOW).await.unwrap(), Touched::Gone, "{dead}");
        assert_eq!(store.update(&update(dead, "{}"), NOW).await.unwrap(), Updated::Gone, "{dead}");
        assert_eq!(store.create(&new(dead, "{}"), NOW).await.unwrap(), Created::KeyTaken, "{dead}");
        let away = rotate(dead, "new", DestroyMode::Keep);
        assert_eq!(store.rotate(&away, NOW).await.unwrap(), Rotated::Gone, "{dead}");
        let into = rotate(ann, dead, DestroyMode::Keep);
        assert_eq!(store.rotate(&into, NOW).await.unwrap(), Rotated::KeyTaken, "{dead}");
    }
    let before = payload(store, ann).await;
    let away = rotate(ann, "new", DestroyMode::Keep);
    assert_eq!(store.rotate(&away, NOW).await.unwrap(), Rotated::Rotated(Version::NONE));
    assert_eq!((payload(store, ann).await, payload(store, "new").await), (None, before));

    // Tombstones go once their expiry passes.
    assert_eq!(store.purge_expired(NOW, MANY).await.unwrap(), 1);
    assert_eq!(store.purge_expired(ALL_EXPIRED, MANY).await.unwrap(), left.live + 3);
}

/// What the table cannot hold.
pub(crate) async fn versions_and_principals_are_unsupported(store: Arc<dyn Store>) {
    let store = Checked::new(store);
    store.create(&new("a", "{}"), NOW).await.unwrap();
    let ann = Principal::new("ann").unwrap();
    let end = DestroyPrincipal {
        principal: ann.clone(),
        except: None,
        created_before: None,
        mode: DestroyMode::Remove,
    };
    let of_ann = Filter { principal: Some(ann.clone()) };
    let refused = [
        store.create(&Create { principal: Some(ann.clone()), ..new("x", "{}") }, NOW).await.map(drop),
        store.update(&Update { expected: Some(Version::FIRST), ..update("a", "{}") }, NOW).await.map(drop),
        store.count(&of_ann, NOW).await.map(drop),
        store.list(&of_ann, None, MANY, NOW).await.map(drop),
        store.destroy_principal(&end, NOW).await.map(drop),
        store.forget_principal(&ann, NOW).await.map(drop),
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(store.count(&Filter::default(), NOW).await.unwrap(), 1);
    assert!(store.destroy(&hard("a"), NOW).await.unwrap());
}

/// The table is as version 1.1.4 made it.
pub(crate) async fn an_entity_without_destroyed_at_is_recognised(store: Arc<dyn Store>) {
    let store = &Checked::new(store);
    assert!(!store.capabilities().tombstones);
    store.create(&new("a", "{}"), NOW).await.unwrap();
    for mode in [DestroyMode::Forget, DestroyMode::Keep] {
        let soft = Destroy { mode, ..hard("a") };
        assert_eq!(store.destroy(&soft, NOW).await.unwrap_err().kind(), ErrorKind::Unsupported);
        let marked = store.rotate(&rotate("a", "b", mode), NOW).await;
        assert_eq!(marked.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let moved = store.rotate(&rotate("a", "b", DestroyMode::Remove), NOW).await.unwrap();
    assert_eq!(moved, Rotated::Rotated(Version::NONE));
    assert!(store.destroy(&hard("b"), NOW).await.unwrap());
    assert_eq!(payload(store, "b").await, None);
    assert_eq!(store.fate(&plain("b"), NOW).await.unwrap(), Fate::Unknown);
    let findings = store.diagnose().await.unwrap();
    for lacking in ["destroyedAt", "no index on expiredAt"] {
        assert!(findings.iter().any(|finding| finding.what.contains(lacking)), "{findings:?}");
    }
}

/// The column takes each of these ids for `Ann`.
pub(crate) async fn no_session_of_another_id_is_met(store: &dyn Store, same: &[&str]) {
    store.create(&new("Ann", "ann's"), NOW).await.unwrap();
    store.create(&new("other", "{}"), NOW).await.unwrap();
    for id in same {
        assert_eq!(payload(store, id).await, None, "{id:?}");
        let loaded = store.load_many(&loads([*id, "Ann", "other"]), NOW).await.unwrap();
        assert_eq!(found(loaded), [false, true, true], "{id:?}");
        assert_eq!(store.fate(&plain(id), NOW).await.unwrap(), Fate::Unknown, "{id:?}");
        assert_eq!(store.touch(&touch(id), NOW).await.unwrap(), Touched::Gone, "{id:?}");
        assert_eq!(store.update(&update(id, "{}"), NOW).await.unwrap(), Updated::Gone, "{id:?}");
        assert!(!store.destroy(&hard(id), NOW).await.unwrap(), "{id:?}");
        for mode in [DestroyMode::Forget, DestroyMode::Keep] {
            let soft = Destroy { mode, ..hard(id) };
            assert!(!store.destroy(&soft, NOW).await.unwrap(), "{id:?}");
        }
        assert_eq!(store.create(&new(id, "{}"), NOW).await.unwrap(), Created::KeyTaken, "{id:?}");
        for mode in MODES {
            let away = rotate(id, "new", mode);
            assert_eq!(store.rotate(&away, NOW).await.unwrap(), Rotated::Gone, "{id:?}");
            let into = rotate("other", id, mode);
            assert_eq!(store.rotate(&into, NOW).await.unwrap(), Rotated::KeyTaken, "{id:?}");
        }
        // To an id of its own kin: both rows would have to be there.
        let kin = rotate("Ann", id, DestroyMode::Keep);
        assert_eq!(store.rotate(&kin, NOW).await.unwrap(), Rotated::KeyTaken, "{id:?}");
        assert_eq!(payload(store, "Ann").await.as_deref(), Some("ann's"), "{id:?}");
    }
    let findings = store.diagnose().await.unwrap();
    assert!(
        findings.iter().any(|finding| finding.what.contains("takes different texts for equal")),
        "{findings:?}"
    );
}

pub(crate) fn hard(id: &str) -> Destroy {
    Destroy { key: plain(id), mode: DestroyMode::Remove }
}
