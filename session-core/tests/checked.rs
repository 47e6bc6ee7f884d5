//! What `Checked` refuses never reaches the backend, singly or inside of a batch, and a backend with answers that cannot
//! be is found out.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use session_core::contract::{
    Checked, Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated,
    Store, Touch, Touched, Update, Write, Written,
};
use session_core::{
    Capabilities, DestroyMode, Error, ErrorKind, Fate, Finding, KeyFormat, Principal, Result, SessionKey,
    Timestamp, Updated, Version,
};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const LATER: Timestamp = Timestamp::from_millis(2_000);

/// A backend that does nothing and keeps count of what it is asked.
#[derive(Debug)]
struct Asked {
    can: Capabilities,
    asked: Mutex<Vec<String>>,
    answers: Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Right,
    /// A batch has an answer less.
    OneLess,
    /// A batch has an answer more.
    OneMore,
    /// The first answer of a batch is that of another operation.
    OfAnotherKind,
    /// Every call is an error.
    Errors,
}

impl Asked {
    fn new(can: Capabilities, answers: Answers) -> Arc<Asked> {
        Arc::new(Asked { can, asked: Mutex::default(), answers })
    }

    fn note<R>(&self, what: impl Into<String>, answer: R) -> Result<R> {
        self.asked.lock().unwrap().push(what.into());
        match self.answers {
            Answers::Errors => Err(Error::unavailable("fails as told")),
            _ => Ok(answer),
        }
    }

    fn batch<R: Clone>(&self, what: String, mut answers: Vec<R>, wrong: R) -> Result<Vec<Result<R>>> {
        match self.answers {
            Answers::OneLess => _ = answers.pop(),
            Answers::OneMore => answers.push(wrong),
            Answers::OfAnotherKind => answers[0] = wrong,
            Answers::Right | Answers::Errors => {}
        }
        self.note(what, answers.into_iter().map(Ok).collect())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn name(key: &SessionKey) -> &str {
    key.as_text().unwrap_or("a digest")
}

#[async_trait]
impl Store for Asked {
    fn backend(&self) -> &'static str {
        "asked"
    }
    fn capabilities(&self) -> Capabilities {
        self.can
    }
    fn key_format(&self) -> KeyFormat {
        KeyFormat::Plain
    }
    async fn create(&self, _: &Create, _: Timestamp) -> Result<Created> {
        self.note("create", Created::Created)
    }
    async fn load(&self, _: &Load, _: Timestamp) -> Result<Loaded> {
        self.note("load", Loaded::Gone)
    }
    async fn update(&self, _: &Update, _: Timestamp) -> Result<Updated> {
        self.note("update", Updated::Gone)
    }
    async fn touch(&self, _: &Touch, _: Timestamp) -> Result<Touched> {
        self.note("touch", Touched::Gone)
    }
    async fn destroy(&self, _: &Destroy, _: Timestamp) -> Result<bool> {
        self.note("destroy", false)
    }
    async fn rotate(&self, _: &Rotate, _: Timestamp) -> Result<Rotated> {
        self.note("rotate", Rotated::Gone)
    }
    async fn fate(&self, _: &SessionKey, _: Timestamp) -> Result<Fate> {
        self.note("fate", Fate::Unknown)
    }
    async fn destroy_principal(&self, _: &DestroyPrincipal, _: Timestamp) -> Result<u64> {
        self.note("destroy_principal", 0)
    }
    async fn forget_principal(&self, _: &Principal, _: Timestamp) -> Result<u64> {
        self.note("forget_principal", 0)
    }
    async fn purge_expired(&self, _: Timestamp, _: NonZeroU32) -> Result<u64> {
        self.note("purge_expired", 0)
    }
    async fn list(
        &self,
        _: &Filter,
        _: Option<&SessionKey>,
        _: NonZeroU32,
        _: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.note("list", vec![Listed { key: key("a"), record: Err(Error::corrupt("unreadable")) }])
    }
    async fn count(&self, _: &Filter, _: Timestamp) -> Result<u64> {
        self.note("count", 0)
    }
    async fn clear(&self) -> Result<u64> {
        self.note("clear", 0)
    }
    async fn server_time(&self) -> Result<Timestamp> {
        self.note("server_time", NOW)
    }
    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.note("diagnose", Vec::new())
    }
    async fn load_many(&self, loads: &[Load], _: Timestamp) -> Result<Vec<Result<Loaded>>> {
        let keys: Vec<&str> = loads.iter().map(|load| name(&load.key)).collect();
        self.batch(format!("load_many {}", keys.join(" ")), vec![Loaded::Gone; loads.len()], Loaded::Gone)
    }
    async fn write_many(&self, writes: &[Write], _: Timestamp) -> Result<Vec<Result<Written>>> {
        let keys: Vec<&str> = writes.iter().map(|write| name(write.key())).collect();
        let answers: Vec<Written> = writes
            .iter()
            .map(|write| match write {
                Write::Create(_) => Written::Created(Created::Created),
                Write::Update(_) => Written::Updated(Updated::Gone),
                Write::Touch(_) => Written::Touched(Touched::Gone),
                Write::Destroy(_) => Written::Destroyed(false),
            })
            .collect();
        let wrong = match writes.first() {
            Some(Write::Destroy(_)) => Written::Touched(Touched::Gone),
            _ => Written::Destroyed(true),
        };
        self.batch(format!("write_many {}", keys.join(" ")), answers, wrong)
    }
}

