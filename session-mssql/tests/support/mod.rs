//! A server that speaks the protocol, and what stands between it and a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use mssql_mock_tds::{ConnectionStore, MockTdsServer, QueryRegistry, QueryResponse, create_test_identity};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;

const ANYWHERE: &str = "127.0.0.1:0";
/// Every byte passes.
const ALL: i64 = -1;
/// The next answer is cut, and after it every byte passes.
const ONCE: i64 = -2;

/// Microsoft's test server, until it is dropped.
pub(crate) struct Mock {
    address: SocketAddr,
    answers: Arc<Mutex<QueryRegistry>>,
    connections: Arc<Mutex<ConnectionStore>>,
    server: AbortHandle,
}

impl Mock {
    pub(crate) async fn start() -> Mock {
        Mock::run(MockTdsServer::new(ANYWHERE).await.unwrap())
    }

    /// A server with the TLS of TDS 8, and the authority that signed its certificate for `localhost`.
    pub(crate) async fn with_tls() -> (Mock, Vec<u8>) {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::new(authority, authority_key))
            .unwrap();
        let identity =
            create_test_identity(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let server = MockTdsServer::new_with_strict_tls(ANYWHERE, identity).await.unwrap();
        (Mock::run(server), authority_certificate.pem().into_bytes())
    }

    pub(crate) async fn redirecting_to(target: SocketAddr) -> Mock {
        let host = target.ip().to_string();
        Mock::run(MockTdsServer::new_with_redirection(ANYWHERE, &host, target.port()).await.unwrap())
    }

    pub(crate) async fn redirecting_to_itself() -> Mock {
        // A port that was free a moment ago.
        let port = TcpListener::bind(ANYWHERE).await.unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        Mock::run(MockTdsServer::new_with_redirection(&address, "127.0.0.1", port).await.unwrap())
    }

    fn run(server: MockTdsServer) -> Mock {
        let (address, answers, connections) =
            (server.local_addr(), server.query_registry(), server.connection_store());
        let server = tokio::spawn(async move { drop(server.run().await) }).abort_handle();
        Mock { address, answers, connections, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn ado_string(&self) -> String {
        ado_string(self.address)
    }

    /// Answers every statement that has this text, which must be in capitals.
    pub(crate) async fn answer(&self, text: &str, response: QueryResponse) {
        self.answers.lock().await.register(text, response);
    }

    /// How many connections logged in.
    pub(crate) async fn connections(&self) -> usize {
        self.connections.lock().await.count()
    }

    /// The access token of the last login.
    pub(crate) async fn token(&self) -> Option<String> {
        self.connections.lock().await.all().values().last()?.received_token_as_string()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Carries bytes to a server and back, until it is told to cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// How many bytes of answers still pass; [`ALL`] or [`ONCE`].
    left: Arc<AtomicI64>,
    closing: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Proxy {
        Proxy::to_each(vec![server]).await
    }

    /// Carries the first connection to the first server, the second to the second, and all others to the last.
    pub(crate) async fn to_each(servers: Vec<SocketAddr>) -> Proxy {
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicI64::new(ALL));
        let closing = watch::Sender::new(0);
        let (allowed, closed) = (Arc::clone(&left), closing.subscribe());
        tokio::spawn(async move {
            let mut servers = servers.into_iter().peekable();
            while let Ok((client, _)) = listener.accept().await {
                let server = *servers.peek().unwrap();
                if servers.len() > 1 {
                    servers.next();
                }
                let upstream = TcpStream::connect(server).await.unwrap();
                let mut closed = closed.clone();
                closed.mark_unchanged();
                let carried = carry(client, upstream, Arc::clone(&allowed));
                tokio::spawn(async move {
                    tokio::select! {
                        () = carried => {}
                        _ = closed.changed() => {}
                    }
                });
            }
        });
        Proxy { address, left, closing }
    }

    pub(crate) fn ado_string(&self) -> String {
        ado_string(self.address)
    }

    /// Closes a connection once so many bytes of its answers have passed from now on.
    pub(crate) fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Closes the next connection that is answered, before any of the answer has passed, and lets all else pass.
    pub(crate) fn cut_once(&self) {
        self.left.store(ONCE, Ordering::SeqCst);
    }

    /// Lets everything pass.
    pub(crate) fn mend(&self) {
        self.left.store(ALL, Ordering::SeqCst);
    }

    /// Closes every connection.
    pub(crate) async fn close_all(&self) {
        self.closing.send_modify(|times| *times += 1);
        // The other end learns of it when its runtime next looks at its sockets, which it does when it is idle.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn carry(client: TcpStream, server: TcpStream, left: Arc<AtomicI64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async move { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
    let down = async move {
        let mut buffer = [0; 4096];
        loop {
            let Ok(read @ 1..) = from_server.read(&mut buffer).await else { return };
            if left.compare_exchange(ONCE, ALL, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return;
            }
            let allowed = left.load(Ordering::SeqCst);
            let passing = usize::try_from(allowed).map_or(read, |allowed| allowed.min(read));
            if to_client.write_all(&buffer[..passing]).await.is_err() || passing < read {
                return;
            }
            if allowed >= 0 {
                left.fetch_sub(i64::try_from(passing).unwrap(), Ordering::SeqCst);
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// A server that closes every connection at once.
pub(crate) struct Refusing {
    port: u16,
    attempts: Arc<AtomicU32>,
}

impl Refusing {
    pub(crate) async fn start() -> Refusing {
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let attempts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&attempts);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Refusing { port, attempts }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections came since the last call.
    pub(crate) fn take_attempts(&self) -> u32 {
        self.attempts.swap(0, Ordering::SeqCst)
    }
}

/// A SQL Server Browser that knows one instance, `WEB`. Returns its port.
pub(crate) async fn browser(instance: u16) -> u16 {
    let socket = UdpSocket::bind(ANYWHERE).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut request = [0; 64];
        while let Ok((length, client)) = socket.recv_from(&mut request).await {
            assert_eq!(&request[..length], b"\x04WEB");
            let text = format!("ServerName;HOST;InstanceName;WEB;IsClustered;No;Version;15;tcp;{instance};;");
            let size = u16::try_from(text.len()).unwrap().to_le_bytes();
            let reply = [&[5], size.as_slice(), text.as_bytes()].concat();
            socket.send_to(&reply, client).await.unwrap();
        }
    });
    port
}

fn ado_string(address: SocketAddr) -> String {
    format!("Server=tcp:{},{};User=u;Password=p;Encrypt=DANGER_PLAINTEXT", address.ip(), address.port())
}
