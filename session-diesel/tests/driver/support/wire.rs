//! A network that misbehaves, between a store and its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::host_of;

/// A relay to a server. What it does holds for both directions.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    /// How many connections were made.
    made: AtomicUsize,
    /// Connections below this number are forgotten: their bytes go nowhere, and nobody says so.
    forgotten: AtomicUsize,
    /// Connections below this number are closed.
    closed: watch::Sender<usize>,
    /// New connections are refused.
    down: AtomicBool,
    /// How long the first answer to a new connection takes, in milliseconds.
    greeting: AtomicU64,
    /// How long each packet takes, in milliseconds.
    distance: AtomicU64,
}

impl Wire {
    pub(crate) async fn to(server: String) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            made: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            closed: watch::Sender::new(0),
            down: AtomicBool::new(false),
            greeting: AtomicU64::new(0),
            distance: AtomicU64::new(0),
        });
        let wire = Wire { port: listener.local_addr().unwrap().port(), state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if state.down.load(Ordering::SeqCst) {
                    continue;
                }
                let number = state.made.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&server).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(Arc::clone(&state).relay(number, client, server));
            }
        });
        wire
    }

    /// The URL of the server, through here.
    pub(crate) fn through(&self, url: &str) -> String {
        url.replacen(&host_of(url), &format!("127.0.0.1:{}", self.port), 1)
    }

    pub(crate) fn made(&self) -> usize {
        self.state.made.load(Ordering::SeqCst)
    }

    pub(crate) fn forget(&self) {
        self.state.forgotten.store(self.made(), Ordering::SeqCst);
    }

    pub(crate) fn close(&self) {
        self.state.closed.send_replace(self.made());
    }

    pub(crate) fn down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
        if down {
            self.close();
        }
    }

    pub(crate) fn greeting(&self, time: Duration) {
        self.state.greeting.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn distance(&self, time: Duration) {
        self.state.distance.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl State {
    async fn relay(self: Arc<Self>, number: usize, client: TcpStream, server: TcpStream) {
        let greeting = Instant::now() + Duration::from_millis(self.greeting.load(Ordering::SeqCst));
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let asks = Arc::clone(&self);
        let asks = async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                asks.packet(number, &bytes[..read], &mut to_server).await;
            }
        };
        let answers = Arc::clone(&self);
        let answers = async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                sleep_until(greeting).await;
                answers.packet(number, &bytes[..read], &mut to_client).await;
            }
        };
        let mut closed = self.closed.subscribe();
        let closed = async move {
            // Not held beyond this line: it is a lock.
            _ = closed.wait_for(|closed| number < *closed).await.map(|_| ());
        };
        let forgets = Arc::clone(&self);
        tokio::select! {
            () = async { tokio::select! { () = asks => {}, () = answers => {} } } => {
                // What is forgotten is not closed either, as far as the other side can see.
                if number < forgets.forgotten.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
            }
            () = closed => {}
        }
    }

    async fn packet(&self, number: usize, bytes: &[u8], to: &mut (impl AsyncWriteExt + Unpin)) {
        sleep(Duration::from_millis(self.distance.load(Ordering::SeqCst))).await;
        if number >= self.forgotten.load(Ordering::SeqCst) {
            _ = to.write_all(bytes).await;
        }
    }
}
