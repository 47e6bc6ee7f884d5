//! Panics of tasks that nobody waits for: a store's own work behind its caller's back.

use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use tokio::runtime::{Handle, Id};

/// Every panic since the first case began, with the runtime that it happened on.
static SEEN: Mutex<Vec<(Id, String)>> = Mutex::new(Vec::new());

/// The moment since which panics count.
pub(crate) struct Since {
    runtime: Id,
    seen: usize,
}

impl Since {
    /// Now, on the runtime of the caller.
    pub(crate) fn now() -> Since {
        static HOOK: Once = Once::new();

        HOOK.call_once(|| {
            let shown = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                if let Ok(runtime) = Handle::try_current() {
                    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push((runtime.id(), panic.to_string()));
                }
                shown(panic);
            }));
        });
        let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner).len();
        Since { runtime: Handle::current().id(), seen }
    }

    /// The first panic since then, of whichever task.
    pub(crate) fn first(&self) -> Option<String> {
        let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen[self.seen..].iter().find(|(runtime, _)| *runtime == self.runtime).map(|(_, panic)| panic.clone())
    }
}
