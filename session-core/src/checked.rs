//! The refusals that are the same for every backend.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;

use crate::contract::{
    Create, Created, Destroy, DestroyPrincipal, Filter, Listed, Load, Loaded, Rotate, Rotated, Store, Touch,
    Touched, Update, Write, Written,
};
use crate::{
    Capabilities, DestroyMode, Error, ErrorKind, Fate, Finding, Gathering, KeyFormat, Principal, Result,
    SessionKey, Timestamp, Updated, Version,
};

/// A store in front of another one that refuses what that one cannot do, and puts its name on errors.
///
/// [`Sessions`](crate::Sessions) has one around every store, and so has the conformance suite: a backend has no
/// refusals of its own. Each is made before anything is sent, changes nothing, and concerns one write of a batch alone.
///
/// [`Unsupported`](ErrorKind::Unsupported) are, without
/// - [`versions`](Capabilities::versions): an expected or known version;
/// - [`principals`](Capabilities::principals): a principal in a create, an update, a rotation or a filter, and every
///   operation on a principal;
/// - [`rotation`](Capabilities::rotation): a rotation;
/// - [`tombstones`](Capabilities::tombstones): [`DestroyMode::Forget`] and [`DestroyMode::Keep`];
/// - [`created_at`](Capabilities::created_at): a bound on the time of creation.
///
/// [`InvalidInput`](ErrorKind::InvalidInput) are a key of the other [`KeyFormat`] and a rotation to the key that the
/// session has.
///
/// An answer that cannot be one (a batch with fewer outcomes than operations, the outcome of another operation) becomes
/// an error that says so, and is in doubt.
#[derive(Clone, Debug)]
pub struct Checked {
    store: Arc<dyn Store>,
    // Always the same answers: asked once.
    backend: &'static str,
    can: Capabilities,
    format: KeyFormat,
}

impl Checked {
    /// Checks all calls to `store`.
    pub fn new(store: Arc<dyn Store>) -> Checked {
        let (backend, can, format) = (store.backend(), store.capabilities(), store.key_format());
        Checked { store, backend, can, format }
    }

