//! Whether a task that drives a lane is polled at all.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// What a driver and those who wait for it share. A driver may wait long for the database and is still sound; one whose
/// runtime is not polled, or whose thread is busy with something else, is not.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Somebody asked for a sign of life, and none came yet.
    asked: AtomicBool,
    waker: AtomicWaker,
}

impl Pulse {
    /// Asks the driver for a sign of life.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// True if the driver was not polled since it was asked.
    pub(super) fn is_silent(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// A driver's future, which gives a sign of life with each poll.
pub(super) struct Beating<F> {
    pulse: Arc<Pulse>,
    inner: Pin<Box<F>>,
}

impl<F> Beating<F> {
    pub(super) fn new(pulse: Arc<Pulse>, inner: F) -> Beating<F> {
        Beating { pulse, inner: Box::pin(inner) }
    }
}

impl<F: Future> Future for Beating<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // In this order: who asks from here on wakes this task again.
        self.pulse.waker.register(context.waker());
        self.pulse.asked.store(false, Ordering::Release);
        self.inner.as_mut().poll(context)
    }
}
