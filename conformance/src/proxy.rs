//! A TCP proxy between store and server: a network that is far, delays, cuts, tears, swallows, forgets, and closes what
//! is idle; and a web server in the server's place.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use crate::case::Stop;
use crate::network::{Mode, State};
use crate::pump::{Pulse, pump};

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    from_server: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Result<Proxy, Stop> {
        let listen = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok::<_, io::Error>((listener.local_addr()?, listener))
        };
        let (address, listener) =
            listen.await.map_err(|error| Stop::Failed(format!("the proxy cannot listen: {error}")))?;
        let (state, states) = watch::channel(State { mode: Mode::Pass, cuts: 0, forgets: 0, idle: None });
        let from_server = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&from_server);
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, states.clone(), Arc::clone(&count)));
            }
        });
        Ok(Proxy { address, state, from_server, listener })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes have come from the server, over all connections.
    pub(crate) fn bytes_from_server(&self) -> u64 {
        self.from_server.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Cuts every present connection.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Forgets every present connection, as a NAT does: it stays open as far as both sides know, and what either sends on
    /// it goes nowhere from now on, also the news that the other has closed it. New ones work.
    pub(crate) fn forget(&self) {
        self.state.send_modify(|state| state.forgets += 1);
    }

    /// From now on closes connections on which nothing passes for so long, on both sides.
    pub(crate) fn close_idle_after(&self, rest: Duration) {
        self.state.send_modify(|state| state.idle = Some(rest));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

/// As a balancer does that has nobody behind it, also towards protocols in which the server speaks first.
async fn answer_as_a_web_server(mut client: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    const PATIENCE: Duration = Duration::from_millis(100);
    let mut heard = [0; 1024];
    _ = timeout(PATIENCE, client.read(&mut heard)).await;
    _ = client.write_all(ANSWER).await;
    _ = client.shutdown().await;
    // A connection that is closed with something unread is reset, and its answer lost.
    _ = timeout(PATIENCE, client.read(&mut heard)).await;
}

async fn serve(client: TcpStream, server: SocketAddr, states: watch::Receiver<State>, count: Arc<AtomicU64>) {
    let born = *states.borrow();
    if born.mode == Mode::Refuse {
        return;
    }
    if born.mode == Mode::Stranger {
        return answer_as_a_web_server(client).await;
    }
    let pulse = Pulse::new(states.clone());
    let mut cut = states.clone();
    let pumps = async {
        // This end was accepted at once, where a far one would have answered first.
        if let Mode::Delay(time) = born.mode {
            sleep(2 * time).await;
        }
        let Ok(server) = TcpStream::connect(server).await else { return };
        _ = client.set_nodelay(true);
        _ = server.set_nodelay(true);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pump(from_client, to_server, &pulse, None) => {}
            () = pump(from_server, to_client, &pulse, Some(&count)) => {}
        }
    };
    tokio::select! {
        () = pumps => {}
        () = idle_for_too_long(&pulse, states) => {}
        // An error is the proxy's own end.
        _ = cut.wait_for(|state| state.cuts != born.cuts) => {}
    }
}

/// Returns once nothing has passed for as long as a connection may rest.
async fn idle_for_too_long(pulse: &Pulse, mut states: watch::Receiver<State>) {
    loop {
        let idle = states.borrow_and_update().idle;
        let Some(end) = idle.map(|rest| pulse.last() + rest) else {
            if states.changed().await.is_err() {
                return;
            }
            continue;
        };
        sleep_until(end).await;
        if idle.is_some_and(|rest| pulse.last() + rest <= end) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(bytes).await?;
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn bytes_pass_and_a_cut_ends_connections_but_not_the_proxy() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
        assert_eq!(proxy.bytes_from_server(), 5);
        proxy.cut();
        assert!(ask(&mut stream, b"hello").await.is_err());
        let mut another = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut another, b"again").await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn a_black_hole_holds_bytes_until_it_is_over() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.set(Mode::BlackHole);
        stream.write_all(b"late").await.unwrap();
        let mut answer = [0; 4];
        assert!(timeout(SHORT, stream.read_exact(&mut answer)).await.is_err());
        proxy.set(Mode::Pass);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"late");
    }

    #[tokio::test]
    async fn a_torn_answer_ends_in_the_middle() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.set(Mode::Tear);
        stream.write_all(b"12345678").await.unwrap();
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"1234");
    }

    #[tokio::test]
    async fn a_stranger_answers_whoever_speaks_and_whoever_waits() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.set(Mode::Stranger);
        for says in [b"hello".as_slice(), b""] {
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            stream.write_all(says).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 502"));
        }
    }

    #[tokio::test]
    async fn refused_connections_get_nothing() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.set(Mode::Refuse);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_err());
    }

    #[tokio::test]
    async fn a_far_server_takes_a_round_trip_for_each_question_and_no_more_for_several_at_once() {
        const FAR: Duration = Duration::from_millis(40);
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.set(Mode::Delay(FAR));
        let start = Instant::now();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        ask(&mut stream, b"hello").await.unwrap();
        assert!(start.elapsed() >= 4 * FAR, "a connection and a question: {:?}", start.elapsed());
        let start = Instant::now();
        for number in 0..20_u8 {
            stream.write_all(&[number]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stream.read_exact(&mut [0; 20]).await.unwrap();
        // One after another they would take 40 times as long.
        let took = start.elapsed();
        assert!(took >= 2 * FAR && took < 20 * FAR, "{took:?}");
    }

    #[tokio::test]
    async fn a_forgotten_connection_is_silent_and_a_new_one_works() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.forget();
        stream.write_all(b"lost").await.unwrap();
        assert!(timeout(SHORT, stream.read(&mut [0; 4])).await.is_err(), "neither an answer nor an end");
        let mut another = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut another, b"again").await.unwrap(), b"again");
        stream.write_all(b"lost").await.unwrap();
        assert!(timeout(SHORT, stream.read(&mut [0; 4])).await.is_err(), "neither an answer nor an end");
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut idle = TcpStream::connect(proxy.address()).await.unwrap();
        let mut busy = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut idle, b"hello").await.unwrap(), b"hello");
        proxy.close_idle_after(3 * SHORT);
        for _ in 0..10 {
            tokio::time::sleep(SHORT / 2).await;
            assert_eq!(ask(&mut busy, b"hello").await.unwrap(), b"hello");
        }
        let end = timeout(Duration::from_secs(5), idle.read(&mut [0; 4])).await;
        assert_eq!(end.expect("it is closed").unwrap_or(0), 0);
    }
}
