//! The two kinds of operations that are gathered, each kind by itself.

use crate::{Record, Result, SessionKey, Store, Timestamp, Write, Written};

/// What the lanes need to know of the operations they carry.
pub(super) trait Operations: Sized + Send + Sync + 'static {
    /// One operation.
    type Op: Send + Sync + 'static;
    /// Its outcome.
    type Answer: Clone + Send + 'static;

    /// Whether operations on one key keep their order. If not, those of one batch share one answer.
    const ORDERED: bool;
    /// Whether an operation that may have been done may be done again.
    const REPEATABLE: bool;

    fn key(op: &Self::Op) -> &SessionKey;

    /// What it counts against the bound of a batch in bytes.
    fn bytes(op: &Self::Op) -> usize;

    fn one(
        store: &dyn Store,
        op: &Self::Op,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Answer>> + Send;

    fn many(
        store: &dyn Store,
        ops: &[Self::Op],
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

/// Loads. A load changes nothing, so it may be repeated.
pub(super) struct Loads;

impl Operations for Loads {
    type Op = SessionKey;
    type Answer = Option<Record>;

    const ORDERED: bool = false;
    const REPEATABLE: bool = true;

    fn key(op: &SessionKey) -> &SessionKey {
        op
    }

    fn bytes(_: &SessionKey) -> usize {
        0
    }

    async fn one(store: &dyn Store, op: &SessionKey, now: Timestamp) -> Result<Option<Record>> {
        store.load(op, now).await
    }

    async fn many(
        store: &dyn Store,
        ops: &[SessionKey],
        now: Timestamp,
    ) -> Result<Vec<Result<Option<Record>>>> {
        store.load_many(ops, now).await
    }
}

/// Creates, updates, touches and destroys. None may be repeated blindly. Not even a touch: between the two, somebody
/// may have set another expiry and been told so.
pub(super) struct Writes;

impl Operations for Writes {
    type Op = Write;
    type Answer = Written;

    const ORDERED: bool = true;
    const REPEATABLE: bool = false;

    fn key(op: &Write) -> &SessionKey {
        op.key()
    }

    fn bytes(op: &Write) -> usize {
        op.payload_len()
    }

    async fn one(store: &dyn Store, op: &Write, now: Timestamp) -> Result<Written> {
        match op {
            Write::Create(create) => store.create(create, now).await.map(Written::Created),
            Write::Update(update) => store.update(update, now).await.map(Written::Updated),
            Write::Touch(touch) => store.touch(touch, now).await.map(Written::Touched),
            Write::Destroy(destroy) => store.destroy(destroy, now).await.map(Written::Destroyed),
        }
    }

    async fn many(store: &dyn Store, ops: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        store.write_many(ops, now).await
    }
}
