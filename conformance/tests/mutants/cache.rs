//! Caches that are wrong: each handle of the store has one before its rows.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use session_core::contract::{Load, Loaded, Record};
use session_core::{SessionKey, Timestamp};

use crate::faults::Fault;

/// What a handle keeps of what it has loaded.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<SessionKey, Record>>);

/// One for all tables: what it keeps of a key is taken for any table's.
static OF_ALL_TABLES: LazyLock<Cache> = LazyLock::new(Cache::default);

impl Cache {
    /// The cache that a store with this fault has; `None` if it has none.
    pub(crate) fn of(&self, fault: Fault) -> Option<&Cache> {
        match fault {
            Fault::ACacheDoesNotAsk
            | Fault::ACacheForgetsTheVersion
            | Fault::ACacheAnswersForTheDead
            | Fault::ACacheKeepsTheExpiry => Some(self),
            Fault::ACacheIsSharedByTables => Some(&OF_ALL_TABLES),
            _ => None,
        }
    }

    /// What is kept, where the database is not asked.
    pub(crate) fn unasked(&self, fault: Fault, load: &Load, now: Timestamp) -> Option<Loaded> {
        let kept = self.0.lock().unwrap().get(&load.key).cloned()?;
        let is_live = now < kept.expires_at;
        let answer = if is_live { Loaded::of(kept, load.known) } else { Loaded::Gone };
        (fault == Fault::ACacheDoesNotAsk).then_some(answer)
    }

    /// What is made of the database's answer.
    pub(crate) fn answer(&self, fault: Fault, load: &Load, found: Loaded) -> Loaded {
        let mut kept = self.0.lock().unwrap();
        match (found, kept.get(&load.key).cloned()) {
            (Loaded::Record(record), Some(old)) if fault == Fault::ACacheForgetsTheVersion => {
                // It asks, and takes whatever it has for what is there.
                Loaded::Record(Record { payload: old.payload, ..record })
            }
            (Loaded::Record(record), Some(old))
                if fault == Fault::ACacheKeepsTheExpiry && old.version == record.version =>
            {
                Loaded::Record(old)
            }
            (Loaded::Record(record), Some(old))
                if fault == Fault::ACacheIsSharedByTables && old.version == record.version =>
            {
                Loaded::Record(Record { payload: old.payload, ..record })
            }
            (Loaded::Record(record), _) => {
                kept.insert(load.key.clone(), record.clone());
                Loaded::Record(record)
            }
            (Loaded::Gone, Some(old)) if fault == Fault::ACacheAnswersForTheDead => {
                Loaded::of(old, load.known)
            }
            (other, _) => other,
        }
    }
}