    /// The store behind.
    pub fn inner(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with_backend(self.backend))
    }

    fn refuse<T>(&self, error: Error) -> Result<T> {
        Err(error.with_backend(self.backend))
    }

    fn key(&self, key: &SessionKey) -> Result<()> {
        if key.format() == self.format {
            return Ok(());
        }
        self.refuse(Error::invalid_input(
            "the key's format is not this table's; make keys with the store's `key_format`",
        ))
    }

    /// For an operation that reads first: refuses before it does.
    pub(crate) fn require_versions(&self) -> Result<()> {
        if self.can.versions {
            return Ok(());
        }
        self.refuse(Error::unsupported(
            "this table holds no versions; save without expecting one, or use a native table",
        ))
    }

    /// For an operation that reads first: refuses before it does.
    pub(crate) fn require_rotation(&self) -> Result<()> {
        if self.can.rotation {
            return Ok(());
        }
        self.refuse(Error::unsupported(
            "this table cannot move a session to another id in one step; destroy it and create a new one",
        ))
    }

    fn version(&self, version: Option<Version>) -> Result<()> {
        version.map_or(Ok(()), |_| self.require_versions())
    }

    fn principal(&self, principal: Option<&Principal>) -> Result<()> {
        if self.can.principals || principal.is_none() {
            return Ok(());
        }
        self.refuse(Error::unsupported(
            "this table does not hold whom a session belongs to; set no principal, or use a native table",
        ))
    }

    fn mode(&self, mode: DestroyMode) -> Result<()> {
        if self.can.tombstones || mode == DestroyMode::Remove {
            return Ok(());
        }
        self.refuse(Error::unsupported(
            "this table keeps no rows of destroyed sessions; destroy with `DestroyMode::Remove`",
        ))
    }

    fn created_before(&self, bound: Option<Timestamp>) -> Result<()> {
        if self.can.created_at || bound.is_none() {
            return Ok(());
        }
        self.refuse(Error::unsupported(
            "this table does not hold when a session was created; end all of a principal's sessions, or use a native table",
        ))
    }

    fn load_of(&self, load: &Load) -> Result<()> {
        self.key(&load.key)?;
        self.version(load.known)
    }

    fn write_of(&self, write: &Write) -> Result<()> {
        self.key(write.key())?;
        match write {
            Write::Create(create) => self.principal(create.principal.as_ref()),
            Write::Update(update) => {
                self.version(update.expected)?;
                self.principal(update.principal.as_ref())
            }
            Write::Touch(touch) => self.version(touch.expected),
            Write::Destroy(destroy) => self.mode(destroy.mode),
        }
    }

    fn rotate_of(&self, rotate: &Rotate) -> Result<()> {
        self.require_rotation()?;
        self.key(&rotate.from)?;
        self.key(&rotate.to)?;
        self.version(rotate.expected)?;
        self.principal(rotate.principal.as_ref())?;
        self.mode(rotate.mode)?;
        if rotate.from == rotate.to {
            return self.refuse(Error::invalid_input(
                "a session cannot be rotated to the key that it has; draw a new id",
            ));
        }
        Ok(())
    }

    /// The outcomes of a batch, each with the backend's name.
    fn outcomes<T>(&self, outcomes: Result<Vec<Result<T>>>, expected: usize) -> Result<Vec<Result<T>>> {
        let outcomes = self.named(outcomes)?;
        if outcomes.len() != expected {
            return self.refuse(Error::new(
                ErrorKind::Backend,
                format!(
                    "a batch of {expected} operations got {} answers; mend the backend's many-key forms",
                    outcomes.len()
                ),
            ));
        }
        Ok(outcomes.into_iter().map(|outcome| self.named(outcome)).collect())
    }

    /// An outcome of the operation that was asked for.
    fn answer(&self, write: &Write, outcome: Result<Written>) -> Result<Written> {
        match outcome {
            Ok(written) if !written.answers(write) => self.refuse(Error::new(
                ErrorKind::Backend,
                format!(
                    "write_many answered with {written:?}, the outcome of another operation; mend the backend"
                ),
            )),
            outcome => outcome,
        }
    }

    /// The trait's `load`, without a box for the future, which costs an allocation.
    pub(crate) async fn load_one(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        self.load_of(load)?;
        self.named(self.store.load(load, now).await)
    }

    /// The trait's `create`, `update`, `touch` and `destroy`, likewise.
    pub(crate) async fn write_one(&self, write: &Write, now: Timestamp) -> Result<Written> {
        self.write_of(write)?;
        self.named(write.apply(&*self.store, now).await)
    }

    /// The trait's `rotate`, likewise.
    pub(crate) async fn rotate_one(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.rotate_of(rotate)?;
        self.named(self.store.rotate(rotate, now).await)
    }

    /// The trait's `load_many`, likewise.
    pub(crate) async fn load_batch(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        if loads.iter().all(|load| self.load_of(load).is_ok()) {
            return self.load_allowed(loads, now).await;
        }
        let (allowed, refusals) = sort(loads, |load| self.load_of(load));
        Ok(merge(refusals, self.load_allowed(&allowed, now).await?))
    }

    /// The trait's `write_many`, likewise.
    pub(crate) async fn write_batch(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        if writes.iter().all(|write| self.write_of(write).is_ok()) {
            return self.write_allowed(writes, now).await;
        }
        let (allowed, refusals) = sort(writes, |write| self.write_of(write));
        Ok(merge(refusals, self.write_allowed(&allowed, now).await?))
    }

    /// An empty batch asks for nothing, and is not sent.
    async fn load_allowed(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        if loads.is_empty() {
            return Ok(Vec::new());
        }
        self.outcomes(self.store.load_many(loads, now).await, loads.len())
    }

    async fn write_allowed(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.outcomes(self.store.write_many(writes, now).await, writes.len())?;
        let outcomes = outcomes.into_iter().enumerate();
        Ok(outcomes.map(|(place, outcome)| self.answer(&writes[place], outcome)).collect())
    }
}

