//! Everything of a handle that does not depend on the type of its data.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::clock::DatabaseClock;
use super::fitting::Fitting;
use super::health::Health;
use crate::contract::{Checked, Gathered, Store};
use crate::{Clock, DestroyMode, Gathering, Timestamp};

/// The shared part of all clones of a handle.
pub(super) struct Core {
    /// The store as the application gave it.
    pub(super) backend: Arc<dyn Store>,
    /// The same, with checks before it.
    pub(super) checked: Checked,
    /// That one, behind the gatherer: what every call goes to. Not a `dyn Store`, as that would put each future into a box.
    pub(super) store: Gathered,
    pub(super) health: Health,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) database_clock: Option<Arc<DatabaseClock>>,
    /// The latest present that a call went by, in milliseconds.
    pub(super) latest: Arc<AtomicI64>,
    /// How many rows a purge removes in one statement.
    pub(super) purging: Fitting,
    /// When a clean-up last asked the database for its time, and the answer.
    pub(super) server_time: Mutex<Option<(Instant, Timestamp)>>,
    pub(super) deadline: Duration,
    pub(super) conflict_retries: u32,
    pub(super) connect_retries: u32,
    pub(super) connect_delay: Duration,
    pub(super) cleanup_limit: u32,
    pub(super) destroy_mode: DestroyMode,
}

impl Core {
    /// The same over another store, on which an error ends a transaction.
    pub(super) fn over(&self, store: Arc<dyn Store>) -> Core {
        let checked = Checked::new(Arc::clone(&store));
        let gathered = Gathered::over(checked.clone(), Gathering::OFF).with_deadline(self.deadline);
        Core {
            backend: store,
            checked,
            // What happens within one transaction says nothing of the database.
            health: Health::new(gathered.backend(), None, None),
            store: gathered,
            clock: Arc::clone(&self.clock),
            database_clock: self.database_clock.clone(),
            latest: Arc::clone(&self.latest),
            purging: Fitting::new(),
            server_time: Mutex::new(None),
            deadline: self.deadline,
            conflict_retries: 0,
            connect_retries: 0,
            connect_delay: self.connect_delay,
            cleanup_limit: 0,
            destroy_mode: self.destroy_mode,
        }
    }

    /// The part of a handle's `Debug`.
    pub(super) fn describe(&self, debug: &mut fmt::DebugStruct<'_, '_>) {
        debug
            .field("store", &self.backend)
            .field("connected", &self.health.is_connected())
            .field("deadline", &self.deadline);
    }
}
