//! What a small store says about what it does, and must not.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Mutex;

use session_core::contract::Record;

use crate::faults::{Fault, Form};
use crate::parts::SmallStore;

/// Whom the client library tells what it does.
type Hear = fn(&dyn fmt::Debug);

/// Who listens to the client library.
pub(crate) static HEAR: Mutex<Option<Hear>> = Mutex::new(None);

impl SmallStore {
    /// Says that a session was loaded.
    pub(crate) fn tell(&self, record: &Record) {
        let payload = record.payload.as_str();
        match self.form.fault {
            Fault::PayloadsAreTraced => tracing::debug!(payload, "loaded a session"),
            Fault::SpansNameThePayload => _ = tracing::debug_span!("load", payload).entered(),
            Fault::LogsNameThePayload(form) => log::debug!("loaded {}", written(payload, form)),
            Fault::ALibraryIsToldThePayload => {
                if let Some(hear) = *HEAR.lock().unwrap() {
                    hear(&written(payload, Form::Decimal));
                }
            }
            _ => {}
        }
    }
}

fn written(text: &str, form: Form) -> String {
    let bytes = text.as_bytes();
    let each = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
    match form {
        Form::Text => text.to_owned(),
        Form::Decimal => format!("{bytes:?}"),
        Form::Hexadecimal => each(&|byte| format!("{byte:02x}")),
        Form::Escapes => each(&|byte| format!("\\x{byte:02x}")),
        Form::Base64 => base64(bytes),
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let at = |position| u32::from(part.get(position).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..=part.len() {
            let index = usize::try_from(bits >> (18 - 6 * letter) & 63).unwrap();
            _ = text.write_char(char::from(LETTERS[index]));
        }
    }
    text
}
