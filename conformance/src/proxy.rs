//! A TCP proxy between store and server that delays, cuts, tears and swallows.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::case::Stop;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They pass.
    Pass,
    /// Each piece waits so long, in each direction.
    Delay(Duration),
    /// None pass; connections stay open, and new ones are accepted and get no answer. Bytes that wait go on when
    /// that is over, as with a server that was stopped.
    BlackHole,
    /// New connections are closed at once; the present ones are not affected.
    Refuse,
    /// Half of the next piece from the server passes, then its connection is cut.
    Tear,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections made before the last cut are cut.
    cuts: u64,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
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
        let (state, states) = watch::channel(State { mode: Mode::Pass, cuts: 0 });
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, states.clone()));
            }
        });
        Ok(Proxy { address, state, listener })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Cuts every present connection.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn serve(client: TcpStream, server: SocketAddr, states: watch::Receiver<State>) {
    let born = *states.borrow();
    if born.mode == Mode::Refuse {
        return;
    }
    let mut cut = states.clone();
    let pumps = async {
        let Ok(server) = TcpStream::connect(server).await else { return };
        _ = client.set_nodelay(true);
        _ = server.set_nodelay(true);
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pump(from_client, to_server, states.clone(), false) => {}
            () = pump(from_server, to_client, states, true) => {}
        }
    };
    tokio::select! {
        () = pumps => {}
        _ = cut.wait_for(|state| state.cuts != born.cuts) => {}
    }
}

/// Passes bytes on until either side closes.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut states: watch::Receiver<State>,
    from_server: bool,
) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(length) = from.read(&mut piece).await else { return };
        if length == 0 {
            return;
        }
        let Ok(state) = states.wait_for(|state| state.mode != Mode::BlackHole).await.map(|state| *state)
        else {
            return;
        };
        match state.mode {
            Mode::Delay(time) => tokio::time::sleep(time).await,
            Mode::Tear if from_server => {
                _ = to.write_all(&piece[..length / 2]).await;
                return;
            }
            _ => {}
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
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
    async fn refused_connections_get_nothing() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        proxy.set(Mode::Refuse);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(ask(&mut stream, b"hello").await.is_err());
    }
}
