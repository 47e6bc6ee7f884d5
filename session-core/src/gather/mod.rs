//! Gathering: concurrent calls travel to the database together.

mod batch;
mod lanes;
mod operations;
mod pulse;
mod queue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::lanes::Lanes;
use self::operations::{Loads, Writes};
use crate::checked::Checked;
use crate::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use crate::{
    Capabilities, Error, ErrorKind, Fate, Finding, Gathering, KeyFormat, Principal, Result, SessionKey,
    Timestamp, Updated,
};

/// A store in front of another one that gathers concurrent calls into its many-key forms.
///
/// While the database works on one statement, whatever arrives waits and then goes out together, as one
/// [`load_many`](Store::load_many) or [`write_many`](Store::write_many). Under load the database sees a few large
/// statements in place of many small ones; a single caller is as fast as without it.
///
/// # Rules
/// - **Lanes.** At most [`Gathering::read_lanes`] loads or batches of loads are under way at once, and
///   [`Gathering::write_lanes`] writes or batches of writes. A call that finds a lane idle goes out at once, alone,
///   through the single form, driven by its own caller: no hop to another task. No timer starts a batch, and no
///   call waits for company.
/// - **Batches.** What arrives while all lanes are busy queues. The next free lane takes up to
///   [`Gathering::max_batch`] operations and [`Gathering::max_bytes`] bytes of payload, first come first served, in
///   the order of their keys, so that the batches of several processes lock rows in one order. A larger write goes
///   alone. A task that ends when the queue is empty drives the batches.
/// - **One key.** Writes of one session happen in the order of their arrival: a write waits for an earlier one that
///   is queued or under way, and a batch never holds two of them. Loads are not ordered against writes: a load that
///   begins after a write was acknowledged sees it, and one that runs beside it sees either state, as without
///   gathering. Loads of one session in one batch share one answer, each with what its caller [knows](Load::known).
/// - **Time.** A batch has one `now`, the greatest of its operations'. That clock was read no earlier than each call
///   began and before the batch went out, so it shows a moment within every call, and an outcome at that moment is one
///   which each call could have had alone. Operations whose times are over a second apart (a clock was set) do not
///   travel together.
/// - **Failures.** If a batch fails as a whole and nothing was done, its operations are tried one by one; so are
///   loads in any case. Other operations of a batch of which nobody knows whether it was done are not repeated: each
///   of their callers gets that error. Once the database itself proves to be
///   [`Unavailable`](ErrorKind::Unavailable), what was not tried yet gets the same error.
/// - **Bounded.** A batch and its repetition have a [deadline](Gathered::with_deadline). A backend that panics in a
///   batch fails that batch. Neither stops the lane. If every lane is held by a caller that has ceased to poll its
///   call, or by a task on a runtime that is not polled, the queue goes on without them after 150 ms.
///
/// All other operations go straight through, concurrent with whatever is queued.
///
/// # Cancel safety
/// A caller that goes away takes nothing with it: its operation, if it was still queued, does not happen; if it is
/// part of a batch under way, the batch goes on without it; if it held a lane, the lane goes to the next one.
///
/// # Runtime
/// Batches run in a task on the tokio runtime of one of the callers, which needs its timer enabled. Where there is
/// no tokio runtime, everything goes out one by one.
pub struct Gathered {
    store: Checked,
    gathering: Gathering,
    loads: Lanes<Loads>,
    writes: Lanes<Writes>,
}

impl Gathered {
    /// How long a batch may take, if nothing else is said.
    const DEADLINE: Duration = Duration::from_secs(5);

    /// Gathers calls to `store` as `gathering` says, each of them [checked](Checked) before it waits for company.
    /// [`Store::gathering`] is what the backend recommends.
    pub fn new(store: Arc<dyn Store>, gathering: Gathering) -> Gathered {
        Gathered::over(Checked::new(store), gathering)
    }

    pub(crate) fn over(store: Checked, gathering: Gathering) -> Gathered {
        Gathered::build(store, gathering, Gathered::DEADLINE)
    }

    /// How long a batch may take, together with the repetition of its operations one by one if it fails. Then its
    /// callers get [`Unavailable`](ErrorKind::Unavailable). Defaults to 5 s. It does not bound a call that goes out
    /// alone: that is its caller's.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Gathered {
        // No call is under way: whoever made one would still have to borrow this.
        Gathered::build(self.store, self.gathering, deadline)
    }

    fn build(store: Checked, gathering: Gathering, deadline: Duration) -> Gathered {
        Gathered {
            loads: Lanes::new(store.clone(), gathering.read_lanes, gathering, deadline),
            writes: Lanes::new(store.clone(), gathering.write_lanes, gathering, deadline),
            store,
            gathering,
        }
    }

    /// The backend gave the outcome of another operation than it was asked for.
    fn mismatch(&self, written: Written) -> Error {
        Error::new(
            ErrorKind::Backend,
            format!(
                "write_many answered with {written:?}, the outcome of another operation; mend the backend"
            ),
        )
        .with_backend(self.store.backend())
    }
}

/// The single forms as a handle calls them. The trait's do the same, and put the future into a box, which costs an
/// allocation.
impl Gathered {
    pub(crate) async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        match self.writes.call(Write::Create(create.clone()), now).await? {
            Written::Created(created) => Ok(created),
            other => Err(self.mismatch(other)),
        }
    }

    pub(crate) async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        if self.loads.are_off() {
            return self.store.load_one(load, now).await;
        }
        self.loads.call(load.clone(), now).await
    }

    pub(crate) async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        match self.writes.call(Write::Update(update.clone()), now).await? {
            Written::Updated(updated) => Ok(updated),
            other => Err(self.mismatch(other)),
        }
    }

    pub(crate) async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        match self.writes.call(Write::Touch(touch.clone()), now).await? {
            Written::Touched(touched) => Ok(touched),
            other => Err(self.mismatch(other)),
        }
    }

    pub(crate) async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        match self.writes.call(Write::Destroy(destroy.clone()), now).await? {
            Written::Destroyed(ended) => Ok(ended),
            other => Err(self.mismatch(other)),
        }
    }

    pub(crate) async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.store.rotate_one(rotate, now).await
    }
}

#[async_trait]
impl Store for Gathered {
    fn backend(&self) -> &'static str {
        self.store.backend()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn key_format(&self) -> KeyFormat {
        self.store.key_format()
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        Gathered::create(self, create, now).await
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        Gathered::load(self, load, now).await
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        Gathered::update(self, update, now).await
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        Gathered::touch(self, touch, now).await
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        Gathered::destroy(self, destroy, now).await
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        Gathered::rotate(self, rotate, now).await
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        self.store.fate(key, now).await
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        self.store.destroy_principal(destroy, now).await
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.store.forget_principal(principal, now).await
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.store.purge_expired(now, limit).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.store.list(filter, after, limit, now).await
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.store.count(filter, now).await
    }

    async fn clear(&self) -> Result<u64> {
        self.store.clear().await
    }

    async fn server_time(&self) -> Result<Timestamp> {
        self.store.server_time().await
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.store.diagnose().await
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.store.load_many(loads, now).await
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.store.write_many(writes, now).await
    }

    /// [`Gathering::OFF`]: calls to this store are gathered already.
    fn gathering(&self) -> Gathering {
        Gathering::OFF
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered")
            .field("store", &self.store)
            .field("gathering", &self.gathering)
            .finish_non_exhaustive()
    }
}
