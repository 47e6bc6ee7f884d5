//! Spans: one for each operation, with its name, backend, outcome and duration, and nothing secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use session_core::SessionStore;
use tokio::time::timeout;
use tracing::field::{Field, Visit as Fields};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{Fault, Visit, World, gone, id, ms, visit_of};

type Span = BTreeMap<String, String>;

/// Keeps the fields of every span, and the words of every event.
#[derive(Clone, Default)]
struct Spans {
    spans: Arc<Mutex<Vec<Span>>>,
    events: Arc<Mutex<Vec<Span>>>,
}

impl Spans {
    fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.spans.lock().unwrap())
    }
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

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("session_core")
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = Span::from([("span".to_owned(), attributes.metadata().name().to_owned())]);
        attributes.record(&mut Into(&mut span));
        let mut spans = self.spans.lock().unwrap();
        spans.push(span);
        Id::from_u64(u64::try_from(spans.len()).unwrap())
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        let index = usize::try_from(id.into_u64()).unwrap() - 1;
        values.record(&mut Into(&mut self.spans.lock().unwrap()[index]));
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = Span::new();
        event.record(&mut Into(&mut fields));
        self.events.lock().unwrap().push(fields);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A handle whose spans are kept while the guard lives.
fn traced(world: &World) -> (SessionStore<Visit>, Spans, tracing::subscriber::DefaultGuard) {
    let spans = Spans::default();
    let guard = tracing::subscriber::set_default(spans.clone());
    (world.handle(), spans, guard)
}

#[tokio::test(start_paused = true)]
async fn each_operation_has_one_span_whatever_it_takes() {
    let world = World::new();
    let (store, spans, _guard) = traced(&world);
    store.connect().await.unwrap();
    let new = store.create(&visit_of("ann")).await.unwrap();
    world.script.once("update", Fault::Slow(ms(20)));
    store.modify(&new.id, |visit| visit.count += 1).await.unwrap();
    store.set(&id("b"), &visit_of("bob")).await.unwrap();
    store.rotate(&new.id).await.unwrap();
    store.doctor().await.unwrap();
    let spans = spans.take();
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
    let (store, spans, _guard) = traced(&world);
    store.count(Some("")).await.unwrap_err();
    world.script.once("count", Fault::Hang);
    store.count(None).await.unwrap_err();
    world.script.once("count", Fault::Hang);
    assert!(timeout(ms(10), store.count(None)).await.is_err());
    let spans = spans.take();
    let outcomes: Vec<_> = spans.iter().map(|span| span["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["invalid input", "unavailable", "cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn no_id_and_no_payload_is_ever_traced() {
    let world = World::new();
    let (store, spans, _guard) = traced(&world);
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
    let events = std::mem::take(&mut *spans.events.lock().unwrap());
    assert!(events.iter().any(|event| event["message"].starts_with("disconnected")), "{events:?}");
    let text = format!("{:?} {events:?}", spans.take());
    assert!(text.contains("corrupt"), "{text}");
    assert!(!text.contains("secret") && !text.contains(new.id.expose()), "{text}");
}