fn key(name: &str) -> SessionKey {
    SessionKey::from_text(name)
}

fn foreign() -> SessionKey {
    SessionKey::from_digest([7; 32])
}

fn ann() -> Principal {
    Principal::new("ann").unwrap()
}

fn create(key: SessionKey, principal: Option<Principal>) -> Create {
    Create { key, payload: "p".into(), expires_at: LATER, principal, version: Version::FIRST }
}

fn update(key: SessionKey, principal: Option<Principal>, expected: Option<Version>) -> Update {
    Update { key, payload: "p".into(), expires_at: None, principal, expected }
}

fn touch(key: SessionKey, expected: Option<Version>) -> Touch {
    Touch { key, expires_at: LATER, expected }
}

fn destroy(key: SessionKey, mode: DestroyMode) -> Destroy {
    Destroy { key, mode }
}

fn rotate() -> Rotate {
    Rotate {
        from: key("a"),
        to: key("b"),
        payload: None,
        expires_at: None,
        principal: None,
        expected: None,
        mode: DestroyMode::Remove,
    }
}

fn by_principal() -> DestroyPrincipal {
    DestroyPrincipal { principal: ann(), except: None, created_before: None, mode: DestroyMode::Remove }
}

/// A call on its way to a store.
type Call = Box<dyn Fn(Arc<dyn Store>) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>>;