/// The operations of a batch that are allowed, and beside each operation why it is not.
fn sort<T: Clone>(operations: &[T], check: impl Fn(&T) -> Result<()>) -> (Vec<T>, Vec<Option<Error>>) {
    let refusals: Vec<Option<Error>> = operations.iter().map(|operation| check(operation).err()).collect();
    let allowed = operations.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none());
    (allowed.map(|(operation, _)| operation.clone()).collect(), refusals)
}

/// Puts the outcomes of what was allowed between the refusals.
fn merge<T>(refusals: Vec<Option<Error>>, outcomes: Vec<Result<T>>) -> Vec<Result<T>> {
    let mut outcomes = outcomes.into_iter();
    refusals.into_iter().filter_map(|refusal| refusal.map(Err).or_else(|| outcomes.next())).collect()
}

#[async_trait]
impl Store for Checked {
    fn backend(&self) -> &'static str {
        self.backend
    }

    fn capabilities(&self) -> Capabilities {
        self.can
    }

    fn key_format(&self) -> KeyFormat {
        self.format
    }

    async fn create(&self, create: &Create, now: Timestamp) -> Result<Created> {
        self.key(&create.key)?;
        self.principal(create.principal.as_ref())?;
        self.named(self.store.create(create, now).await)
    }

    async fn load(&self, load: &Load, now: Timestamp) -> Result<Loaded> {
        self.load_one(load, now).await
    }

    async fn update(&self, update: &Update, now: Timestamp) -> Result<Updated> {
        self.key(&update.key)?;
        self.version(update.expected)?;
        self.principal(update.principal.as_ref())?;
        self.named(self.store.update(update, now).await)
    }

    async fn touch(&self, touch: &Touch, now: Timestamp) -> Result<Touched> {
        self.key(&touch.key)?;
        self.version(touch.expected)?;
        self.named(self.store.touch(touch, now).await)
    }

    async fn destroy(&self, destroy: &Destroy, now: Timestamp) -> Result<bool> {
        self.key(&destroy.key)?;
        self.mode(destroy.mode)?;
        self.named(self.store.destroy(destroy, now).await)
    }

    async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
        self.rotate_one(rotate, now).await
    }

    async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
        self.key(key)?;
        self.named(self.store.fate(key, now).await)
    }

    async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
        self.principal(Some(&destroy.principal))?;
        destroy.except.as_ref().map_or(Ok(()), |except| self.key(except))?;
        self.created_before(destroy.created_before)?;
        self.mode(destroy.mode)?;
        self.named(self.store.destroy_principal(destroy, now).await)
    }

    async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
        self.principal(Some(principal))?;
        self.named(self.store.forget_principal(principal, now).await)
    }

    async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
        self.named(self.store.purge_expired(now, limit).await)
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<&SessionKey>,
        limit: NonZeroU32,
        now: Timestamp,
    ) -> Result<Vec<Listed>> {
        self.principal(filter.principal.as_ref())?;
        after.map_or(Ok(()), |after| self.key(after))?;
        let page = self.named(self.store.list(filter, after, limit, now).await)?;
        Ok(page
            .into_iter()
            .map(|Listed { key, record }| Listed { key, record: self.named(record) })
            .collect())
    }

    async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
        self.principal(filter.principal.as_ref())?;
        self.named(self.store.count(filter, now).await)
    }

    async fn clear(&self) -> Result<u64> {
        self.named(self.store.clear().await)
    }

    async fn server_time(&self) -> Result<Timestamp> {
        self.named(self.store.server_time().await)
    }

    async fn diagnose(&self) -> Result<Vec<Finding>> {
        self.named(self.store.diagnose().await)
    }

    async fn load_many(&self, loads: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        self.load_batch(loads, now).await
    }

    async fn write_many(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        self.write_batch(writes, now).await
    }

    fn gathering(&self) -> Gathering {
        self.store.gathering()
    }
}
