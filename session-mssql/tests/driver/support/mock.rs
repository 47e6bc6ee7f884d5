//! A server that speaks the protocol, and what stands between it and a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
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

    pub(crate) fn url(&self) -> String {
        url(self.address)
    }

    /// Answers every statement that has this text, which must be in capitals.
    pub(crate) async fn answer(&self, text: &str, response: QueryResponse) {
        self.answers.lock().await.register(text, response);
    }

    /// How many connections logged in.
    pub(crate) async fn connections(&self) -> usize {
        self.connections.lock().await.count()
    }

    /// The access tokens of all logins, sorted.
    pub(crate) async fn tokens(&self) -> Vec<String> {
        let connections = self.connections.lock().await;
        let mut tokens: Vec<String> = connections
            .all()
            .values()
            .filter_map(|connection| connection.received_token_as_string())
            .collect();
        tokens.sort();
        tokens
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

/// Passes connections on to a server, until it is told to refuse their logins with an error of this number.
pub(crate) struct Doorkeeper {
    pub(crate) url: String,
    refuses: watch::Sender<u32>,
}

impl Doorkeeper {
    pub(crate) async fn before(server: &Mock) -> Doorkeeper {
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let url = url(listener.local_addr().unwrap());
        let (refuses, refused) = watch::channel(0);
        let server = server.address();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut refused = refused.clone();
                tokio::spawn(async move {
                    let number = *refused.borrow_and_update();
                    if number > 0 {
                        return refuse(&mut client, number).await;
                    }
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        // It closes what it has passed on, too.
                        _ = refused.changed() => {}
                    }
                });
            }
        });
        Doorkeeper { url, refuses }
    }

    /// Refuses logins with this error, or with 0 none.
    pub(crate) fn refuse(&self, number: u32) {
        self.refuses.send_replace(number);
    }
}

/// Answers what comes before a login, and refuses the login.
async fn refuse(client: &mut TcpStream, number: u32) {
    const VERSION_AND_NO_ENCRYPTION: [u8; 18] = [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 16, 0, 0, 0, 0, 0, 2];
    receive(client).await;
    send(client, &VERSION_AND_NO_ENCRYPTION).await;
    receive(client).await;
    let text: Vec<u8> = "refused".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut body = number.to_le_bytes().to_vec();
    // State and class, then the text, no names of server and procedure, and the line.
    body.extend([1, 11, 7, 0]);
    body.extend(&text);
    body.extend([0, 0, 1, 0, 0, 0]);
    let mut answer = vec![0xAA];
    answer.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
    answer.extend(body);
    // It is done, with an error.
    answer.extend([0xFD, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    send(client, &answer).await;
    // Until the client has gone.
    while let Ok(1..) = client.read(&mut [0; 64]).await {}
}

async fn receive(client: &mut TcpStream) {
    const LAST: u8 = 1;
    let mut head = [0; 8];
    while head[1] & LAST == 0 {
        client.read_exact(&mut head).await.unwrap();
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])) - head.len();
        client.read_exact(&mut vec![0; length]).await.unwrap();
    }
}

async fn send(client: &mut TcpStream, payload: &[u8]) {
    let length = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let mut packet = vec![4, 1, length[0], length[1], 0, 0, 1, 0];
    packet.extend(payload);
    client.write_all(&packet).await.unwrap();
}

/// Carries bytes to a server and back, until it is told to cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// How many bytes of answers still pass; [`ALL`] or [`ONCE`].
    left: Arc<AtomicI64>,
    /// How many bytes of answers have passed.
    passed: Arc<AtomicU64>,
    closing: watch::Sender<u64>,
    roads: Arc<Roads>,
}

/// What became of the connections of a proxy.
#[derive(Default)]
struct Roads {
    accepted: AtomicU64,
    /// Of the connections before this one nothing passes any more, and neither side is told.
    forgotten: AtomicU64,
    open: AtomicU64,
    /// How often a client spoke.
    asked: AtomicU64,
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
        let passed = Arc::new(AtomicU64::new(0));
        let (allowed, counted, closed) = (Arc::clone(&left), Arc::clone(&passed), closing.subscribe());
        let roads = Arc::<Roads>::default();
        let shared = Arc::clone(&roads);
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
                let roads = Arc::clone(&shared);
                let number = roads.accepted.fetch_add(1, Ordering::SeqCst);
                roads.open.fetch_add(1, Ordering::SeqCst);
                let road = Road { number, roads: Arc::clone(&roads) };
                let carried = carry(client, upstream, Arc::clone(&allowed), Arc::clone(&counted), road);
                tokio::spawn(async move {
                    tokio::select! {
                        () = carried => {}
                        _ = closed.changed() => {}
                    }
                    roads.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Proxy { address, left, passed, closing, roads }
    }

    pub(crate) fn url(&self) -> String {
        url(self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes of answers have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Forgets every connection that there is, as a firewall does: nothing passes any more, and neither side is told.
    /// New connections pass.
    pub(crate) fn forget(&self) {
        self.roads.forgotten.store(self.roads.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> u64 {
        self.roads.open.load(Ordering::SeqCst)
    }

    /// How often a client spoke.
    pub(crate) fn asked(&self) -> u64 {
        self.roads.asked.load(Ordering::SeqCst)
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

/// One connection of a proxy.
struct Road {
    number: u64,
    roads: Arc<Roads>,
}

impl Road {
    /// Stays here if the connection was forgotten.
    async fn goes_on(&self) {
        if self.number < self.roads.forgotten.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

async fn carry(
    client: TcpStream,
    server: TcpStream,
    left: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
    road: Road,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let road = &road;
    let up = async move {
        let mut buffer = [0; 4096];
        loop {
            let read = from_client.read(&mut buffer).await.unwrap_or(0);
            road.goes_on().await;
            road.roads.asked.fetch_add(1, Ordering::SeqCst);
            if read == 0 || to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let down = async move {
        let mut buffer = [0; 4096];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            road.goes_on().await;
            if read == 0 {
                return;
            }
            if left.compare_exchange(ONCE, ALL, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return;
            }
            let allowed = left.load(Ordering::SeqCst);
            let passing = usize::try_from(allowed).map_or(read, |allowed| allowed.min(read));
            if to_client.write_all(&buffer[..passing]).await.is_err() || passing < read {
                return;
            }
            passed.fetch_add(u64::try_from(passing).unwrap(), Ordering::SeqCst);
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

fn url(address: SocketAddr) -> String {
    format!("Server=tcp:{},{};User=u;Password=p;Encrypt=DANGER_PLAINTEXT", address.ip(), address.port())
}