fn call<F, R>(make: impl Fn(Arc<dyn Store>) -> F + 'static) -> Call
where
    F: Future<Output = Result<R>> + Send + 'static,
{
    Box::new(move |store| {
        let called = make(store);
        Box::pin(async move { called.await.map(drop) })
    })
}

/// A write by its single form, and as the only one of a batch.
fn write(write: Write) -> [Call; 2] {
    let single = write.clone();
    [
        call(move |store| {
            let write = single.clone();
            async move { write.apply(&store, NOW).await }
        }),
        call(move |store| {
            let write = write.clone();
            async move { store.write_many(&[write], NOW).await?.remove(0) }
        }),
    ]
}

/// A load by its single form, and as the only one of a batch.
fn load(load: Load) -> [Call; 2] {
    let single = load.clone();
    [
        call(move |store| {
            let load = single.clone();
            async move { store.load(&load, NOW).await }
        }),
        call(move |store| {
            let load = load.clone();
            async move { store.load_many(&[load], NOW).await?.remove(0) }
        }),
    ]
}

fn rotation(rotate: Rotate) -> Call {
    call(move |store| {
        let rotate = rotate.clone();
        async move { store.rotate(&rotate, NOW).await }
    })
}

fn principals(destroy: DestroyPrincipal) -> Call {
    call(move |store| {
        let destroy = destroy.clone();
        async move { store.destroy_principal(&destroy, NOW).await }
    })
}

async fn expect_refused(can: Capabilities, calls: Vec<Call>, kind: ErrorKind) {
    for (number, call) in calls.iter().enumerate() {
        let asked = Asked::new(can, Answers::Right);
        let error = call(Arc::new(Checked::new(asked.clone()))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "call {number}: {error}");
        assert_eq!(error.backend(), Some("asked"), "call {number}");
        assert!(!error.is_in_doubt(), "call {number}");
        assert_eq!(asked.asked(), [""; 0], "call {number} reached the backend");
    }
}

async fn expect_passed(calls: Vec<Call>) {
    for (number, call) in calls.iter().enumerate() {
        let asked = Asked::new(Capabilities::ALL, Answers::Right);
        call(Arc::new(Checked::new(asked.clone()))).await.unwrap();
        assert_eq!(asked.asked().len(), 1, "call {number} did not reach the backend once");
    }
}

/// Takes one capability away.
type TakeAway = fn(&mut Capabilities);

/// Calls that need one capability, and how to take it away.
fn calls_that_need() -> Vec<(TakeAway, Vec<Call>)> {
    let expected = Some(Version::FIRST);
    let mut versions: Vec<Call> = Vec::new();
    versions.extend(load(Load { key: key("a"), known: expected }));
    versions.extend(write(Write::Update(update(key("a"), None, expected))));
    versions.extend(write(Write::Touch(touch(key("a"), expected))));
    versions.push(rotation(Rotate { expected, ..rotate() }));

    let mut whose: Vec<Call> = Vec::new();
    whose.extend(write(Write::Create(create(key("a"), Some(ann())))));
    whose.extend(write(Write::Update(update(key("a"), Some(ann()), None))));
    whose.push(rotation(Rotate { principal: Some(ann()), ..rotate() }));
    whose.push(principals(by_principal()));
    whose.push(call(|store| async move { store.forget_principal(&ann(), NOW).await }));
    let of_ann = || Filter { principal: Some(ann()) };
    whose.push(call(move |store| async move { store.list(&of_ann(), None, NonZeroU32::MIN, NOW).await }));
    whose.push(call(move |store| async move { store.count(&of_ann(), NOW).await }));

    let mut tombstones: Vec<Call> = Vec::new();
    for mode in [DestroyMode::Forget, DestroyMode::Keep] {
        tombstones.extend(write(Write::Destroy(destroy(key("a"), mode))));
        tombstones.push(rotation(Rotate { mode, ..rotate() }));
        tombstones.push(principals(DestroyPrincipal { mode, ..by_principal() }));
    }
    let bounded = principals(DestroyPrincipal { created_before: Some(NOW), ..by_principal() });
    vec![
        (|can| can.versions = false, versions),
        (|can| can.principals = false, whose),
        (|can| can.rotation = false, vec![rotation(rotate())]),
        (|can| can.tombstones = false, tombstones),
        (|can| can.created_at = false, vec![bounded]),
    ]
}

#[tokio::test]
async fn what_the_capabilities_rule_out_is_refused_before_the_backend_is_asked() {
    for (take_away, calls) in calls_that_need() {
        let mut can = Capabilities::ALL;
        take_away(&mut can);
        expect_refused(can, calls, ErrorKind::Unsupported).await;
    }
}

#[tokio::test]
async fn what_the_capabilities_allow_reaches_the_backend_once() {
    for (_, calls) in calls_that_need() {
        expect_passed(calls).await;
    }
}

#[tokio::test]
async fn a_key_of_the_other_format_is_refused_in_every_operation() {
    let mut calls: Vec<Call> = Vec::new();
    calls.extend(load(Load::new(foreign())));
    calls.extend(write(Write::Create(create(foreign(), None))));
    calls.extend(write(Write::Update(update(foreign(), None, None))));
    calls.extend(write(Write::Touch(touch(foreign(), None))));
    calls.extend(write(Write::Destroy(destroy(foreign(), DestroyMode::Forget))));
    calls.push(rotation(Rotate { from: foreign(), ..rotate() }));
    calls.push(rotation(Rotate { to: foreign(), ..rotate() }));
    calls.push(call(|store| async move { store.fate(&foreign(), NOW).await }));
    calls.push(principals(DestroyPrincipal { except: Some(foreign()), ..by_principal() }));
    calls.push(call(|store| async move {
        store.list(&Filter::default(), Some(&foreign()), NonZeroU32::MIN, NOW).await
    }));
    expect_refused(Capabilities::ALL, calls, ErrorKind::InvalidInput).await;
}

#[tokio::test]
async fn a_rotation_to_the_key_that_the_session_has_is_refused() {
    let calls = vec![rotation(Rotate { to: key("a"), ..rotate() })];
    expect_refused(Capabilities::ALL, calls, ErrorKind::InvalidInput).await;
}

#[tokio::test]
async fn a_refusal_in_a_batch_concerns_one_write_alone() {
    let mut can = Capabilities::ALL;
    (can.versions, can.tombstones) = (false, false);
    let asked = Asked::new(can, Answers::Right);
    let store = Checked::new(asked.clone());
    let writes = [
        Write::Create(create(key("a"), None)),
        Write::Touch(touch(key("b"), Some(Version::FIRST))),
        Write::Update(update(key("c"), None, None)),
        Write::Destroy(destroy(foreign(), DestroyMode::Remove)),
        Write::Destroy(destroy(key("d"), DestroyMode::Forget)),
        Write::Destroy(destroy(key("e"), DestroyMode::Remove)),
    ];
    let outcomes = store.write_many(&writes, NOW).await.unwrap();
    let kinds: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().map_err(Error::kind).copied()).collect();
    let expected = [
        Ok(Written::Created(Created::Created)),
        Err(ErrorKind::Unsupported),
        Ok(Written::Updated(Updated::Gone)),
        Err(ErrorKind::InvalidInput),
        Err(ErrorKind::Unsupported),
        Ok(Written::Destroyed(false)),
    ];
    assert_eq!(kinds, expected);
    let loads =
        [Load::new(foreign()), Load::new(key("f")), Load { key: key("g"), known: Some(Version::FIRST) }];
    let outcomes = store.load_many(&loads, NOW).await.unwrap();
    let kinds: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().map_err(Error::kind).cloned()).collect();
    assert_eq!(kinds, [Err(ErrorKind::InvalidInput), Ok(Loaded::Gone), Err(ErrorKind::Unsupported)]);
    assert_eq!(asked.asked(), ["write_many a c e", "load_many f"]);
}

