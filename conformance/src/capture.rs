//! Everything that is traced, logged or told to a client library's instrumentation while somebody looks for secrets in
//! it.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use crate::Subject;

static LOOKING: AtomicUsize = AtomicUsize::new(0);
static HEARD: Mutex<Heard> =
    Mutex::new(Heard { traced: String::new(), logged: String::new(), told: String::new() });
static LOGGER: Logger = Logger;

/// What was heard, by the way on which it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Spans with their fields, and events.
    pub(crate) traced: String,
    /// Records of the crate `log`.
    pub(crate) logged: String,
    /// What the client library tells whoever watches it.
    pub(crate) told: String,
}

/// Keeps what every thread tells, as long as it lives. What others tell meanwhile is kept too.
#[derive(Debug)]
pub(crate) struct Capture(());

impl Capture {
    pub(crate) fn start(subject: &dyn Subject) -> Capture {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            // A program that has a subscriber or a logger of its own keeps it, and nothing is captured.
            _ = tracing::subscriber::set_global_default(Collector(AtomicU64::new(1)));
            _ = log::set_logger(&LOGGER);
        });
        LOOKING.fetch_add(1, Ordering::SeqCst);
        log::set_max_level(log::LevelFilter::Trace);
        subject.instrument(hear);
        Capture(())
    }

    /// Everything so far.
    pub(crate) fn heard(&self) -> Heard {
        HEARD.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if LOOKING.fetch_sub(1, Ordering::SeqCst) == 1 {
            log::set_max_level(log::LevelFilter::Off);
            *HEARD.lock().unwrap_or_else(PoisonError::into_inner) = Heard::default();
        }
    }
}

/// What a client library's instrumentation is told.
fn hear(event: &dyn fmt::Debug) {
    if is_looking() {
        keep(|heard| &mut heard.told, &format!("{event:?}"));
    }
}

fn is_looking() -> bool {
    LOOKING.load(Ordering::SeqCst) > 0
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        is_looking()
    }
    fn log(&self, record: &log::Record<'_>) {
        if is_looking() {
            keep(|heard| &mut heard.logged, &format!("{} {}", record.target(), record.args()));
        }
    }
    fn flush(&self) {}
}

struct Collector(AtomicU64);

impl Subscriber for Collector {
    /// Asked each time: an interest that is kept, and made anew when somebody begins to look, misses what another thread
    /// meets for the first time at that moment.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        is_looking()
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        write(span.metadata(), |line| span.record(line));
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        keep(|heard| &mut heard.traced, &line.0);
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
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value}", field.name());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

fn write(metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
    let mut line = Line(format!("{} {}", metadata.target(), metadata.name()));
    record(&mut line);
    keep(|heard| &mut heard.traced, &line.0);
}

fn keep(part: impl FnOnce(&mut Heard) -> &mut String, line: &str) {
    let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    let text = part(&mut heard);
    text.push_str(line);
    text.push('\n');
}
