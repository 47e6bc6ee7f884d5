//! The cases that wait for a clock, at the same time and beside those that work.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::CaseReport;

/// How many wait at once: each has connections of its own, of which a server has some hundred.
const PLACES: usize = 8;

/// Where cases wait together.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    runtime: Handle,
    places: Arc<Semaphore>,
}

/// What comes of a case that was begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begun(Arc<Mutex<Option<JoinHandle<CaseReport>>>>);

impl Beside {
    pub(crate) fn new(runtime: Handle) -> Beside {
        Beside { runtime, places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// Begins a case as soon as there is a place.
    pub(crate) fn begin(&self, begun: &Begun, case: impl Future<Output = CaseReport> + Send + 'static) {
        let places = Arc::clone(&self.places);
        let task = self.runtime.spawn(async move {
            let _place = places.acquire().await;
            case.await
        });
        *begun.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Begun {
    /// The case, if it was begun. It can be taken once.
    pub(crate) fn take(&self) -> Option<JoinHandle<CaseReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