#[tokio::test]
async fn an_empty_batch_is_not_sent() {
    let asked = Asked::new(Capabilities::ALL, Answers::Errors);
    let store = Checked::new(asked.clone());
    assert!(store.load_many(&[], NOW).await.unwrap().is_empty());
    assert!(store.write_many(&[], NOW).await.unwrap().is_empty());
    assert_eq!(asked.asked(), [""; 0]);
}

#[tokio::test]
async fn a_batch_with_a_wrong_number_of_answers_answers_nobody() {
    for answers in [Answers::OneLess, Answers::OneMore] {
        let store = Checked::new(Asked::new(Capabilities::ALL, answers));
        let loads = ["a", "b"].map(|name| Load::new(key(name)));
        let writes = ["a", "b"].map(|name| Write::Create(create(key(name), None)));
        let refused = Write::Touch(touch(foreign(), None));
        for error in [
            store.load_many(&loads, NOW).await.unwrap_err(),
            store.write_many(&writes, NOW).await.unwrap_err(),
            store.write_many(&[writes[0].clone(), refused, writes[1].clone()], NOW).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, true), "{error}");
            assert_eq!(error.backend(), Some("asked"));
            assert!(error.to_string().contains("a batch of 2 operations got"), "{error}");
        }
    }
}

#[tokio::test]
async fn the_outcome_of_another_operation_is_an_error_of_its_own() {
    let store = Checked::new(Asked::new(Capabilities::ALL, Answers::OfAnotherKind));
    let writes: [fn(SessionKey) -> Write; 4] = [
        |key| Write::Create(create(key, None)),
        |key| Write::Update(update(key, None, None)),
        |key| Write::Touch(touch(key, None)),
        |key| Write::Destroy(destroy(key, DestroyMode::Forget)),
    ];
    for write in writes {
        let mut outcomes = store.write_many(&[write(key("a")), write(key("b"))], NOW).await.unwrap();
        assert!(outcomes.pop().unwrap().is_ok(), "the other one");
        let error = outcomes.pop().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.is_in_doubt()), (ErrorKind::Backend, true), "{error}");
        assert!(error.to_string().contains("the outcome of another operation"), "{error}");
    }
}

#[tokio::test]
async fn every_error_names_the_backend() {
    let store: Arc<dyn Store> = Arc::new(Checked::new(Asked::new(Capabilities::ALL, Answers::Errors)));
    let mut calls: Vec<Call> = Vec::new();
    calls.extend(load(Load::new(key("a"))));
    calls.extend(write(Write::Create(create(key("a"), None))));
    calls.extend(write(Write::Update(update(key("a"), None, None))));
    calls.extend(write(Write::Touch(touch(key("a"), None))));
    calls.extend(write(Write::Destroy(destroy(key("a"), DestroyMode::Keep))));
    calls.push(rotation(rotate()));
    calls.push(principals(by_principal()));
    calls.push(call(|store| async move { store.fate(&key("a"), NOW).await }));
    calls.push(call(|store| async move { store.forget_principal(&ann(), NOW).await }));
    calls.push(call(|store| async move { store.purge_expired(NOW, NonZeroU32::MIN).await }));
    calls.push(call(|store| async move { store.list(&Filter::default(), None, NonZeroU32::MIN, NOW).await }));
    calls.push(call(|store| async move { store.count(&Filter::default(), NOW).await }));
    calls.push(call(|store| async move { store.clear().await }));
    calls.push(call(|store| async move { store.server_time().await }));
    calls.push(call(|store| async move { store.diagnose().await }));
    for call in calls {
        let error = call(Arc::clone(&store)).await.unwrap_err();
        assert_eq!((error.backend(), error.kind()), (Some("asked"), ErrorKind::Unavailable));
    }
    let listing = Checked::new(Asked::new(Capabilities::ALL, Answers::Right));
    let page = listing.list(&Filter::default(), None, NonZeroU32::MIN, NOW).await.unwrap();
    assert_eq!(page[0].record.as_ref().unwrap_err().backend(), Some("asked"));
}

#[tokio::test]
async fn it_answers_for_the_store_behind_it() {
    let mut can = Capabilities::ALL;
    can.tells_rotation = false;
    let store = Checked::new(Asked::new(can, Answers::Right));
    assert_eq!((store.backend(), store.capabilities(), store.key_format()), ("asked", can, KeyFormat::Plain));
}
