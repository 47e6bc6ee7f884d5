//! Listens to all that a program can log of a driver: `log` at TRACE, diesel's default instrumentation, spans and events
//! of `tracing`. And knows the forms in which a secret may stand in it.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, Once, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};

static HEARD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// One test listens at a time.
static LISTENING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is heard while it lives.
pub(crate) struct Listener {
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Listener {
    pub(crate) async fn new() -> Listener {
        static INSTALLED: Once = Once::new();

        let alone = LISTENING.lock().await;
        INSTALLED.call_once(|| {
            log::set_boxed_logger(Box::new(Ear)).unwrap();
            log::set_max_level(log::LevelFilter::Trace);
            tracing::subscriber::set_global_default(Ear).unwrap();
            diesel::connection::set_default_instrumentation(|| Some(Box::new(Ear))).unwrap();
        });
        *HEARD.lock().unwrap() = Some(Vec::new());
        Listener { _alone: alone }
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        HEARD.lock().unwrap().clone().unwrap()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        *HEARD.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn hear(line: String) {
    if let Some(heard) = HEARD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        heard.push(line);
    }
}

/// The lines in which one of these secrets stands, in any form.
pub(crate) fn with_secrets(lines: &[String], secrets: &[&str]) -> Vec<String> {
    let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    let shows = |line: &&String| {
        let lower = line.to_lowercase();
        forms.iter().any(|form| line.contains(form) || lower.contains(form))
    };
    lines.iter().filter(shows).cloned().collect()
}

/// A secret as text, escaped, as decimal bytes, in hexadecimal with and without separators, in base64 at each alignment.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let joined = |format: fn(&u8) -> String, by: &str| bytes.iter().map(format).collect::<Vec<_>>().join(by);
    let decimal: fn(&u8) -> String = u8::to_string;
    let hex: fn(&u8) -> String = |byte| format!("{byte:02x}");
    let hex_0x: fn(&u8) -> String = |byte| format!("0x{byte:x}");
    let escaped: fn(&u8) -> String = |byte| format!("\\x{byte:02x}");
    let mut forms = vec![
        secret.to_owned(),
        secret.escape_default().to_string(),
        joined(decimal, ", "),
        joined(decimal, ","),
        joined(decimal, " "),
        joined(hex, ""),
        joined(hex, " "),
        joined(hex, ", "),
        joined(hex_0x, ", "),
        joined(escaped, ""),
    ];
    for (before, cut) in [(0, 0), (1, 2), (2, 3)] {
        let mut shifted = vec![0; before];
        // Whole groups alone: what stands behind the secret changes the last one.
        shifted.extend(&bytes[..bytes.len() - (bytes.len() + before) % 3]);
        forms.push(base64(&shifted)[cut..].to_owned());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let number = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(DIGITS[usize::try_from(number >> shift & 63).unwrap()]));
        }
    }
    text
}

#[derive(Clone, Copy)]
struct Ear;

impl log::Log for Ear {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        hear(format!("log {} {}: {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

impl Instrumentation for Ear {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match &event {
            InstrumentationEvent::FinishQuery { query, error: Some(error), .. } => {
                let details = match error {
                    diesel::result::Error::DatabaseError(_, of) => {
                        format!("{:?} {:?} {:?}", of.details(), of.hint(), of.constraint_name())
                    }
                    _ => String::new(),
                };
                hear(format!("diesel {query} {error} {error:?} {details}"));
            }
            InstrumentationEvent::StartQuery { query, .. } => hear(format!("diesel {query} {query:?}")),
            _ => hear(format!("diesel {event:?}")),
        }
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl tracing::Subscriber for Ear {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = format!("span {}", span.metadata().name());
        span.record(&mut Fields(&mut line));
        hear(line);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = "span".to_owned();
        values.record(&mut Fields(&mut line));
        hear(line);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = format!("event {}", event.metadata().target());
        event.record(&mut Fields(&mut line));
        hear(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The search finds a secret in each of its forms.
pub(crate) fn each_form_is_found() {
    let secret = "hunter2-hunter2";
    for form in forms(secret) {
        let line = vec![format!("before {form} after")];
        assert_eq!(with_secrets(&line, &[secret]).len(), 1, "{form}");
    }
    for before in ["", "x", "xy"] {
        let mut padded = format!("{before}{secret}--");
        padded.truncate(padded.len() / 3 * 3);
        assert_eq!(with_secrets(&[base64(padded.as_bytes())], &[secret]).len(), 1, "{before}");
    }
}
