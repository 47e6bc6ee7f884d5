//! What a small database refuses by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conformance::Objection;
use session_core::{Error, ErrorKind, Result};

use crate::faults::Fault;
use crate::parts::SmallStore;

/// The rules of a table.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    objects: Arc<AtomicBool>,
}

impl Rules {
    pub(crate) fn object(&self) {
        self.objects.store(true, Ordering::SeqCst);
    }
}

/// Whether a table of Latin-1 has it.
pub(crate) fn is_held(character: char) -> bool {
    character <= '\u{ff}'
}

impl SmallStore {
    /// The same store, whose payloads hold Latin-1 alone.
    pub(crate) fn narrowed(mut self) -> SmallStore {
        self.narrow = true;
        self
    }

    /// Lets a payload pass that the table takes.
    pub(crate) fn admit(&self, payload: &str) -> Result<()> {
        if self.rules.objects.load(Ordering::SeqCst) && payload.starts_with(Objection::WORD) {
            let refused = |what: &str| Error::new(ErrorKind::Backend, what).with_in_doubt(false);
            return Err(match self.form.fault {
                Fault::ARefusalQuotesTheRow => refused(&format!("the table refuses {payload}")),
                Fault::TheSourceOfARefusalQuotesTheRow => {
                    refused("the table refuses it").with_source(payload)
                }
                _ => refused("the table refuses it"),
            });
        }
        let is_lacked = self.narrow && !payload.chars().all(is_held);
        if is_lacked && !self.is(Fault::LackedCharactersAreReplaced) {
            let error = Error::invalid_input("the table lacks a character");
            return Err(error.with_in_doubt(self.is(Fault::ALackedCharacterLeavesDoubt)));
        }
        Ok(())
    }
}
