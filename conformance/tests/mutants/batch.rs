//! What becomes of a write on its way into a batch.

use session_core::contract::{Create, Destroy, Touch, Update, Write};
use session_core::{DestroyMode, Timestamp, Version};

use crate::faults::Fault;
use crate::parts::SmallStore;

impl SmallStore {
    /// The writes with their payloads, which travel as one text. It is cut by the lengths that each has.
    pub(crate) fn cut_apart(&self, writes: &[Write]) -> Vec<Write> {
        if !self.is(Fault::BatchedUpdatesAreCutByCharacters) {
            return writes.to_vec();
        }
        let payload = |write: &Write| match write {
            Write::Update(update) => Some(update.payload.as_str().to_owned()),
            _ => None,
        };
        let mut rest: Vec<char> = writes.iter().filter_map(payload).collect::<String>().chars().collect();
        let mut cut = |update: &Update| {
            // The lengths are those of another encoding.
            let length = update.payload.as_str().encode_utf16().count().min(rest.len());
            let text: String = rest.drain(..length).collect();
            Write::Update(Update { payload: text.as_str().into(), ..update.clone() })
        };
        let mut each = |write: &Write| match write {
            Write::Update(update) => cut(update),
            write => write.clone(),
        };
        writes.iter().map(&mut each).collect()
    }

    /// The write as a batch does it.
    pub(crate) fn in_a_batch(&self, write: &Write) -> Write {
        match (write.clone(), self.form.fault) {
            (Write::Create(create), Fault::BatchedSessionsBeginAtOne) => {
                Write::Create(Create { version: Version::FIRST, ..create })
            }
            (Write::Update(update), Fault::BatchesMoveAnExpiryLeftAlone) => {
                Write::Update(Update { expires_at: update.expires_at.or(Some(Timestamp::NEVER)), ..update })
            }
            (Write::Touch(touch), Fault::BatchedTouchesIgnoreTheirVersion) => {
                Write::Touch(Touch { expected: None, ..touch })
            }
            (Write::Destroy(destroy), Fault::BatchedDestroysForgetNothing)
                if destroy.mode == DestroyMode::Forget =>
            {
                Write::Destroy(Destroy { mode: DestroyMode::Keep, ..destroy })
            }
            (Write::Destroy(destroy), Fault::ABatchHasOneModeForAll) => {
                Write::Destroy(Destroy { mode: DestroyMode::Forget, ..destroy })
            }
            (write, _) => write,
        }
    }
}
