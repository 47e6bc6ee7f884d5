//! What becomes of a write on its way into a batch.

use session_core::contract::{Create, Destroy, Touch, Update, Write};
use session_core::{DestroyMode, Timestamp, Version};

use crate::faults::Fault;
use crate::parts::SmallStore;

impl SmallStore {
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
