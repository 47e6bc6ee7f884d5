//! Threads, and how their answers come back.

use std::thread::{self, JoinHandle};

use session_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

/// Starts a thread. Linux shows the first 15 bytes of its name.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
        Error::new(ErrorKind::Backend, "the operating system gave no thread; check the limit on threads")
            .with_in_doubt(false)
            .with_source(error)
    })
}

/// The answer to what waits in a thread's queue. Whoever stops waiting takes back what has not begun; what has begun is
/// done wholly.
pub(crate) async fn receive<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    answer.await.unwrap_or_else(|_| {
        Err(Error::unavailable("a thread of the store has ended; build the store anew").with_unreachable())
    })
}
