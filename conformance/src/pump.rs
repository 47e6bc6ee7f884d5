//! One direction of a connection through the proxy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::network::{Mode, State};

/// What both directions of a connection know.
pub(crate) struct Pulse {
    states: watch::Receiver<State>,
    /// How often the network had forgotten its connections when this one was made.
    forgets: u64,
    last: Mutex<Instant>,
}

impl Pulse {
    pub(crate) fn new(states: watch::Receiver<State>) -> Pulse {
        let forgets = states.borrow().forgets;
        Pulse { states, forgets, last: Mutex::new(Instant::now()) }
    }

    /// When something passed last.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_forgotten(&self) -> bool {
        self.states.borrow().forgets != self.forgets
    }
}

/// A piece and when it was sent.
type Piece = (Vec<u8>, Instant);

/// Passes bytes on until either side closes, and counts those from the server.
pub(crate) async fn pump(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    pulse: &Pulse,
    from_server: Option<&AtomicU64>,
) {
    // As much as is under way at once; then the sender waits.
    let (pieces, arrivals) = mpsc::channel(64);
    // What was sent before an end still arrives.
    tokio::join!(read(from, pieces, from_server), write(arrivals, to, pulse, from_server.is_some()));
    if pulse.is_forgotten() {
        // The other side does not learn that this one is closed.
        std::future::pending::<()>().await;
    }
}

async fn read(mut from: OwnedReadHalf, pieces: mpsc::Sender<Piece>, count: Option<&AtomicU64>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = tokio::select! {
            read = from.read(&mut piece) => read.unwrap_or(0),
            () = pieces.closed() => return,
        };
        if length == 0 {
            return;
        }
        if let Some(count) = count {
            count.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::SeqCst);
        }
        if pieces.send((piece[..length].to_vec(), Instant::now())).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut arrivals: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
    pulse: &Pulse,
    is_from_server: bool,
) {
    let mut states = pulse.states.clone();
    while let Some((piece, sent)) = arrivals.recv().await {
        let passes = |state: &State| state.mode != Mode::BlackHole || state.forgets != pulse.forgets;
        let Ok(state) = states.wait_for(passes).await.map(|state| *state) else { return };
        if let Mode::Delay(time) = state.mode {
            sleep_until(sent + time).await;
        }
        if pulse.is_forgotten() {
            continue;
        }
        pulse.beat();
        if state.mode == Mode::Tear && is_from_server {
            _ = to.write_all(&piece[..piece.len() / 2]).await;
            return;
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
