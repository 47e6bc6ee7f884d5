//! Spans: one for each operation, with its name, backend, outcome and duration, and nothing secret.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Once;

use tokio::time::timeout;
use tracing::field::{Field, Visit as Fields};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{Fault, World, gone, id, ms, visit_of};

type Span = BTreeMap<String, String>;

/// What a thread has traced: the fields of every span, and the words of every event.
#[derive(Default)]
struct Traced {
    spans: Vec<Span>,
    events: Vec<Span>,
}

thread_local! {
    static TRACED: RefCell<Traced> = RefCell::default();
}

/// Takes what the test's thread has traced. A test's runtime has that thread alone.
fn take() -> Traced {
    TRACED.take()
}

/// The one subscriber of the test program. A subscriber for each test loses spans: while one test's is dropped or set, a
/// span that another thread meets for the first time may be switched off for all.
struct Recorder;

/// Begins the record of this thread. It is called before a test can meet a span.
pub(crate) fn record() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
    take();
}

struct Into<'a>(&'a mut Span);

impl Fields for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("session_core")
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = Span::from([("span".to_owned(), attributes.metadata().name().to_owned())]);
        attributes.record(&mut Into(&mut span));
        TRACED.with_borrow_mut(|traced| {
            traced.spans.push(span);
            Id::from_u64(u64::try_from(traced.spans.len()).unwrap())
        })
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        let index = usize::try_from(id.into_u64()).unwrap() - 1;
        // A runtime of several threads may end a span elsewhere than it began. No test looks at those.
        TRACED.with_borrow_mut(|traced| {
            if let Some(span) = traced.spans.get_mut(index) {
                values.record(&mut Into(span));
            }
        });
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = Span::new();
        event.record(&mut Into(&mut fields));
        TRACED.with_borrow_mut(|traced| traced.events.push(fields));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_operation_has_one_span_whatever_it_takes() {
    let world = World::new();
    let store = world.handle();
    store.connect().await.unwrap();
    let new = store.create(&visit_of("ann")).await.unwrap();
    world.script.once("update", Fault::Slow(ms(20)));
    store.modify(&new.id, |visit| visit.count += 1).await.unwrap();
    store.set(&id("b"), &visit_of("bob")).await.unwrap();
    store.rotate(&new.id).await.unwrap();
    store.doctor().await.unwrap();
    let Traced { spans, .. } = take();
    let operations: Vec<_> = spans.iter().map(|span| span["operation"].as_str()).collect();
    assert_eq!(operations, ["connect", "create", "modify", "set", "rotate", "diagnose"]);
    for span in &spans {
        assert_eq!(span["span"], "session");
        assert_eq!(span["backend"], "script");
        assert_eq!(span["outcome"], "ok");
        assert!(span["duration_us"].parse::<u64>().is_ok());
        assert_eq!(span.len(), 5, "{span:?}");
    }
    let took: u64 = spans[2]["duration_us"].parse().unwrap();
    assert!((20_000..22_000).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn the_outcome_is_the_kind_of_the_error_or_that_nobody_waited() {
    let world = World::new();
    let store = world.handle();
    store.count(Some("")).await.unwrap_err();
    world.script.once("count", Fault::Hang);
    store.count(None).await.unwrap_err();
    world.script.once("count", Fault::Hang);
    assert!(timeout(ms(10), store.count(None)).await.is_err());
    let Traced { spans, .. } = take();
    let outcomes: Vec<_> = spans.iter().map(|span| span["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["invalid input", "unavailable", "cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn no_id_and_no_payload_is_ever_traced() {
    let world = World::new();
    let store = world.handle();
    let secret = id("secret-id");
    store.create_with_id(&secret, &visit_of("secret-user")).await.unwrap();
    store.load(&secret).await.unwrap();
    store.modify(&secret, |visit| visit.count += 1).await.unwrap();
    let new = store.rotate(&secret).await.unwrap().unwrap();
    store.destroy_many(&[secret, new.id.clone()]).await.unwrap();
    world.script.plant(&id("secret-corrupt"), "secret-text", None).await;
    store.load(&id("secret-corrupt")).await.unwrap_err();
    world.script.always("count", gone);
    store.count(None).await.unwrap_err();
    let Traced { spans, events } = take();
    assert!(events.iter().any(|event| event["message"].starts_with("disconnected")), "{events:?}");
    let text = format!("{spans:?} {events:?}");
    assert!(text.contains("corrupt"), "{text}");
    assert!(!text.contains("secret") && !text.contains(new.id.expose()), "{text}");
}
