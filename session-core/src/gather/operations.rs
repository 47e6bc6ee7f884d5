//! The two kinds of operations that are gathered, each kind by itself.

use crate::checked::Checked;
use crate::contract::{Load, Loaded, Write, Written};
use crate::mutants::broken;
use crate::{Result, SessionKey, Timestamp};

/// What the lanes need to know of the operations they carry.
pub(super) trait Operations: Sized + Send + Sync + 'static {
    /// One operation.
    type Op: Clone + Send + Sync + 'static;
    /// Its outcome.
    type Answer: Clone + Send + 'static;

    /// Whether operations on one key keep their order. If not, those of one batch share one answer.
    const ORDERED: bool;
    /// Whether an operation that may have been done may be done again.
    const REPEATABLE: bool;

    fn key(op: &Self::Op) -> &SessionKey;

    /// Takes `other`, on the same key and unordered, along with `op`.
    fn join(op: &mut Self::Op, other: &Self::Op);

    /// What the answer to joined operations says to one of them.
    fn answer_to(op: &Self::Op, answer: Self::Answer) -> Self::Answer;

    /// What it counts against the bound of a batch in bytes.
    fn bytes(op: &Self::Op) -> usize;

    fn one(
        store: &Checked,
        op: &Self::Op,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self::Answer>> + Send;

    fn many(
        store: &Checked,
        ops: &[Self::Op],
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

/// Loads. A load changes nothing, so it may be repeated.
pub(super) struct Loads;

impl Operations for Loads {
    type Op = Load;
    type Answer = Loaded;

    const ORDERED: bool = false;
    const REPEATABLE: bool = true;

    fn key(op: &Load) -> &SessionKey {
        &op.key
    }

    /// Who knows different versions, asks for the payload together.
    fn join(op: &mut Load, other: &Load) {
        op.known = op
            .known
            .filter(|_| op.known == other.known || broken("gatherer: all know what the first one knows"));
    }

    fn answer_to(op: &Load, answer: Loaded) -> Loaded {
        match answer {
            Loaded::Record(record) if !broken("gatherer: sends everybody the payload") => {
                Loaded::of(record, op.known)
            }
            answer => answer,
        }
    }

    fn bytes(_: &Load) -> usize {
        0
    }

    async fn one(store: &Checked, op: &Load, now: Timestamp) -> Result<Loaded> {
        store.load_one(op, now).await
    }

    async fn many(store: &Checked, ops: &[Load], now: Timestamp) -> Result<Vec<Result<Loaded>>> {
        store.load_batch(ops, now).await
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

    /// Writes are ordered: each goes for itself.
    fn join(_: &mut Write, _: &Write) {}

    fn answer_to(_: &Write, answer: Written) -> Written {
        answer
    }

    fn bytes(op: &Write) -> usize {
        op.payload_len()
    }

    async fn one(store: &Checked, op: &Write, now: Timestamp) -> Result<Written> {
        store.write_one(op, now).await
    }

    async fn many(store: &Checked, ops: &[Write], now: Timestamp) -> Result<Vec<Result<Written>>> {
        store.write_batch(ops, now).await
    }
}
