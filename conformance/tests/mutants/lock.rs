//! A table's lock, and what waits for it on the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct Lock {
    locked: Arc<watch::Sender<bool>>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Lock {
    fn default() -> Lock {
        Lock { locked: Arc::new(watch::Sender::new(false)), waiting: Arc::default() }
    }
}

/// Holds the lock until it is dropped.
pub(crate) struct Held(Lock);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.locked.send_replace(false);
    }
}

struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Lock {
    pub(crate) fn hold(&self) -> Held {
        self.locked.send_replace(true);
        Held(self.clone())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Waits until the table is not locked. A statement that is `left` goes on waiting when its caller has gone.
    pub(crate) async fn pass(&self, left: bool) {
        if !*self.locked.borrow() {
            return;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(Arc::clone(&self.waiting));
        let mut locked = self.locked.subscribe();
        let wait = async move {
            let _waiting = waiting;
            _ = locked.wait_for(|locked| !locked).await;
        };
        if left {
            _ = tokio::spawn(wait).await;
        } else {
            wait.await;
        }
    }
}
