//! Everything that is traced while somebody looks for secrets in it.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LOOKING: AtomicUsize = AtomicUsize::new(0);
static TEXT: Mutex<String> = Mutex::new(String::new());

/// Keeps what every thread traces, as long as it lives. What others trace meanwhile is kept too.
#[derive(Debug)]
pub(crate) struct Capture(());

impl Capture {
    pub(crate) fn start() -> Capture {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            // A program that has a subscriber of its own keeps it, and nothing is captured.
            _ = tracing::subscriber::set_global_default(Collector(AtomicU64::new(1)));
        });
        LOOKING.fetch_add(1, Ordering::SeqCst);
        tracing::callsite::rebuild_interest_cache();
        Capture(())
    }

    /// Everything so far, spans with their fields and events.
    pub(crate) fn text(&self) -> String {
        TEXT.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if LOOKING.fetch_sub(1, Ordering::SeqCst) == 1 {
            TEXT.lock().unwrap_or_else(PoisonError::into_inner).clear();
            tracing::callsite::rebuild_interest_cache();
        }
    }
}

struct Collector(AtomicU64);

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        LOOKING.load(Ordering::SeqCst) > 0
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        write(span.metadata(), |line| span.record(line));
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        keep(&line);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        write(event.metadata(), |line| event.record(line));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

fn write(metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
    let mut line = Line(format!("{} {}", metadata.target(), metadata.name()));
    record(&mut line);
    keep(&line);
}

fn keep(line: &Line) {
    let mut text = TEXT.lock().unwrap_or_else(PoisonError::into_inner);
    text.push_str(&line.0);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_events_are_captured_with_their_fields() {
        let capture = Capture::start();
        tracing::info_span!("outer", id = "seven").in_scope(|| tracing::debug!(code = 42, "inner"));
        let text = capture.text();
        assert!(text.contains("outer") && text.contains("seven"), "{text}");
        assert!(text.contains("42") && text.contains("inner"), "{text}");
    }
}
